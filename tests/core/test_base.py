"""A trial beside the one that it starts from: how its predictions have moved."""

import numpy as np
import pytest
from scipy import stats

import harness.executors
import harness.metrics
from harness import (
    ClassLogProbs,
    Method,
    Metric,
    Outcome,
    Problem,
    RegressionMixture,
    TokenLogProbs,
    Unsupported,
    read_predictions,
)
from harness.catalog import Catalog
from harness.executors.worker import run_task
from harness.hookspecs import hookimpl
from harness.metrics import scores
from harness.planning.plan import plan_trials
from harness.records.store import Store
from harness.suites.suite import Request
from harness.trials import prediction_files
from harness.types import RunContext
from tests.core import tiny

ROWS = {"test.inputs": "a", "test.targets": "b"}


def outcome(prediction, base, kind="classification"):
    return Outcome(prediction, np.zeros(prediction[0].shape[1], int), Problem(kind, (1,), 1, 1), base=base)


def classes(samples, seed, rows=50):
    random = np.random.default_rng(seed)
    probs = random.dirichlet(np.ones(4), (samples, rows))
    weights = random.dirichlet(np.ones(samples))
    return ClassLogProbs(np.log(probs), np.log(weights)), np.einsum("s,snc->nc", weights, probs)


# --- the two scores -----------------------------------------------------------------------------------------------


def test_agreement_and_divergence_are_of_both_mixtures():
    (ours, p), (theirs, b) = classes(3, 0), classes(2, 1)
    given = outcome(ours, theirs)
    assert scores.base_agreement(given) == np.mean(p.argmax(1) == b.argmax(1))
    assert scores.base_kl(given) == pytest.approx(np.mean(stats.entropy(b, p, axis=1)), rel=1e-12)


def test_a_network_agrees_with_itself():
    ours, _ = classes(3, 0)
    assert (scores.base_agreement(outcome(ours, ours)), scores.base_kl(outcome(ours, ours))) == (1.0, 0.0)


def test_a_class_that_the_base_excludes_counts_for_nothing():
    with np.errstate(divide="ignore"):
        ours, theirs = (ClassLogProbs(np.log([[p]]), np.zeros(1)) for p in ([0.5, 0.5, 0.0], [1.0, 0.0, 0.0]))
    assert scores.base_kl(outcome(ours, theirs)) == pytest.approx(np.log(2))


def test_of_tokens_it_is_the_mean_difference_of_log_probabilities():
    ours, theirs = (TokenLogProbs(np.full((1, 2, 5), value), np.zeros(1)) for value in (-3.0, -1.0))
    assert scores.base_kl(outcome(ours, theirs, "language")) == pytest.approx(2.0)


def test_without_a_base_there_is_neither():
    ours, _ = classes(1, 0)
    assert scores.base_agreement(outcome(ours, None)) is scores.base_kl(outcome(ours, None)) is None


# --- the file -----------------------------------------------------------------------------------------------------


def test_the_mixture_of_classes_comes_back_and_gaussians_as_they_are(tmp_path):
    ours, mixed = classes(3, 0)
    prediction_files.write_prediction(tmp_path / "p", ours, ROWS)
    found = prediction_files.read_prediction(tmp_path / "p", ROWS)
    assert found.log_probs.shape == (1, 50, 4)
    np.testing.assert_allclose(np.exp(found.log_probs[0]), mixed, rtol=1e-12)
    gaussians = RegressionMixture(np.ones((2, 5)), np.ones((2, 5)), np.log([0.5, 0.5]))
    prediction_files.write_prediction(tmp_path / "p", gaussians, ROWS)
    for one, other in zip(prediction_files.read_prediction(tmp_path / "p", ROWS), gaussians, strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_sample_comes_back_to_the_last_bit(tmp_path):
    single = ClassLogProbs(np.log(np.float32([[[0.3, 0.7]]])), np.zeros(1, np.float32))
    prediction_files.write_prediction(tmp_path / "p", single, ROWS)
    assert scores.base_kl(outcome(single, prediction_files.read_prediction(tmp_path / "p", ROWS))) == 0.0


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04cut"])
def test_a_file_that_is_none_is_named(tmp_path, content):
    (tmp_path / "p").write_bytes(content)
    with pytest.raises(Unsupported, match=r"cannot be read: .*/p"):
        prediction_files.read_prediction(tmp_path / "p", ROWS)


def test_a_cut_file_of_other_rows_and_none_are_said(tmp_path):
    prediction_files.write_prediction(tmp_path / "p", classes(1, 0)[0], ROWS)
    with pytest.raises(Unsupported, match="is of other rows"):
        prediction_files.read_prediction(tmp_path / "p", {**ROWS, "test.inputs": "c"})
    (tmp_path / "p").write_bytes((tmp_path / "p").read_bytes()[:-40])
    with pytest.raises(Unsupported, match="cannot be read"):
        prediction_files.read_prediction(tmp_path / "p", ROWS)
    with pytest.raises(Unsupported, match=r"is not kept: no .*; --rerun it"):
        prediction_files.read_prediction(tmp_path / "nowhere", ROWS)


def test_predictions_of_shifted_splits_come_back_beside_that_of_the_test_rows(tmp_path):
    Store(tmp_path).prepare()
    gaussians = [RegressionMixture(np.full((2, n), n), np.ones((2, n)), np.log([0.5, 0.5])) for n in (5, 3, 4)]
    path = Store(tmp_path).locate_prediction("key")
    prediction_files.write_prediction(path, gaussians[0], ROWS, {"far": gaussians[1], "near by": gaussians[2]})
    test, shifted = read_predictions(tmp_path, "key")
    np.testing.assert_array_equal(test.means, gaussians[0].means)
    assert {name: each.means.shape for name, each in shifted.items()} == {"far": (2, 3), "near by": (2, 4)}
    np.testing.assert_array_equal(prediction_files.read_prediction(path, ROWS).means, gaussians[0].means)


def test_a_trial_that_has_kept_no_prediction_is_told_how_to(tmp_path):
    with pytest.raises(Unsupported, match=r"is not kept: no .*key\.predictions\.npz"):
        read_predictions(tmp_path, "key")


def test_a_prediction_beyond_the_bound_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(prediction_files, "LARGEST", 1000)
    with pytest.raises(Unsupported, match="the test prediction has 0 MB; at most"):
        prediction_files.write_prediction(tmp_path / "p", classes(1, 0)[0], ROWS)
    assert not (tmp_path / "p").exists()


# --- a trial and its base -----------------------------------------------------------------------------------------


class Plugin:
    """A base that counts classes, and what starts from its counts; further metrics."""

    def __init__(self, metrics=()):
        self.metrics = metrics

    @hookimpl
    def harness_metrics(self):
        yield from self.metrics

    @hookimpl
    def harness_backends(self):
        yield from tiny.harness_backends()

    @hookimpl
    def harness_methods(self):
        yield Method("dense", "a base", tiny.Counts, ("classification",), config=tiny.Prior)
        yield Method("tuned", "goes on", tiny.Starts, ("classification",), config=tiny.Prior, starts_from="dense")

    @hookimpl
    def harness_datasets(self):
        yield from tiny.harness_datasets()


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """Runs the trials of a request as an executor does, without loading plugins; returns records by method."""
    Store(tmp_path).prepare()

    def call(methods, forget=False, metrics=(), **context):
        records, catalog = {}, Catalog.of(harness.metrics, harness.executors, Plugin(metrics))
        monkeypatch.setattr("harness.catalog.load_catalog", lambda settings: catalog)
        for trial in plan_trials(catalog, Request(methods=methods, seeds="[0]")):
            if forget and trial.base:
                Store(tmp_path).locate_prediction(trial.base.key).unlink()
            records[trial.method.name] = run_task(trial, RunContext(tmp_path, None, **context), lambda progress: None)
        return records

    return call


def test_a_trial_is_held_against_its_base_from_the_start_to_the_end(ran, tmp_path):
    records = ran("tuned")
    base, tuned = records["dense"], records["tuned"]
    assert (base.status, tuned.status) == ("ok", "ok")
    assert Store(tmp_path).locate_prediction(base.trial.key).exists()
    assert not Store(tmp_path).locate_prediction(tuned.trial.key).exists()
    assert (tuned.scores["base_agreement@start"], tuned.scores["base_kl@start"]) == (1.0, 0.0)
    assert tuned.scores["base_kl"] > 0
    assert tuned.scores["base_agreement"] == 1.0
    assert not any(name.startswith("base_") for name in (*base.scores, *base.holes, *tuned.holes))
    assert not any(name.startswith("base_") and name.endswith("valid") for name in tuned.scores)


def test_every_trial_keeps_its_prediction_where_that_is_asked_for(ran, tmp_path):
    (record,) = ran("dense", keep_predictions=True).values()
    assert Store(tmp_path).locate_prediction(record.trial.key).exists()
    assert not list(Store(tmp_path).trials.glob("*.part"))


def test_a_base_without_a_prediction_is_a_hole_with_the_reason(ran, tmp_path):
    ran("dense", keep_predictions=True)
    tuned = ran("tuned", forget=True)["tuned"]
    assert tuned.status == "ok"
    assert tuned.holes["base_kl"].startswith("starts from dense: its test prediction is not kept: no ")
    assert "base_kl" not in tuned.scores


def drift(outcome):
    """By a plugin: how far probabilities have moved."""
    if outcome.base is None:
        return None
    return float(np.abs(np.exp(outcome.base[0]) - np.exp(outcome.prediction[0])).mean())


@pytest.mark.parametrize(
    ("compute", "says"),
    [
        (drift, "starts from dense: its test prediction is not kept: no "),
        (lambda outcome: outcome.base[0].mean(), "drift: TypeError: 'NoneType' object is not subscriptable ("),
        (lambda outcome: None, None),
        (lambda outcome: 0.5 if outcome.base is None else 1.0, None),
    ],
    ids=["looks", "stumbles", "does-not-look", "does-without"],
)
def test_any_metric_that_looks_at_an_unknown_base_in_vain_is_a_hole_with_the_reason(ran, compute, says):
    metric = Metric("drift", "x", "", "lower", ("classification",), compute)
    records = ran("dense", metrics=[metric], keep_predictions=True)
    assert "drift" not in records["dense"].holes or says.startswith("drift: TypeError")
    tuned = ran("tuned", forget=True, metrics=[metric])["tuned"]
    for view in ("", "@start", "@best"):
        hole = tuned.holes.get(f"drift{view}")
        assert hole is says is None or hole.startswith(says)
        assert hole is None or "its test prediction is not kept" in hole
    assert "drift@valid" not in tuned.holes or says.startswith("drift: TypeError")


def test_a_prediction_of_an_earlier_run_does_not_outlive_the_next(ran, tmp_path):
    (record,) = ran("dense", keep_predictions=True).values()
    ran("dense")
    assert not Store(tmp_path).locate_prediction(record.trial.key).exists()
