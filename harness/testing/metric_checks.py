"""Checks of a metric, on outcomes whose quality is known."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import Unsupported
from harness.metrics.mixtures import compute_mean_entropy, mixture
from harness.testing import tiny_data
from harness.testing.subjects import MetricSubject, broken
from harness.types import ClassLogProbs, Outcome, Prediction, Problem, RegressionMixture, TokenLogProbs

SURE = 0.999
ROUNDING = 1e-9


def metric_finite(subject: MetricSubject) -> None:
    """None says that it does not apply."""
    for what, share in (("near-perfect", SURE), ("uninformed", None)):
        value = _compute_value(subject, make_known_outcome(subject.kind, share))
        if value is not None and not math.isfinite(value):
            broken(f"it is {value} for a {what} prediction of {subject.kind}")


def metric_direction(subject: MetricSubject) -> None:
    """`better` says which way; equal is not wrong."""
    if subject.metric.better == "neither":
        raise Unsupported("it has no best value")
    right = _require_value(subject, make_known_outcome(subject.kind, SURE))
    wrong = _require_value(subject, make_known_outcome(subject.kind, SURE, right=False))
    sign = 1 if subject.metric.better == "higher" else -1
    if sign * right < sign * wrong - ROUNDING:
        broken(
            f"{subject.metric.better} is better, yet it is {right:.6g} where the prediction is right "
            f"and {wrong:.6g} where it is wrong"
        )


def metric_of_mixture(subject: MetricSubject) -> None:
    """One component against the same twice, with weights of 1/4 and 3/4; and beside a wrong one that weighs nothing."""
    once, wrong = make_known_outcome(subject.kind, SURE), make_known_outcome(subject.kind, SURE, right=False)
    alone = _require_value(subject, once)
    for what, other, weights in (
        ("the same component twice", once, (0.25, 0.75)),
        ("a wrong component of weight 1e-20 beside it", wrong, (1.0, 1e-20)),
    ):
        mixed = _require_value(subject, _mix_outcomes(once, other, weights))
        if not math.isclose(alone, mixed, rel_tol=1e-6, abs_tol=1e-6):
            broken(f"it is {alone:.6g} for one component and {mixed:.6g} with {what}: are log_weights left out?")
    if subject.metric.mixture:
        _require_folded(subject, _mix_outcomes(once, wrong, (0.25, 0.75)))


def _require_folded(subject: MetricSubject, given: Outcome) -> None:
    """A metric that looks at the mixture alone finds the same in it as one sample."""
    samples = _require_value(subject, given)
    folded = _require_value(subject, dataclasses.replace(given, prediction=mixture(given.prediction)))
    if not math.isclose(samples, folded, rel_tol=1e-9, abs_tol=1e-9):
        broken(f"it is {samples:.6g} of two samples and {folded:.6g} of their mixture, yet it says mixture=True")


def metric_pure(subject: MetricSubject) -> None:
    """Twice on one outcome, whose arrays are compared with a copy."""
    given, copy = make_known_outcome(subject.kind, SURE), make_known_outcome(subject.kind, SURE)
    first, second = _compute_value(subject, given), _compute_value(subject, given)
    if first != second:
        broken(f"it is {first} at first and {second} of the same outcome again")
    pairs = zip([*given.prediction, given.targets], [*copy.prediction, copy.targets], strict=True)
    if not all(np.array_equal(one, other) for one, other in pairs):
        broken("it overwrote the outcome that it was given")


def _require_value(subject: MetricSubject, given: Outcome) -> float:
    value = _compute_value(subject, given)
    if value is None:
        raise Unsupported("it is None for a plain outcome")
    return value


def _compute_value(subject: MetricSubject, given: Outcome) -> float | None:
    """Compute the value of an outcome, and where it is of shifted splits of an uninformed one beside it."""
    return subject.compute(given, *([make_known_outcome(subject.kind, None)] if subject.metric.shifted else []))


def _mix_outcomes(one: Outcome, other: Outcome, weights: tuple[float, float]) -> Outcome:
    *fields, _ = (np.concatenate(pair) for pair in zip(one.prediction, other.prediction, strict=True))
    mixed = type(one.prediction)._make([*fields, np.log(np.array(weights))])
    return Outcome(mixed, one.targets, one.problem, base=one.base, entropy=_compute_entropy(mixed))


# --- outcomes ---------------------------------------------------------------------------------------------------------


def make_known_outcome(kind: str, share: float | None, right: bool = True) -> Outcome:
    """Make the outcome of a prediction that gives `share` of its belief to the target (or to something wrong), or is
    uninformed.

    Raises Unsupported for an unknown kind.
    """
    made = [make() for make in tiny_data.list_data_sets(kind)[:1]]
    if not made:
        raise Unsupported(f"there is no tiny data of kind {kind!r}")
    targets = np.array(made[0].test.targets)
    problem = made[0].problem
    prediction = _PREDICTIONS[kind](targets, problem, share, right)
    if problem.target_scale != 1.0:
        targets = problem.target_mean + problem.target_scale * targets.astype(np.float64)
    base = _PREDICTIONS[kind](np.array(made[0].test.targets), problem, SURE, True)
    predicted, based = (each.rescaled(problem.target_mean, problem.target_scale) for each in (prediction, base))
    return Outcome(predicted, targets, problem, base=based, entropy=_compute_entropy(predicted))


def _compute_entropy(prediction: Prediction) -> NDArray[np.float64] | None:
    return compute_mean_entropy(*prediction) if isinstance(prediction, ClassLogProbs) else None


def _predict_classes(targets: NDArray[Any], problem: Problem, share: float | None, right: bool) -> Prediction:
    classes = problem.output_size
    if share is None:
        return ClassLogProbs(np.full((1, len(targets), classes), -math.log(classes)), np.zeros(1))
    probabilities = np.full((1, len(targets), classes), (1 - share) / (classes - 1))
    chosen = targets if right else (targets + 1) % classes
    probabilities[0, np.arange(len(targets)), chosen] = share
    return ClassLogProbs(np.log(probabilities), np.zeros(1))


def _predict_numbers(targets: NDArray[Any], problem: Problem, share: float | None, right: bool) -> Prediction:
    del problem
    values = targets.astype(np.float64)[None]
    if share is None:
        return RegressionMixture(np.zeros_like(values), np.ones_like(values), np.zeros(1))
    means = values + (0.01 if right else 5.0)
    return RegressionMixture(means, np.full_like(values, 0.01), np.zeros(1))


def _predict_tokens(targets: NDArray[Any], problem: Problem, share: float | None, right: bool) -> Prediction:
    size = problem.output_size
    belief = 1 / size if share is None else share if right else (1 - share) / (size - 1)
    return TokenLogProbs(np.full((1, *targets.shape), math.log(belief)), np.zeros(1))


_PREDICTIONS = {"classification": _predict_classes, "regression": _predict_numbers, "language": _predict_tokens}
