"""Predictions of many samples reach the scores some rows at a time, and the numbers are the same."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

import harness.metrics
from harness import Batch, ClassLogProbs, Data, Metric, Outcome, Problem, RegressionMixture, TokenLogProbs, hookimpl
from harness.catalog import Catalog
from harness.metrics import mixtures, scores
from harness.trials.predicting import CHUNK
from harness.trials.scoring import applying_metrics, are_foldable, judge_outcome, make_outcome

ROWS, SAMPLES, CLASSES = 2 * CHUNK + 3, 7, 4
RANDOM = np.random.default_rng(0)
PROBS = RANDOM.dirichlet(np.ones(CLASSES), (SAMPLES, ROWS))
WEIGHTS = RANDOM.dirichlet(np.ones(SAMPLES))
TARGETS = RANDOM.integers(CLASSES, size=ROWS)


class Plugin:
    def __init__(self, *metrics):
        self.metrics = metrics

    @hookimpl
    def harness_metrics(self):
        yield from self.metrics


def data(kind="classification", size=CLASSES, targets=TARGETS):
    split = Batch(np.arange(len(targets), dtype=np.float32)[:, None], targets)
    return Data(Problem(kind, (1,), size, len(targets)), split, split, split)


def samples(inputs):
    rows = inputs[:, 0].astype(int)
    return ClassLogProbs(np.log(PROBS[:, rows]), np.log(WEIGHTS))


def scored(*metrics, predict=samples, given=None):
    given = given or data()
    offers = applying_metrics(Catalog.of(harness.metrics, Plugin(*metrics)), given.problem.kind)
    outcome, _ = make_outcome(given, given.test, predict, folded=are_foldable(offers))
    return judge_outcome(outcome, offers), outcome.prediction


def looks(seen, **fields):
    """A metric that keeps the outcome that it was given."""

    def compute(outcome):
        seen.append(outcome)
        return 0.0

    return Metric("looks", "", "", "lower", ("classification",), compute=compute, **fields)


def test_scores_are_the_same_of_samples_and_of_their_mixture():
    seen = []
    (whole, _), (folded, _) = scored(looks(seen)), scored(looks(seen, mixture=True))
    assert [outcome.prediction.log_probs.shape for outcome in seen] == [
        (SAMPLES, ROWS, CLASSES),
        (1, ROWS, CLASSES),
    ]
    assert whole.found == folded.found
    assert {"accuracy", "nll", "brier", "ece"} <= set(folded.found)
    assert (whole.holes, folded.holes) == ({}, {})


def test_what_looks_at_samples_gets_them_as_they_were_predicted():
    seen = []
    scored(looks(seen))
    np.testing.assert_array_equal(seen[0].prediction.log_probs, np.log(PROBS))
    np.testing.assert_array_equal(seen[0].prediction.log_weights, np.log(WEIGHTS))


@pytest.mark.parametrize("mixture", [True, False])
def test_the_samples_disagreement_is_known_either_way(mixture):
    seen = []
    scored(looks(seen, mixture=mixture))
    expected = WEIGHTS @ stats.entropy(PROBS, axis=-1)
    np.testing.assert_allclose(seen[0].entropy, expected, rtol=1e-12)


def test_an_impossible_class_has_no_part_in_the_entropy():
    with np.errstate(divide="ignore"):
        found = mixtures.compute_mean_entropy(np.log([[[1.0, 0.0], [0.5, 0.5]]]), np.zeros(1))
    np.testing.assert_allclose(found, [0.0, np.log(2)], rtol=1e-12)


def test_no_more_than_some_rows_are_held_with_all_their_samples():
    sizes = []

    def predict(inputs):
        sizes.append(len(inputs))
        return samples(inputs)

    _, prediction = scored(predict=predict)
    assert sizes == [CHUNK, CHUNK, 3]
    assert prediction.log_probs.shape == (1, ROWS, CLASSES)


def test_what_is_no_density_is_found_in_the_part_that_has_it():
    def predict(inputs):
        found = samples(inputs)
        return found if len(inputs) == CHUNK else found._replace(log_probs=found.log_probs + 1)

    with pytest.raises(ValueError, match=r"sum to 2\.718; expected 1"):
        scored(predict=predict)


def test_shifted_splits_are_folded_too():
    given = dataclasses.replace(data(), shifted={"far": data().test})
    outcome, holes = make_outcome(given, given.test, samples, given.shifted, folded=True)
    assert (outcome.shifted["far"][0].log_probs.shape, holes) == ((1, ROWS, CLASSES), {})


@pytest.mark.parametrize("block", [1, 100, 10**9])
def test_how_many_numbers_are_folded_at_once_changes_nothing(monkeypatch, block):
    expected = mixtures.mix_log_probs(np.log(PROBS), np.log(WEIGHTS))
    monkeypatch.setattr(mixtures, "BLOCK", block)
    np.testing.assert_array_equal(mixtures.mix_log_probs(np.log(PROBS), np.log(WEIGHTS)), expected)
    np.testing.assert_allclose(np.exp(expected), np.einsum("s,snc->nc", WEIGHTS, PROBS), rtol=1e-12)


@pytest.mark.parametrize("name", ["rmse", "log_likelihood", "crps"])
def test_gaussians_are_scored_some_rows_at_a_time(monkeypatch, name):
    means, variances = RANDOM.normal(size=(SAMPLES, 50)), RANDOM.gamma(2, size=(SAMPLES, 50))
    prediction = RegressionMixture(means, variances, np.log(WEIGHTS))
    given = Outcome(prediction, RANDOM.normal(size=50), Problem("regression", (1,), 1, 1))
    whole = getattr(scores, name)(given)
    monkeypatch.setattr(mixtures, "BLOCK", 3 * SAMPLES)
    assert getattr(scores, name)(given) == pytest.approx(whole, rel=1e-13)


def test_tokens_are_folded_after_a_stream_was_predicted_whole():
    logs = np.log(RANDOM.random((SAMPLES, 2, 9)))
    inputs = np.zeros((2, 10), int)
    problem = Problem("language", (), 5, 20, order="contiguous", window=3)
    split = Batch(inputs, inputs[:, 1:])
    given = Data(problem, split, split, split)
    found, prediction = scored(predict=lambda rows: TokenLogProbs(logs, np.log(WEIGHTS)), given=given)
    assert prediction.log_probs.shape == (1, 2, 9)
    expected = np.exp(-np.mean(np.log(np.einsum("s,snl->nl", WEIGHTS, np.exp(logs)))))
    assert found.found["perplexity"] == pytest.approx(expected, rel=1e-12)
