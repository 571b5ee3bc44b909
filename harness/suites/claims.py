"""Judging claims: a ratio or a difference of two methods, paired by seed, against the bounds of the claim. Pure.

What a seed does to both sides cancels, so the ratio (or difference) is taken seed by seed; the verdict is about the
95 % Student-t interval of its mean:

- holds: the whole interval lies within the bounds.
- fails: the whole interval lies outside, below `at_least` or above `at_most`.
- open: the interval crosses a bound, there is none, or seeds are lacking: what is left are survivors.
- not measured: no seed has both sides, or both are not of the same data; the reason says why.

Two kinds of numbers have no interval. A count (`Metric.exact`) repeats exactly over seeds, so its value decides by
itself, and one seed is enough; where values differ after all, it is judged like any other quantity. What is equal in
all seeds though it need not be shows no spread to reckon with, which is not to have none: it decides nothing, but for
one case. Two sides that are the same number in each of at least three seeds (difference 0, ratio 1) bear out a claim
with that number strictly within its bounds: they compute the same.

A side that is only a lower bound (operations without a formula were left out) opens the interval on the side where the
truth may lie further out.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from harness.statistics import SINGLE, are_alike, compute_interval, estimate_mean, explain_no_interval, subtract_pairs
from harness.suites.entries import Claim, Quantity
from harness.words import list_seeds

Verdict = Literal["holds", "fails", "open", "not measured"]

COUNT = "count"
FEWEST_EQUAL = 3  # seeds in which both sides are the same number before that bears out a claim


@dataclass(frozen=True)
class Side:
    """One quantity by seed. missing: why seeds are absent. lower_bound: why the values may be too low.

    planned: the seeds that there should be. exact: whether the quantity is a count, which repeats exactly over seeds.
    """

    values: Mapping[int, float] = field(default_factory=dict)
    missing: str = ""
    lower_bound: str = ""
    planned: Collection[int] = ()
    exact: bool = False


@dataclass(frozen=True)
class Judgement:
    """A claim with its verdict. measured: the mean over n seeds; low, high: its interval, None where there is none.

    reason: why it is not measured or not decided. notes: what else to know of the numbers. no_interval: why there is
    none: `count`, `one seed`, `equal in all 3 seeds`.
    """

    claim: Claim
    verdict: Verdict
    measured: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    reason: str = ""
    notes: tuple[str, ...] = ()
    no_interval: str = ""


@dataclass(frozen=True)
class _Compared:
    """The quantity that a claim is about, by seed. same: the number that both sides have if they compute the same.

    magnitude: of what was subtracted. lacking: seeds that one of the sides should have and has not.
    """

    values: list[float]
    reason: str
    lacking: list[int]
    magnitude: float = 0.0
    same: float | None = None


def judge(claim: Claim, left: Side, right: Side | None, apart: str = "") -> Judgement:
    """The verdict on a claim from its two sides; right is None for a claim about `left` alone.

    apart: why the two may not be compared, such as different data; empty where they may.
    """
    sides = [(claim.left, left), *([(claim.right, right)] if claim.right and right else [])]
    notes = tuple(note for quantity, side in sides for note in _note_side(quantity, side))
    if apart:
        return Judgement(claim, "not measured", reason=apart, notes=notes)
    compared = _compare_sides(claim, left, right)
    mean, _, n = estimate_mean(compared.values)
    if mean is None:
        return Judgement(claim, "not measured", reason=compared.reason or "no seed has both sides", notes=notes)
    if all(_is_counted(side) for _, side in sides):
        return _decide(Judgement(claim, "open", mean, n=n, notes=notes, no_interval=COUNT), compared, left, right)
    found = compute_interval(compared.values, magnitude=compared.magnitude)
    low, high = found or (None, None)
    why = "" if found else explain_no_interval(n)
    return _decide(Judgement(claim, "open", mean, low, high, n, "", notes, why), compared, left, right)


def _decide(found: Judgement, compared: _Compared, left: Side, right: Side | None) -> Judgement:
    """The judgement with its verdict, and the reason where that is open."""
    assert found.measured is not None
    if found.no_interval != COUNT and compared.lacking:
        survivors = f"over survivors: lacks {list_seeds(compared.lacking)}"
        return replace(found, reason=_join_reasons(survivors, compared.reason))
    if found.low is not None and found.high is not None:
        limits = (found.low, found.high)
    elif found.no_interval == COUNT or _bears_out_equality(found, compared):
        limits = (found.measured, found.measured)
    else:
        return replace(found, reason=_join_reasons(_explain_undecided(found.n), compared.reason))
    verdict = _find_verdict(found.claim, *_open_interval(found.claim, limits, left, right))
    opened = _find_verdict(found.claim, *limits) != "open"
    crossed = "an uncounted part decides" if opened else "the interval crosses a bound"
    return replace(found, verdict=verdict, reason=crossed if verdict == "open" else compared.reason)


def _bears_out_equality(found: Judgement, compared: _Compared) -> bool:
    """Whether both sides are the same number in enough seeds, and that lies strictly within the bounds."""
    same, claim = compared.same, found.claim
    if same is None or found.n < FEWEST_EQUAL or not are_alike([same, *compared.values], compared.magnitude, SINGLE):
        return False
    return (claim.at_least is None or claim.at_least < same) and (claim.at_most is None or same < claim.at_most)


def _explain_undecided(n: int) -> str:
    return "one seed gives no interval" if n == 1 else f"{explain_no_interval(n)}, which gives no interval"


def _is_counted(side: Side) -> bool:
    return side.exact and len({*side.values.values()}) <= 1


def _note_side(quantity: Quantity, side: Side) -> Iterator[str]:
    if side.lower_bound:
        yield f"{quantity} counts at least: {side.lower_bound}"
    if side.exact and not _is_counted(side):
        yield f"{quantity} is called a count but differs between seeds, so it is judged like any other quantity"


def _compare_sides(claim: Claim, left: Side, right: Side | None) -> _Compared:
    """Compare left with right, as ratio or difference, by seed, with reasons for missing seeds."""
    if right is None:
        return _Compared(list(left.values.values()), left.missing, _find_lacking(left.values, left))
    reasons = dict.fromkeys(side.missing for side in (left, right) if side.missing)
    pairs = {seed: (value, right.values[seed]) for seed, value in left.values.items() if seed in right.values}
    if claim.minus is not None:
        differences, magnitude = subtract_pairs(
            [one for one, _ in pairs.values()], [other for _, other in pairs.values()]
        )
        return _Compared(differences, "; ".join(reasons), _find_lacking(pairs, left, right), magnitude, 0.0)
    if any(other == 0 for _, other in pairs.values()):
        reasons[f"{claim.right} is 0"] = None
    ratios = {seed: value / other for seed, (value, other) in pairs.items() if other}
    finite = {seed: ratio for seed, ratio in ratios.items() if math.isfinite(ratio)}
    return _Compared(list(finite.values()), "; ".join(reasons), _find_lacking(finite, left, right), same=1.0)


def _find_lacking(found: Collection[int], *sides: Side) -> list[int]:
    """Seeds that one side was planned for, or has, and that could not be compared."""
    return sorted({seed for side in sides for seed in (*side.planned, *side.values)} - {*found})


def _join_reasons(*reasons: str) -> str:
    return "; ".join(filter(None, reasons))


def _open_interval(claim: Claim, found: tuple[float, float], left: Side, right: Side | None) -> tuple[float, float]:
    """Open the interval: more on the left raises the compared value; more on the right lowers it, a ratio to zero."""
    low, high = found
    if left.lower_bound:
        high = math.inf
    if right is not None and right.lower_bound:
        low = 0.0 if claim.over is not None else -math.inf
    return low, high


def _find_verdict(claim: Claim, low: float, high: float) -> Verdict:
    at_least = -math.inf if claim.at_least is None else claim.at_least
    at_most = math.inf if claim.at_most is None else claim.at_most
    if at_least <= low and high <= at_most:
        return "holds"
    return "fails" if high < at_least or low > at_most else "open"
