"""Convergence of chains, told by the values of their functions, not by weights, which a permutation of hidden units
moves without moving the function.

Rank-normalised split R-hat, the larger of bulk and folded, bulk effective sample size (Vehtari et al. 2021), and the
Monte Carlo error of the mean, all by arviz-stats, which the extra `bayes` installs. Values are (chains, draws, points).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness import RegressionMixture, Unsupported
from harness_bayes import agreement
from harness_bayes.agreement import Distances

Floats: TypeAlias = NDArray[np.float64]

LARGEST_RHAT = 1.1  # beyond which chains have not met
FEWEST = 4  # draws of a chain, so that each half has two


class Convergence(NamedTuple):
    """At each point (points,): split R-hat, bulk effective sample size, Monte Carlo standard error of the mean."""

    rhat: Floats
    ess: Floats
    error: Floats


def measure_convergence(values: Floats) -> Convergence:
    """Measure functions' values (chains, draws, points). Raises Unsupported without arviz-stats or with few draws."""
    chains, draws, points = values.shape
    if draws < FEWEST:
        raise Unsupported(f"{draws} draws of each of {chains} chains: convergence takes {FEWEST} at least")
    measures = _import_array_stats()
    by_point = np.moveaxis(np.asarray(values, dtype=np.float64), -1, 0)  # (points, chains, draws)
    if not points:
        return Convergence(*(np.empty(0) for _ in Convergence._fields))
    return Convergence(measures.rhat(by_point), measures.ess(by_point), measures.mcse(by_point))


def distance_between_halves(values: Floats) -> Floats:
    """Wasserstein distance of one half of the chains from the other, in deviations, (points,)."""
    one, two = (values[start::2].reshape(-1, values.shape[-1]) for start in (0, 1))
    equal = [np.full(len(each), -np.log(len(each))) for each in (one, two)]
    moved: Floats = agreement.wasserstein(one, equal[0], two, equal[1]) / two.std(axis=0)
    return moved


def compare_halves(values: Floats, variances: Floats) -> Distances:
    """Distances of one half of the chains, every other one, from the others: chance alone puts them that far apart.

    variances (points,): of the noise.
    """
    one, two = (_pool_draws(values[start::2], variances) for start in (0, 1))
    return agreement.distances(one, two)


def _pool_draws(values: Floats, variances: Floats) -> RegressionMixture:
    """Pool all draws of some chains (chains, draws, points) as one mixture."""
    means = values.reshape(-1, values.shape[-1])
    return RegressionMixture(means, np.broadcast_to(variances, means.shape), np.full(len(means), -np.log(len(means))))


def _import_array_stats() -> Any:
    """Import the measures of arviz-stats. Raises Unsupported, with the command that installs it, without it."""
    try:
        return import_module("arviz_stats.base").array_stats
    except ImportError as error:
        raise Unsupported(
            "R-hat and effective sample size are by arviz-stats, which is missing: pip install 'harness-bench[bayes]'"
        ) from error
