from types import SimpleNamespace

import pytest
import spiking_reference as reference
import torch
from spiking_reference import NETWORKS, TINY, batch, frames, naive, problem, start, step_gradients, worst

from harness import Training, Unsupported, UsageError
from harness_saf import SAFOptions
from harness_saf.learner import build
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
    """The spikes of SAF's forward pass, [t][layer]."""
    with recorded(state.network) as spikes:
        learner.training_forward(state, inputs)
    return list(zip(*spikes.by_layer().values(), strict=True))


@pytest.mark.sampled
@pytest.mark.parametrize("convention", ["official", "theory"])
@pytest.mark.parametrize(("network", "steps", "leak", "varying"), CASES)
def test_spikes_are_those_of_the_lif_network(network, steps, leak, varying, convention):
    learner, state = prepared(network, steps, varying, leak=leak, convention=convention)
    rows = batch(network, steps if varying else None)
    net = naive(network, state, leak=leak)
    expected, _ = net.lif(frames(rows, steps, varying))
    found = accumulated_spikes(learner, state, rows.inputs)
    for now, then in zip(found, expected, strict=True):
        assert sum((a != b).sum().item() for a, b in zip(now, then, strict=True)) == 0
    assert all(0.02 < rate < 0.9 for rate in net.rates)


@pytest.mark.sampled
@pytest.mark.parametrize("convention", ["official", "theory"])
@pytest.mark.parametrize(
    ("network", "steps", "leak", "varying", "threshold"),
    [(*case, 1.0) for case in CASES] + [("conv", 6, 0.5, False, 0.6), ("conv", 6, 0.5, True, 1.4)],
)
def test_gradients_are_those_of_ottt_at_every_step(network, steps, leak, varying, threshold, convention):
    settings = {"leak": leak, "threshold": threshold}
    learner, state = prepared(network, steps, varying, convention=convention, update="online", **settings)
    rows = batch(network, steps if varying else None)
    net = naive(network, state, theory=convention == "theory", **settings)
    found = step_gradients(learner, state, rows)
    assert len(found) == steps
    for mine, loss in zip(found, net.ottt_losses(frames(rows, steps, varying), rows.targets), strict=True):
        assert worst(mine, net.gradients(loss)) < 1e-12


@pytest.mark.sampled
@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("convention", ["official", "theory"])
@pytest.mark.parametrize("network", ["mlp", "conv", "gap"])
def test_accumulated_gradients_are_the_sum_over_steps(network, convention, varying):
    learner, state = prepared(network, 6, varying, convention=convention)
    rows = batch(network, 6 if varying else None)
    net = naive(network, state, theory=convention == "theory")
    losses = list(net.saf_losses(frames(rows, 6, varying), rows.targets))
    (found,) = step_gradients(learner, state, rows)
    assert worst(found, net.gradients(sum(losses))) < 1e-12
    assert learner.update(state, rows)[1]["loss"].item() == pytest.approx(sum(losses).item(), rel=1e-12)


@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_final_variant_differentiates_the_last_step_alone(network, varying):
    learner, state = prepared(network, 6, varying, variant="final")
    rows = batch(network, 6 if varying else None)
    net = naive(network, state, theory=True)
    list(net.saf_losses(frames(rows, 6, varying), rows.targets))
    (found,) = step_gradients(learner, state, rows)
    assert worst(found, net.gradients(net.loss(net.final, rows.targets))) < 1e-12


@pytest.mark.parametrize("convention", ["official", "theory"])
@pytest.mark.parametrize("varying", [False, True])
def test_online_update_takes_an_optimiser_step_at_every_time_step(convention, varying):
    options = {"update": "online", "learning_rate": 0.01, "weight_decay": 0.1, "convention": convention}
    learner, state = prepared("conv", 6, varying, **options)
    rows = batch("conv", 6 if varying else None)
    net = naive("conv", state, theory=convention == "theory")
    optimiser = torch.optim.SGD(net.parameters.values(), lr=0.01, momentum=0.9, weight_decay=0.1)
    for loss in net.saf_losses(frames(rows, 6, varying), rows.targets):
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    before = reference.parameters_of(state)
    learner.update(state, rows)
    assert worst(dict(state.network.parameters), net.parameters) < 1e-12
    assert all((before[name] != tensor).any() for name, tensor in net.parameters.items())


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
    _, outputs = naive("mlp", state).lif([inputs] * 6)
    over_time = torch.tensor([0.5 ** (5 - t) if variant == "final" else 1.0 for t in range(6)], dtype=torch.float64)
    expected = torch.einsum("t,tbc->bc", over_time / over_time.sum(), torch.stack(outputs)).log_softmax(-1)
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
    spikes = zip(
        accumulated_spikes(single, state, rows.inputs), accumulated_spikes(double, exact, rows.inputs), strict=True
    )
    differing = [(a != b).double().mean().item() for now, then in spikes for a, b in zip(now, then, strict=True)]
    assert sum(differing) / len(differing) < 1e-3
    (found,), (expected,) = step_gradients(single, state, rows), step_gradients(double, exact, rows)
    assert worst(found, expected) < 1e-4


def test_final_variant_has_no_online_update():
    with pytest.raises(UsageError, match="variant=final"):
        SAFOptions(variant="final", update="online")


def test_deployed_network_is_the_lif_network_step_by_step():
    _, state = prepared("conv", 6)
    rows = batch("conv")
    outputs = run(state.network, effective(state.network), state.network.frames(rows.inputs))
    _, expected = naive("conv", state).lif([rows.inputs] * 6)
    torch.testing.assert_close(outputs, torch.stack(expected), rtol=0, atol=1e-12)


def test_a_precision_that_the_family_does_not_have_is_named():
    with pytest.raises(Unsupported, match="fp32, tf32, bf16, fp64, not fp16"):
        build(SAFOptions()).init(problem("conv"), Training(0, "cpu", "fp16", 6, None), None)


def test_a_weighted_readout_has_the_uniform_one_beside_it():
    learner, state = prepared("mlp", 6, variant="final")
    inputs = batch("mlp").inputs
    _, outputs = naive("mlp", state).lif([inputs] * 6)
    expected = torch.stack(outputs).mean(0).log_softmax(-1)
    found = learner.views["uniform-readout"](state, inputs)
    torch.testing.assert_close(found.log_probs, expected[None].detach(), rtol=0, atol=1e-12)
    assert not torch.allclose(found.log_probs, learner.predict(state, inputs).log_probs)
    assert "uniform-readout" not in prepared("mlp", 6)[0].views
