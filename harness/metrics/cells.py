"""The continuous ranked probability score of many Gaussians, by the moments of those whose means share a cell.

The score is the integral of (F(x) - [x >= y])^2, by Gauss-Legendre panels. A panel is one narrowest deviation wide and
has an edge at the target y; the means that lie in it are a cell. Deviations s_i are taken in levels, of which each is
two per cent above the one before. With z = (x - c) / s about a cell's centre c and a level's deviation s, Taylor's
series in both, d_i = (m_i - c) / s and e_i = s_i^2 / s^2 - 1, is

    sum_i w_i Phi((x - m_i) / s_i) = M_0 Phi(z) - phi(z) sum_{p >= 1} M_p He_{p-1}(z),    M_p = sum_i w_i h_p(d_i, e_i)

where sum_p h_p t^p = exp(d t + e t^2 / 2), and He are the probabilists' Hermite polynomials. As |d| <= 1/2 and
|e| <= 0.02, what is left out is below 1e-12 of a cell's weight. The panels lie as the cells do, so what stands beside
the moments is the same for all cells, and is tabulated.

Shapes: S components, C cells, L levels, K nodes of a panel, P powers.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Sums = list[Floats]

FAR = 9.0  # deviations beyond which a Gaussian has no mass in double precision
NODES = 8
POWERS = 19  # of the series, with the one of order zero
STEP = 1.02  # from level to level
MOST = 2.0**14  # cells: bounds memory
FURTHEST = 2.0**40  # of a mean from the target, in narrowest deviations: there a place in a cell has some digits left
TABLES = 128  # kept

# Beside the evaluation of one distribution function:
CALLS = 4000.0  # what a row costs whatever its size
COMPONENT, PANEL, CELL = 2.0, 100.0, 0.5  # a component; a panel that a level reaches, and for each cell in addition


def estimate_cost(means: Floats, deviations: Floats) -> float:
    """The most that `integrate_cells` costs, in evaluations of a distribution function; infinite where it is no way."""
    narrowest, widest = float(deviations.min()), float(deviations.max())
    with np.errstate(over="ignore", invalid="ignore"):
        cells, furthest = np.ptp(means) / narrowest + 1, np.abs(means).max() / narrowest
    if not (cells < MOST and furthest < FURTHEST and widest / narrowest < MOST):  # or a nan
        return math.inf
    levels = min(len(means), 1 + round(math.log(widest / narrowest) / math.log(STEP)))
    reached = 1 + 2 * FAR * widest / narrowest
    return float(CALLS + COMPONENT * len(means) + levels * reached * (PANEL + CELL * cells))


def integrate_cells(means: Floats, deviations: Floats, weights: Floats) -> float:
    """The integral of (F(x) - [x >= 0])^2, of components (S,) relative to the target, in any order."""
    width = float(deviations.min())
    moments, first = _compute_moments(means / width, deviations / width, weights)
    levels = np.flatnonzero(moments[:, :, 0].any(1))
    reach = _count_reached(int(levels[-1]))
    mass = np.zeros((moments.shape[1] + 2 * reach, NODES))
    for level in levels.tolist():
        _add_mass(mass[reach - _count_reached(level) :], moments[level], level)
    low = first - reach  # where the first panel begins
    step = np.arange(len(mass)) >= -low
    nodes = (mass - step[:, None]) ** 2 @ legendre_nodes()[1] / 2
    between = max(0.0, low) + max(0.0, -low - len(mass))  # the target and all of the mixture: the integrand is one
    return width * (between + float(nodes.sum()))


def _compute_moments(means: Floats, deviations: Floats, weights: Floats) -> tuple[Floats, float]:
    """Compute the moments of each level and cell, (L, C, P), and the first cell's edge, in widths of a cell."""
    places = np.floor(means)
    first = float(places.min())
    owners, shift = (places - first).astype(np.intp), means - places - 0.5
    shape = 1, int(owners.max()) + 1
    if deviations.max() == 1:  # all are equal, as they often are, and this is the dearest part
        sums = _sum(owners, shape[1], weights, shift)
    else:
        levels = np.rint(np.log(deviations) / math.log(STEP)).astype(np.intp)
        shape, own = (int(levels.max()) + 1, shape[1]), STEP**levels  # the level's deviation
        owners += levels * shape[1]
        sums = _sum(owners, math.prod(shape), weights, shift / own, (deviations / own) ** 2 - 1)
    return np.stack(sums, 1).reshape(*shape, POWERS), first


def _sum(owners: NDArray[np.intp], size: int, weights: Floats, shift: Floats, excess: Floats | None = None) -> Sums:
    """Sums of w h_p for each owner, (size,) for each p: p h_p = d h_{p-1} + e h_{p-2}."""
    found, before, term = [np.bincount(owners, weights, size).astype(np.float64)], weights, weights * shift
    for power in range(2, POWERS + 1):
        found.append(np.bincount(owners, term, size).astype(np.float64))
        following = term * (shift / power)
        if excess is not None:
            following += before * (excess / power)
        before, term = term, following
    return found


def _add_mass(mass: Floats, moments: Floats, level: int) -> None:
    """Add to the mass below the nodes of panels (., K), of which the first is the first that this level reaches."""
    tables, cells = _tabulate_powers(level), len(moments)
    for start, table in enumerate(tables):
        mass[start : start + cells] += moments @ table
    above = mass[len(tables) :]  # panels that lie above all that the first cell reaches
    below = np.cumsum(moments[:, 0])
    above += below[np.minimum(np.arange(len(above)), cells - 1), None]


def _count_reached(level: int) -> int:
    """Count the panels to either side of its own in which a cell has mass."""
    return math.ceil(FAR * STEP**level)


@lru_cache(TABLES)
def _tabulate_powers(level: int) -> Floats:
    """Tabulate the factors of moments at the nodes of each panel within reach of their cell, (panels, P, K)."""
    from scipy.special import ndtr  # slow to import, and only this score needs it

    panels = np.arange(-_count_reached(level), _count_reached(level) + 1)
    z = (panels[:, None] + legendre_nodes()[0] / 2) / STEP**level
    hermite = [np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)]  # times the density
    hermite.append(z * hermite[0])
    for degree in range(1, POWERS - 2):
        hermite.append(z * hermite[degree] - degree * hermite[degree - 1])
    return np.stack([ndtr(z), *(-each for each in hermite)], 1)


@cache
def legendre_nodes() -> tuple[Floats, Floats]:
    """Nodes on [-1, 1] and their weights."""
    return np.polynomial.legendre.leggauss(NODES)
