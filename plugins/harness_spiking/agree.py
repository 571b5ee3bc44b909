"""Agreement of two methods on one mini-batch: gradients layer by layer, and which neurons fired.

Both start from the same weights, and the weights are frozen: the optimiser finds no gradients, since these are taken
away and summed before each of its steps, be it one per mini-batch or one per time step. Neurons are those of the eager
kernels, which tell what they fire.

With an optimiser step per time step, frozen weights are not what is trained. A trace counts past spikes by the weights
of now, a potential by those of their time, so that methods whose gradients are equal here part in training: `parted`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from harness import Batch, HarnessError, Rehearsal, Training, Unsupported, UsageError, derive
from harness_spiking.network import Network
from harness_spiking.spikes import recorded

PRECISIONS = {"float64": "fp64", "float32": "fp32"}


class Observed(NamedTuple):
    """One update: gradients by parameter, summed over optimiser steps; spikes by layer (T, B, ...); loss, if any."""

    gradients: Mapping[str, Tensor]
    spikes: Mapping[str, Tensor]
    loss: float | None


class Layer(NamedTuple):
    """How the gradients of a layer's parameters differ, each by the parameter that differs most.

    relative_difference: largest entry of the difference over the largest one of the reference; found at `worst`.
    spike_mismatch: share of its neurons and steps at which one method's neuron fired and the other's did not; None
    where there are no neurons.
    """

    relative_difference: float
    cosine: float
    spike_mismatch: float | None
    worst: str


class Agreement(NamedTuple):
    """By layer, and in all: the largest relative difference; the share of all neurons and steps; both losses."""

    layers: Mapping[str, Layer]
    max_relative_difference: float
    spike_mismatch: float | None
    losses: tuple[float | None, float | None]


class Parted(NamedTuple):
    """Where one update with moving weights leads two methods that take an optimiser step per time step, in float64.

    of_way: distance between their parameters over how far the reference's moved. of_weights: over their norm.
    """

    of_way: float
    of_weights: float


def compare(method: Rehearsal, reference: Rehearsal, batch: Batch) -> dict[str, Agreement]:
    """The two on one mini-batch, in float64 and in float32, if they are `comparable`.

    Raises HarnessError for gradients that are not finite.
    """
    return {name: _compared(method, reference, batch, precision) for name, precision in PRECISIONS.items()}


def comparable(method: Rehearsal, reference: Rehearsal) -> None:
    """Raises UsageError for methods that are not of this family or whose networks differ."""
    for each in (method, reference):
        _refuse_foreign(each)
    _refuse_unlike(method, reference)


def parted(method: Rehearsal, reference: Rehearsal, batch: Batch) -> Parted | None:
    """None where not both take a step per time step."""
    pair = (method, reference)
    if any(getattr(getattr(each.state, "options", None), "update", None) != "online" for each in pair):
        return None
    states = _alike(method, reference, "fp64")
    before = _flat(states[1])
    for each, state in zip(pair, states, strict=True):
        each.learner.update(state, batch)
    found, expected = map(_flat, states)
    apart, way = (found - expected).norm(), (expected - before).norm()
    return Parted(float(apart / way) if way else 0.0, float(apart / expected.norm()))


def _flat(state: Any) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in state.network.parameters.values()])


def _alike(method: Rehearsal, reference: Rehearsal, precision: str) -> tuple[Any, Any]:
    """A state of each, with the weights of the second."""
    states = begin(method, precision), begin(reference, precision)
    with torch.no_grad():
        for name, tensor in states[0].network.parameters.items():
            tensor.copy_(states[1].network.parameters[name])
    return states


def _compared(method: Rehearsal, reference: Rehearsal, batch: Batch, precision: str) -> Agreement:
    states = _alike(method, reference, precision)
    found, expected = (
        observe(each.learner.update, state, batch) for each, state in zip((method, reference), states, strict=True)
    )
    for each, observed in ((method, found), (reference, expected)):
        _refuse_infinite(each, observed, precision)
    return agreement(found, expected)


def begin(rehearsal: Rehearsal, precision: str) -> Any:
    """The state before the first update, as in the trial but with this precision. Raises UsageError where refused."""
    trial = rehearsal.trial
    seed = derive(trial.seed, trial.dataset.name, "init")
    training = Training(seed, trial.terms.device, precision, trial.terms.batch_size, None, eager=True)
    try:
        return rehearsal.learner.init(rehearsal.data.problem, training, None)
    except Unsupported as error:
        raise UsageError(f"{trial.method.label} on {trial.dataset.label}: {error}") from error


def observe(update: Callable[[Any, Batch], tuple[Any, Mapping[str, Any]]], state: Any, batch: Batch) -> Observed:
    """One update of a state that has a `network` and an `optimiser`, with frozen weights."""
    network: Network = state.network
    summed = {name: torch.zeros_like(tensor) for name, tensor in network.parameters.items()}

    def take(optimiser: torch.optim.Optimizer, *_: Any) -> None:
        for name, parameter in network.parameters.items():
            if parameter.grad is not None:
                summed[name] += parameter.grad
        for group in optimiser.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    hook = state.optimiser.register_step_pre_hook(take)
    try:
        with recorded(network) as spikes:
            _, scalars = update(state, batch)
    finally:
        hook.remove()
    return Observed(summed, spikes.by_layer(), float(scalars["loss"]) if "loss" in scalars else None)


def agreement(found: Observed, expected: Observed) -> Agreement:
    """How what one method did differs from what the reference did."""
    layers: dict[str, list[str]] = {}
    for name in expected.gradients:
        layers.setdefault(layer_of(name), []).append(name)
    by_layer = {layer: _layer(layer, names, found, expected) for layer, names in layers.items()}
    return Agreement(
        by_layer,
        max(layer.relative_difference for layer in by_layer.values()),
        _mismatch(found.spikes, expected.spikes, expected.spikes),
        (found.loss, expected.loss),
    )


def layer_of(name: str) -> str:
    """`layers.0` of `layers.0.projection.weight`, `readout` of `readout.bias`."""
    first, *rest = name.split(".")
    return f"{first}.{rest[0]}" if rest and rest[0].isdigit() else first


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """Largest entry of the difference over the largest one of `expected`, or of `found` where that is zero."""
    difference = (found.double() - expected.double()).abs().max()
    scale = expected.double().abs().max() or found.double().abs().max()
    return float(difference / scale) if scale else 0.0


def cosine(found: Tensor, expected: Tensor) -> float:
    """Of the angle between two tensors; 1 where both are zero, 0 where one is."""
    a, b = found.double().flatten(), expected.double().flatten()
    norms = a.norm() * b.norm()
    return float(a @ b / norms) if norms else float(not (a.any() or b.any()))


def _layer(layer: str, names: list[str], found: Observed, expected: Observed) -> Layer:
    pairs = {name: (found.gradients[name], expected.gradients[name]) for name in names}
    differences = {name: relative_difference(*pair) for name, pair in pairs.items()}
    worst = max(differences, key=differences.__getitem__)
    least = min(cosine(*pair) for pair in pairs.values())
    mismatch = _mismatch(found.spikes, expected.spikes, [layer])
    return Layer(differences[worst], least, mismatch, worst.removeprefix(f"{layer}."))


def _mismatch(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], layers: Iterable[str]) -> float | None:
    """Share of neurons and steps of these layers; None where one of the methods told nothing of them."""
    known = [layer for layer in layers if layer in expected]
    if not known or any(layer not in found or found[layer].shape != expected[layer].shape for layer in known):
        return None
    differing = sum(int((found[layer] != expected[layer]).sum()) for layer in known)
    return differing / sum(expected[layer].numel() for layer in known)


# --- what cannot be compared --------------------------------------------------------------------------------------


def _refuse_foreign(rehearsal: Rehearsal) -> None:
    state, label = rehearsal.state, rehearsal.trial.method.label
    if rehearsal.trial.base is not None:
        raise UsageError(f"{label}: starts from another method's weights; agreement is of methods that start alike")
    if not hasattr(state, "network") or not hasattr(state, "optimiser"):
        raise UsageError(f"{label}: no spiking method: expected a state with a network and an optimiser, as saf has")


def _refuse_unlike(method: Rehearsal, reference: Rehearsal) -> None:
    """Gradients of different networks have nothing to agree on."""
    facts, others = _facts(method), _facts(reference)
    for what, mine in facts.items():
        if mine != others[what]:
            raise UsageError(
                f"{method.trial.method.label} and {reference.trial.method.label} train different networks: "
                f"{what} {mine} and {others[what]}; give both the same"
            )


def _facts(rehearsal: Rehearsal) -> dict[str, Any]:
    """What has to be the same for two gradients to be of one function, named as the options are."""
    network: Network = rehearsal.state.network
    described = rehearsal.learner.describe(rehearsal.state) if hasattr(rehearsal.learner, "describe") else {}
    return {
        "architecture": network.architecture.text,
        "steps": network.steps,
        "neuron": described.get("neuron", "lif"),  # with its output scale, where a method has its own
        "leak": network.neuron.leak,
        "threshold": round(network.neuron.threshold / network.neuron.surrogate.scale, 12),  # potentials are scaled
        "reset": "hard" if network.hard_reset else "soft",
        "feedback": network.feedback,
        "dropout": network.dropout,
        "parameters": ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in network.parameters.items()),
    }


def _refuse_infinite(rehearsal: Rehearsal, observed: Observed, precision: str) -> None:
    for name, gradient in observed.gradients.items():
        if not gradient.isfinite().all():
            raise HarnessError(f"{rehearsal.trial.method.label}: in {precision}, the gradient of {name} is not finite")
