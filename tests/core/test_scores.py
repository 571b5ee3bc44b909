"""Every score against another library, a closed form, or an integral."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from sklearn import metrics as sklearn_metrics
from torchmetrics.classification import MulticlassCalibrationError

from harness import ClassLogProbs, Outcome, Problem, RegressionMixture, TokenLogProbs
from harness.catalog import resolve
from harness.metrics import harness_metrics, scores

ONE = np.zeros(1)


def outcome(prediction, targets, kind: str = "classification") -> Outcome:
    return Outcome(prediction, targets, Problem(kind, (1,), 1, 1))


def classified(samples: int, rows: int = 500, classes: int = 7, sharpness: float = 2.0, seed: int = 0):
    """A weighted mixture of class probabilities (S, N, C), targets (N,), and its mean (N, C) computed in float64."""
    random = np.random.default_rng(seed)
    probs = stats.dirichlet.rvs(np.ones(classes) / sharpness, (samples, rows), random).reshape(samples, rows, classes)
    weights = random.dirichlet(np.ones(samples))
    targets = np.array([random.choice(classes, p=row) for row in probs[0]])
    mixed = np.einsum("s,snc->nc", weights, probs)
    prediction = ClassLogProbs(np.log(np.maximum(probs, 1e-300)), np.log(weights))
    return outcome(prediction, targets), mixed, targets


@pytest.fixture(params=[(1, 0), (5, 1), (20, 2)], ids=["point", "mixture5", "mixture20"])
def case(request):
    samples, seed = request.param
    return classified(samples, seed=seed)


def test_accuracy_is_that_of_the_mixture(case):
    given, mixed, targets = case
    assert scores.accuracy(given) == pytest.approx(sklearn_metrics.accuracy_score(targets, mixed.argmax(1)), abs=1e-12)


def test_nll_agrees_with_scikit_learn(case):
    given, mixed, targets = case
    assert scores.nll(given) == pytest.approx(sklearn_metrics.log_loss(targets, mixed, labels=range(7)), rel=1e-9)


def test_brier_agrees_with_scikit_learn_and_reaches_two(case):
    given, mixed, targets = case
    expected = sklearn_metrics.brier_score_loss(targets, mixed, labels=range(7), scale_by_half=False)
    assert scores.brier(given) == pytest.approx(expected, rel=1e-9)
    with np.errstate(divide="ignore"):
        wrong = ClassLogProbs(np.log([[[1.0, 0.0]]]), ONE)
    assert scores.brier(outcome(wrong, np.array([1]))) == pytest.approx(2.0)


def test_ece_agrees_with_torchmetrics(case):
    given, mixed, targets = case
    reference = MulticlassCalibrationError(num_classes=7, n_bins=15, norm="l1")
    expected = reference(torch.from_numpy(mixed), torch.from_numpy(targets)).item()
    assert scores.ece(given) == pytest.approx(expected, abs=1e-6)


def test_ece_of_a_certain_prediction_is_its_error_rate():
    certain = ClassLogProbs(np.log(np.tile([1.0, 1e-300], (1, 4, 1))), ONE)
    assert scores.ece(outcome(certain, np.array([0, 0, 0, 1]))) == pytest.approx(0.25)


def test_scores_disagree_with_averaging_over_samples():
    """The score of a mixture is not the mean score of its samples: two opposite experts are worth a coin."""
    experts = ClassLogProbs(np.log([[[0.99, 0.01]], [[0.01, 0.99]]]), np.log([0.5, 0.5]))
    assert scores.nll(outcome(experts, np.array([0]))) == pytest.approx(math.log(2))


def test_an_impossible_class_costs_infinitely_much():
    with np.errstate(divide="ignore"):
        sure = ClassLogProbs(np.log([[[1.0, 0.0]], [[1.0, 0.0]]]), np.log([0.5, 0.5]))
    assert scores.nll(outcome(sure, np.array([1]))) == math.inf
    assert scores.accuracy(outcome(sure, np.array([0]))) == 1.0


def test_float32_predictions_are_scored_in_float64():
    log_probs = np.log(np.full((1, 3, 10), 0.1)).astype(np.float32)
    given = outcome(ClassLogProbs(log_probs, ONE.astype(np.float32)), np.zeros(3, int))
    assert scores.nll(given) == pytest.approx(float(-log_probs[0, 0, 0]), rel=1e-12)


# --- regression ---------------------------------------------------------------------------------------------------


def mixture(samples: int, rows: int = 6, seed: int = 3):
    random = np.random.default_rng(seed)
    means, variances = random.normal(5, 2, (samples, rows)), random.gamma(2, 1, (samples, rows))
    weights = random.dirichlet(np.ones(samples))
    targets = random.normal(5, 3, rows)
    given = outcome(RegressionMixture(means, variances, np.log(weights)), targets, "regression")
    return given, means, variances, weights, targets


def test_rmse_is_that_of_the_mean():
    given, means, _, weights, targets = mixture(4)
    expected = sklearn_metrics.root_mean_squared_error(targets, weights @ means)
    assert scores.rmse(given) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("samples", [1, 4])
def test_log_likelihood_is_that_of_the_full_mixture(samples):
    given, means, variances, weights, targets = mixture(samples)
    density = weights @ stats.norm.pdf(targets, means, np.sqrt(variances))
    assert scores.log_likelihood(given) == pytest.approx(np.log(density).mean(), rel=1e-12)


@pytest.mark.parametrize("samples", [1, 4])
def test_crps_is_the_integral_of_the_squared_distance_of_distributions(samples):
    given, means, variances, weights, targets = mixture(samples)

    def squared(x: float, row: int) -> float:
        cdf = weights @ stats.norm.cdf(x, means[:, row], np.sqrt(variances[:, row]))
        return (cdf - (x >= targets[row])) ** 2

    integrals = [
        integrate.quad(squared, -60, t, (row,), limit=200)[0] + integrate.quad(squared, t, 60, (row,), limit=200)[0]
        for row, t in enumerate(targets)
    ]
    assert scores.crps(given) == pytest.approx(np.mean(integrals), rel=1e-6)


def test_crps_of_equal_components_is_that_of_one():
    one = RegressionMixture(np.full((1, 1), 2.0), np.full((1, 1), 4.0), ONE)
    three = RegressionMixture(np.full((3, 1), 2.0), np.full((3, 1), 4.0), np.log([0.2, 0.3, 0.5]))
    target = np.array([3.0])
    z = 0.5
    closed = 2 * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / math.sqrt(math.pi))
    assert scores.crps(outcome(one, target)) == pytest.approx(closed, rel=1e-12)
    assert scores.crps(outcome(three, target)) == pytest.approx(closed, rel=1e-12)


def test_log_likelihood_falls_by_the_log_of_the_scale():
    """Scores on the original scale: a change of variables, seen from the outside."""
    given, *_ = mixture(4)
    rescaled = outcome(given.prediction.rescaled(1.0, 10.0), 1.0 + 10.0 * given.targets, "regression")
    assert scores.log_likelihood(rescaled) == pytest.approx(scores.log_likelihood(given) - math.log(10), rel=1e-12)
    assert scores.crps(rescaled) == pytest.approx(10 * scores.crps(given), rel=1e-12)
    assert scores.rmse(rescaled) == pytest.approx(10 * scores.rmse(given), rel=1e-12)


# --- language -----------------------------------------------------------------------------------------------------


def test_guessing_among_32_characters_takes_5_bits():
    guess = TokenLogProbs(np.full((1, 2, 50), -math.log(32)), ONE)
    given = outcome(guess, np.zeros((2, 50), int), "language")
    assert scores.bits_per_character(given) == pytest.approx(5.0)
    assert scores.perplexity(given) == pytest.approx(32.0)


def test_tokens_are_scored_under_the_mixture():
    two = TokenLogProbs(np.log([[[0.5, 0.1]], [[0.1, 0.3]]]), np.log([0.25, 0.75]))
    expected = -(math.log2(0.25 * 0.5 + 0.75 * 0.1) + math.log2(0.25 * 0.1 + 0.75 * 0.3)) / 2
    assert scores.bits_per_character(outcome(two, np.zeros((1, 2), int), "language")) == pytest.approx(expected)


# --- registration -------------------------------------------------------------------------------------------------


def test_every_registered_score_can_be_computed():
    cases = {
        "classification": classified(3)[0],
        "regression": mixture(3)[0],
        "language": outcome(TokenLogProbs(np.log([[[0.5, 0.1]]]), ONE), np.zeros((1, 2), int), "language"),
    }
    scored = [metric for metric in harness_metrics() if metric.compute is not None]
    assert {kind for metric in scored for kind in metric.kinds} == set(cases)
    for metric in scored:
        for kind in metric.kinds:
            based = replace(cases[kind], base=cases[kind].prediction)
            assert math.isfinite(resolve(metric.compute)(based)), metric.name


def test_each_kind_has_one_headline():
    headlines = [kind for metric in harness_metrics() if metric.headline for kind in metric.kinds]
    assert sorted(headlines) == ["classification", "language", "regression"]


def test_metrics_are_described():
    for metric in harness_metrics():
        assert re.fullmatch(r"[a-z_]+", metric.name)
        assert metric.summary
        assert not metric.summary.endswith(".")
