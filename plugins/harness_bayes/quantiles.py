"""Distribution function, density and quantiles of Gaussian mixtures, in float64; a row is a mixture.

Shapes: S components, n rows; means and deviations (S, n), weights (S,) that are above zero and sum to one.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MASS = 1e-13  # probability that may lie between a quantile as found and as it is
MOST = 300  # steps: halving alone needs fewer, from the widest bracket that floats have


def mass_below(x: Floats, means: Floats, deviations: Floats, weights: Floats) -> Floats:
    """F(x) of each row, at x (n,): (n,)."""
    from scipy.special import ndtr  # slow to import

    mass: Floats = weights @ ndtr((x - means) / deviations)
    return mass


def density(x: Floats, means: Floats, deviations: Floats, weights: Floats) -> Floats:
    """F'(x) of each row, at x (n,): (n,)."""
    heights = np.exp(-0.5 * ((x - means) / deviations) ** 2) / deviations  # (S, n)
    mixed: Floats = weights @ heights / math.sqrt(2 * math.pi)
    return mixed


def quantile(probability: float, means: Floats, deviations: Floats, weights: Floats) -> Floats:
    """The x with F(x) = probability, in (0, 1), of each row, (n,): some one of them where F is flat there.

    Newton's method from the quantile of the Gaussian with the same mean and variance, within a bracket: that of a
    mixture lies between those of its components. A row that holds nan has nan.
    """
    from scipy.special import ndtri

    own = means + deviations * ndtri(probability)  # (S, n)
    low, high = own.min(axis=0), own.max(axis=0)
    mean = weights @ means
    deviation = np.sqrt(weights @ (deviations**2 + (means - mean) ** 2))
    x, step, rows = np.clip(mean + deviation * ndtri(probability), low, high), high - low, np.arange(len(mean))
    for _ in range(MOST):
        components = means[:, rows], deviations[:, rows], weights
        at = x[rows]
        excess = mass_below(at, *components) - probability
        low[rows], high[rows] = np.where(excess < 0, at, low[rows]), np.where(excess > 0, at, high[rows])
        moved = _step_within(at, excess, density(at, *components), low[rows], high[rows], step[rows])
        going = (np.abs(excess) > MASS) & (moved != at)
        x[rows[going]], step[rows[going]] = moved[going], (moved - at)[going]
        rows = rows[going]
        if not len(rows):
            break
    return x


def _step_within(at: Floats, excess: Floats, slope: Floats, low: Floats, high: Floats, step: Floats) -> Floats:
    """Newton's step where it stays in the bracket and is at most half as wide as the one before, else the middle."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        newton = at - excess / slope
        good = (newton > low) & (newton < high) & (2 * np.abs(newton - at) <= np.abs(step))
    return np.where(good, newton, low + (high - low) / 2)
