"""Verdicts on claims, against intervals worked out by hand."""

from __future__ import annotations

import math

import pytest

from harness.suites.claims import Side, judge
from harness.suites.entries import Claim, Quantity

LEFT, RIGHT = Quantity("a", "nll"), Quantity("b", "nll")
T_TWO_SEEDS = 12.706204736432095  # 97.5 % quantile of Student's t with 1 degree of freedom, from tables


def ratio(left: dict[int, float], right: dict[int, float], exact: bool = False, **bounds: float):
    sides = (Side(values, exact=exact) for values in (left, right))
    return judge(Claim("words", LEFT, over=RIGHT, **bounds), *sides)


def difference(left: dict[int, float], right: dict[int, float], **bounds: float):
    return judge(Claim("words", LEFT, minus=RIGHT, **bounds), Side(left), Side(right))


def test_the_ratio_is_taken_seed_by_seed():
    """The mean of 2/1 and 9/3 is 2.5; the ratio of the means would be 2.75."""
    found = ratio({0: 2.0, 1: 9.0}, {0: 1.0, 1: 3.0}, at_least=-100)
    half = T_TWO_SEEDS * math.sqrt(0.5) / math.sqrt(2)
    assert found.measured == 2.5
    assert (found.low, found.high) == (pytest.approx(2.5 - half), pytest.approx(2.5 + half))
    assert (found.verdict, found.n) == ("holds", 2)


def test_the_difference_is_taken_seed_by_seed():
    claim = Claim("words", LEFT, minus=RIGHT, at_least=-20, at_most=20)
    found = judge(claim, Side({0: 5.0, 1: 8.0}), Side({0: 4.0, 1: 6.0}))
    half = T_TWO_SEEDS * 0.5
    assert (found.measured, found.low, found.high) == (1.5, pytest.approx(1.5 - half), pytest.approx(1.5 + half))
    assert (found.verdict, found.no_interval) == ("holds", "")


def test_a_claim_about_one_quantity():
    found = judge(Claim("words", LEFT, at_least=0.9), Side({0: 0.95, 1: 0.951, 2: 0.95}), None)
    assert (found.measured, found.n, found.verdict) == (pytest.approx(0.95033, abs=1e-5), 3, "holds")


@pytest.mark.parametrize(
    "bounds, verdict",
    [
        ({"at_least": 1.9, "at_most": 2.0}, "holds"),
        ({"at_least": 2.0, "at_most": 2.0}, "holds"),
        ({"at_most": 2.0}, "holds"),
        ({"at_least": 2.0}, "holds"),
        ({"at_least": 2.1}, "fails"),
        ({"at_most": 1.9}, "fails"),
        ({"at_least": 2.1, "at_most": 2.2}, "fails"),
    ],
    ids=str,
)
@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_counts_are_decided_by_the_number_itself(bounds, verdict, seeds):
    found = ratio(dict.fromkeys(range(seeds), 8.0), dict.fromkeys(range(seeds), 4.0), exact=True, **bounds)
    assert (found.verdict, found.measured, found.low, found.high) == (verdict, 2.0, None, None)
    assert (found.n, found.no_interval) == (seeds, "count")


def test_a_count_that_varies_is_none():
    found = ratio({0: 8.0, 1: 8.1}, {0: 4.0, 1: 4.0}, exact=True, at_least=1.9)
    assert (found.verdict, found.no_interval) == ("open", "")
    assert found.notes == (
        "a.nll is called a count but differs between seeds, so it is judged like any other quantity",
    )
    single = judge(Claim("words", LEFT, at_least=1.9), Side({0: 8.0, 1: 8.1}, exact=True), None)
    assert (single.verdict, single.low is None) == ("holds", False)


def test_one_side_that_is_no_count_makes_none_of_the_ratio():
    sides = Side({0: 8.0, 1: 8.0}, exact=True), Side({0: 4.0, 1: 4.0})
    found = judge(Claim("words", LEFT, over=RIGHT, at_least=1.9), *sides)
    assert (found.verdict, found.no_interval) == ("open", "equal in all 2 seeds")


@pytest.mark.parametrize("n", [2, 3, 10])
@pytest.mark.parametrize("bounds", [{"at_least": 0.0}, {"at_most": 5.0}, {"at_least": 1.0, "at_most": 3.0}], ids=str)
def test_what_is_equal_in_all_seeds_shows_no_spread_and_decides_nothing(n, bounds):
    """Scores of few test rows often agree: that their difference does is no interval of width zero."""
    left, right = ({seed: start + seed for seed in range(n)} for start in (5.0, 3.0))
    found = difference(left, right, **bounds)
    assert (found.verdict, found.measured, found.low, found.high) == ("open", 2.0, None, None)
    assert found.no_interval == f"equal in all {n} seeds"
    doubled = {seed: 2 * value for seed, value in left.items()}
    assert ratio(doubled, left, **bounds).no_interval == f"equal in all {n} seeds"
    assert ratio(doubled, left, **bounds).verdict == "open"
    assert judge(Claim("words", LEFT, at_least=0.0), Side(dict.fromkeys(range(n), 0.9)), None).verdict == "open"


@pytest.mark.parametrize(
    "n, bounds, verdict",
    [
        (2, {"at_least": -0.01}, "open"),
        (3, {"at_least": -0.01}, "holds"),
        (3, {"at_most": 0.01}, "holds"),
        (3, {"at_least": -0.01, "at_most": 0.01}, "holds"),
        (3, {"at_least": 0.0}, "open"),
        (3, {"at_most": 0.0}, "open"),
        (3, {"at_least": 0.0, "at_most": 0.0}, "open"),
        (3, {"at_least": 0.01}, "open"),
        (3, {"at_most": -0.01}, "open"),
    ],
    ids=str,
)
def test_the_same_number_on_both_sides_in_three_seeds_bears_a_claim_out(n, bounds, verdict):
    left = {seed: 0.1 + 0.2 + seed for seed in range(n)}
    right = {seed: 0.3 + seed for seed in range(n)}  # equal up to rounding
    found = difference(left, right, **bounds)
    assert (found.verdict, found.measured, found.no_interval) == (verdict, 0.0, f"equal in all {n} seeds")
    around = {name: 1 + value for name, value in bounds.items()}
    assert ratio(left, right, **around).verdict == verdict


def test_survivors_decide_nothing():
    claim = Claim("words", LEFT, minus=RIGHT, at_least=-100)
    left, right = Side({0: 0.9, 1: 0.8, 2: 0.7}), Side({0: 0.8, 1: 0.75}, "b seed 2: diverged", planned=(0, 1, 2))
    found = judge(claim, left, right)
    assert (found.verdict, found.n) == ("open", 2)
    assert found.reason == "over survivors: lacks seed 2; b seed 2: diverged"
    alone = judge(Claim("words", LEFT, at_least=0.1), Side({0: 0.9, 1: 0.8}, planned=range(5)), None)
    assert (alone.verdict, alone.reason) == ("open", "over survivors: lacks seeds 2, 3, 4")
    counts = judge(
        claim, *(Side(side.values, side.missing, planned=side.planned, exact=True) for side in (left, right))
    )
    assert counts.verdict == "open", "no count: it varies"
    steady = judge(claim, Side({0: 9.0}, planned=(0, 1), exact=True), Side({0: 5.0}, exact=True))
    assert (steady.verdict, steady.measured) == ("holds", 4.0)


def test_what_may_not_be_compared_is_not_measured():
    claim = Claim("words", LEFT, minus=RIGHT, at_least=-100)
    found = judge(claim, Side({0: 1.0}), Side({0: 1.0}), "over different data")
    assert (found.verdict, found.measured, found.reason) == ("not measured", None, "over different data")


@pytest.mark.parametrize(
    "bounds, verdict",
    [
        ({"at_least": -11.0, "at_most": 15.0}, "holds"),
        ({"at_least": 0.0}, "open"),
        ({"at_most": 2.0}, "open"),
        ({"at_least": 1.9, "at_most": 2.1}, "open"),
        ({"at_least": 15.0}, "fails"),
        ({"at_most": -11.0}, "fails"),
    ],
    ids=str,
)
def test_noisy_ratios_are_decided_by_their_whole_interval(bounds, verdict):
    """Ratios 1 and 3: mean 2, deviation sqrt(2), so the interval is 2 +- 12.7."""
    found = ratio({0: 1.0, 1: 3.0}, {0: 1.0, 1: 1.0}, **bounds)
    assert (found.low, found.high) == (pytest.approx(2 - T_TWO_SEEDS), pytest.approx(2 + T_TWO_SEEDS))
    assert found.verdict == verdict
    assert ("crosses a bound" in found.reason) == (verdict == "open")


def test_one_seed_decides_nothing():
    found = ratio({0: 8.0}, {0: 4.0}, at_least=1.9)
    assert (found.verdict, found.measured, found.low, found.high, found.n) == ("open", 2.0, None, None, 1)
    assert found.reason == "one seed gives no interval"


def test_only_seeds_that_both_sides_have_are_compared():
    found = ratio({0: 2.0, 1: 2.2, 5: 100.0}, {0: 1.0, 1: 1.0, 7: 0.1}, at_most=20.0)
    assert (found.measured, found.n, found.verdict) == (pytest.approx(2.1), 2, "open")
    assert found.reason == "over survivors: lacks seeds 5, 7"
    nothing = ratio({0: 1.0}, {1: 1.0}, at_most=2.0)
    assert (nothing.verdict, nothing.measured, nothing.reason) == ("not measured", None, "no seed has both sides")


def test_what_is_missing_is_said_whether_or_not_something_is_left():
    claim = Claim("words", LEFT, over=RIGHT, at_most=1)
    nothing = judge(claim, Side({0: 1.0}), Side(missing="no record of b"))
    assert (nothing.verdict, nothing.reason) == ("not measured", "no record of b")
    counts = [Side({0: 1.0, 1: 1.0}, missing=missing, exact=True) for missing in ("", "b seed 2: timeout")]
    some = judge(claim, *counts)
    assert (some.verdict, some.n, some.reason) == ("holds", 2, "b seed 2: timeout")


def test_a_ratio_over_zero_is_no_number():
    found = ratio({0: 1.0}, {0: 0.0}, at_most=1)
    assert (found.verdict, found.reason) == ("not measured", "b.nll is 0")


@pytest.mark.parametrize(
    "left, right, bounds, verdict",
    [
        ("some", "", {"at_least": 1.9}, "holds"),
        ("some", "", {"at_most": 2.5}, "open"),
        ("some", "", {"at_most": 1.5}, "fails"),
        ("some", "", {"at_least": 2.5}, "open"),
        ("", "some", {"at_most": 2.5}, "holds"),
        ("", "some", {"at_least": 1.9}, "open"),
        ("", "some", {"at_least": 2.5}, "fails"),
        ("some", "some", {"at_least": 2.5}, "open"),
        ("some", "some", {"at_least": 0.0}, "holds"),
    ],
)
def test_a_side_that_is_only_a_lower_bound_decides_one_way_only(left, right, bounds, verdict):
    """Counted 8 over 4: more on the left can only raise the ratio 2, more on the right can only lower it."""
    claim = Claim("words", LEFT, over=RIGHT, **bounds)
    counted = [
        Side({0: 8.0, 1: 8.0}, lower_bound=left, exact=True),
        Side({0: 4.0, 1: 4.0}, lower_bound=right, exact=True),
    ]
    found = judge(claim, *counted)
    assert (found.verdict, found.measured) == (verdict, 2.0)
    assert len(found.notes) == bool(left) + bool(right)
    assert all("counts at least" in note for note in found.notes)


def test_a_difference_is_lowered_without_end_by_what_was_not_counted():
    claim = Claim("words", LEFT, minus=RIGHT, at_least=-1e9)
    counted, bounded = (Side({0: 8.0, 1: 8.0}, lower_bound=bound, exact=True) for bound in ("", "some"))
    assert judge(claim, counted, bounded).verdict == "open"
    assert judge(claim, counted, counted).verdict == "holds"
