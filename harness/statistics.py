"""Means with their uncertainty over seeds, and differences of methods paired by seed. Pure.

Few seeds, so Student's t throughout; a single value has no deviation and no interval, which is None, never zero.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple


class Estimate(NamedTuple):
    """Mean and sample standard deviation (n - 1) of n finite values; None where n is too small."""

    mean: float | None
    sd: float | None
    n: int


class Difference(NamedTuple):
    """Mean paired difference with its interval: None where there are too few pairs."""

    mean: float | None
    sd: float | None
    n: int
    low: float | None
    high: float | None


def estimate(values: Iterable[float]) -> Estimate:
    """Mean, deviation and count of the finite values.

    >>> estimate([1.0, 2.0, 3.0, float("nan")])
    Estimate(mean=2.0, sd=1.0, n=3)
    """
    finite = [value for value in map(float, values) if math.isfinite(value)]
    if not finite:
        return Estimate(None, None, 0)
    # fmean of equal values may differ from them in the last digit
    mean = finite[0] if len(set(finite)) == 1 else statistics.fmean(finite)
    sd = statistics.stdev(finite) if len(finite) > 1 else None
    return Estimate(mean, sd, len(finite))


def interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """Student-t confidence interval of the mean; None for fewer than two finite values.

    Raises ValueError unless 0 < confidence < 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    mean, sd, n = estimate(values)
    if mean is None or sd is None:
        return None
    half = _quantile((1 + confidence) / 2, n - 1) * sd / math.sqrt(n)
    return mean - half, mean + half


def paired_difference(left: Mapping[int, float], right: Mapping[int, float], confidence: float = 0.95) -> Difference:
    """Difference left - right over the seeds that both have: what a seed does to both cancels.

    left, right: value by seed. Raises ValueError unless 0 < confidence < 1.
    """
    differences = [left[seed] - right[seed] for seed in left if seed in right]
    mean, sd, n = estimate(differences)
    low, high = interval(differences, confidence) or (None, None)
    return Difference(mean, sd, n, low, high)


@cache
def _quantile(probability: float, freedom: int) -> float:
    """Quantile above the middle of Student's t, by bisection. Without scipy, which a report would have to wait for."""
    inside = 2 * probability - 1
    low, high = 0.0, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _within(middle, freedom) < inside else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _within(angle: float, freedom: int) -> float:
    """Probability of |t| <= sqrt(freedom) tan(angle), a finite sum for whole degrees of freedom (Abramowitz and Stegun,
    Handbook of Mathematical Functions, 1964, equations 26.7.3 and 26.7.4).
    """
    odd = freedom % 2
    cosine = math.cos(angle)
    term = cosine if odd else 1.0
    terms = [term] if freedom > 1 else []
    for step in range(2 + odd, freedom, 2):
        term *= (step - 1) / step * cosine**2
        terms.append(term)
    total = math.sin(angle) * math.fsum(terms)
    return 2 / math.pi * (angle + total) if odd else total
