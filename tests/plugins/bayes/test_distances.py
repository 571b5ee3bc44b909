"""Distances between predictive distributions equal closed forms, scipy's and a rule of another kind."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erf
from scipy.stats import norm, wasserstein_distance

from harness import RegressionMixture
from harness_bayes.agreement import distances, total_variation, wasserstein


def mixture(means, deviations, weights=None):
    """Of means (S, N); deviations and weights (S,), or one for all."""
    means = np.array(means, dtype=np.float64)
    weights = np.full(len(means), 1 / len(means)) if weights is None else np.array(weights)
    variances = np.broadcast_to(np.square(deviations).reshape(-1, 1), means.shape)
    return RegressionMixture(means, variances, np.log(weights))


@pytest.mark.parametrize("deviation", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("shift", [0.0, 0.1, 1.0, 3.0, 20.0])
def test_total_variation_of_shifted_gaussians_is_an_error_function(shift, deviation):
    one, two = mixture([[0.0]], deviation), mixture([[shift * deviation]], deviation)
    assert total_variation(one, two) == pytest.approx([erf(shift / math.sqrt(8))], abs=1e-3)


def test_total_variation_of_gaussians_of_two_widths_is_as_by_their_crossings():
    wide, narrow = 2.0, 0.5
    cross = math.sqrt(2 * math.log(wide / narrow) / (1 / narrow**2 - 1 / wide**2))
    expected = 2 * (norm.cdf(cross / narrow) - norm.cdf(cross / wide))
    assert total_variation(mixture([[0.0]], wide), mixture([[0.0]], narrow)) == pytest.approx([expected], abs=1e-3)


def test_total_variation_of_mixtures_is_an_adaptive_rules():
    rng = np.random.default_rng(0)
    means, others = rng.normal(size=(5, 3)), rng.normal(size=(7, 3))
    weights, deviations = rng.dirichlet(np.ones(5)), rng.uniform(0.2, 1.0, 5)
    one, two = mixture(means, deviations, weights), mixture(others, 0.3)

    def apart(y, row):
        p = weights @ norm.pdf(y, means[:, row], deviations)
        return abs(p - norm.pdf(y, others[:, row], 0.3).mean()) / 2

    expected = [quad(apart, -9, 9, args=(row,), limit=1000, epsabs=1e-6)[0] for row in range(3)]
    assert total_variation(one, two) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("deviation", [0.02, 0.3, 2.0])
def test_components_of_one_deviation_are_as_those_one_by_one(deviation):
    rng = np.random.default_rng(2)
    one, two = (mixture(rng.normal(size=(30, 4)) + moved, deviation) for moved in (0.0, 0.3))
    nearly = [each._replace(variances=each.variances * np.linspace(1, 1 + 1e-9, 30)[:, None]) for each in (one, two)]
    assert total_variation(one, two) == pytest.approx(total_variation(*nearly), abs=5e-4)


def test_many_components_give_what_they_give_in_one_block(monkeypatch):
    rng = np.random.default_rng(1)
    one = mixture(rng.normal(size=(50, 2)), np.linspace(0.5, 0.6, 50))
    two = mixture(rng.normal(size=(40, 2)), np.linspace(0.5, 0.6, 40))
    whole = total_variation(one, two)
    monkeypatch.setattr("harness_bayes.agreement.ELEMENTS", 1000)
    assert total_variation(one, two) == pytest.approx(whole, rel=1e-12)


def test_wasserstein_of_shifted_samples_is_the_shift():
    values = np.random.default_rng(0).normal(size=(200, 4))
    shifts = np.array([0.0, 0.5, -2.0, 10.0])
    equal = np.full(200, -math.log(200))
    assert wasserstein(values + shifts, equal, values, equal) == pytest.approx(np.abs(shifts), abs=1e-12)


def test_wasserstein_of_weighted_samples_of_different_counts_is_scipys():
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(30, 5)), rng.normal(1.0, 2.0, size=(47, 5))
    weights, others = rng.dirichlet(np.ones(30)), rng.dirichlet(np.ones(47))
    expected = [wasserstein_distance(one[:, row], two[:, row], weights, others) for row in range(5)]
    assert wasserstein(one, np.log(weights), two, np.log(others)) == pytest.approx(expected, rel=1e-12)


def test_distances_of_functions_are_in_deviations_of_the_reference():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(400, 2))
    reference = mixture(means * [3.0, 0.1], 0.05)
    prediction = mixture(means * [6.0, 0.2] + [1.0, 0.0], 0.05)
    found = distances(prediction, reference)
    assert found.spread == pytest.approx([2.0, 2.0])
    deviation = means[:, 0].std() * 3.0
    moved = wasserstein_distance(prediction.means[:, 0], reference.means[:, 0]) / deviation
    assert found.wasserstein[0] == pytest.approx(moved)


def test_a_prediction_is_no_distance_from_itself():
    same = mixture(np.random.default_rng(0).normal(size=(20, 3)), 0.1)
    found = distances(same, same)
    assert found.total_variation == pytest.approx(0.0, abs=1e-12)
    assert found.wasserstein == pytest.approx(0.0, abs=1e-12)
    assert found.spread == pytest.approx(1.0)


def test_distances_are_those_of_float32_predictions_too():
    means = np.random.default_rng(0).normal(size=(20, 3))
    one, two = mixture(means, 0.1), mixture(means + 0.05, 0.1)
    single = RegressionMixture(*(np.asarray(each, dtype=np.float32) for each in one))
    assert distances(single, two).total_variation == pytest.approx(distances(one, two).total_variation, abs=1e-5)
