"""Means with their uncertainty over seeds, and differences of methods paired by seed. Pure.

Few seeds, so Student's t throughout; a single value has no deviation and no interval, which is None, never zero. Values
that all agree have a deviation of zero and no interval either: t says nothing of a spread that was not seen.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

ROUNDING = 1e-12  # relative; what lies closer together than this differs by the rounding of floats alone
SINGLE = 2.0**-22  # the same where scores may have been computed in single precision


class Estimate(NamedTuple):
    """Mean and sample standard deviation (n - 1) of n finite values; None where n is too small."""

    mean: float | None
    sd: float | None
    n: int


class Difference(NamedTuple):
    """Mean paired difference with its interval: None where there are too few pairs or all of them agree."""

    mean: float | None
    sd: float | None
    n: int
    low: float | None
    high: float | None

    @property
    def no_interval(self) -> str:
        """The reason why there is no interval; empty where there is one."""
        return "" if self.low is not None else explain_no_interval(self.n)


def estimate_mean(values: Iterable[float]) -> Estimate:
    """Mean, deviation and count of the finite values.

    >>> estimate_mean([1.0, 2.0, 3.0, float("nan")])
    Estimate(mean=2.0, sd=1.0, n=3)
    """
    finite = [value for value in map(float, values) if math.isfinite(value)]
    if not finite:
        return Estimate(None, None, 0)
    # fmean of equal values may differ from them in the last digit
    mean, sd = (finite[0], 0.0) if are_alike(finite) else (_compute_mean(finite), statistics.stdev(finite))
    return Estimate(mean, sd if len(finite) > 1 else None, len(finite))


def _compute_mean(values: Sequence[float]) -> float:
    """The mean; values that cancel each other but for the rounding of floats have none but 0."""
    mean = statistics.fmean(values)
    return mean if abs(mean) > ROUNDING * max(map(abs, values)) else 0.0


def are_alike(values: Sequence[float], magnitude: float = 0.0, rounding: float = ROUNDING) -> bool:
    """Whether all values are equal up to rounding, of themselves or of the magnitude of what they were taken from.

    >>> are_alike([0.1 + 0.2, 0.3]), are_alike([0.3 - 0.2, 0.4 - 0.3], magnitude=0.4), are_alike([1e-9, 2e-9])
    (True, True, False)
    """
    largest = max((magnitude, *map(abs, values)))
    return max(values, default=0.0) - min(values, default=0.0) <= rounding * largest


def explain_no_interval(n: int) -> str:
    """Explain why n values have no interval: `equal in all 3 seeds`, `one seed`."""
    if n == 0:
        return "no seed"
    return "one seed" if n == 1 else f"equal in all {n} seeds"


def compute_interval(
    values: Sequence[float], confidence: float = 0.95, magnitude: float = 0.0
) -> tuple[float, float] | None:
    """Student-t confidence interval of the mean; None for fewer than two finite values, and where all agree.

    magnitude: of what the values were taken from, as for `alike`. Raises ValueError unless 0 < confidence < 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    mean, sd, n = estimate_mean(values)
    if mean is None or sd is None or are_alike([value for value in values if math.isfinite(value)], magnitude, SINGLE):
        return None
    half = student_quantile((1 + confidence) / 2, n - 1) * sd / math.sqrt(n)
    return mean - half, mean + half


def paired_difference(left: Mapping[int, float], right: Mapping[int, float], confidence: float = 0.95) -> Difference:
    """Difference left - right over the seeds that both have: the influence of a seed on both cancels.

    left, right: value by seed. Raises ValueError unless 0 < confidence < 1.
    """
    seeds = [seed for seed in left if seed in right]
    differences, magnitude = subtract_pairs([left[seed] for seed in seeds], [right[seed] for seed in seeds])
    mean, sd, n = estimate_mean(differences)
    low, high = compute_interval(differences, confidence, magnitude) or (None, None)
    if sd is not None and low is None:
        mean, sd = differences[0], 0.0
    return Difference(mean, sd, n, low, high)


def subtract_pairs(left: Sequence[float], right: Sequence[float]) -> tuple[list[float], float]:
    """Left less right, one by one, and the largest magnitude on either side. What is rounding alone is zero.

    >>> subtract_pairs([0.1 + 0.2], [0.3])
    ([0.0], 0.30000000000000004)
    """
    pairs = list(zip(left, right, strict=True))
    differences = [0.0 if are_alike(pair, rounding=SINGLE) else pair[0] - pair[1] for pair in pairs]
    return differences, max(map(abs, (*left, *right)), default=0.0)


@cache
def student_quantile(probability: float, freedom: int) -> float:
    """The quantile of Student's t with so many degrees of freedom."""
    from scipy.special import stdtrit  # slow to import: only a report that has intervals waits for it

    return float(stdtrit(freedom, probability))
