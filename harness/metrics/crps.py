"""Continuous ranked probability scores of Gaussian mixtures, E|X - y| - E|X - X'| / 2 (Grimit et al. 2006).

X and X' are independent draws of the mixture, y is the target. A row takes the cheapest of three ways, which agree to
better than 1e-10:

- cells: the integral of (F(x) - [x >= y])^2, of all components whose means lie close together at once, see `cells`.

- pairs: E|X - X'| by its closed form. Of two components that are further apart than nine deviations of their
  difference it is the distance of their means, and these sum up in sorted order without a loop over pairs.
- quadrature: the same integral, by Gauss-Legendre panels of eight nodes no wider than two of the narrowest deviations,
  with an edge at y. Components whose deviations are of another octave are evaluated on
  panels no wider than two of theirs, and interpolated. At a node only those within nine deviations are evaluated.

Shapes: S components, N rows, K nodes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.metrics import cells
from harness.metrics.cells import FAR, NODES, legendre_nodes

Floats = NDArray[np.float64]

CHEBYSHEV = 12  # nodes of a panel that is interpolated: over two deviations to 1e-8
WIDEST = 2.0  # of a panel, in the narrowest deviations
BLOCK = 2**17  # Gaussians evaluated at once: bounds memory
FEW = 64  # components up to which all pairs of all rows at once are cheaper than a loop over rows
PAIR = 4.0  # what the closed form of a pair costs, in evaluations of a distribution function


def score_mixtures(means: Floats, variances: Floats, weights: Floats, targets: Floats) -> Floats:
    """Score of each row, (N,), of means and variances (S, N), weights (S,) that sum to one, and targets (N,)."""
    deviations = np.sqrt(variances)
    if len(weights) <= FEW:
        return _score_all_pairs(means, deviations, weights, targets)
    rows = zip(means.T.copy(), deviations.T.copy(), targets, strict=True)  # each row in one piece
    return np.array([_score_row(mean, deviation, weights, float(target)) for mean, deviation, target in rows])


def compute_mean_absolute(mean: Floats, deviation: Floats) -> Floats:
    """E|X| of a Gaussian X."""
    return np.abs(mean) + _compute_excess(np.abs(mean), deviation)


def _compute_excess(distance: Floats, deviation: Floats) -> Floats:
    """E|X| - |E X| of a Gaussian whose mean is this far from zero: 2 s phi(d / s) - 2 d Phi(-d / s)."""
    from scipy.special import ndtr  # slow to import, and only this score needs it

    z = distance / deviation
    excess: Floats = 2 * deviation * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) - 2 * distance * ndtr(-z)
    return excess


def _score_all_pairs(means: Floats, deviations: Floats, weights: Floats, targets: Floats) -> Floats:
    """S^2 N Gaussian terms, S N at a time."""
    score = weights @ compute_mean_absolute(means - targets, deviations)  # (N,)
    for mean, deviation, weight in zip(means, deviations, weights, strict=True):
        score = score - weight / 2 * (weights @ compute_mean_absolute(means - mean, np.hypot(deviations, deviation)))
    return score


def _score_row(means: Floats, deviations: Floats, weights: Floats, target: float) -> float:
    """The score of one row, from means and deviations (S,)."""
    means = means - target
    low, high = float(np.min(means - FAR * deviations)), float(np.max(means + FAR * deviations))
    quadrature = _estimate_quadrature(high - low, deviations)
    if cells.estimate_cost(means, deviations) < min(quadrature, PAIR * _count_fewest_pairs(means, deviations)):
        return cells.integrate_cells(means, deviations, weights)
    order = np.argsort(means)
    means, deviations, weights = means[order], deviations[order], weights[order]
    ends = _find_near(means, deviations)
    if PAIR * float(np.sum(ends - np.arange(1, len(means) + 1))) > quadrature:
        return _integrate_mixture(low, high, means, deviations, weights)
    to_target = float(weights @ compute_mean_absolute(means, deviations))
    return to_target - _compute_mean_distance(means, deviations, weights, ends) / 2


# --- pairs ------------------------------------------------------------------------------------------------------------


def _count_fewest_pairs(means: Floats, deviations: Floats) -> float:
    """Count the pairs that are near at least: so many are where the means lie evenly."""
    groups = np.ptp(means) / (FAR * math.sqrt(2) * deviations.min()) + 1
    return float(len(means) * (len(means) / groups - 1) / 2)


def _find_near(means: Floats, deviations: Floats) -> NDArray[np.intp]:
    """Find, for each sorted component, the first one that is too far above it to overlap, (S,)."""
    reach = FAR * np.hypot(deviations, deviations.max())
    ends: NDArray[np.intp] = np.maximum(np.searchsorted(means, means + reach, "right"), np.arange(1, len(means) + 1))
    return ends


def _compute_mean_distance(means: Floats, deviations: Floats, weights: Floats, ends: NDArray[np.intp]) -> float:
    """E|X - X'|: each component with itself, the distances of all means, and what near ones add to theirs."""
    centred = means - weights @ means  # sums of large numbers would cancel
    below, moment = np.cumsum(weights) - weights, np.cumsum(weights * centred) - weights * centred
    distances = float(weights @ (centred * below - moment))
    alone = float(weights**2 @ deviations) / math.sqrt(math.pi)
    return 2 * (alone + distances + _sum_near_excess(means, deviations, weights, ends))


def _sum_near_excess(means: Floats, deviations: Floats, weights: Floats, ends: NDArray[np.intp]) -> float:
    """Sum, over near pairs, both weights times the mean distance less the distance of the means."""
    counts = ends - np.arange(1, len(means) + 1)
    total, first = 0.0, 0
    for last in _split_blocks(counts):
        one = np.repeat(np.arange(first, last), counts[first:last])
        starts = np.cumsum(counts[first:last]) - counts[first:last]
        other = one + 1 + np.arange(len(one)) - np.repeat(starts, counts[first:last])
        distance, deviation = means[other] - means[one], np.hypot(deviations[other], deviations[one])
        near = ~(distance > FAR * deviation)  # the reach was the widest one's; a nan stays
        total += float((weights[one] * weights[other])[near] @ _compute_excess(distance[near], deviation[near]))
        first = last
    return total


def _split_blocks(counts: NDArray[np.intp]) -> list[int]:
    """Find the ends of blocks, so that the counts in it sum to about BLOCK."""
    block = np.cumsum(counts) // BLOCK
    return [*(np.flatnonzero(np.diff(block)) + 1).tolist(), len(counts)]


# --- quadrature -------------------------------------------------------------------------------------------------------


class _Octave(NamedTuple):
    """Components whose deviations lie within a factor of two, sorted by mean. panels: how many of the narrowest
    octave's one of theirs is as wide as.
    """

    panels: int
    means: Floats
    deviations: Floats
    weights: Floats


def _estimate_quadrature(length: float, deviations: Floats) -> float:
    """Estimate how many distribution functions it evaluates: of each component in the panels that it reaches."""
    narrowest = float(deviations.min())
    octaves = 1 + math.log2(float(deviations.max()) / narrowest)
    panels = length / (WIDEST * narrowest)
    reached = 1 + 4 * FAR / WIDEST
    return float(len(deviations) * CHEBYSHEV * min(panels, reached) + panels * (octaves * NODES + BLOCK / 100))


def _find_octaves(deviations: Floats) -> NDArray[np.intp]:
    octaves: NDArray[np.intp] = np.log2(deviations / deviations.min()).astype(np.intp)
    return octaves


def _integrate_mixture(low: float, high: float, means: Floats, deviations: Floats, weights: Floats) -> float:
    """The integral of (F(x) - [x >= 0])^2, of components relative to the target and sorted by mean."""
    places = _find_octaves(deviations)
    octaves = []
    for octave in np.unique(places):
        own = places == octave
        octaves.append(_Octave(2 ** int(octave), means[own], deviations[own], weights[own]))
    width = WIDEST * float(deviations.min())
    total = max(0.0, low) + max(0.0, -high)  # between the target and all of the mixture the integrand is one
    total += _integrate_square(low, min(high, 0.0), 0.0, width, octaves)
    return total + _integrate_square(max(low, 0.0), high, 1.0, width, octaves)


def _integrate_square(low: float, high: float, step: float, width: float, octaves: Sequence[_Octave]) -> float:
    """The integral of (F(x) - step)^2 from low to high."""
    if low >= high:
        return 0.0
    panels = math.ceil((high - low) / width)
    width = (high - low) / panels
    mass = sum(_compute_mass(low, width, panels, octave) for octave in octaves)
    return width / 2 * float(np.tile(legendre_nodes()[1], panels) @ (mass - step) ** 2)


def _compute_mass(low: float, width: float, panels: int, octave: _Octave) -> Floats:
    """The mass of these components below each Gauss-Legendre node of all panels, (panels * NODES,)."""
    if octave.panels == 1:
        return _evaluate_mass(low, width, panels, legendre_nodes()[0], octave)
    merged = min(octave.panels, 2 ** math.ceil(math.log2(panels)))
    wide = -(-panels // merged)
    values = _evaluate_mass(low, width * merged, wide, _chebyshev_nodes(), octave).reshape(wide, CHEBYSHEV)
    mass: Floats = (values @ _make_interpolation(merged)).ravel()[: panels * NODES]
    return mass


def _evaluate_mass(low: float, width: float, panels: int, nodes: Floats, octave: _Octave) -> Floats:
    """Evaluate the mass at some nodes of each of these panels, given on [-1, 1]."""
    below, reach = np.concatenate([[0.0], np.cumsum(octave.weights)]), FAR * float(octave.deviations.max())
    at_once = max(1, BLOCK // (len(nodes) * len(octave.means)))  # panels
    mass = []
    for start in range(0, panels, at_once):
        places = np.arange(start, min(start + at_once, panels))
        x = (low + width * (places[:, None] + (1 + nodes) / 2)).ravel()  # (K,)
        first, last = np.searchsorted(octave.means, (x[0] - reach, x[-1] + reach))
        near = slice(first, last)
        mass.append(below[first] + _distribution(x, octave.means[near], octave.deviations[near], octave.weights[near]))
    return np.concatenate(mass)


def _distribution(x: Floats, means: Floats, deviations: Floats, weights: Floats) -> Floats:
    """The mass of these components below each node, (K,)."""
    from scipy.special import ndtr

    mass: Floats = ndtr((x[:, None] - means) / deviations) @ weights
    return mass


@cache
def _chebyshev_nodes() -> Floats:
    """Nodes on [-1, 1], ascending."""
    nodes: Floats = np.polynomial.chebyshev.chebpts1(CHEBYSHEV)
    return nodes


@lru_cache(64)
def _make_interpolation(merged: int) -> Floats:
    """Make the map from values at the Chebyshev nodes of a panel to those at the nodes of `merged` panels within it."""
    degrees, inner = np.arange(CHEBYSHEV), (1 + legendre_nodes()[0]) / 2
    x = 2 * (np.arange(merged)[:, None] + inner).ravel() / merged - 1  # (merged * NODES,)
    vandermonde = np.polynomial.chebyshev.chebvander
    scale = np.where(degrees == 0, 1.0, 2.0) / CHEBYSHEV
    found: Floats = (vandermonde(_chebyshev_nodes(), CHEBYSHEV - 1) * scale) @ vandermonde(x, CHEBYSHEV - 1).T
    return found
