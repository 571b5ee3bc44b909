"""Agreement of two methods, or of a method with its reference, on one mini-batch: gradients layer by layer.

Both start from the same weights, and the weights are frozen: the optimiser finds no gradients, since these are taken
away and summed before each of its steps, be it one per mini-batch or several. Both draw the same random numbers. Of a
method that starts from another's arrays, what it and its reference make of them is compared first.
What a state and a learner of any family have to offer for it: `harness_torch.agreement.sides`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from harness import Batch, HarnessError, Rehearsal, Training, Unsupported, UsageError, derive
from harness_torch import terminal
from harness_torch.agreement.prepared_arrays import (
    PreparedArrays,
    find_differing_facts,
    makes_arrays,
    prepare_arrays,
    refuse_unlike,
)
from harness_torch.agreement.sides import Column, Noted, Side, Update, find_shared_column

PRECISIONS = {"float64": "fp64", "float32": "fp32"}
TYPES = {"fp64": torch.float64, "fp32": torch.float32}


class Observed(NamedTuple):
    """One update: gradients by parameter, summed over `steps` of the optimiser; a column's notes; loss, if any."""

    gradients: Mapping[str, Tensor]
    noted: Noted
    loss: float | None
    steps: int = 1


class Layer(NamedTuple):
    """Differences of the gradients of a layer's parameters, each of the parameter that differs most.

    relative_difference: largest entry of the difference over the largest one of the reference; found at `worst`.
    column: the family's own difference, if any.
    """

    relative_difference: float
    cosine: float
    column: float | None
    worst: str


class Prepared(NamedTuple):
    """Differences of the arrays that both made of another method's, by layer and in all; facts: the differing ones."""

    layers: Mapping[str, Layer]
    max_relative_difference: float
    facts: Mapping[str, tuple[Any, Any]]


class Agreement(NamedTuple):
    """Differences by layer, and in all: the largest relative one, and the family's own; both losses; whether both took
    several steps; the comparison of prepared arrays, of methods that start from another's.
    """

    layers: Mapping[str, Layer]
    max_relative_difference: float
    column: float | None
    losses: tuple[float | None, float | None]
    stepwise: bool = False
    prepared: Prepared | None = None


class Parted(NamedTuple):
    """Distance, in float64, of two methods after one update in which several optimiser steps move the weights.

    of_way: distance between their parameters over how far the reference's moved. of_weights: over their norm.
    """

    of_way: float
    of_weights: float


def compare(method: Side, reference: Side, batch: Batch) -> dict[str, Agreement]:
    """Compare the two on one mini-batch, in float64 and in float32, if `refuse_incomparable` lets them pass.

    Raises HarnessError for gradients that are not finite, UsageError for options that one of them does not cover.
    """
    return {name: _compare_in_precision(method, reference, batch, precision) for name, precision in PRECISIONS.items()}


def train_apart(method: Side, reference: Side, batch: Batch) -> Parted:
    """Measure the distance after one update of each, whose weights may move."""
    states, _ = _begin_alike(method, reference, "fp64")
    before = _flatten_parameters(states[1])
    for side, state in zip((method, reference), states, strict=True):
        with _seed_draws(side):
            side.update(state, _cast_batch(batch, "fp64"))
    found, expected = map(_flatten_parameters, states)
    apart, way = (found - expected).norm(), (expected - before).norm()
    return Parted(float(apart / way) if way else 0.0, float(apart / expected.norm()))


def _flatten_parameters(state: Any) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in state.parameters.values()])


def _begin_alike(method: Side, reference: Side, precision: str) -> tuple[tuple[Any, Any], Prepared | None]:
    """Begin a state of each, with the weights of the second. A reference computes in float64."""
    states = begin(method.rehearsal, precision), begin(reference.rehearsal, "fp64" if reference.plain else precision)
    _copy_parameters(states[1], states[0])
    if not makes_arrays(method):
        return states, None
    terminal.announce(f"preparing {method.name} and {reference.name}, {precision}")
    found, expected = (
        _prepare_side(side, state, "fp64" if side.plain else precision)
        for side, state in zip((method, reference), states, strict=True)
    )
    refuse_unlike(method, found.arrays, expected.arrays)
    _copy_parameters(expected.state, found.state)
    return (found.state, expected.state), _compare_prepared(found, expected, precision)


def _copy_parameters(given: Any, taking: Any) -> None:
    with torch.no_grad():
        for name, tensor in taking.parameters.items():
            tensor.copy_(given.parameters[name])


def _prepare_side(side: Side, state: Any, precision: str) -> PreparedArrays:
    try:
        with _seed_draws(side):
            left = prepare_arrays(side, state, lambda batch: _cast_batch(batch, precision))
    except Unsupported as error:
        raise UsageError(f"{side.rehearsal.trial.method.label}: {error}") from error
    return left._replace(arrays={name: tensor.clone() for name, tensor in left.arrays.items()})


def _compare_prepared(found: PreparedArrays, expected: PreparedArrays, precision: str) -> Prepared:
    layers = _compare_layers(found.arrays, expected.arrays)
    facts = find_differing_facts(found.facts, expected.facts, precision)
    return Prepared(layers, max(layer.relative_difference for layer in layers.values()), facts)


def _compare_in_precision(method: Side, reference: Side, batch: Batch, precision: str) -> Agreement:
    (states, ready), column = _begin_alike(method, reference, precision), find_shared_column(method, reference)
    found, expected = (
        _observe_side(side, state, _cast_batch(batch, "fp64" if side.plain else precision), column)
        for side, state in zip((method, reference), states, strict=True)
    )
    for side, observed in ((method, found), (reference, expected)):
        _refuse_infinite(side, observed, precision)
    return compare_observed(found, expected, column)._replace(prepared=ready)


def _observe_side(side: Side, state: Any, batch: Batch, column: Column | None) -> Observed:
    try:
        with _seed_draws(side):
            return observe(side.update, state, batch, column)
    except Unsupported as error:
        raise UsageError(f"{side.rehearsal.trial.method.label}: {error}") from error


@contextmanager
def _seed_draws(side: Side) -> Iterator[None]:
    """Seed torch's own generator, so that both updates draw the same numbers from it."""
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(side.rehearsal.trial.seed)
        yield


def _cast_batch(batch: Batch, precision: str) -> Batch:
    """Convert the floating numbers of a batch to the precision."""

    def cast(tensor: Any) -> Any:
        return tensor.to(TYPES[precision]) if tensor.is_floating_point() else tensor

    return batch._replace(inputs=cast(batch.inputs), targets=cast(batch.targets))


def begin(rehearsal: Rehearsal, precision: str) -> Any:
    """Begin the state before the first update, as in the trial but in this precision. Raises UsageError if refused."""
    trial = rehearsal.trial
    seed = derive(trial.seed, trial.dataset.name, "init")
    training = Training(seed, trial.terms.device, precision, trial.terms.batch_size, None, eager=True)
    try:
        return rehearsal.learner.init(rehearsal.data.problem, training, _copy_arrays(rehearsal.base))
    except Unsupported as error:
        raise UsageError(f"{trial.method.label} on {trial.dataset.label}: {error}") from error


def _copy_arrays(base: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Copy arrays that a learner may train in place."""
    return None if base is None else {name: tensor.clone() for name, tensor in base.items()}


def observe(update: Update, state: Any, batch: Batch, column: Column | None = None) -> Observed:
    """Observe one update, with frozen weights, of a state that has `parameters` and an `optimiser`."""
    summed, steps = {name: torch.zeros_like(tensor) for name, tensor in state.parameters.items()}, 0

    def take(optimiser: torch.optim.Optimizer, *_: Any) -> None:
        nonlocal steps
        steps += 1
        for name, parameter in state.parameters.items():
            if parameter.grad is not None:
                summed[name] += parameter.grad
        for group in optimiser.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    hook = state.optimiser.register_step_pre_hook(take)
    try:
        with nullcontext(dict) if column is None else column.noting(state) as noted:
            _, scalars = update(state, batch)
    finally:
        hook.remove()
    return Observed(summed, noted(), float(scalars["loss"]) if "loss" in scalars else None, steps)


def compare_observed(found: Observed, expected: Observed, column: Column | None = None) -> Agreement:
    """Compare the observed update of a method with that of the reference."""

    def differs(layer: str | None) -> float | None:
        return None if column is None else column.difference(found.noted, expected.noted, layer)

    by_layer = _compare_layers(found.gradients, expected.gradients, differs)
    return Agreement(
        by_layer,
        max(layer.relative_difference for layer in by_layer.values()),
        differs(None),
        (found.loss, expected.loss),
        min(found.steps, expected.steps) > 1,
    )


def layer_of(name: str) -> str:
    """Name a parameter's layer: `layers.0` of `layers.0.projection.weight`, `readout` of `readout.bias`."""
    first, *rest = name.split(".")
    return f"{first}.{rest[0]}" if rest and rest[0].isdigit() else first


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """Divide the largest entry of the difference by the largest one of `expected`, or of `found` where that is zero."""
    difference = (found.double() - expected.double()).abs().max()
    scale = expected.double().abs().max() or found.double().abs().max()
    return float(difference / scale) if scale else 0.0


def cosine(found: Tensor, expected: Tensor) -> float:
    """Cosine of the angle between two tensors; 1 where both are zero, 0 where one is."""
    a, b = found.double().flatten(), expected.double().flatten()
    norms = a.norm() * b.norm()
    return float(a @ b / norms) if norms else float(not (a.any() or b.any()))


def _compare_layers(
    found: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    column: Callable[[str], float | None] = lambda _: None,
) -> dict[str, Layer]:
    layers: dict[str, list[str]] = {}
    for name in expected:
        layers.setdefault(layer_of(name), []).append(name)
    return {layer: _compare_layer(layer, names, found, expected, column(layer)) for layer, names in layers.items()}


def _compare_layer(
    layer: str, names: list[str], found: Mapping[str, Tensor], expected: Mapping[str, Tensor], column: float | None
) -> Layer:
    pairs = {name: (found[name], expected[name]) for name in names}
    differences = {name: relative_difference(*pair) for name, pair in pairs.items()}
    worst = max(differences, key=differences.__getitem__)
    least = min(cosine(*pair) for pair in pairs.values())
    return Layer(differences[worst], least, column, worst.removeprefix(f"{layer}."))


def _refuse_infinite(side: Side, observed: Observed, precision: str) -> None:
    for name, gradient in observed.gradients.items():
        if not gradient.isfinite().all():
            label = side.rehearsal.trial.method.label
            named = f"the reference of {label}" if side.plain else label
            raise HarnessError(f"{named}: in {precision}, the gradient of {name} is not finite")
