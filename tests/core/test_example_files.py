"""Scores of the single test examples of a trial, kept beside its record: what they are, and when there are none."""

from __future__ import annotations

import json
import math
import shutil

import lanes
import numpy as np
import pytest
import tiny
from scipy import stats

import harness.executors
import harness.metrics
from harness import Batch, Outcome, Problem, RegressionMixture, Unsupported, hookimpl
from harness.catalog import Catalog
from harness.data.array_digests import digest_rows
from harness.executors.worker import run_task
from harness.planning.plan import plan_trials
from harness.records import example_files
from harness.records.example_files import Examples, find_examples, read_examples, score_examples, write_examples
from harness.records.store import Store
from harness.suites.suite import Request
from harness.trials import points
from harness.trials.cohort import run_cohort
from harness.trials.lanes import Seat
from harness.trials.trial import run_trial
from harness.types import RunContext

ROWS = {"test.inputs": "a", "test.targets": "b"}
IDS = np.arange(5, dtype=np.uint64)
FEW = Examples(IDS, {"right": np.array([True, False, True, True, False]), "log_score": np.full(5, -0.5, "f4")})


class Backend:
    @hookimpl
    def harness_backends(self):
        yield from tiny.harness_backends()


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """Runs the trials of a request as an executor does, without loading plugins; the last of their records."""
    Store(tmp_path).prepare()

    def call(methods="counts", seeds="[0]", **context):
        catalog = Catalog.of(harness.metrics, harness.executors, tiny)
        monkeypatch.setattr("harness.catalog.load_catalog", lambda settings: catalog)
        for trial in plan_trials(catalog, Request(methods=methods, seeds=seeds)):
            record = run_task(trial, RunContext(tmp_path, None, **context), lambda progress: None)
            Store(tmp_path).write(record)
        return record

    return call


def line_trials(methods="steps", **asked):
    catalog = Catalog.of(harness.metrics, Backend(), lanes)
    return catalog, plan_trials(catalog, Request(methods=methods, **{"seeds": "[0,1]", **asked}))


# --- what is kept -------------------------------------------------------------------------------------------------


def test_each_example_of_classes_has_whether_it_is_right_and_its_log_score(ran, tmp_path):
    record = ran()
    found = find_examples([tmp_path], record)
    assert {name: each.dtype for name, each in found.scores.items()} == {"right": bool, "log_score": np.float32}
    assert found.scores["right"].mean() == record.scores["accuracy"]
    assert -found.scores["log_score"].mean(dtype=float) == pytest.approx(record.scores["nll"], rel=1e-6)
    assert len(np.unique(found.ids)) == len(found.ids) == record.measured["rows"]["test"]
    assert not list(Store(tmp_path).trials.glob("*.part"))


def test_each_example_of_regression_has_its_squared_error_and_its_log_score(tmp_path):
    catalog, trials = line_trials()
    record = run_trial(catalog, trials[0], examples=tmp_path / "kept")
    found = read_examples(tmp_path / "kept", rows_of(record))
    assert set(found.scores) == {"squared_error", "log_score"}
    assert math.sqrt(found.scores["squared_error"].mean(dtype=float)) == pytest.approx(record.scores["rmse"], rel=1e-6)
    assert found.scores["log_score"].mean(dtype=float) == pytest.approx(record.scores["log_likelihood"], rel=1e-5)


def rows_of(record):
    return {name: each for name, each in record.provenance["data"].items() if name.startswith("test.")}


def test_trials_that_are_trained_as_one_keep_what_each_keeps_alone(tmp_path):
    catalog, trials = line_trials()
    nowhere = {"report": lambda news: None, "ended": lambda record: None}
    run_cohort(catalog, [Seat(trial, examples=tmp_path / str(trial.seed), **nowhere) for trial in trials])
    for trial in trials:
        record = run_trial(catalog, trial, examples=tmp_path / "alone")
        together, alone = (read_examples(tmp_path / name, rows_of(record)) for name in (str(trial.seed), "alone"))
        np.testing.assert_array_equal(together.ids, alone.ids)
        for name, values in alone.scores.items():
            np.testing.assert_allclose(together.scores[name], values, rtol=1e-5)


def test_scores_of_examples_are_those_of_scipy():
    draw = np.random.default_rng(0)
    means, targets = draw.normal(size=(1, 7)), draw.normal(size=7)
    outcome = Outcome(RegressionMixture(means, np.full((1, 7), 0.25), np.zeros(1)), targets, Problem("x", (1,), 1, 1))
    found = score_examples(outcome, np.arange(7, dtype=np.uint64)).scores
    np.testing.assert_allclose(found["log_score"], stats.norm.logpdf(targets, means[0], 0.5), rtol=1e-6)
    np.testing.assert_allclose(found["squared_error"], (targets - means[0]) ** 2, rtol=1e-6)


def test_an_example_is_the_same_wherever_it_stands_and_another_with_another_target():
    draw = np.random.default_rng(0)
    inputs, targets, order = draw.normal(size=(6, 3)).astype("f4"), np.array([0, 1, 2, 0, 1, 2]), draw.permutation(6)
    here, there = digest_rows(Batch(inputs, targets)), digest_rows(Batch(inputs[order], targets[order]))
    np.testing.assert_array_equal(here[order], there)
    assert not set(here) & set(digest_rows(Batch(inputs, targets + 1)))
    assert here.dtype == np.uint64


def test_repeated_rows_are_told_by_how_many_they_are():
    inputs = np.array([[1.0], [2.0], [1.0]], "f4")
    twice = digest_rows(Batch(inputs, np.zeros(3, int)))
    once = digest_rows(Batch(inputs[[0, 1, 1]], np.zeros(3, int)))
    assert twice[0] == twice[2] != twice[1]
    sort = [Examples(ids, {}).sort().ids.tolist() for ids in (twice, twice[[2, 0, 1]], once)]
    assert sort[0] == sort[1] != sort[2]


def test_the_record_is_what_it_would_be_without(ran, tmp_path):
    catalog, (trial, _) = line_trials()
    kept, without = (run_trial(catalog, trial, examples=path) for path in (tmp_path / "kept", None))
    assert (kept.scores, kept.holes, kept.provenance) == (without.scores, without.holes, without.provenance)
    assert kept.measured.keys() == without.measured.keys()


def test_scores_of_an_earlier_run_do_not_outlive_the_next(ran, tmp_path, monkeypatch):
    path = Store(tmp_path).locate_examples(ran().trial.key)
    assert path.exists()
    monkeypatch.setattr(example_files, "LARGEST", 10)
    ran()
    assert not path.exists()


# --- what cannot be kept ------------------------------------------------------------------------------------------


def test_more_than_is_kept_is_a_note_and_the_trial_is_ok(ran, monkeypatch):
    monkeypatch.setattr(example_files, "LARGEST", 10)
    record = ran()
    assert record.status == "ok"
    assert "at most 0 are kept" in record.holes["test examples"]
    assert "accuracy" in record.scores


def test_a_full_disk_is_a_note_and_leaves_nothing(ran, tmp_path, monkeypatch):
    def fill(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(example_files, "write_atomically", fill)
    record = ran()
    assert record.status == "ok"
    assert "No space left" in record.holes["test examples"]
    assert [path.suffix for path in Store(tmp_path).trials.iterdir()] == [".json"]


def test_scores_that_fail_cost_no_more_than_themselves(ran, monkeypatch):
    def fail(outcome, ids):
        raise ValueError("on purpose")

    monkeypatch.setattr(points.example_files, "score_examples", fail)
    record = ran()
    assert (record.status, "on purpose" in record.holes["test examples"]) == ("ok", True)


def test_rows_that_cannot_be_read_have_no_digests():
    class Locked:
        def numpy(self):
            raise RuntimeError("elsewhere")

    assert digest_rows(Batch(Locked(), np.zeros(3))) is None
    with pytest.raises(Unsupported, match="have no digests"):
        score_examples(None, None)


# --- what cannot be read ------------------------------------------------------------------------------------------


def test_a_cut_file_of_other_rows_and_none_are_said(tmp_path):
    write_examples(tmp_path / "e", FEW, ROWS)
    assert read_examples(tmp_path / "e", ROWS).scores["right"].tolist() == FEW.scores["right"].tolist()
    with pytest.raises(Unsupported, match="are of other rows"):
        read_examples(tmp_path / "e", {**ROWS, "test.inputs": "c"})
    with pytest.raises(Unsupported, match="no scores of single test examples are kept"):
        read_examples(tmp_path / "nowhere", ROWS)


def test_no_cut_of_a_file_is_read(tmp_path):
    write_examples(tmp_path / "e", FEW, ROWS)
    whole = (tmp_path / "e").read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "e").write_bytes(whole[:length])
        with pytest.raises(Unsupported, match="cannot be read"):
            read_examples(tmp_path / "e", ROWS)


@pytest.mark.parametrize(
    "arrays", [{"ids": IDS[:3]}, {"ids": IDS.astype(float)}, {"right": np.zeros((5, 2), bool)}], ids=str
)
def test_arrays_that_are_not_one_for_each_example_are_said(tmp_path, arrays):
    with (tmp_path / "e").open("wb") as file:
        np.savez(file, rows=json.dumps(ROWS), **{"ids": IDS, **FEW.scores, **arrays})
    with pytest.raises(Unsupported, match="are not one for each"):
        read_examples(tmp_path / "e", ROWS)


def test_of_several_folders_the_file_is_that_of_the_record_that_counts(ran, tmp_path):
    record = ran()
    older = tmp_path / "older"
    shutil.copytree(Store(tmp_path).trials, older / "trials")
    Store(older).locate_examples(record.trial.key).write_bytes(b"cut")
    text = Store(older).locate_record(record.trial.key)
    text.write_text(text.read_text().replace(record.finished, "2020-01-01T00:00:00+00:00"))
    assert isinstance(find_examples([older, tmp_path], record), Examples)
    assert "cannot be read" in find_examples([older], record)
