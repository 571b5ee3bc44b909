"""Spike Representation beside its references, and beside what they rest on: SAF-F, a clamped map, a rule by hand."""

from math import exp

import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from spiking_methods import assert_is_reference
from spiking_setups import (
    SETUPS,
    TINY,
    batch,
    lif_of,
    measure_update,
    of_reference,
    plainly,
    problem,
    rates_of,
    start,
    step_gradients,
)
from tiny_problems import largest_difference, normal, terms
from torch.utils.flop_counter import FlopCounterMode

from harness import Batch, Problem, UsageError
from harness.options import build as configured
from harness_saf import SAFOptions
from harness_saf.learner import build as build_saf
from harness_spike_representation import SpikeRepresentationOptions, reference
from harness_spike_representation.dsr import output_scale
from harness_spike_representation.learner import build
from harness_spiking.learner import begin
from harness_spiking.reference import Below, PlainNetwork
from harness_spiking.spikes import recorded
from harness_torch.instruments.activation_memory import ActivationMemory

DIGITS = Problem("classification", (1, 8, 8), 10, 1000)


def prepared(network, steps=6, varying=False, precision="fp64", **options):
    settings = {"learning_rate": TINY, "steps": steps, "architecture": SETUPS[network][0]} | options
    learner = build(SpikeRepresentationOptions(**settings))
    return learner, start(learner, problem(network, steps if varying else None), precision=precision)


def gradients(network, steps=6, varying=False, rows=6, **options):
    """Of one update."""
    learner, state = prepared(network, steps, varying, **options)
    (found,) = step_gradients(learner, state, batch(network, steps if varying else None, rows))
    return found


# --- the clamp form -----------------------------------------------------------------------------------------------


@pytest.mark.sampled
@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize(
    ("steps", "leak", "threshold"), [(1, 0.5, 1.0), (6, 0.5, 1.0), (6, 0.9, 0.6), (20, 0.5, 2.0), (20, 1.0, 1.0)]
)
@pytest.mark.parametrize("network", ["mlp", "conv", "gap", "residual", "residual-pooled"])
def test_gradients_are_those_of_the_reference(network, steps, leak, threshold, varying):
    learner, state = prepared(network, steps, varying, leak=leak, threshold=threshold)
    rows = batch(network, steps if varying else None)
    _, same = prepared(network, steps, varying, leak=leak, threshold=threshold)
    (expected,) = assert_is_reference(learner, state, same, rows)
    assert threshold > 1 or expected["layers.0.weight"].any()  # else upper layers may be silent
    said = [each(state, rows)[1]["loss"].item() for each in (learner.update, learner.reference)]
    assert said[0] == pytest.approx(said[1], rel=1e-12)


@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("network", ["mlp", "residual"])
def test_the_reference_is_the_derivative_of_the_clamped_map_moved_to_the_rates(network, varying):
    """By finite differences of what a network of clamp(z, 0, 1) + (r - clamp(z, 0, 1)) says, the bracket held."""
    learner, state = prepared(network, 6, varying)
    rows = batch(network, 6 if varying else None)
    net, (spikes, _) = plainly(state, rows), lif_of(state, rows)
    weights = torch.tensor([0.5 ** (5 - t) for t in range(6)], dtype=torch.float64)
    weights /= weights.sum()
    rates = [torch.tensordot(weights, fired.double(), 1) for fired in spikes.values()]
    mean = torch.tensordot(weights, torch.stack(list(net.inputs)), 1)
    net.parameters = {name: tensor.detach().clone().contiguous() for name, tensor in net.parameters.items()}
    held = []

    def loss():
        h, below = mean, Below()
        for layer in range(net.depth):
            current = net.joined(layer, net.linear(layer, h), below)
            if len(held) <= layer:
                held.append(rates[layer] - current.clamp(0, 1))
            h = net.sent(layer, current.clamp(0, 1) + held[layer])
            below.add(current, h)
        return net.loss(net.readout(h)).item()

    loss()
    (gradients,) = step_gradients(of_reference(learner), state, rows)
    for name, gradient in gradients.items():
        entry, flat = gradient.flatten().abs().argmax().item(), net.parameters[name].view(-1)
        sides = []
        for step in (1e-6, -2e-6):
            flat[entry] += step
            sides.append(loss())
        flat[entry] += 1e-6
        assert gradient.flatten()[entry].item() == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-5, abs=1e-9)


@pytest.mark.sampled
@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("threshold", [0.6, 1.0, 2.0])
@pytest.mark.parametrize(("steps", "leak"), [(1, 0.5), (6, 0.5), (6, 0.9), (20, 0.9)])
@pytest.mark.parametrize("network", ["mlp", "conv", "gap"])
def test_saf_f_with_the_clamp_derivative_is_spike_representation(network, steps, leak, threshold, varying):
    """At any threshold; no random z is 0 or 1 but for rounding."""
    assert_saf_is_spike_representation(network, varying, steps=steps, leak=leak, threshold=threshold)


@pytest.mark.sampled
@pytest.mark.parametrize("threshold", [0.6, 2.0])
@pytest.mark.parametrize("options", [{"chunk": 4}, {"micro_batch": 4}, {"dropout": 0.3, "chunk": 2}], ids=str)
def test_it_is_in_residual_networks_however_the_work_is_cut_and_under_the_same_masks(options, threshold):
    assert_saf_is_spike_representation("residual", True, threshold=threshold, **options)


def assert_saf_is_spike_representation(network, varying, steps=6, **options):
    frames = steps if varying else None
    shared = {"steps": steps, "architecture": SETUPS[network][0], "learning_rate": TINY, **options}
    saf = build_saf(SAFOptions(variant="final", surrogate="clamp", **shared))
    (found,) = step_gradients(saf, start(saf, problem(network, frames)), batch(network, frames))
    expected = gradients(network, steps, varying, **options)
    assert expected["layers.0.weight"].any() or options["threshold"] > 1  # whose upper layers may be silent
    assert largest_difference(found, expected) < 1e-12


@pytest.mark.sampled
@pytest.mark.parametrize("options", [{}, {"form": "dsr"}, {"form": "dsr", "neuron": "if"}], ids=str)
@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("network", ["mlp", "conv", "residual"])
def test_chunks_and_micro_batches_take_the_same_gradients(network, varying, options):
    whole = gradients(network, 7, varying, **options)
    for parts in ({"chunk": 3}, {"chunk": 7}, {"chunk": 20}, {"micro_batch": 4}, {"micro_batch": 1, "chunk": 2}):
        assert largest_difference(gradients(network, 7, varying, **options, **parts), whole) < 1e-12


def test_dropout_masks_are_part_of_what_is_linear():
    learner, state = prepared("conv", 6, dropout=0.3, chunk=4)
    _, same = prepared("conv", 6, dropout=0.3, chunk=4)
    (found,) = assert_is_reference(learner, state, same, batch("conv"))
    assert largest_difference(found, gradients("conv")) > 1e-3


def test_the_lif_network_is_deployed_with_the_training_forwards_readout():
    learner, state = prepared("conv", 6)
    rows = batch("conv", rows=40)
    (_, outputs), weights = lif_of(state, rows), [0.5 ** (5 - t) for t in range(6)]
    logits = sum(weight * each for weight, each in zip(weights, outputs, strict=True)) / sum(weights)
    expected = logits.log_softmax(-1).detach()
    torch.testing.assert_close(learner.predict(state, rows.inputs).log_probs[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"form": "dsr"}, {"form": "dsr", "neuron": "if"}], ids=str)
def test_a_sequence_starts_at_rest_whatever_came_before(options):
    learner, state = prepared("conv", 6, varying=True, **options)
    rows = batch("conv", 6, rows=8)
    learner.update(state, rows)
    together = learner.predict(state, rows.inputs).log_probs[0]
    alone = torch.cat([learner.predict(state, row[None]).log_probs[0] for row in rows.inputs.flip(0)])
    torch.testing.assert_close(alone.flip(0), together, rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"form": "dsr"}], ids=str)
def test_narrower_types_stay_near(options):
    exact = gradients("conv", **options)
    assert largest_difference(gradients("conv", precision="fp32", **options), exact) < 1e-4
    half = gradients("conv", precision="bf16", rows=64, **options)
    full = gradients("conv", precision="fp32", rows=64, **options)
    alike = {name: torch.cosine_similarity(half[name].flatten(), full[name].flatten(), dim=0) for name in full}
    assert all(cosine > 0.9 for name, cosine in alike.items() if full[name].dim())


# --- DSR ----------------------------------------------------------------------------------------------------------

LIF = {"neuron": "lif", "threshold": 0.045, "fire_at": 0.4, "time_step": 0.1, "time_constant": 1.5}
IF = {"neuron": "if", "threshold": 0.8, "fire_at": 0.6}


class Published(torch.autograd.Function):
    """DSR's rule for a layer: currents of all steps (T, B, ...) to outputs, the inputs of all steps kept."""

    @staticmethod
    def forward(ctx, currents, threshold, neuron):
        steps, dt, tau = len(currents), neuron.get("time_step"), neuron.get("time_constant")
        beta = 1.0 if dt is None else exp(-dt / tau)
        potential, outputs = torch.zeros_like(currents[0]), []
        for current in currents:
            potential = potential + current if dt is None else beta * potential + (1 - beta) * current
            fired = (potential >= neuron["fire_at"] * threshold).to(current)
            potential = potential - fired * threshold
            outputs.append(fired * threshold if dt is None else fired * threshold / dt)
        ctx.save_for_backward(currents, threshold, over_time(steps, neuron))
        ctx.dt, ctx.tau = dt, tau
        return torch.stack(outputs)

    @staticmethod
    def backward(ctx, gradient):
        currents, threshold, weights = ctx.saved_tensors
        steps = len(currents)
        if ctx.dt is None:
            mean, total = currents.mean(0), gradient.sum(0)
            inside, above = (mean >= 0) & (mean <= threshold), mean > threshold
            each, into_threshold = total * inside / steps, (total * above).sum()
        else:
            mean = torch.tensordot(weights, currents, 1)
            total = steps * torch.tensordot(weights, gradient, 1)
            limit = threshold * ctx.tau / ctx.dt
            inside, above = (mean > 0) & (mean < limit), mean > limit
            each, into_threshold = total * inside / (ctx.tau * steps), ctx.dt * (total * above).sum()
        return each.expand(currents.shape), into_threshold, None


def over_time(steps, neuron):
    """w[t], (T,)."""
    if "time_step" not in neuron:
        return torch.full((steps,), 1 / steps, dtype=torch.float64)
    dt, tau = neuron["time_step"], neuron["time_constant"]
    weights = torch.tensor([exp(-(steps * dt - t * dt) / tau) for t in range(1, steps + 1)], dtype=torch.float64)
    return weights / weights.sum()


def deviation(ceiling):
    """Of min(max(x, 0), ceiling) for x ~ N(0, 1), by quadrature."""
    exact = {"epsabs": 1e-14, "epsrel": 1e-13}
    moments = []
    for power in (1, 2):
        rising = quad(lambda x, power=power: x**power * norm.pdf(x), 0, ceiling, **exact)[0]
        moments.append(rising + ceiling**power * norm.sf(ceiling))
    return (moments[1] - moments[0] ** 2) ** 0.5


def scale_of(neuron):
    tau = neuron.get("time_constant", 1.0)
    return tau / deviation(neuron["threshold"] * tau / neuron.get("time_step", 1.0))


def currents_of_one(neuron, steps=6):
    """Currents (T, B, N) around the threshold, and gradients that outputs get."""
    currents, into = (normal(steps, 3, 40, seed=seed) for seed in (1, 2))
    return (3 * currents * neuron["threshold"] / neuron.get("time_step", 1.0)).requires_grad_(), into


@pytest.mark.parametrize("steps", [1, 6, 20])
@pytest.mark.parametrize("neuron", [LIF, IF], ids=["lif", "if"])
def test_the_references_neurons_are_the_published_rule(neuron, steps):
    """Written out as a function of autograd's, beside the reference, which has a function with those derivatives."""
    learner, state = prepared("mlp", steps, form="dsr", **neuron)
    own = neuron_of(learner, state)
    net, (currents, into) = plainly(state, batch("mlp")), currents_of_one(neuron, steps)

    def plain(V):
        return torch.stack(reference.fire(net, 0, currents, V, own, reference.shares(own.decay, steps)))

    answers = []
    for fire in (plain, lambda V: Published.apply(currents, V, neuron)):
        V = torch.tensor(neuron["threshold"], dtype=torch.float64, requires_grad=True)
        outputs = fire(V)
        answers.append((outputs, *torch.autograd.grad((outputs * into).sum(), [currents, V])))
    for found, expected in zip(*answers, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        assert expected.any()


def neuron_of(learner, state):
    return learner._neuron(state.network)


def spread_thresholds(state):
    """Different in every layer."""
    with torch.no_grad():
        for index in range(len(state.network.architecture.layers)):
            state.network.parameters[f"layers.{index}.threshold"] *= 1 + 0.1 * index


@pytest.mark.sampled
@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("neuron", [LIF, IF], ids=["lif", "if"])
@pytest.mark.parametrize(
    ("network", "steps"),
    [("mlp", 1), ("mlp", 20), ("conv", 6), ("gap", 20), ("residual", 6), ("residual-pooled", 6)],
)
def test_gradients_are_those_of_the_published_rule_with_one_gradient_per_step(network, steps, neuron, varying):
    learner, state = prepared(network, steps, varying, form="dsr", **neuron)
    spread_thresholds(state)
    rows = batch(network, steps if varying else None, rows=12)
    _, same = prepared(network, steps, varying, form="dsr", **neuron)
    spread_thresholds(same)
    with recorded(same.network) as spikes:
        (expected,) = assert_is_reference(learner, state, same, rows)
    assert all(gradient.abs().max() > 0 for gradient in expected.values())
    assert all(0.02 < rate < 0.9 for rate in rates_of(spikes.by_layer()))
    said = [each(state, rows)[1]["loss"].item() for each in (learner.update, learner.reference)]
    assert said[0] == pytest.approx(said[1], rel=1e-12)


@pytest.mark.parametrize("neuron", [LIF, IF], ids=["lif", "if"])
def test_the_published_rule_under_dropout(neuron):
    learner, state = prepared("conv", 6, form="dsr", dropout=0.2, **neuron)
    _, same = prepared("conv", 6, form="dsr", dropout=0.2, **neuron)
    assert_is_reference(learner, state, same, batch("conv", rows=12))


@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("neuron", [LIF, IF], ids=["lif", "if"])
def test_what_predicts_is_the_network_that_was_trained(neuron, varying):
    learner, state = prepared("conv", 6, varying, form="dsr", **neuron)
    spread_thresholds(state)
    rows = batch("conv", 6 if varying else None, rows=30)
    own, logits = neuron_of(learner, state), []

    class Telling(PlainNetwork):
        def loss(self, outputs):
            logits.append(outputs)
            return super().loss(outputs)

    net = Telling(**vars(plainly(state, rows)) | {"output_scale": scale_of(neuron)})
    list(reference.dsr_losses(net, own))
    expected = logits[0].log_softmax(-1).detach()
    torch.testing.assert_close(learner.predict(state, rows.inputs).log_probs[0], expected, rtol=0, atol=1e-12)


def clamped_map(net, x, neuron):
    """The network of the rates that the neurons tend to: clamp(I / tau, 0, V / dt)."""
    net.output_scale = scale_of(neuron)
    for layer in range(net.depth):
        ceiling = net.parameters[f"layers.{layer}.threshold"] / neuron.get("time_step", 1.0)
        x = net.sent(layer, (net.linear(layer, x) / neuron.get("time_constant", 1.0)).clamp(min=0).minimum(ceiling))
    return net.readout(x)


@pytest.mark.parametrize("kind", ["if", "lif"])
def test_rates_tend_to_the_clamped_map(kind):
    """With the steps for if; for lif with finer steps over ten time constants, the ceiling V / dt staying the same."""
    errors = []
    for steps in (20, 200, 2000):
        neuron = {"neuron": kind, "threshold": 1.5, "fire_at": 0.5}
        if kind == "lif":
            neuron |= {"time_constant": 1.0, "time_step": 10 / steps, "threshold": 15 / steps}
        learner, state = prepared("mlp", steps, form="dsr", **neuron)
        with torch.no_grad():
            state.network.parameters["readout.weight"] /= 30
        x = batch("mlp").inputs
        expected = clamped_map(plainly(state, batch("mlp")), x, neuron).log_softmax(-1)
        errors.append((learner.predict(state, x).log_probs[0] - expected).abs().max().item())
    assert errors[0] > 3 * errors[1] > 9 * errors[2] > 0
    assert errors[2] < 0.02


@pytest.mark.parametrize("ceiling", [0.8, 2.0, 6.0])
def test_outputs_are_scaled_to_unit_variance(ceiling):
    learner = build(SpikeRepresentationOptions(form="dsr", neuron="if", threshold=ceiling))
    neuron = learner._neuron(learner.init(DIGITS, terms(precision="fp32"), None).network)
    assert output_scale(neuron) == pytest.approx(1 / deviation(ceiling), rel=1e-9)
    assert reference.dsr_scale(neuron) == pytest.approx(1 / deviation(ceiling), rel=1e-9)
    assert ceiling < 6 or output_scale(neuron) == pytest.approx((2 / (1 - 1 / torch.pi)) ** 0.5, rel=1e-3)


def test_thresholds_are_trained_and_stay_above_their_bound():
    learner, state = prepared("conv", 6, form="dsr", learning_rate=0.1, **IF | {"threshold_bound": 1.0})
    threshold = state.network.parameters["layers.1.threshold"]
    before = threshold.item()
    learner.update(state, batch("conv", rows=12))
    assert threshold.item() != before
    with torch.no_grad():
        threshold.fill_(0.2)
    below = learner.predict(state, batch("conv").inputs).log_probs
    with torch.no_grad():
        threshold.fill_(1.0)
    assert torch.equal(learner.predict(state, batch("conv").inputs).log_probs, below)
    with torch.no_grad():
        threshold.fill_(0.2)
    seen = []
    state.optimiser.register_step_pre_hook(lambda *_: seen.append(threshold.item()))
    learner.update(state, batch("conv"))
    assert seen == [1.0]
    assert learner.save(state)["layers.1.threshold"].shape == ()


def test_the_rest_of_the_network_starts_as_everyone_elses():
    learner, _ = prepared("conv", 6, form="dsr")
    own = learner.init(problem("conv"), terms(precision="fp32", seed=3), None).network.parameters
    shared = begin(problem("conv"), terms(precision="fp32", seed=3), SAFOptions(architecture=SETUPS["conv"][0]))
    assert own.keys() - shared.network.parameters.keys() == {f"layers.{index}.threshold" for index in range(3)}
    assert all(torch.equal(own[name], tensor) for name, tensor in shared.network.parameters.items())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"steps": 20}, {"leaky": True, "threshold": 0.3, "fire_at": 0.3, "bound": 5e-4, "constant": 1, "step": 0.05}),
        ({"steps": 5}, {"leaky": True, "threshold": 0.6, "fire_at": 0.5, "bound": 1e-3, "constant": 1, "step": 0.1}),
        ({}, {"leaky": True, "threshold": 0.6, "fire_at": 0.5, "bound": 1e-3, "constant": 1, "step": 0.1}),
        ({"neuron": "if"}, {"leaky": False, "threshold": 6, "fire_at": 0.5, "bound": 0.01, "constant": 1, "step": 1}),
        (
            {"threshold": 2, "fire_at": 0.7, "threshold_bound": 0.1, "time_constant": 3, "time_step": 0.2},
            {"leaky": True, "threshold": 2, "fire_at": 0.7, "bound": 0.1, "constant": 3, "step": 0.2},
        ),
    ],
)
def test_constants_are_the_published_ones_unless_given(given, expected):
    learner = build(SpikeRepresentationOptions(form="dsr", **given))
    state = learner.init(DIGITS, terms(precision="fp32"), None)
    assert learner.describe(state)["neuron"] == expected
    assert state.network.parameters["layers.0.threshold"].item() == pytest.approx(expected["threshold"])


def test_the_loss_of_dsr_is_cross_entropy_alone_unless_given():
    assert SpikeRepresentationOptions().shared_loss == 0.05
    assert SpikeRepresentationOptions(form="dsr").shared_loss == 0
    assert SpikeRepresentationOptions(form="dsr", loss_lambda=0.2).shared_loss == 0.2


# --- costs --------------------------------------------------------------------------------------------------------

FIRST, OTHERS, READOUT = 64 * 9 * 32, 64 * 9 * 32 * 64 + 16 * 9 * (64 + 128) * 128, 512 * 10  # MACs per example


@pytest.mark.sampled
@pytest.mark.parametrize("options", [{}, {"chunk": 6}, {"form": "dsr"}], ids=str)
@pytest.mark.parametrize("varying", [False, True])
def test_an_update_costs_steps_and_two_units(varying, options):
    learner = build(SpikeRepresentationOptions(**({} if varying else {"steps": 6}), **options))
    shape = (6, 1, 8, 8) if varying else (1, 8, 8)
    state = learner.init(Problem("classification", shape, 10, 1000, time_axis=varying), terms(precision="fp32"), None)
    rows = Batch(torch.rand(4, *shape), torch.arange(4))
    with FlopCounterMode(display=False) as counter:
        learner.update(state, rows)
    found = sum(counter.get_flop_counts()["Global"].values()) / 2 / 4
    assert found == (6 * FIRST if varying else FIRST) + FIRST + 8 * OTHERS + 3 * READOUT


def activation_bytes(steps, **options):
    learner = build(SpikeRepresentationOptions(steps=steps, architecture="8C3-AP2-8C3-FC", **options))
    return measure_update(ActivationMemory(), learner, DIGITS, 16)["activation_bytes"]


@pytest.mark.parametrize("form", ["clamp", "dsr"])
def test_memory_is_flat_in_time(form):
    assert activation_bytes(24, form=form) == activation_bytes(4, form=form) > 0
    assert activation_bytes(24, form=form, micro_batch=4) < 0.6 * activation_bytes(24, form=form)
    assert activation_bytes(24, form=form, chunk=24) > 3 * activation_bytes(24, form=form)


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"feedback": True}, "no parameter 'feedback': .* equilibrium solve, .*; leave feedback out"),
        ({"reset": "hard"}, "hard reset is not linear"),
        ({"surrogate": "arctan"}, "no parameter 'surrogate': no spike is differentiated; leave surrogate out"),
        ({"form": "dsr", "surrogate_scale": 3.0}, "no parameter 'surrogate_scale': no spike is differentiated"),
        ({"convention": "theory"}, "there is one gradient, of means over time, and it is the same in both"),
        ({"neuron": "if"}, "neuron=if: without effect where form=clamp; leave neuron out, or give form=dsr"),
        ({"time_step": 0.1}, "time_step=0.1: without effect where form=clamp"),
        ({"form": "dsr", "leak": 0.9}, "leak=0.9: without effect where form=dsr"),
        ({"form": "dsr", "neuron": "if", "time_constant": 2.0}, "time_constant=2.0: without effect where neuron=if"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_reason(options, reason):
    with pytest.raises(UsageError, match=reason):
        configured(SpikeRepresentationOptions, options, "spike-representation")
