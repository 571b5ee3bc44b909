"""Residual blocks: the stream of currents that they add to, in every method, against the references."""

import pytest
import torch
import torch.nn.functional as F
from deploying import deployed
from spiking_methods import (
    IN_CHUNKS,
    IN_FORMS,
    OFFLINE,
    assert_as_written,
    assert_is_reference,
    learner_of,
    prepared,
)
from spiking_setups import RESIDUAL, TINY, batch, lif_of, plainly, problem, rates_of, start, step_gradients
from tiny_problems import largest_difference, rows, terms

from harness_spiking.architectures import resolve
from harness_spiking.lif import run
from harness_spiking.spikes import recorded
from harness_spiking.weights import effective
from harness_torch.instruments.synaptic_operations import SynapticOperations


def test_parameters_have_the_shapes_that_the_blocks_need():
    _, state = prepared("saf", "residual")
    shapes = {name: tuple(tensor.shape) for name, tensor in state.network.parameters.items() if "weight" in name}
    assert shapes == {
        "layers.0.weight": (6, 2, 3, 3),
        **{f"layers.{index}.weight": (6, 6, 3, 3) for index in range(1, 5)},
        "layers.5.weight": (8, 6, 3, 3),
        "layers.6.weight": (8, 8, 3, 3),
        "layers.6.projection.weight": (8, 6, 1, 1),
        "readout.weight": (5, 8),
    }
    others = set(state.network.parameters) - set(shapes)
    assert others == {f"layers.{index}.{name}" for index in range(7) for name in ("bias", "gain")} | {
        "layers.6.projection.gain",
        "readout.bias",
    }


def test_the_number_of_parameters_is_counted_by_hand():
    learner, state = prepared("saf", "residual")
    stem, same, down = 6 * 2 * 9, 4 * 6 * 6 * 9, 8 * 6 * 9 + 8 * 8 * 9 + 8 * 6
    bias_and_gain, readout = 2 * (5 * 6 + 2 * 8) + 8, 5 * 8 + 5
    facts = learner.describe(state)
    assert facts["parameters"] == stem + same + down + bias_and_gain + readout
    assert facts["neurons"] == 5 * 6 * 64 + 2 * 8 * 16


@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("network", RESIDUAL)
def test_saf_fires_as_the_plain_lif_network_does(network, varying):
    learner, state = prepared("saf", network, varying=varying)
    rows = batch(network, 6 if varying else None)
    spikes, _ = lif_of(state, rows)
    with recorded(state.network) as found:
        learner.views["training-forward"](state, rows.inputs)
    assert found.by_layer().keys() == spikes.keys()
    assert all(torch.equal(mine, spikes[layer]) for layer, mine in found.by_layer().items())
    assert all(0.02 < rate < 0.9 for rate in rates_of(spikes))


@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("network", RESIDUAL)
def test_the_deployed_network_is_the_plain_one(network, varying):
    _, state = prepared("bptt", network, varying=varying)
    rows = batch(network, 6 if varying else None)
    found = run(state.network, effective(state.network), state.network.frames(rows.inputs))
    _, outputs = lif_of(state, rows)
    torch.testing.assert_close(found, outputs, rtol=0, atol=1e-11)


@pytest.mark.sampled
@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize(
    ("method", "convention"),
    [("bptt", None), *IN_FORMS],
)
@pytest.mark.parametrize("network", RESIDUAL)
def test_gradients_of_every_method_are_its_references(method, network, convention, varying):
    assert_as_written(method, network, varying, convention)


@pytest.mark.sampled
@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("convention", ["official", "theory"])
@pytest.mark.parametrize("network", RESIDUAL)
def test_saf_and_ottt_agree_at_every_step(network, convention, varying):
    rows = batch(network, 6 if varying else None)
    found = []
    for method in ("saf-online", "ottt-online"):
        learner, state = prepared(method, network, varying=varying, convention=convention)
        found.append(step_gradients(learner, state, rows))
    assert len(found[0]) == 6
    assert max(largest_difference(saf, ottt) for saf, ottt in zip(*found, strict=True)) < 1e-12


@pytest.mark.sampled
@pytest.mark.parametrize("network", RESIDUAL)
@pytest.mark.parametrize("method", OFFLINE)
def test_another_leak_and_threshold(method, network):
    settings = {"leak": 0.9, "threshold": 0.7}
    assert_as_written(method, network, **settings)


@pytest.mark.sampled
@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("chunk", [2, 4, 6])
@pytest.mark.parametrize("network", RESIDUAL)
@pytest.mark.parametrize("method", IN_CHUNKS)
def test_chunks_of_steps_make_no_difference(method, network, chunk, varying):
    assert_as_written(method, network, varying, chunk=chunk)


@pytest.mark.sampled
@pytest.mark.parametrize("network", RESIDUAL)
@pytest.mark.parametrize("method", OFFLINE)
def test_micro_batches_make_no_difference(method, network):
    assert_as_written(method, network, micro_batch=4)


@pytest.mark.parametrize("network", RESIDUAL)
def test_bptt_through_the_reset_and_with_a_hard_one(network):
    for options in ({"detach_reset": False}, {"reset": "hard"}):
        assert_as_written("bptt", network, **options)


@pytest.mark.sampled
@pytest.mark.parametrize("text", ["6C3-6R3-GAP-FC", "6C3-8R3/2-8R5-AP2-4-FC", "6C3-AP2-6R3/2-GAP-FC", "4C3/2-4R3-FC"])
@pytest.mark.parametrize("method", OFFLINE)
def test_other_arrangements(method, text):
    learner = learner_of(method, steps=4, architecture=text, learning_rate=TINY)
    state, same = (start(learner, problem("residual")) for _ in range(2))
    assert_is_reference(learner, state, same, batch("residual"))


def test_what_joins_a_stream_is_in_units_of_its_expected_deviation():
    """By hand: a block adds 0.2^2 to the variance of the stream that it joins; a projection starts from 1 again."""
    layers = resolve("6C3-6R3-6R3-8R3/2-GAP-FC", (2, 8, 8), 5).layers
    first, second, projected = 1.04**0.5, 1.08**0.5, 1.04**0.5
    factors = [1, 1, 0.2 / first, 1, 0.2 / second, 1, 0.2 / projected]
    assert [layer.factor for layer in layers] == pytest.approx(factors)
    skips = {index: layer.skip for index, layer in enumerate(layers) if layer.skip}
    assert {index: skip.source for index, skip in skips.items()} == {2: 0, 4: 2, 6: 4}
    assert [skip.factor for skip in skips.values()] == pytest.approx([1 / first, first / second, 1 / projected])
    assert [skip.projection for skip in skips.values()] == [None, None, (8, 6, 1, 1)]
    assert [skip.window for skip in skips.values()] == [None, None, (2, 2)]


def test_neurons_along_a_stream_fire_alike_since_they_see_it_in_its_expected_deviation():
    learner = learner_of("saf", architecture="-".join(["32C3", *["32R3"] * 6, "FC"]), steps=1)
    state = learner.init(problem("residual"), terms(), None)
    spikes, _ = lif_of(state, rows(problem("residual"), 32))
    assert state.network.architecture.layers[12].factor == pytest.approx(0.2 / (1 + 6 * 0.2**2) ** 0.5)
    rates = rates_of(spikes)
    assert rates[2::2] == pytest.approx([rates[0]] * 6, abs=0.02)


def pairs(x, weight, stride=1):
    """Products of an input that is not zero with a weight that is not."""
    weight = (weight != 0).double()
    if weight.dim() == 2:
        return ((x != 0).double().flatten(1) @ weight.T).sum().item()
    return F.conv2d((x != 0).double(), weight, stride=stride, padding=weight.shape[-1] // 2).sum().item()


@pytest.mark.parametrize("network", RESIDUAL)
def test_synaptic_operations_of_blocks_are_counted_as_their_spikes_say(network):
    learner, state = prepared("bptt", network)
    rows, maps = batch(network), effective(state.network)
    net, (spikes, _) = plainly(state, rows), lif_of(state, rows)
    spikes = [[fired.double() for fired in now] for now in zip(*spikes.values(), strict=True)]
    layers, count = state.network.architecture.layers, len(rows.targets)
    real = pairs(rows.inputs, maps.layers[0].weight, layers[0].stride)  # the same current at all steps
    real += 6 * 5 * count  # averaging the readouts over time
    accumulated = 0
    for now in spikes:
        sent = [net.sent(layer, fired) for layer, fired in enumerate(now)]
        targets = [(index, index - 1, maps.layers[index]) for index in range(1, len(layers))]
        targets += [(index, layers[index].skip.source, to) for index, to in maps.projections.items()]
        for index, source, to in [*targets, (None, len(layers) - 1, maps.readout)]:
            window = None if index is None or to is maps.layers[index] else layers[index].skip.window
            seen = sent[source] if window is None else F.avg_pool2d(sent[source], window)
            done = pairs(seen, to.weight, to.stride)
            if layers[source].pool is None and window is None:
                accumulated += done
            else:
                real += done
    found = deployed(SynapticOperations(), lambda: learner.predict(state, rows.inputs), count)
    assert (found["synaptic_acs"], found["synaptic_macs"]) == (accumulated / count, real / count)
    assert found["firing_rate"] == pytest.approx(
        sum(fired.sum().item() for now in spikes for fired in now)
        / sum(fired.numel() for now in spikes for fired in now)
    )
