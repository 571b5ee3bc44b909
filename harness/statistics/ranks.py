"""Methods over several data sets: ranks with Friedman's and Nemenyi's tests, profiles, interquartile means. Pure.

Scores are arrays (data sets, methods), the larger the better, without missing values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


class Ranking(NamedTuple):
    """Mean ranks, 1 the best; Friedman's p-value that all are alike; Nemenyi's difference that two must exceed."""

    ranks: tuple[float, ...]
    p_value: float
    critical_difference: float


def rank_methods(scores: Array, level: float = 0.05) -> Ranking:
    """Rank methods over data sets (Demsar 2006). Raises ValueError below two data sets or three methods."""
    datasets, methods = scores.shape
    if datasets < 2 or methods < 3:
        raise ValueError(f"ranks need two data sets and three methods, not {datasets} and {methods}")
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    ranks = rankdata(-scores, axis=1).mean(0)
    alike = bool(np.all(scores == scores[:, :1]))
    p_value = 1.0 if alike else float(friedmanchisquare(*scores.T).pvalue)
    quantile = float(studentized_range.ppf(1 - level, methods, math.inf)) / math.sqrt(2)
    width = quantile * math.sqrt(methods * (methods + 1) / (6 * datasets))
    return Ranking(tuple(ranks.tolist()), p_value, width)


def profile_performance(costs: Array, ratios: Sequence[float]) -> Array:
    """The share of data sets on which each method's cost is within each ratio of the least (Dolan and Moré 2002).

    costs: (data sets, methods), positive, infinite where a method failed. Returns (ratios, methods).
    """
    relative = costs / costs.min(1, keepdims=True)
    return np.stack([(relative <= ratio).mean(0) for ratio in ratios])


def interquartile_mean(values: Sequence[float]) -> float:
    """The mean of the middle half (Agarwal et al. 2021), with shares of the values at its ends.

    >>> interquartile_mean([0, 1, 2, 100]), interquartile_mean([1, 2, 3, 4, 100])
    (1.5, 3.0)
    """
    ordered, n = sorted(values), len(values)
    edges = [max(0.0, min(i + 1, 0.75 * n) - max(i, 0.25 * n)) for i in range(n)]
    return math.fsum(weight * value for weight, value in zip(edges, ordered, strict=True)) / math.fsum(edges)


def probability_of_improvement(left: Sequence[Sequence[float]], right: Sequence[Sequence[float]]) -> float:
    """The chance that a run of the left is better than one of the right, on a data set drawn at random (Agarwal et al.
    2021): the mean over data sets of the Mann-Whitney statistic, ties counting half.
    """
    shares = []
    for ours, theirs in zip(left, right, strict=True):
        above = np.asarray(ours, float)[:, None] - np.asarray(theirs, float)
        shares.append(float(((above > 0) + 0.5 * (above == 0)).mean()))
    return math.fsum(shares) / len(shares)
