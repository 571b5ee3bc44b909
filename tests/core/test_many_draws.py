"""Predictions of very many draws: what a learner hands out is held once, and scores take it some rows at a time."""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import tiny

import harness.executors
import harness.metrics
from harness import (
    Batch,
    Budget,
    ClassLogProbs,
    Data,
    Dataset,
    Method,
    Metric,
    Problem,
    Recipe,
    RegressionMixture,
    hookimpl,
    option,
)
from harness.catalog import Catalog, Settings, load_catalog
from harness.executors.local import LocalExecutor
from harness.planning.plan import plan_trials
from harness.records.store import Store
from harness.suites.suite import Request
from harness.trials.predicting import CHUNK, predict_rows
from harness.trials.trial import run_trial
from harness.types import RunContext

ROWS = 2 * CHUNK + 3
LINE = Problem("regression", (1,), 1, 20, target_mean=5.0, target_scale=3.0)
RANDOM = np.random.default_rng(0)
MEANS = RANDOM.normal(size=(4, ROWS)).astype(np.float32)
VARIANCES = RANDOM.gamma(2, size=(4, ROWS)).astype(np.float32)
EQUAL = np.full(4, -math.log(4))


def rows(count=ROWS):
    return np.arange(count, dtype=np.float32)[:, None]


def gaussians(variances):
    """A learner's prediction with these variances; whatever has a row for each row is cut to those asked for."""

    def predict(inputs):
        places = inputs[:, 0].astype(int)
        own = variances(places) if callable(variances) else variances
        return RegressionMixture(MEANS[:, places], own, EQUAL)

    return predict


# --- the whole from its parts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, CHUNK, CHUNK + 1, ROWS])
def test_parts_make_the_prediction_that_was_made_to_the_last_bit(count):
    found, entropy = predict_rows(rows(count), gaussians(lambda at: VARIANCES[:, at]), LINE, folded=True)
    whole = RegressionMixture(MEANS[:, :count], VARIANCES[:, :count], EQUAL).rescaled(5.0, 3.0)
    assert entropy is None
    for ours, theirs in zip(found, whole, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("shape", [(4, 1), (1, 1), (1, ROWS)])
@pytest.mark.parametrize("count", [1, 7, CHUNK + 1, ROWS])
def test_variances_that_draws_or_rows_share_are_in_memory_once(shape, count):
    shared = VARIANCES[: shape[0], : shape[1]]
    variances = shared if shape[1] == 1 else lambda at: shared[:, at]
    found, _ = predict_rows(rows(count), gaussians(variances), LINE, folded=True)
    expected = np.broadcast_to(9 * shared, (4, ROWS))[:, :count]
    assert found.variances.shape == (4, count)
    np.testing.assert_allclose(found.variances, expected, rtol=1e-6)
    assert all(stride == 0 for stride, size in zip(found.variances.strides, shape, strict=True) if size == 1 < count)


def test_variances_shared_within_each_part_but_not_between_them_are_told_apart():
    variances = gaussians(lambda at: np.full((4, 1), 1.0 + at[0], np.float32))
    found, _ = predict_rows(rows(), variances, LINE, folded=True)
    starts = np.arange(ROWS) // CHUNK * CHUNK
    np.testing.assert_array_equal(found.variances, np.broadcast_to(9 * (1.0 + starts), (4, ROWS)))


def test_a_part_of_double_precision_keeps_it():
    def predict(inputs):
        kind = np.float32 if inputs[0, 0] == 0 else np.float64
        values = (inputs[:, 0].astype(kind) / 7)[None]
        return RegressionMixture(values, np.ones_like(values), np.zeros(1))

    found, _ = predict_rows(rows(), predict, replace(LINE, target_mean=0.0, target_scale=1.0), folded=True)
    assert found.means.dtype == np.float64
    np.testing.assert_array_equal(found.means[0, CHUNK:], np.arange(CHUNK, ROWS) / np.float64(7))


def test_parts_with_unlike_numbers_of_samples_are_refused():
    def predict(inputs):
        draws = 2 if len(inputs) == CHUNK else 1
        ones = np.ones((draws, len(inputs)), np.float32)
        return RegressionMixture(ones, ones, np.full(draws, -math.log(draws)))

    with pytest.raises(ValueError, match="returned 2 samples of some rows and 1 of others; expected as many of all"):
        predict_rows(rows(), predict, LINE, folded=True)


@pytest.mark.parametrize("shape", [(2, 1), (4, 2), (1,), (4, 1, 1)])
def test_variances_that_broadcast_to_no_means_are_named(shape):
    with pytest.raises(ValueError, match=r"variances for 7 rows has shape .*; expected \(S, 7\), or 1 for either"):
        predict_rows(rows(7), gaussians(np.ones(shape, np.float32)), LINE, folded=True)


def test_a_shared_variance_that_is_none_is_named():
    with pytest.raises(ValueError, match="a variance is 0; expected one above 0"):
        predict_rows(rows(7), gaussians(np.zeros((1, 1), np.float32)), LINE, folded=True)


# --- one split after the other ----------------------------------------------------------------------------------------


def test_validation_rows_are_predicted_once_more_when_the_test_rows_have_been_let_go():
    seen = []

    def early(outcome):
        seen.append(weakref.ref(outcome))
        return float(len(outcome.targets))

    def late(outcome):
        return float(sum(each() is not None for each in seen))

    class Plugin:
        @hookimpl
        def harness_metrics(self):
            yield Metric("early", "", "", "lower", ("classification",), early)
            yield Metric("late", "", "", "lower", ("classification",), late, curve=False)

    catalog = Catalog.of(harness.metrics, harness.executors, tiny, Plugin())
    (trial,) = plan_trials(catalog, Request(methods="counts", seeds="1"))
    record = run_trial(catalog, trial)
    assert (record.status, record.holes) == ("ok", {})
    assert (record.scores["late"], record.scores["late@valid"]) == (1.0, 0.0)


# --- how much memory that takes ---------------------------------------------------------------------------------------


DRAWS = 3_000
BESIDES = 80 * 2**20  # scipy, and blocks of rows in double precision


@dataclass(frozen=True)
class Options:
    draws: int = option(DRAWS, "samples of a prediction")
    shared: bool = option(False, "one variance for all rows of a draw")


class Draws:
    """Predicts the same whatever it is shown; says how much its process has held."""

    def __init__(self, config):
        self.config = config

    def init(self, problem, training, base):
        self.start = peak()
        return problem

    def update(self, state, batch):
        return state, {}

    def predict(self, state, inputs):
        draws, count = self.config.draws, len(inputs)
        weights = np.full(draws, -math.log(draws))
        if state.kind == "classification":
            shape = draws, count, state.output_size
            return ClassLogProbs(np.full(shape, -math.log(state.output_size), np.float32), weights)
        means = np.random.default_rng(0).standard_normal((draws, count), np.float32)
        return RegressionMixture(means, np.ones((draws, 1 if self.config.shared else count), np.float32), weights)

    def describe(self, state):
        return {"start": self.start, "peak": peak()}


def peak():
    """Bytes of memory that this process has held at most."""
    return 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


def of(problem, test, targets):
    def load_rows(config, seed, folder):
        splits = [Batch(np.ones((count, 1), np.float32), targets(count)) for count in (20, 3, test)]
        return Data(problem, *splits)

    return load_rows


def numbers(count):
    return np.linspace(-1, 1, count, dtype=np.float32)


@hookimpl
def harness_methods():
    yield Method("draws", "very many", Draws, ("regression", "classification"), config=Options)


@hookimpl
def harness_datasets():
    recipe, classes = Recipe(Budget("updates", 0), 4), Problem("classification", (1,), 10, 20)
    yield Dataset("line", "numbers", "regression", of(LINE, 4_573, numbers), recipe=recipe)
    yield Dataset("ten", "classes", "classification", of(classes, 10_000, lambda n: np.arange(n) % 10), recipe=recipe)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of a process in /proc")
@pytest.mark.parametrize(
    ("dataset", "method", "handed_out"),
    [
        ("line", "draws", 2 * 4 * DRAWS * 4_573),  # means and variances, in single precision
        ("line", "draws[shared=True]", 4 * DRAWS * 4_573),
        ("ten", "draws", 4 * DRAWS * CHUNK * 10),  # of so many rows at a time, folded before the next
    ],
)
def test_a_trial_holds_what_the_learner_hands_out_once_and_little_besides(
    tmp_path, monkeypatch, dataset, method, handed_out
):
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    monkeypatch.syspath_prepend(Path(tiny.__file__).parent)
    plugins = ("harness.metrics", "tiny", "test_many_draws")
    store = Store(tmp_path)
    store.prepare()
    trials = plan_trials(load_catalog(Settings(plugins)), Request(methods=method, datasets=dataset, seeds="1"))
    (record,) = LocalExecutor().run(trials, RunContext(tmp_path, None, plugins=plugins), lambda *_: None)
    assert (record.status, record.reason) == ("ok", "")
    assert record.facts["peak"] - record.facts["start"] < handed_out + BESIDES
