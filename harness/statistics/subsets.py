"""The best of some of what was tried, expected over all subsets in closed form. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence


def weigh_best(n: int, k: int) -> list[float]:
    """The chance of each of n, the best first, to be the best of k that are drawn without replacement.

    >>> weigh_best(3, 1), weigh_best(3, 2)
    ([0.3333333333333333, 0.3333333333333333, 0.3333333333333333], [0.6666666666666666, 0.3333333333333333, 0.0])
    """
    return [math.comb(n - 1 - place, k - 1) / math.comb(n, k) for place in range(n)]


def expect_best(values: Sequence[float], n: int, k: int) -> float | None:
    """The mean, over all subsets of k of n, of the value that belongs to the best of each. values: of the best first;
    the n - len(values) others ended without one. None where some subsets hold none but such.
    """
    if k <= n - len(values):
        return None
    return math.fsum(weight * value for weight, value in zip(weigh_best(n, k), values, strict=False))
