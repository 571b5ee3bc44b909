"""Verdicts on claims, against intervals worked out by hand."""

from __future__ import annotations

import math

import pytest

from harness.suites.claims import Side, judge
from harness.suites.entries import Claim, Quantity

LEFT, RIGHT = Quantity("a", "nll"), Quantity("b", "nll")
T_TWO_SEEDS = 12.706204736432095  # 97.5 % quantile of Student's t with 1 degree of freedom, from tables


def ratio(left: dict[int, float], right: dict[int, float], **bounds: float):
    return judge(Claim("words", LEFT, over=RIGHT, **bounds), Side(left), Side(right))


def test_the_ratio_is_taken_seed_by_seed():
    """The mean of 2/1 and 9/3 is 2.5; the ratio of the means would be 2.75."""
    found = ratio({0: 2.0, 1: 9.0}, {0: 1.0, 1: 3.0}, at_least=-100)
    half = T_TWO_SEEDS * math.sqrt(0.5) / math.sqrt(2)
    assert found.measured == 2.5
    assert (found.low, found.high) == (pytest.approx(2.5 - half), pytest.approx(2.5 + half))
    assert (found.verdict, found.n) == ("holds", 2)


def test_the_difference_is_taken_seed_by_seed():
    claim = Claim("words", LEFT, minus=RIGHT, at_least=0.5, at_most=1.5)
    found = judge(claim, Side({0: 5.0, 1: 8.0}), Side({0: 4.0, 1: 7.0}))
    assert (found.measured, found.low, found.high, found.verdict) == (1.0, 1.0, 1.0, "holds")


def test_a_claim_about_one_quantity():
    found = judge(Claim("words", LEFT, at_least=0.9), Side({0: 0.95, 1: 0.95, 2: 0.95}), None)
    assert (found.measured, found.n, found.verdict) == (0.95, 3, "holds")


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
def test_counts_that_agree_are_decided_by_the_number_itself(bounds, verdict):
    found = ratio({0: 8.0, 1: 8.0}, {0: 4.0, 1: 4.0}, **bounds)
    assert (found.verdict, found.low, found.high, found.n) == (verdict, 2.0, 2.0, 2)


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
    found = ratio({0: 2.0, 1: 2.0, 5: 100.0}, {0: 1.0, 1: 1.0, 7: 0.1}, at_most=2.0)
    assert (found.measured, found.n, found.verdict) == (2.0, 2, "holds")
    nothing = ratio({0: 1.0}, {1: 1.0}, at_most=2.0)
    assert (nothing.verdict, nothing.measured, nothing.reason) == ("not measured", None, "no seed has both sides")


def test_what_is_missing_is_said_whether_or_not_something_is_left():
    claim = Claim("words", LEFT, over=RIGHT, at_most=1)
    nothing = judge(claim, Side({0: 1.0}), Side(missing="no record of b"))
    assert (nothing.verdict, nothing.reason) == ("not measured", "no record of b")
    some = judge(claim, Side({0: 1.0, 1: 1.0}), Side({0: 1.0, 1: 1.0}, missing="b seed 2: timeout"))
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
    counted = [Side({0: 8.0, 1: 8.0}, lower_bound=left), Side({0: 4.0, 1: 4.0}, lower_bound=right)]
    found = judge(claim, *counted)
    assert (found.verdict, found.measured, found.low, found.high) == (verdict, 2.0, 2.0, 2.0)
    assert len(found.notes) == bool(left) + bool(right)
    assert all("counts at least" in note for note in found.notes)


def test_a_difference_is_lowered_without_end_by_what_was_not_counted():
    claim = Claim("words", LEFT, minus=RIGHT, at_least=-1e9)
    values = {0: 8.0, 1: 8.0}
    assert judge(claim, Side(values), Side(values, lower_bound="some")).verdict == "open"
    assert judge(claim, Side(values), Side(values)).verdict == "holds"
