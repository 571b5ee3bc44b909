"""The difference that so many seeds can show, and the seeds that a difference needs: paired t tests. Pure."""

from __future__ import annotations

import math

MOST_SEEDS = 10_000


def compute_power(difference: float, sd: float, n: int, level: float = 0.05) -> float:
    """The chance that a two-sided paired t test of n seeds finds a difference whose seeds scatter by sd.

    By the noncentral t distribution (Cohen 1988, chapter 2).
    """
    from scipy.special import nctdtr, stdtrit

    if n < 2:
        return 0.0
    bound, shift = float(stdtrit(n - 1, 1 - level / 2)), math.sqrt(n) * abs(difference) / sd
    return float(1 - nctdtr(n - 1, shift, bound) + nctdtr(n - 1, shift, -bound))


def find_least_difference(sd: float, n: int, power: float = 0.8, level: float = 0.05) -> float | None:
    """The difference that n seeds find with this power; None below two seeds."""
    if n < 2:
        return None
    if not sd:
        return 0.0
    low, high = 0.0, sd
    while compute_power(high, sd, n, level) < power:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if compute_power(middle, sd, n, level) < power else (low, middle)
    return high


def find_seeds_needed(difference: float, sd: float, power: float = 0.8, level: float = 0.05) -> int | None:
    """The fewest seeds that find this difference with this power; None where it would take more than MOST_SEEDS."""
    if not difference:
        return None
    low, high = 1, 2
    while compute_power(difference, sd, high, level) < power:
        low, high = high, high * 2
        if high > MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if compute_power(difference, sd, middle, level) < power else (low, middle)
    return high
