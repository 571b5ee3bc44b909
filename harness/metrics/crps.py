"""Continuous ranked probability scores of Gaussian mixtures, E|X - y| - E|X - X'| / 2 (Grimit et al. 2006).

X and X' are independent draws of the mixture, y is the target. A row takes the cheaper of two ways, which agree to
better than 1e-10:

- pairs: E|X - X'| by its closed form. Of two components that are further apart than nine deviations of their
  difference it is the distance of their means, and these sum up in sorted order without a loop over pairs.
- quadrature: the score as the integral of (F(x) - [x >= y])^2, by Gauss-Legendre panels of eight nodes no wider than
  two of the narrowest deviations, with an edge at y. At a node only components within nine deviations are evaluated.

Shapes: S components, N rows, K nodes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FAR = 9.0  # deviations beyond which a Gaussian has no mass in double precision
NODES = 8
WIDEST = 2.0  # of a panel, in the narrowest deviations
BLOCK = 2**17  # Gaussians evaluated at once: bounds memory
FEW = 64  # components up to which all pairs of all rows at once are cheaper than a loop over rows
PAIR = 4.0  # what the closed form of a pair costs, in evaluations of a distribution function


def mixture_crps(means: Floats, variances: Floats, weights: Floats, targets: Floats) -> Floats:
    """Score of each row, (N,), of means and variances (S, N), weights (S,) that sum to one, and targets (N,)."""
    deviations = np.sqrt(variances)
    if len(weights) <= FEW:
        return _of_all_pairs(means, deviations, weights, targets)
    rows = zip(means.T, deviations.T, targets, strict=True)
    return np.array([_of_row(mean, deviation, weights, float(target)) for mean, deviation, target in rows])


def mean_absolute(mean: Floats, deviation: Floats) -> Floats:
    """E|X| of a Gaussian X."""
    return np.abs(mean) + _excess(np.abs(mean), deviation)


def _excess(distance: Floats, deviation: Floats) -> Floats:
    """E|X| - |E X| of a Gaussian whose mean is this far from zero: 2 s phi(d / s) - 2 d Phi(-d / s)."""
    from scipy.special import ndtr  # slow to import, and only this score needs it

    z = distance / deviation
    excess: Floats = 2 * deviation * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) - 2 * distance * ndtr(-z)
    return excess


def _of_all_pairs(means: Floats, deviations: Floats, weights: Floats, targets: Floats) -> Floats:
    """S^2 N Gaussian terms, S N at a time."""
    score = weights @ mean_absolute(means - targets, deviations)  # (N,)
    for mean, deviation, weight in zip(means, deviations, weights, strict=True):
        score = score - weight / 2 * (weights @ mean_absolute(means - mean, np.hypot(deviations, deviation)))
    return score


def _of_row(means: Floats, deviations: Floats, weights: Floats, target: float) -> float:
    """The score of one row, from means and deviations (S,)."""
    order = np.argsort(means)
    means, deviations, weights = means[order] - target, deviations[order], weights[order]
    ends = _near(means, deviations)
    pairs = float(np.sum(ends - np.arange(1, len(means) + 1)))
    if _cost_of_quadrature(means, deviations) < PAIR * pairs:
        return _integrated(means, deviations, weights)
    to_target = float(weights @ mean_absolute(means, deviations))
    return to_target - _mean_distance(means, deviations, weights, ends) / 2


# --- pairs ------------------------------------------------------------------------------------------------------------


def _near(means: Floats, deviations: Floats) -> NDArray[np.intp]:
    """For each component, in sorted order, where those begin that are too far above it to overlap, (S,)."""
    reach = FAR * np.hypot(deviations, deviations.max())
    ends: NDArray[np.intp] = np.maximum(np.searchsorted(means, means + reach, "right"), np.arange(1, len(means) + 1))
    return ends


def _mean_distance(means: Floats, deviations: Floats, weights: Floats, ends: NDArray[np.intp]) -> float:
    """E|X - X'|: each component with itself, the distances of all means, and what near ones add to theirs."""
    centred = means - weights @ means  # sums of large numbers would cancel
    below, moment = np.cumsum(weights) - weights, np.cumsum(weights * centred) - weights * centred
    distances = float(weights @ (centred * below - moment))
    alone = float(weights**2 @ deviations) / math.sqrt(math.pi)
    return 2 * (alone + distances + _near_excess(means, deviations, weights, ends))


def _near_excess(means: Floats, deviations: Floats, weights: Floats, ends: NDArray[np.intp]) -> float:
    """The sum over near pairs of both weights and of what the mean distance exceeds the distance of the means by."""
    counts = ends - np.arange(1, len(means) + 1)
    total, first = 0.0, 0
    for last in _splits(counts):
        one = np.repeat(np.arange(first, last), counts[first:last])
        starts = np.cumsum(counts[first:last]) - counts[first:last]
        other = one + 1 + np.arange(len(one)) - np.repeat(starts, counts[first:last])
        excess = _excess(means[other] - means[one], np.hypot(deviations[other], deviations[one]))
        total += float(np.sum(weights[one] * weights[other] * excess))
        first = last
    return total


def _splits(counts: NDArray[np.intp]) -> list[int]:
    """Where to end each block, so that the counts in it sum to about BLOCK."""
    block = np.cumsum(counts) // BLOCK
    return [*(np.flatnonzero(np.diff(block)) + 1).tolist(), len(counts)]


# --- quadrature -------------------------------------------------------------------------------------------------------


def _cost_of_quadrature(means: Floats, deviations: Floats) -> float:
    """How many distribution functions it evaluates, about: of each component in the panels that it reaches."""
    narrowest, widest = deviations.min(), deviations.max()
    panels = (means[-1] - means[0] + 2 * FAR * widest) / (WIDEST * narrowest)
    return float(NODES * len(means) * min(panels, 1 + 2 * FAR / WIDEST * widest / narrowest) + BLOCK / 100 * panels)


def _integrated(means: Floats, deviations: Floats, weights: Floats) -> float:
    """The integral of (F(x) - [x >= 0])^2, of components relative to the target and sorted by mean."""
    low, high = float(np.min(means - FAR * deviations)), float(np.max(means + FAR * deviations))
    width = WIDEST * float(deviations.min())
    total = max(0.0, low) + max(0.0, -high)  # between the target and all of the mixture the integrand is one
    total += _integral(low, min(high, 0.0), 0.0, width, means, deviations, weights)
    return total + _integral(max(low, 0.0), high, 1.0, width, means, deviations, weights)


def _integral(
    low: float, high: float, step: float, width: float, means: Floats, deviations: Floats, weights: Floats
) -> float:
    """The integral of (F(x) - step)^2 from low to high."""
    if low >= high:
        return 0.0
    nodes, factors = np.polynomial.legendre.leggauss(NODES)
    edges = np.linspace(low, high, 1 + math.ceil((high - low) / width))
    half = (edges[1] - edges[0]) / 2
    at_once = max(1, BLOCK // (NODES * len(means)))  # panels
    below, reach = np.concatenate([[0.0], np.cumsum(weights)]), FAR * deviations.max()
    total = 0.0
    for start in range(0, len(edges) - 1, at_once):
        panels = edges[start : min(start + at_once, len(edges) - 1)]
        x = (panels[:, None] + half * (1 + nodes)).ravel()  # (K,)
        first, last = np.searchsorted(means, (x[0] - reach, x[-1] + reach))
        near = slice(first, last)
        mass = below[first] + _distribution(x, means[near], deviations[near], weights[near])
        total += half * float(np.tile(factors, len(panels)) @ (mass - step) ** 2)
    return total


def _distribution(x: Floats, means: Floats, deviations: Floats, weights: Floats) -> Floats:
    """The mass of these components below each node, (K,)."""
    from scipy.special import ndtr

    mass: Floats = ndtr((x[:, None] - means) / deviations) @ weights
    return mass
