"""Tests, intervals, power and ranks against scipy and statsmodels, and by what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.statistics import hypotheses, power, ranks, resampling


def drawn(n: int, shift: float = 0.3, seed: int = 0) -> list[float]:
    return np.random.default_rng(seed).normal(shift, 1, n).tolist()


# --- one difference -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 12])
def test_students_t_is_scipy_s(n):
    assert hypotheses.t_test(drawn(n)) == pytest.approx(stats.ttest_1samp(drawn(n), 0).pvalue)


def test_students_t_of_one_value_or_of_equal_ones_says_nothing():
    assert hypotheses.t_test([0.1]) is hypotheses.t_test([0.1, 0.1, 0.1]) is None


@pytest.mark.parametrize("n", [3, 8, 12])
def test_sign_flips_are_scipy_s(n):
    expected = stats.permutation_test((drawn(n),), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert hypotheses.sign_flip_test(drawn(n)) == pytest.approx(expected.pvalue)


def test_drawn_sign_flips_are_near_the_counted_ones(monkeypatch):
    counted = hypotheses.sign_flip_test(drawn(14))
    monkeypatch.setattr(hypotheses, "MOST_EXACT", 1)
    assert hypotheses.sign_flip_test(drawn(14)) == pytest.approx(counted, abs=0.006)


@pytest.mark.parametrize("n", range(1, 9))
def test_the_least_p_of_sign_flips_is_that_of_differences_of_one_sign(n):
    assert hypotheses.sign_flip_test([1.0 + i for i in range(n)]) == hypotheses.least_sign_flip_p(n)


def test_sign_flips_of_nothing_but_zeros_reject_nothing():
    assert hypotheses.sign_flip_test([0.0, 0.0, 0.0]) == 1


@pytest.mark.parametrize(("comparisons", "n"), [(1, 6), (2, 7), (5, 8), (10, 9)])
def test_pairs_that_sign_flips_need(comparisons, n):
    assert hypotheses.pairs_to_decide(comparisons) == n


@pytest.mark.parametrize(("left", "right"), [(0, 5), (3, 9), (4, 4), (0, 0), (40, 12)])
def test_mcnemar_is_a_binomial_test_of_the_discordant(left, right):
    expected = stats.binomtest(left, left + right).pvalue if left + right else 1
    assert hypotheses.mcnemar_test(left, right) == pytest.approx(expected)


# --- several rivals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_holm_is_statsmodels(seed):
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p_values = np.random.default_rng(seed).beta(0.3, 2, 6).tolist()
    assert hypotheses.adjust_holm(p_values) == pytest.approx(multitest.multipletests(p_values, method="holm")[1])


def test_holm_of_none_and_of_one_changes_nothing():
    assert hypotheses.adjust_holm([]) == []
    assert hypotheses.adjust_holm([0.03]) == [0.03]


def test_simultaneous_intervals_are_bonferroni_s():
    assert hypotheses.simultaneous_confidence(5) == pytest.approx(0.99)
    assert hypotheses.simultaneous_confidence(1) == hypotheses.simultaneous_confidence(0) == pytest.approx(0.95)


# --- power --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("difference", "n"), [(1.2, 10), (0.5, 5), (0.5, 34), (2.5, 3)])
def test_power_is_statsmodels(difference, n):
    library = pytest.importorskip("statsmodels.stats.power")
    expected = library.TTestPower().power(difference, n, 0.05)
    assert power.compute_power(2 * difference, 2.0, n) == pytest.approx(expected)


def test_the_least_difference_has_the_power_that_it_is_named_for():
    found = power.find_least_difference(0.3, 7)
    assert found is not None
    assert power.compute_power(found, 0.3, 7) == pytest.approx(0.8)
    assert power.find_least_difference(0.3, 1) is None
    assert power.find_least_difference(0.0, 3) == 0


@pytest.mark.parametrize("difference", [0.2, 0.5, 1.2, 5.0])
def test_as_many_seeds_as_are_needed_suffice_and_one_fewer_does_not(difference):
    n = power.find_seeds_needed(difference, 1.0)
    assert n is not None
    assert power.compute_power(difference, 1.0, n) >= 0.8 > power.compute_power(difference, 1.0, n - 1)


def test_no_number_of_seeds_finds_nothing_or_next_to_nothing():
    assert power.find_seeds_needed(0.0, 1.0) is power.find_seeds_needed(1e-6, 1.0) is None


# --- resampling ---------------------------------------------------------------------------------------------------


def test_bca_is_scipy_s_but_for_the_draws():
    values = np.random.default_rng(1).gamma(2, 1, 25)
    expected = stats.bootstrap((values,), np.mean, random_state=0).confidence_interval
    assert resampling.bca_interval(values.tolist()) == pytest.approx(tuple(expected), abs=0.03)


def test_bca_is_not_given_where_it_is_too_narrow_or_nothing_scatters():
    assert resampling.bca_interval(drawn(19)) is resampling.bca_interval([1.0] * 30) is None


def test_the_interval_over_examples_is_that_of_a_binomial():
    right = np.r_[np.ones(320), np.zeros(80)]
    low, high = resampling.example_interval(right)
    half = 1.96 * math.sqrt(0.8 * 0.2 / 400)
    assert (low, high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.003)


def test_seeds_of_one_example_are_not_independent_examples():
    right = np.r_[np.ones(320), np.zeros(80)]
    alone, repeated = resampling.example_interval(right), resampling.example_interval(np.tile(right, (5, 1)))
    assert repeated == pytest.approx(alone)


def test_the_crossed_interval_holds_both_sources():
    generator = np.random.default_rng(2)
    seeds, examples = generator.normal(0, 0.05, (12, 1)), generator.normal(0, 0.5, (1, 200))
    scores = seeds + examples + generator.normal(0, 0.1, (12, 200))
    low, high = resampling.crossed_interval(scores)
    variance = scores.mean(1).var(ddof=1) / 12 + scores.mean(0).var(ddof=1) / 200
    assert (high - low) / 2 == pytest.approx(1.96 * math.sqrt(variance), rel=0.1)


# --- over data sets -----------------------------------------------------------------------------------------------


def test_ranks_are_those_of_the_published_example():
    """Demsar (2006), table 6: four algorithms on 14 data sets."""
    scores = np.array(
        [
            (0.763, 0.768, 0.771, 0.798),
            (0.599, 0.591, 0.590, 0.569),
            (0.954, 0.971, 0.968, 0.967),
            (0.628, 0.661, 0.654, 0.657),
            (0.882, 0.888, 0.886, 0.898),
            (0.936, 0.931, 0.916, 0.931),
            (0.661, 0.668, 0.609, 0.685),
            (0.583, 0.583, 0.563, 0.625),
            (0.775, 0.838, 0.866, 0.875),
            (1.000, 1.000, 1.000, 1.000),
            (0.940, 0.962, 0.965, 0.962),
            (0.619, 0.666, 0.614, 0.669),
            (0.972, 0.981, 0.9751, 0.975),
            (0.957, 0.978, 0.946, 0.970),
        ]
    )
    found = ranks.rank_methods(scores)
    assert found.ranks == pytest.approx((3.143, 2.000, 2.893, 1.964), abs=5e-4)
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)
    assert found.p_value < 0.05


def test_ranks_of_too_little_are_refused_and_equal_methods_are_alike():
    with pytest.raises(ValueError, match="two data sets and three methods"):
        ranks.rank_methods(np.zeros((1, 3)))
    assert ranks.rank_methods(np.zeros((4, 3))).p_value == 1


def test_a_profile_is_the_share_of_data_sets_within_a_ratio():
    costs = np.array([[1.0, 2.0], [3.0, 1.0], [1.0, math.inf]])
    assert ranks.profile_performance(costs, [1, 2, 10]).tolist() == [
        pytest.approx([2 / 3, 1 / 3]),
        pytest.approx([2 / 3, 2 / 3]),
        pytest.approx([1, 2 / 3]),
    ]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 8, 20])
def test_the_interquartile_mean_is_a_trimmed_mean_where_quarters_are_whole(n):
    values = drawn(n)
    if n % 4 == 0:
        assert ranks.interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25))
    assert min(values) <= ranks.interquartile_mean(values) <= max(values)


def test_the_probability_of_improvement_is_mann_whitney_s():
    left, right = drawn(7), drawn(5, seed=1)
    expected = stats.mannwhitneyu(left, right).statistic / 35
    assert ranks.probability_of_improvement([left], [right]) == pytest.approx(expected)
    assert ranks.probability_of_improvement([left, [1.0]], [right, [1.0]]) == pytest.approx((expected + 0.5) / 2)
