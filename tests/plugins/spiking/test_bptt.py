"""BPTT: the gradients of its reference, and the derivatives of a network that is smooth where its neurons fire."""

import pytest
import torch
from spiking_setups import (
    ALPHA,
    NETWORKS,
    TINY,
    batch,
    lif_of,
    of_reference,
    problem,
    rates_of,
    start,
    step_gradients,
)
from tiny_problems import largest_difference

from harness_bptt import BPTTOptions
from harness_bptt.learner import build


@pytest.mark.sampled
@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("detach_reset", [True, False])
@pytest.mark.parametrize(
    ("network", "steps", "leak"), [("mlp", 20, 0.9), ("conv", 6, 0.5), ("conv", 1, 0.5), ("gap", 6, 0.9)]
)
def test_gradients_are_those_of_the_reference(network, steps, leak, detach_reset, varying):
    options = {"steps": steps, "leak": leak, "threshold": 0.8, "architecture": NETWORKS[network][0]}
    learner = build(BPTTOptions(learning_rate=TINY, detach_reset=detach_reset, **options))
    state = start(learner, problem(network, steps if varying else None))
    rows = batch(network, steps if varying else None)
    spikes, _ = lif_of(state, rows)
    (found,) = step_gradients(learner, state, rows)
    (expected,) = step_gradients(of_reference(learner), state, rows)
    assert largest_difference(found, expected) < 1e-12
    assert all(0.02 < rate < 0.9 for rate in rates_of(spikes))


class SmoothedChain:
    """Two dense layers of LIF neurons and a readout, whose neurons answer H(z0) + S(z) - S(z0) near the z0 of the first
    run, S being the antiderivative of the surrogate. It shares no line with the library.
    """

    def __init__(self, parameters, inputs, targets, steps, reset, detach_reset):
        self.parameters, self.inputs, self.targets, self.steps = parameters, inputs, targets, steps
        self.hard, self.detached = reset == "hard", detach_reset
        self.origins = []

    def weight(self, layer):
        rows = []
        weight, gains = self.parameters[f"layers.{layer}.weight"], self.parameters[f"layers.{layer}.gain"]
        for row, gain in zip(weight, gains, strict=True):
            centred = row - sum(row) / len(row)
            variance = sum(entry**2 for entry in centred) / (len(row) - 1)
            rows.append(gain * centred / torch.sqrt(variance * len(row) + 1e-4))
        return torch.stack(rows)

    def loss(self):
        first_run, call = not self.origins, 0
        weights = [self.weight(layer) for layer in range(2)]
        left, total = [0.0, 0.0], 0.0
        for _ in range(self.steps):
            h = self.inputs
            for layer, weight in enumerate(weights):
                u = 0.5 * left[layer] + h @ weight.T + self.parameters[f"layers.{layer}.bias"]
                if first_run:
                    self.origins.append(u - 1)
                origin, call = self.origins[call], call + 1
                held = (origin >= 0).double()
                s = held + torch.sigmoid(ALPHA * (u - 1)) - torch.sigmoid(ALPHA * origin)
                fell = held if self.detached else s
                left[layer] = u * (1 - fell) if self.hard else u - fell
                h = 2.74 * s
            logits = h @ self.parameters["readout.weight"].T + self.parameters["readout.bias"]
            chosen = logits.exp()[range(len(logits)), self.targets] / logits.exp().sum(1)
            squares = ((logits - torch.eye(5, dtype=torch.float64)[self.targets]) ** 2).mean()
            total = total + (0.95 * -chosen.log().mean() + 0.05 * squares) / self.steps
        return total.item()


@pytest.mark.parametrize("detach_reset", [True, False])
@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_gradients_are_finite_differences_of_a_network_made_smooth_where_it_fired(reset, detach_reset):
    options = {"architecture": "7-6-FC", "steps": 4, "reset": reset, "detach_reset": detach_reset}
    learner = build(BPTTOptions(learning_rate=TINY, **options))
    state, rows = start(learner, problem("mlp")), batch("mlp")
    parameters = {name: tensor.detach().clone() for name, tensor in state.network.parameters.items()}
    chain = SmoothedChain(parameters, rows.inputs, rows.targets, 4, reset, detach_reset)
    loss = chain.loss()
    (gradients,) = step_gradients(learner, state, rows)
    assert learner.update(state, rows)[1]["loss"].item() == pytest.approx(loss, rel=1e-12)
    for name, gradient in gradients.items():
        flat = parameters[name].view(-1)
        for entry in {gradient.flatten().abs().argmax().item(), 0}:
            sides = []
            for step in (1e-6, -2e-6):
                flat[entry] += step
                sides.append(chain.loss())
            flat[entry] += 1e-6
            assert gradient.flatten()[entry].item() == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-5, abs=1e-9)


def test_the_two_ways_to_treat_the_reset_differ():
    gradients = []
    for detach_reset in (True, False):
        learner = build(BPTTOptions(learning_rate=TINY, architecture=NETWORKS["conv"][0], detach_reset=detach_reset))
        gradients.append(step_gradients(learner, start(learner, problem("conv")), batch("conv"))[0])
    assert largest_difference(*gradients) > 1e-3


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, "fused"), ({"saved": "packed"}, "eager"), ({"feedback": True}, "eager"), ({"reset": "hard"}, "eager")],
)
def test_the_record_names_the_kernels_that_run(options, expected, monkeypatch):
    class Fused:
        name = "fused"

    monkeypatch.setattr("harness_spiking.kernels.choose", lambda *_: Fused)
    learner = build(BPTTOptions(architecture=NETWORKS["conv"][0], **options))
    assert learner.describe(start(learner, problem("conv")))["kernels"] == expected
