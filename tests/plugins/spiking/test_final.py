"""SAF-F is trained on the whole derivative of the loss that it reports: beside finite differences in float64.

What is differentiated knows nothing of accumulated variables. It is the LIF network with the spikes of all steps but
the last held as they were, and at the last one H(z) made smooth around where it was: H(z0) + S(z) - S(z0), S being the
antiderivative of the surrogate. Its readout is weighted by leak^(T - t).
"""

import pytest
import torch
from spiking_methods import assert_refused, learner_of, prepared, with_feedback
from spiking_setups import ALPHA, SETUPS, TINY, batch, lif_of, plainly, problem, start, step_gradients

from harness import Batch
from harness_spiking.reference import PlainNetwork

STEP = 1e-6  # of central differences
ENTRIES = 2  # of each parameter: the largest derivative, and what chance picks


class Held(PlainNetwork):
    """Fires what was fired the first time; at the last of the steps, smoothly around it."""

    def hold(self):
        self.calls = len(self.inputs) * self.depth
        self.first_of_last = self.calls - self.depth
        self.before, self.call = [], 0
        return self

    def fire(self, index, z, slope=None):
        index, self.call = self.call, (self.call + 1) % self.calls
        if len(self.before) < self.calls:
            self.before.append(z)
        origin = self.before[index]
        fired = (origin >= 0).to(z)
        if index < self.first_of_last:
            return fired
        return fired + torch.sigmoid(ALPHA * z) - torch.sigmoid(ALPHA * origin)


def final_loss(net, state, rows):
    """Of the readout of weighted firing rates."""
    _, outputs = lif_of(state, rows, net)
    weights = [net.options.leak ** (len(outputs) - 1 - t) for t in range(len(outputs))]
    return net.loss(sum(weight * output for weight, output in zip(weights, outputs, strict=True)) / sum(weights))


def differences(loss, parameter, entries):
    """Central ones at these entries of a parameter."""
    flat, found = parameter.view(-1), []
    for entry in entries:
        start_value = flat[entry].item()
        sides = []
        for sign in (1, -1):
            flat[entry] = start_value + sign * STEP
            sides.append(loss().item())
        flat[entry] = start_value
        found.append((sides[0] - sides[1]) / (2 * STEP))
    return torch.tensor(found, dtype=torch.float64)


@torch.no_grad()
def assert_whole_derivative(learner, state, varying, rows=6, network="conv"):
    given = batch(network, 6 if varying else None, rows)
    net = Held(**vars(plainly(state, given))).hold()
    net.parameters = {name: tensor.detach().clone().contiguous() for name, tensor in net.parameters.items()}
    expected = final_loss(net, state, given)
    with torch.enable_grad():
        (gradients,) = step_gradients(learner, state, given)
        reported = learner.update(state, given)[1]["loss"]
    assert net.masks or reported.item() == pytest.approx(expected.item(), rel=1e-12)
    chance = torch.Generator().manual_seed(1)
    for name, gradient in gradients.items():
        flat = gradient.flatten()
        entries = [flat.abs().argmax().item(), *torch.randint(len(flat), (ENTRIES - 1,), generator=chance).tolist()]
        found = differences(lambda: final_loss(net, state, given), net.parameters[name], entries)
        assert flat.abs().max() > 1e-6, name
        torch.testing.assert_close(flat[entries], found, rtol=1e-5, atol=1e-9, msg=lambda told: f"{name}: {told}")  # noqa: B023


@pytest.mark.sampled
@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("mlp", {}),
        ("conv", {"leak": 0.9, "threshold": 0.8}),
        ("gap", {"leak": 1.0, "chunk": 2}),
        ("residual", {"micro_batch": 4}),
        ("residual-pooled", {"chunk": 5, "micro_batch": 2}),
    ],
)
def test_gradients_are_finite_differences_of_the_loss(network, options, varying):
    learner, state = prepared("saf-final", network, varying=varying, **options)
    assert_whole_derivative(learner, state, varying, network=network)


@pytest.mark.parametrize("varying", [False, True])
def test_so_they_are_where_neurons_are_dropped(varying):
    learner, state = prepared("saf-final", "residual", varying=varying, dropout=0.3, chunk=3)
    assert_whole_derivative(learner, state, varying, network="residual")


@pytest.mark.parametrize("varying", [False, True])
def test_and_with_feedback(varying):
    learner, state = with_feedback("saf-final", varying=varying)
    assert_whole_derivative(learner, state, varying)


@pytest.mark.parametrize("emptied", [0, 2, 5])
def test_frames_teach_the_first_layer_whichever_is_empty(emptied):
    """Event data, whose last frame is often nearly empty: from it alone the first layer would learn nothing."""
    given = batch("conv", 6)
    given.inputs[:, emptied] = 0
    learner, state = prepared("saf-final", "conv", varying=True)
    (found,) = step_gradients(learner, state, given)
    everywhere, kept = found["layers.0.weight"], batch("conv", 6)
    assert everywhere.abs().max() > 1e-3
    kept.inputs[:, :-1] = 0
    (alone,) = step_gradients(*prepared("saf-final", "conv", varying=True), kept)
    assert not torch.allclose(everywhere, alone["layers.0.weight"])


def test_frames_that_are_all_empty_teach_its_weight_nothing():
    """Its bias may drive anything."""
    given = batch("conv", 6)
    learner, state = prepared("saf-final", "conv", varying=True)
    (found,) = step_gradients(learner, state, Batch(torch.zeros_like(given.inputs), given.targets))
    assert found["layers.0.weight"].abs().max() == 0
    assert found["layers.0.bias"].abs().max() > 0


# --- which form it is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "options", "form"),
    [
        ("saf", {}, "official"),
        ("saf", {"convention": "theory"}, "theory"),
        ("saf-online", {}, "official"),
        ("saf-final", {}, "theory"),
        ("saf-final", {"convention": "theory"}, "theory"),
        ("saf-final", {"surrogate": "clamp"}, "theory"),
        ("saf-final", {"surrogate": "clamp", "convention": "theory"}, "theory"),
        ("ottt", {}, "official"),
        ("ottt", {"convention": "official"}, "official"),
        ("ottt-online", {"convention": "theory"}, "theory"),
    ],
)
def test_the_record_says_which_convention_was_used(method, options, form):
    learner = learner_of(method, architecture=SETUPS["conv"][0], learning_rate=TINY, **options)
    assert learner.describe(start(learner, problem("conv")))["convention"] == form


def test_a_method_without_conventions_says_nothing_of_any():
    for method, options in (("bptt", {}), ("ottt", {"presynaptic": "spike"})):
        learner = learner_of(method, architecture=SETUPS["conv"][0], **options)
        assert "convention" not in learner.describe(start(learner, problem("conv")))


@pytest.mark.parametrize("options", [{}, {"surrogate": "clamp"}, {"chunk": 2, "dropout": 0.1}])
def test_the_official_form_is_refused_for_a_single_loss(options):
    assert_refused(
        "saf-final",
        r"convention=official: variant=final has one loss, .* variant=every",
        convention="official",
        **options,
    )
