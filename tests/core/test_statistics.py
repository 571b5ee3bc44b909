"""Means and intervals against scipy and by hand."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from scipy import stats

from harness.statistics import Estimate, compute_interval, estimate_mean, paired_difference

VALUES = [0.981, 0.984, 0.979, 0.99, 0.985]


def test_mean_and_sample_deviation():
    mean, sd, n = estimate_mean(VALUES)
    assert (mean, sd, n) == (pytest.approx(np.mean(VALUES)), pytest.approx(np.std(VALUES, ddof=1)), 5)


@pytest.mark.parametrize(
    "values, expected",
    [
        ([], Estimate(None, None, 0)),
        ([math.nan, math.inf], Estimate(None, None, 0)),
        ([2.0], Estimate(2.0, None, 1)),
        ([2.0, math.nan], Estimate(2.0, None, 1)),
        ([1, 3, math.nan], Estimate(2.0, math.sqrt(2), 2)),
        ([0.1, 0.1, 0.1], Estimate(0.1, 0.0, 3)),
    ],
)
def test_few_and_missing_values(values, expected):
    assert estimate_mean(values) == expected


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 30, 101])
def test_interval_agrees_with_scipy(n, confidence):
    values = np.random.default_rng(n).normal(7, 2, n).tolist()
    expected = stats.t.interval(confidence, n - 1, np.mean(values), stats.sem(values))
    assert compute_interval(values, confidence) == pytest.approx(expected, rel=1e-9)


def test_interval_by_hand():
    """Student's t at 0.975 with two degrees of freedom is 4.302653."""
    low, high = compute_interval([1.0, 2.0, 3.0])
    assert (low, high) == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)), abs=1e-6)


def test_one_value_has_no_interval():
    assert compute_interval([1.0]) is None
    assert compute_interval([1.0, math.nan]) is None


@pytest.mark.parametrize("confidence", [0, 1, 95, -0.1])
def test_a_confidence_that_is_none(confidence):
    with pytest.raises(ValueError, match="between 0 and 1"):
        compute_interval(VALUES, confidence)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    random = np.random.default_rng(0)
    intervals = [compute_interval(random.normal(7, 2, 3).tolist(), 0.9) for _ in range(2000)]
    assert np.mean([low <= 7 <= high for low, high in intervals]) == pytest.approx(0.9, abs=0.02)


def test_a_paired_difference_cancels_the_seed():
    """The seeds differ by tenths, the methods by a thousandth: paired, the thousandth shows."""
    left = {0: 0.501, 1: 0.702, 2: 0.901}
    right = {2: 0.9, 1: 0.7, 0: 0.5, 9: 0.1}
    difference = paired_difference(left, right)
    reference = stats.ttest_rel([0.501, 0.702, 0.901], [0.5, 0.7, 0.9])
    low, high = reference.confidence_interval(0.95)
    assert difference.n == 3
    assert difference.mean == pytest.approx(0.004 / 3)
    assert (difference.low, difference.high) == pytest.approx((low, high), rel=1e-6)


def test_too_few_pairs():
    assert paired_difference({0: 2.0}, {0: 1.0, 1: 5.0}) == (1.0, None, 1, None, None)
    assert paired_difference({0: 2.0}, {1: 1.0}) == (None, None, 0, None, None)


def test_differences_that_cancel_each_other_have_a_mean_of_zero_and_not_what_rounding_leaves():
    left = {seed: right / 359 for seed, right in enumerate((355, 352, 355))}  # right of 359 images
    right = {seed: right / 359 for seed, right in enumerate((353, 353, 356))}
    found = paired_difference(left, right)
    assert statistics.fmean(left[seed] - right[seed] for seed in left) != 0  # floats do not cancel
    assert found.mean == 0
    assert found.low == -found.high


def test_differences_of_single_precision_scores_are_equal_up_to_their_rounding():
    left = {seed: float(np.float32(right / 45)) for seed, right in enumerate((3, 4, 5))}
    right = {seed: float(np.float32(right / 45)) for seed, right in enumerate((0, 1, 2))}
    found = paired_difference(left, right)
    assert len({left[seed] - right[seed] for seed in left}) > 1
    assert (found.low, found.no_interval) == (None, "equal in all 3 seeds")
