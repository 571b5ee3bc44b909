"""How far two predictive distributions are from each other, row by row: of targets, and of the functions below them.

With p and q the densities of a row's target and F, G the distributions of the functions' values there,

    total variation   1/2 Int |p(y) - q(y)| dy, between 0 and 1
    Wasserstein       Int |F(f) - G(f)| df, in standard deviations of the reference's functions
    spread            standard deviation of functions over that of the reference's

Arrays are numpy's, in float64; the reference comes second.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness import RegressionMixture

Floats: TypeAlias = NDArray[np.float64]

NODES = 16  # of the grid in the smallest standard deviation of a row: total variation to 1e-3
REACH = 8.0  # standard deviations that the grid reaches beyond the outermost components
ELEMENTS = 2**22  # components times nodes that are held at a time


class Distances(NamedTuple):
    """Between two predictions, for each row (N,)."""

    total_variation: Floats
    wasserstein: Floats
    spread: Floats


def distances(prediction: RegressionMixture, reference: RegressionMixture) -> Distances:
    """Between mixtures of S and R components (S, N) and (R, N); each component's mean is a function's value.

    A reference whose functions do not vary at a row gives inf or nan there.
    """
    mine, theirs = _convert_to_double(prediction), _convert_to_double(reference)
    deviations = [np.sqrt(_variance_of_functions(each)) for each in (mine, theirs)]
    moved = wasserstein(mine.means, mine.log_weights, theirs.means, theirs.log_weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Distances(total_variation(mine, theirs), moved / deviations[1], deviations[0] / deviations[1])


def wasserstein(values: Floats, log_weights: Floats, others: Floats, other_log_weights: Floats) -> Floats:
    """The 1-Wasserstein distance of samples (S, N) and (R, N) with logarithms of weights (S,) and (R,), by row (N,)."""
    both = np.concatenate([values, others])  # (S + R, N)
    signed = np.concatenate([np.exp(log_weights), -np.exp(other_log_weights)])
    order = both.argsort(axis=0)
    apart = np.abs(signed[order].cumsum(axis=0)[:-1])  # |F - G| from each value up to the next
    distance: Floats = (apart * np.diff(np.take_along_axis(both, order, axis=0), axis=0)).sum(axis=0)
    return distance


def total_variation(mixture: RegressionMixture, other: RegressionMixture) -> Floats:
    """Between two Gaussian mixtures by row (N,), by the trapezoidal rule on a grid for each row; see NODES."""
    return np.array(
        [_integrate_variation(*rows) for rows in zip(_split_rows(mixture), _split_rows(other), strict=True)]
    )


class _Row(NamedTuple):
    """One row's mixture: means, deviations and weights (S,)."""

    means: Floats
    deviations: Floats
    weights: Floats


def _split_rows(mixture: RegressionMixture) -> Iterator[_Row]:
    weights = np.exp(mixture.log_weights)
    for means, variances in zip(mixture.means.T, mixture.variances.T, strict=True):
        yield _Row(means, np.sqrt(variances), weights)


def _integrate_variation(one: _Row, two: _Row) -> float:
    ends = [each.means + sign * REACH * each.deviations for each in (one, two) for sign in (-1, 1)]
    low, high = min(each.min() for each in ends), max(each.max() for each in ends)
    step = min(one.deviations.min(), two.deviations.min()) / NODES
    nodes, width = np.linspace(low, high, 2 + int((high - low) / step), retstep=True)
    # Both densities are nothing at the ends, so the sum is the trapezoidal rule's.
    return float(np.abs(_evaluate_density(one, nodes) - _evaluate_density(two, nodes)).sum() * width / 2)


def _evaluate_density(row: _Row, nodes: Floats) -> Floats:
    """Evaluate the density of a mixture at evenly spaced nodes (G,), which reach beyond all its components."""
    return _sum_components(row, nodes) if np.ptp(row.deviations) else _convolve_components(row, nodes)


def _convolve_components(row: _Row, nodes: Floats) -> Floats:
    """Convolve components of one deviation: their weights on the nodes next to each, convolved with the Gaussian."""
    width, deviation = nodes[1] - nodes[0], row.deviations[0]
    places = (row.means - nodes[0]) / width
    below = places.astype(int)
    above = row.weights * (places - below)
    mass = np.bincount(below, row.weights - above, len(nodes)) + np.bincount(below + 1, above, len(nodes))
    reach = int(np.ceil(REACH * deviation / width))
    z = np.arange(-reach, reach + 1) * width / deviation
    kernel = np.exp(-np.square(z) / 2) / (deviation * np.sqrt(2 * np.pi))
    return np.convolve(mass, kernel)[reach : reach + len(nodes)]


def _sum_components(row: _Row, nodes: Floats) -> Floats:
    """Sum components one by one."""
    scaled = row.weights / (row.deviations * np.sqrt(2 * np.pi))  # (S,)
    block = max(1, ELEMENTS // len(nodes))
    total = np.zeros(len(nodes))
    for start in range(0, len(scaled), block):
        part = slice(start, start + block)
        z = (nodes - row.means[part, None]) / row.deviations[part, None]  # (block, G)
        total += scaled[part] @ np.exp(-np.square(z) / 2)
    return total


def _variance_of_functions(mixture: RegressionMixture) -> Floats:
    """Variance of the functions, by row (N,)."""
    weights = np.exp(mixture.log_weights)
    variance: Floats = weights @ np.square(mixture.means - weights @ mixture.means)
    return variance


def _convert_to_double(mixture: RegressionMixture) -> RegressionMixture:
    means, variances, log_weights = (np.asarray(each, dtype=np.float64) for each in mixture)
    return RegressionMixture(means, np.broadcast_to(variances, means.shape), log_weights)
