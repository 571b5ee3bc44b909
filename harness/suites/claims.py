"""Judging claims: a ratio or a difference of two methods, paired by seed, against the bounds of the claim. Pure.

What a seed does to both sides cancels, so the ratio (or difference) is taken seed by seed; the verdict is about the
95 % Student-t interval of its mean:

- holds: the whole interval lies within the bounds.
- fails: the whole interval lies outside, below `at_least` or above `at_most`.
- open: the interval crosses a bound, or one seed alone gives no interval. More seeds may decide it.
- not measured: no seed has both sides; the reason says why.

A quantity whose seeds all agree, as counts of operations do, has an interval of width zero. A side that is only a lower
bound (operations without a formula were left out) opens the interval on the side where the truth may lie further out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.statistics import estimate, interval
from harness.suites.entries import Claim

Verdict = Literal["holds", "fails", "open", "not measured"]


@dataclass(frozen=True)
class Side:
    """One quantity by seed. missing: why seeds are absent. lower_bound: why the values may be too low."""

    values: Mapping[int, float] = field(default_factory=dict)
    missing: str = ""
    lower_bound: str = ""


@dataclass(frozen=True)
class Judgement:
    """A claim with its verdict. measured: the mean over n seeds; low, high: its interval, None for fewer than two.

    reason: why it is not measured or not decided. notes: what else to know of the numbers.
    """

    claim: Claim
    verdict: Verdict
    measured: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    reason: str = ""
    notes: tuple[str, ...] = ()


def judge(claim: Claim, left: Side, right: Side | None) -> Judgement:
    """The verdict on a claim from its two sides; right is None for a claim about `left` alone."""
    notes = tuple(
        f"{quantity} counts at least: {side.lower_bound}"
        for quantity, side in ((claim.left, left), (claim.right, right))
        if side is not None and side.lower_bound
    )
    values, reason = _compared(claim, left, right)
    mean, _, n = estimate(values)
    if mean is None:
        return Judgement(claim, "not measured", reason=reason or "no seed has both sides", notes=notes)
    found = interval(values)
    if found is None:
        return Judgement(claim, "open", mean, n=n, reason="one seed gives no interval", notes=notes)
    verdict = _verdict(claim, *_opened(claim, found, left, right))
    undecided = "an uncounted part decides" if _verdict(claim, *found) != "open" else "the interval crosses a bound"
    return Judgement(claim, verdict, mean, *found, n, undecided if verdict == "open" else reason, notes)


def _compared(claim: Claim, left: Side, right: Side | None) -> tuple[list[float], str]:
    """Left, its ratio or its difference, by seed, and why seeds are missing."""
    if right is None:
        return list(left.values.values()), left.missing
    reasons = dict.fromkeys(side.missing for side in (left, right) if side.missing)
    pairs = [(value, right.values[seed]) for seed, value in left.values.items() if seed in right.values]
    if claim.minus is not None:
        return [value - other for value, other in pairs], "; ".join(reasons)
    if any(other == 0 for _, other in pairs):
        reasons[f"{claim.right} is 0"] = None
    ratios = (value / other for value, other in pairs if other)
    return [ratio for ratio in ratios if math.isfinite(ratio)], "; ".join(reasons)


def _opened(claim: Claim, found: tuple[float, float], left: Side, right: Side | None) -> tuple[float, float]:
    """More on the left raises what is compared; more on the right lowers it, a ratio down to zero."""
    low, high = found
    if left.lower_bound:
        high = math.inf
    if right is not None and right.lower_bound:
        low = 0.0 if claim.over is not None else -math.inf
    return low, high


def _verdict(claim: Claim, low: float, high: float) -> Verdict:
    at_least = -math.inf if claim.at_least is None else claim.at_least
    at_most = math.inf if claim.at_most is None else claim.at_most
    if at_least <= low and high <= at_most:
        return "holds"
    return "fails" if high < at_least or low > at_most else "open"
