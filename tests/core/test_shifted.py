"""Metrics of shifted test splits beside the test rows: a score for each split, when, and how tables show them."""

import dataclasses

import numpy as np
import pytest
import tiny
from example_records import METRICS, record

import harness.checks
import harness.metrics
from harness import (
    NO_CLASS,
    Batch,
    ClassLogProbs,
    Method,
    Metric,
    PluginError,
    UsageError,
    hookimpl,
    read_predictions,
)
from harness.catalog import Catalog
from harness.planning.plan import plan_trials
from harness.records.store import Store
from harness.report import summarise
from harness.report.rows.selecting import parse_criterion
from harness.suites.suite import Request
from harness.testing import cases
from harness.trials.trial import run_trial

FAR, NEAR = 3.0, 1.0


class Samples(tiny.Counts):
    """Two samples, of which one is unsure where inputs are large."""

    def __init__(self, config):
        super().__init__(tiny.Prior())

    def predict(self, state, inputs):
        sure = np.exp(-np.abs(inputs).mean(axis=1))[:, None] * [0.9, 0.05, 0.05]
        probs = np.stack([sure + (1 - sure.sum(axis=1, keepdims=True)) / 3, np.full((len(inputs), 3), 1 / 3)])
        return ClassLogProbs(np.log(probs), np.log([0.5, 0.5]))

    @property
    def views(self):
        return {"alone": self.predict}


def moved(data):
    def by(distance):
        return Batch(data.test.inputs + np.float32(distance), data.test.targets)

    return dataclasses.replace(data, shifted={"far": by(FAR), "near": by(NEAR), "best": by(0.0)})


class Plugin:
    def __init__(self, *metrics):
        self.metrics = metrics

    @hookimpl
    def harness_backends(self):
        yield from tiny.harness_backends()

    @hookimpl
    def harness_methods(self):
        yield Method("subject", "a method", Samples, ("classification",))

    @hookimpl
    def harness_datasets(self):
        (coins,) = tiny.harness_datasets()
        yield dataclasses.replace(coins, load=lambda config, seed, folder: moved(tiny.load(config, seed, folder)))

    @hookimpl
    def harness_metrics(self):
        yield from self.metrics


def run(metric, **asked):
    catalog = Catalog.of(harness.metrics, Plugin(metric))
    (trial,) = plan_trials(catalog, Request(methods="subject", seeds="[0]", **asked))
    return run_trial(catalog, trial)


def drift(outcome, other):
    """How much more unsure the samples are of the other rows."""
    return float(other.entropy.mean() - outcome.entropy.mean())


DRIFT = Metric("drift", "gain of entropy", "nats", "lower", ("classification",), compute=drift, shifted=True)


def of_drift(values):
    return {name: value for name, value in values.items() if name.startswith("drift")}


@pytest.mark.parametrize("mixture", [False, True])
def test_each_split_has_a_score_of_its_own_at_the_end_alone(mixture):
    found = run(dataclasses.replace(DRIFT, mixture=mixture))
    assert (found.status, set(of_drift(found.scores))) == ("ok", {"drift@far", "drift@near"})
    assert found.scores["drift@far"] > found.scores["drift@near"] > 0
    assert not any(of_drift(point.valid) for point in found.curve)
    assert of_drift(found.holes) == {}


def test_a_trial_without_updates_has_the_same_names():
    assert set(of_drift(run(DRIFT, budget=tiny.Budget("updates", 0)).scores)) == {"drift@far", "drift@near"}


def test_rows_of_no_class_reach_a_metric_as_such_and_nothing_is_scored_against_them(monkeypatch):
    def unclassed(data):
        known = Batch(data.test.inputs, data.test.targets)
        return dataclasses.replace(data, shifted={"far": known._replace(targets=np.full_like(known.targets, NO_CLASS))})

    monkeypatch.setitem(globals(), "moved", unclassed)
    metric = dataclasses.replace(DRIFT, compute=lambda outcome, other: float(np.mean(other.targets == NO_CLASS)))
    found = run(metric)
    assert (found.status, found.scores["drift@far"], of_drift(found.holes)) == ("ok", 1.0, {})
    assert {name for name in found.scores if name.endswith("@far")} == {"drift@far"}


def test_a_split_that_is_called_as_the_harness_calls_its_own_scores_is_left_out():
    assert run(DRIFT).holes["shifted.best"] == "the name is taken: the harness calls scores of its own @best"


def test_what_fails_on_one_split_is_a_hole_of_that_score():
    def fails(outcome, other):
        return 1 / (other.targets.size - outcome.targets.size) if np.mean(outcome.prediction[0]) else 1.0

    found = run(dataclasses.replace(DRIFT, compute=fails))
    assert found.status == "ok"
    assert found.holes["drift@far"].startswith("drift@far: ZeroDivisionError")


def test_no_one_chooses_by_it():
    with pytest.raises(UsageError, match="drift is of shifted test splits alone"):
        parse_criterion("drift@valid", [DRIFT])
    with pytest.raises(UsageError, match="drift is not scored at every validation point"):
        run(DRIFT, headline="drift")


@pytest.mark.parametrize("flaw", [{"headline": True}, {"compute": None, "measures": "cost"}])
def test_it_is_computed_and_no_headline(flaw):
    with pytest.raises(PluginError, match="shifted is for what is computed of test splits, and no headline"):
        Catalog.of(Plugin(dataclasses.replace(DRIFT, **flaw))).fill_shelves()


def test_the_contract_gives_it_an_uninformed_outcome_beside_the_test_rows():
    def gain(outcome, other):
        return float(other.prediction.log_probs.max() - np.mean(outcome.prediction.log_probs.max(axis=2)))

    catalog = Catalog.of(harness.checks, Plugin(dataclasses.replace(DRIFT, compute=gain)))
    results = {case.check.name: case.run() for case in cases(catalog, "drift")}
    assert {result.status for result in results.values()} == {"ok"}, results


# --- tables -----------------------------------------------------------------------------------------------------------


def tables(metric=DRIFT, columns=None):
    scores = {"accuracy": 0.5, "drift@far": 2.0, "drift@near": 1.0}
    records = [record("m", 0, "moved", scores=scores), record("m", 0, "plain", scores={"accuracy": 0.5})]
    return summarise(records, [*METRICS, metric], columns=columns).tables


NONE = "no such shifted split to score here, a metric for classification"


def test_a_score_stands_in_the_table_of_each_data_set_that_has_the_split():
    moved, plain = tables()
    assert [name for name in moved.columns if "@" in name] == ["drift@far", "drift@near"]
    assert not of_drift(dict.fromkeys(plain.columns))


def test_a_quantity_stands_there_where_it_is_asked_for_a_column_for_each_split():
    quantity = dataclasses.replace(DRIFT, measures="quantity")
    assert not of_drift(dict.fromkeys(tables(quantity)[0].columns))
    moved, plain = tables(quantity, ["accuracy", "drift"])
    assert moved.columns == ("accuracy", "drift@far", "drift@near")
    assert plain.columns == ("accuracy", "drift")
    assert plain.rows[0].cells["drift"].hole == NONE


def test_a_split_is_asked_for_by_its_name():
    moved, plain = tables(columns=["drift@far"])
    assert (moved.columns, moved.rows[0].cells["drift@far"].mean) == (("drift@far",), 2.0)
    assert plain.rows[0].cells["drift@far"].hole == NONE


def test_what_was_trained_anew_keeps_its_scores_of_shifted_splits():
    one = record("m", 0, scores={"accuracy": 0.5, "drift@far": 2.0})
    anew = dataclasses.replace(one, trial=dataclasses.replace(one.trial, refit=True))
    (table,) = summarise([anew], [*METRICS, DRIFT], refit=True).tables
    assert "drift@far" in table.columns


def test_predictions_of_shifted_splits_are_kept_with_that_of_the_test_rows(tmp_path):
    catalog = Catalog.of(harness.metrics, Plugin())
    (trial,) = plan_trials(catalog, Request(methods="subject", seeds="[0]"))
    Store(tmp_path).prepare()
    run_trial(catalog, trial, prediction=Store(tmp_path).locate_prediction(trial.key))
    test, shifted = read_predictions(tmp_path, trial.key)
    assert set(shifted) == {"far", "near"}  # a split called best has no name of its own
    assert {each.log_probs.shape for each in shifted.values()} == {test.log_probs.shape}
    sure = {name: float(each.log_probs.max(axis=2).mean()) for name, each in shifted.items()}
    assert sure["far"] < sure["near"] < float(test.log_probs.max(axis=2).mean())
