"""The score of a Gaussian mixture with many components, against all pairs and against an adaptive integral."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats

from harness import Outcome, Problem, RegressionMixture
from harness.metrics import cells, crps, scores

MANY = 300  # more than are taken pair by pair


def absolute(mean, deviation):
    """E|X| of a Gaussian, in float64."""
    z = mean / deviation
    return 2 * deviation * stats.norm.pdf(z) + mean * (2 * stats.norm.cdf(z) - 1)


def of_all_pairs(means, deviations, weights, target):
    """E|X - y| - E|X - X'| / 2 of one row, over all pairs of components."""
    between = absolute(means[:, None] - means, np.hypot(deviations[:, None], deviations))
    return weights @ absolute(means - target, deviations) - weights @ between @ weights / 2


def scored(means, deviations, weights, target, dtype=np.float64):
    """The same by the score, of one row."""
    arrays = (np.asarray(means, dtype)[:, None], np.asarray(deviations, dtype)[:, None] ** 2, np.log(weights))
    return scores.crps(Outcome(RegressionMixture(*arrays), np.array([target]), Problem("regression", (1,), 1, 1)))


def mixture(deviation, spread=0.0, seed=0, components=MANY):
    """Components over a spread of about one, of about this deviation, with unequal weights; and a target."""
    random = np.random.default_rng(seed)
    deviations = deviation * np.exp(spread * random.normal(size=components))
    return random.normal(size=components), deviations, random.dirichlet(np.ones(components)), float(random.normal())


@pytest.mark.parametrize("spread", [0.0, 0.7])
@pytest.mark.parametrize("deviation", [1.0, 0.2, 0.05, 0.01, 0.001, 1e-7])
def test_it_is_that_of_all_pairs_at_any_deviation(deviation, spread):
    given = mixture(deviation, spread)
    assert scored(*given) == pytest.approx(of_all_pairs(*given), rel=1e-10)


WAYS = {"cells": (math.inf, 0.0), "pairs": (0.0, math.inf), "quadrature": (math.inf, math.inf)}


def take(monkeypatch, way):
    """Have every row scored in this way."""
    pair, cell = WAYS[way]
    monkeypatch.setattr(crps, "PAIR", pair)
    monkeypatch.setattr(cells, "estimate_cost", lambda means, deviations: cell)


@pytest.mark.parametrize("deviation", [1.0, 0.1, 0.01, 0.001])
@pytest.mark.parametrize("spread", [0.0, 0.4])
@pytest.mark.parametrize("way", WAYS)
def test_all_ways_come_to_the_same(monkeypatch, way, spread, deviation):
    take(monkeypatch, way)
    given = mixture(deviation, spread, seed=1)
    assert scored(*given) == pytest.approx(of_all_pairs(*given), rel=1e-10)


MEANS = {
    "in one cell": lambda random: random.uniform(0.1, 0.9, MANY),
    "on edges of cells": lambda random: random.integers(-3, 4, MANY).astype(float),
    "ties": lambda random: random.normal(size=20)[random.integers(20, size=MANY)],
    "all alike": lambda random: np.full(MANY, 0.5),
    "over a range of 10,000": lambda random: random.uniform(-5e3, 5e3, MANY),
    "in two heaps": lambda random: random.normal(size=MANY) + 3000.0 * random.integers(2, size=MANY),
}


@pytest.mark.parametrize("spread", [0.0, 0.004, 0.2], ids=["equal", "nearly equal", "several levels"])
@pytest.mark.parametrize("target", [0.0, 0.37, -2e4, 2e4])
@pytest.mark.parametrize("name", MEANS)
def test_cells_are_all_pairs_wherever_the_means_lie(monkeypatch, name, target, spread):
    take(monkeypatch, "cells")
    random = np.random.default_rng(5)
    means, deviations = MEANS[name](random), np.exp(spread * random.normal(size=MANY))
    given = 0.7 * means, 0.7 * deviations, random.dirichlet(np.full(MANY, 0.3)), 0.7 * target
    assert scored(*given) == pytest.approx(of_all_pairs(*given), rel=1e-10)


def test_a_distribution_by_cells_is_that_of_its_components_at_every_node():
    means, deviations, weights, _ = mixture(1.0, 0.05, seed=3)
    moments, first = cells._compute_moments(means / deviations.min(), deviations / deviations.min(), weights)
    reach = cells._count_reached(len(moments) - 1)
    mass = np.zeros((moments.shape[1] + 2 * reach, cells.NODES))
    for level, of_level in enumerate(moments):
        cells._add_mass(mass[reach - cells._count_reached(level) :], of_level, level)
    panels = first - reach + np.arange(len(mass))
    x = deviations.min() * (panels[:, None] + (1 + cells.legendre_nodes()[0]) / 2)
    np.testing.assert_allclose(mass, stats.norm.cdf(x[..., None], means, deviations) @ weights, rtol=0, atol=1e-12)


@pytest.mark.parametrize("deviation", [0.5, 0.05])
def test_it_is_the_integral_of_the_squared_distance_of_distributions(deviation):
    means, deviations, weights, target = given = mixture(deviation, 0.3, seed=2, components=80)

    def squared(x):
        return (weights @ stats.norm.cdf(x, means, deviations) - (x >= target)) ** 2

    inner = np.linspace(-4, 4, 60)
    edges = np.unique([-12, 12, target, *inner])
    pieces = [integrate.quad(squared, low, high, epsabs=1e-12)[0] for low, high in pairwise(edges)]
    assert scored(*given) == pytest.approx(math.fsum(pieces), rel=1e-6)


@pytest.mark.parametrize("target", [-1e4, -3.0, 0.0, 0.3, 1e4])
def test_a_target_may_lie_anywhere(target):
    means, deviations, weights, _ = mixture(0.3)
    means[0] = 0.3  # a target on a component's mean
    assert scored(means, deviations, weights, target) == pytest.approx(
        of_all_pairs(means, deviations, weights, target), rel=1e-10
    )


def test_equal_components_score_as_one():
    closed = 2 * (0.5 * (2 * stats.norm.cdf(0.5) - 1) + 2 * stats.norm.pdf(0.5) - 1 / math.sqrt(math.pi))
    weights = np.random.default_rng(0).dirichlet(np.ones(MANY))
    assert scored(np.full(MANY, 2.0), np.full(MANY, 2.0), weights, 3.0) == pytest.approx(closed, rel=1e-10)


def test_one_narrow_component_among_wide_ones_counts():
    means, deviations, weights, _ = mixture(1.0)
    deviations[7], weights[7] = 1e-6, 0.5
    weights /= weights.sum()
    given = (means, deviations, weights, float(means[7]))
    assert scored(*given) == pytest.approx(of_all_pairs(*given), rel=1e-10)


def test_means_far_from_zero_cost_no_digits():
    means, deviations, weights, target = mixture(0.01)
    shifted = scored(means + 2.0**20, deviations, weights, target + 2.0**20)
    assert shifted == pytest.approx(scored(means, deviations, weights, target), rel=1e-6)


def test_components_without_weight_count_for_nothing():
    means, deviations, weights, target = mixture(0.1, 0.5)
    weights[::2] = 0
    weights /= weights.sum()
    with np.errstate(divide="ignore"):
        found = scored(means, deviations, weights, target)
    assert found == pytest.approx(of_all_pairs(means[1::2], deviations[1::2], weights[1::2], target), rel=1e-10)


def test_single_precision_is_read_as_it_is():
    means, deviations, weights, target = mixture(0.1)
    expected = of_all_pairs(means, deviations, weights, target)
    assert scored(means, deviations, weights, target, np.float32) == pytest.approx(expected, rel=1e-5)


def test_a_mean_that_is_nan_shows_in_the_score():
    means, deviations, weights, target = mixture(0.1)
    means[3] = math.nan
    assert math.isnan(scored(means, deviations, weights, target))
