"""Tests of paired differences: Student's t, sign flips, McNemar's, and Holm's correction for several rivals. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.statistics import estimate_mean

MOST_EXACT = 20  # pairs up to which every assignment of signs is counted
DRAWS = 100_000  # assignments drawn beyond that
CELLS = 2**22  # signs held at a time


def t_test(differences: Sequence[float]) -> float | None:
    """The two-sided p-value of Student's t that the mean difference is 0; None below two, and where all are equal."""
    mean, sd, n = estimate_mean(differences)
    if not mean or not sd:
        return 1.0 if sd else None
    from scipy.special import stdtr

    return float(2 * stdtr(n - 1, -abs(mean) / (sd / math.sqrt(n))))


def sign_flip_test(differences: Sequence[float], seed: int = 0) -> float:
    """The two-sided p-value that differences are as likely to have either sign: the share of assignments of signs whose
    mean is at least as far from 0. All are counted up to MOST_EXACT pairs, DRAWS are drawn beyond (Davison and Hinkley
    1997, section 4.3: the one that was seen counts as drawn).
    """
    values = np.asarray(differences, float)
    seen, n = abs(values.sum()), len(values)
    rounding = 1e-12 * np.abs(values).sum()
    if n <= MOST_EXACT:
        sums = np.zeros(1)
        for value in values[1:]:  # the first sign is fixed: the other half mirrors this one
            sums = np.concatenate([sums - value, sums + value])
        sums = sums + (values[0] if n else 0.0)
        return float(np.mean(np.abs(sums) >= seen - rounding))
    generator, far, step = np.random.default_rng(seed), 0, CELLS // n
    for start in range(0, DRAWS, step):
        signs = generator.choice((-1.0, 1.0), size=(min(step, DRAWS - start), n))
        far += int(np.count_nonzero(np.abs(signs @ values) >= seen - rounding))
    return (far + 1) / (DRAWS + 1)


def least_sign_flip_p(n: int) -> float:
    """The smallest p-value that the sign-flip test of n pairs can have.

    >>> least_sign_flip_p(6)
    0.03125
    """
    return min(1.0, 2.0 / 2.0**n)


def pairs_to_decide(comparisons: int, level: float = 0.05) -> int:
    """The fewest pairs with which the sign-flip test can decide at this level over so many comparisons.

    >>> pairs_to_decide(1), pairs_to_decide(5)
    (6, 8)
    """
    n = 1
    while least_sign_flip_p(n) > level / comparisons:
        n += 1
    return n


def mcnemar_test(left_alone: int, right_alone: int) -> float:
    """McNemar's exact two-sided p-value: left_alone examples that the left method alone gets right, and right_alone.

    >>> mcnemar_test(0, 5)
    0.0625
    """
    from scipy.special import bdtr

    discordant = left_alone + right_alone
    return min(1.0, float(2 * bdtr(min(left_alone, right_alone), discordant, 0.5))) if discordant else 1.0


def adjust_holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the given order (Holm 1979).

    >>> adjust_holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def simultaneous_confidence(comparisons: int, confidence: float = 0.95) -> float:
    """The confidence of each interval with which so many hold together at `confidence` (Bonferroni)."""
    return 1 - (1 - confidence) / max(1, comparisons)
