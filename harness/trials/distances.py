"""How far two predictions of the same rows are from each other, row by row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.metrics.mixtures import mixture
from harness.types import Prediction, Problem, RegressionMixture


class Distance(NamedTuple):
    """largest: of all rows, infinite where a number is nan in one prediction alone. beyond: rows further than was let
    pass, of so many rows.
    """

    largest: float
    beyond: int
    rows: int


def measure_distance(one: Prediction, other: Prediction, problem: Problem, tolerance: float) -> Distance:
    """Between log-probabilities, of regression as `Export.tolerance` says. Raises ValueError where two predictions have
    no number in common: other kinds, or another number of components.
    """
    one, other = mixture(one), mixture(other)
    if type(one) is not type(other) or [np.shape(each) for each in one[:2]] != [np.shape(each) for each in other[:2]]:
        raise ValueError(f"{_describe_prediction(one)} cannot be compared with {_describe_prediction(other)}")
    by_row = _distances_by_row(one, other, problem)
    return Distance(float(by_row.max(initial=0.0)), int(np.sum(by_row > tolerance)), len(by_row))


def _distances_by_row(one: Prediction, other: Prediction, problem: Problem) -> NDArray[np.float64]:
    """(N,)."""
    if isinstance(one, RegressionMixture) and isinstance(other, RegressionMixture):
        means = _absolute_differences(one.means / problem.target_scale, other.means / problem.target_scale)
        deviations = _absolute_differences(np.log(one.variances) / 2, np.log(other.variances) / 2)
        weights = _absolute_differences(one.log_weights, other.log_weights)[:, None]
        return np.asarray(np.maximum(np.maximum(means, deviations), weights).max(axis=0))
    apart = _absolute_differences(one[0], other[0])  # (1, N, ...)
    return np.asarray(apart.reshape(*apart.shape[:2], -1).max(axis=(0, 2)))


def _absolute_differences(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float64]:
    """Absolute differences; none between two that are both nan, or infinite alike."""
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        found = np.abs(one - other)
    return np.where(same, 0.0, np.where(np.isnan(found), np.inf, found))


def _describe_prediction(prediction: Prediction) -> str:
    return f"{type(prediction).__name__} of shape {np.shape(prediction[0])}"
