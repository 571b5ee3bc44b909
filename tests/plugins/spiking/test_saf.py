from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from spiking_methods import assert_as_written, assert_is_reference
from spiking_setups import (
    NETWORKS,
    TINY,
    batch,
    lif_of,
    of_reference,
    parameters_of,
    plainly,
    problem,
    rates_of,
    start,
    step_gradients,
)
from tiny_problems import largest_difference, terms

from harness import Unsupported, UsageError
from harness_ottt import OTTTOptions
from harness_ottt.learner import build as build_ottt
from harness_saf import SAFOptions
from harness_saf.learner import build
from harness_saf.reference import losses
from harness_spiking.lif import run
from harness_spiking.spikes import recorded
from harness_spiking.weights import effective

CASES = [
    (network, steps, leak, varying)
    for network in ("mlp", "conv")
    for steps in (6, 20)
    for leak in (0.5, 0.9)
    for varying in (False, True)
]


def prepared(network, steps=6, varying=False, precision="fp64", **options):
    learner = build(
        SAFOptions(**{"learning_rate": TINY, "steps": steps, "architecture": NETWORKS[network][0]} | options)
    )
    return learner, start(learner, problem(network, steps if varying else None), precision=precision)


def accumulated_spikes(learner, state, inputs):
    """The spikes of SAF's forward pass, by layer (T, B, ...)."""
    with recorded(state.network) as spikes:
        learner.predict_by_traces(state, inputs)
    return spikes.by_layer()


@pytest.mark.sampled
@pytest.mark.parametrize("convention", ["official", "theory"])
@pytest.mark.parametrize(("network", "steps", "leak", "varying"), CASES)
def test_spikes_are_those_of_the_lif_network(network, steps, leak, varying, convention):
    learner, state = prepared(network, steps, varying, leak=leak, convention=convention)
    rows = batch(network, steps if varying else None)
    expected, _ = lif_of(state, rows)
    found = accumulated_spikes(learner, state, rows.inputs)
    assert found.keys() == expected.keys()
    assert all(torch.equal(fired, expected[layer]) for layer, fired in found.items())
    assert all(0.02 < rate < 0.9 for rate in rates_of(expected))


@pytest.mark.sampled
@pytest.mark.parametrize("convention", ["official", "theory"])
@pytest.mark.parametrize(
    ("network", "steps", "leak", "varying", "threshold"),
    [(*case, 1.0) for case in CASES] + [("conv", 6, 0.5, False, 0.6), ("conv", 6, 0.5, True, 1.4)],
)
def test_gradients_are_those_of_ottt_at_every_step(network, steps, leak, varying, threshold, convention):
    """Of OTTT's reference, which knows nothing of accumulated variables; and of SAF's own."""
    settings = {"leak": leak, "threshold": threshold, "convention": convention, "update": "online"}
    learner, state = prepared(network, steps, varying, **settings)
    ottt = build_ottt(OTTTOptions(architecture=NETWORKS[network][0], steps=steps, learning_rate=TINY, **settings))
    rows = batch(network, steps if varying else None)
    found = step_gradients(learner, state, rows)
    assert len(found) == steps
    for other in (ottt, learner):
        same = start(other, problem(network, steps if varying else None))
        for mine, theirs in zip(found, step_gradients(of_reference(other), same, rows), strict=True):
            assert largest_difference(mine, theirs) < 1e-12


@pytest.mark.sampled
@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("convention", ["official", "theory"])
@pytest.mark.parametrize("network", ["mlp", "conv", "gap"])
def test_accumulated_gradients_are_the_sum_over_steps(network, convention, varying):
    learner, state = prepared(network, 6, varying, convention=convention)
    rows = batch(network, 6 if varying else None)
    _, stepwise = prepared(network, 6, varying, convention=convention)
    online = build(replace(learner.options, update="online"))
    steps = step_gradients(of_reference(online), stepwise, rows)
    (found,) = step_gradients(learner, state, rows)
    assert largest_difference(found, {name: sum(step[name] for step in steps) for name in found}) < 1e-12
    said = [each(state, rows)[1]["loss"].item() for each in (learner.update, learner.reference)]
    assert said[0] == pytest.approx(said[1], rel=1e-12)


@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_final_variant_differentiates_the_last_step_alone(network, varying):
    assert_as_written("saf-final", network, varying)


@pytest.mark.parametrize("convention", ["official", "theory"])
@pytest.mark.parametrize("varying", [False, True])
def test_online_update_takes_an_optimiser_step_at_every_time_step(convention, varying):
    options = {"update": "online", "learning_rate": 0.01, "weight_decay": 0.1, "convention": convention}
    learner, state = prepared("conv", 6, varying, **options)
    rows = batch("conv", 6 if varying else None)
    _, same = prepared("conv", 6, varying, **options)
    before = parameters_of(state)
    assert_is_reference(learner, state, same, rows)
    assert largest_difference(dict(state.network.parameters), dict(same.network.parameters)) < 1e-12
    assert all((before[name] != tensor).any() for name, tensor in state.network.parameters.items())


@pytest.mark.parametrize("convention", ["official", "theory"])
def test_each_of_the_references_steps_is_torchs_own_on_the_loss_of_that_step(convention):
    """Its driver beside a loop over its losses by hand."""
    options = {"update": "online", "learning_rate": 0.01, "convention": convention}
    (learner, state), (_, same) = (prepared("conv", 6, **options) for _ in range(2))
    net = plainly(same, batch("conv"))
    optimiser = torch.optim.SGD(net.parameters.values(), lr=0.01, momentum=0.9)
    for loss in losses(net, learner.options):
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    learner.reference(state, batch("conv"))
    assert largest_difference(dict(state.network.parameters), net.parameters) == 0


@pytest.mark.parametrize("variant", ["every", "final"])
@pytest.mark.parametrize("varying", [False, True])
def test_deployed_lif_network_predicts_as_the_training_forward_does(variant, varying):
    learner, state = prepared("conv", 6, varying, variant=variant)
    inputs = batch("conv", 6 if varying else None, rows=40).inputs
    deployed = learner.predict(state, inputs).log_probs
    seen = learner.views["training-forward"](state, inputs).log_probs
    torch.testing.assert_close(deployed, seen, rtol=0, atol=1e-12)


@pytest.mark.parametrize("variant", ["every", "final"])
def test_prediction_averages_the_readout_over_time(variant):
    learner, state = prepared("mlp", 6, variant=variant)
    inputs = batch("mlp").inputs
    _, outputs = lif_of(state, batch("mlp"))
    over_time = torch.tensor([0.5 ** (5 - t) if variant == "final" else 1.0 for t in range(6)], dtype=torch.float64)
    expected = torch.einsum("t,tbc->bc", over_time / over_time.sum(), outputs).log_softmax(-1)
    found = learner.predict(state, inputs)
    torch.testing.assert_close(found.log_probs, expected[None].detach(), rtol=0, atol=1e-12)
    assert found.log_weights.exp().sum() == 1


@pytest.mark.parametrize(
    ("steps", "leak", "chunk", "in_fp32", "in_bf16"),
    [
        (8, 0.5, 1, "float32", "bfloat16"),  # the trace itself, as the next layer's input
        (9, 0.5, 1, "float32", "float32"),
        (8, 0.9, 1, "float32", "float32"),
        (8, 0.5, 4, "uint8", "uint8"),
        (9, 0.5, 4, "uint16", "uint16"),
        (16, 0.5, 16, "uint16", "uint16"),
        (17, 0.5, 4, "float32", "float32"),
        (8, 0.9, 4, "float32", "float32"),
    ],
)
def test_spikes_are_carried_as_narrow_as_they_are_exact(steps, leak, chunk, in_fp32, in_bf16, monkeypatch):
    monkeypatch.setattr("harness_spiking.kernels.choose", lambda *_: SimpleNamespace(name="triton"))
    learner = build(SAFOptions(architecture=NETWORKS["conv"][0], steps=steps, leak=leak, chunk=chunk))
    for precision, expected in (("fp32", in_fp32), ("bf16", in_bf16)):
        assert learner.describe(start(learner, problem("conv"), precision=precision))["trace"] == expected


def test_eager_kernels_carry_the_trace_as_wide_as_parameters():
    for precision, expected in (("fp64", "float64"), ("fp32", "float32"), ("bf16", "float32")):
        learner, state = prepared("conv", precision=precision, chunk=6)
        assert learner.describe(state)["trace"] == expected


def test_single_precision_stays_within_its_tolerances():
    double, exact = prepared("conv", 6)
    single, state = prepared("conv", 6, precision="fp32")
    rows = batch("conv", rows=64)
    mine, exactly = accumulated_spikes(single, state, rows.inputs), accumulated_spikes(double, exact, rows.inputs)
    differing = [(fired != exactly[layer]).double().mean().item() for layer, fired in mine.items()]
    assert sum(differing) / len(differing) < 1e-3
    (found,), (expected,) = step_gradients(single, state, rows), step_gradients(double, exact, rows)
    assert largest_difference(found, expected) < 1e-4


def test_final_variant_has_no_online_update():
    with pytest.raises(UsageError, match="variant=final"):
        SAFOptions(variant="final", update="online")


def test_deployed_network_is_the_lif_network_step_by_step():
    _, state = prepared("conv", 6)
    rows = batch("conv")
    outputs = run(state.network, effective(state.network), state.network.frames(rows.inputs))
    _, expected = lif_of(state, rows)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-12)


def test_a_precision_that_the_family_does_not_have_is_named():
    with pytest.raises(Unsupported, match="fp32, tf32, bf16, fp64, not fp16"):
        build(SAFOptions()).init(problem("conv"), terms(precision="fp16"), None)


def test_a_weighted_readout_has_the_uniform_one_beside_it():
    learner, state = prepared("mlp", 6, variant="final")
    inputs = batch("mlp").inputs
    _, outputs = lif_of(state, batch("mlp"))
    expected = outputs.mean(0).log_softmax(-1)
    found = learner.views["uniform-readout"](state, inputs)
    torch.testing.assert_close(found.log_probs, expected[None].detach(), rtol=0, atol=1e-12)
    assert not torch.allclose(found.log_probs, learner.predict(state, inputs).log_probs)
    assert "uniform-readout" not in prepared("mlp", 6)[0].views
