"""The score behind the best point, patience and the differences of a table: a run's, a recipe's, or the kind's."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from harness import (
    Batch,
    Budget,
    ClassLogProbs,
    Data,
    Dataset,
    Instrument,
    Method,
    Metric,
    Problem,
    Recipe,
    UsageError,
    hookimpl,
)
from harness.cli import main
from harness.planning.plan import plan_trials
from harness.report import render, summarise
from harness.suites.suite import Request, read_suite
from harness.trials.trial import run_trial

TINY = Path(__file__).with_name("tiny.py")
ROWS = 20
CERTAIN = {2: 0.2, 4: 0.9, 6: 0.6, 8: 0.5, 10: 0.4}  # how probable class 1 is said to be after so many updates


def load(config, seed, folder):
    split = Batch(np.zeros((ROWS, 1), np.float32), np.tile([0, 1], ROWS // 2))
    return Data(Problem("classification", (1,), 2, ROWS), split, split, split)


class Sure:
    """Ever right in half of the rows, and more or less certain of class 1."""

    def __init__(self, config):
        pass

    def init(self, problem, training, base):
        return 0

    def update(self, state, batch):
        return state + 1, {}

    def predict(self, state, inputs):
        one = CERTAIN.get(state, 0.1)
        return ClassLogProbs(torch.tensor([1 - one, one]).log().expand(1, len(inputs), 2), torch.zeros(1))


def certainty(outcome):
    return float(np.exp(outcome.prediction.log_probs[0, :, 1]).mean())


class Plugin:
    @hookimpl
    def harness_methods(self):
        yield Method("sure", "x", Sure, ("classification",))
        yield Method("other", "x", Sure, ("classification",))

    @hookimpl
    def harness_datasets(self):
        for name, headline in (("plain", None), ("certain", "certainty"), ("odd", "colour")):
            recipe = Recipe(Budget("updates", 10), 10, headline=headline)
            yield Dataset(name, "x", "classification", load, recipe=recipe)

    @hookimpl
    def harness_metrics(self):
        yield Metric("certainty", "of class 1", "", "higher", ("classification",), certainty)
        yield Metric("late", "at the end alone", "", "higher", ("classification",), certainty, curve=False)
        yield Metric("weight", "a reading", "B", "lower")

    @hookimpl
    def harness_instruments(self):
        yield Instrument("scales", "weighs", lambda: None)


@pytest.fixture
def catalog(catalog_of):
    return catalog_of(Plugin())


@pytest.fixture
def planned(catalog):
    def go(dataset="plain", methods="sure", seeds="1", **asked):
        return plan_trials(catalog, Request(methods=methods, datasets=dataset, seeds=seeds, device="cpu", **asked))

    return go


@pytest.fixture
def run(catalog, planned):
    def go(*args, **asked):
        records = [run_trial(catalog, trial) for trial in planned(*args, **asked)]
        assert {record.status for record in records} == {"ok"}
        return records

    return go


@pytest.mark.parametrize(
    ("dataset", "asked", "best"),
    [("plain", None, 0), ("plain", "certainty", 4), ("certain", None, 4), ("certain", "accuracy", 0)],
)
def test_the_named_score_decides_the_best_point_the_run_s_before_the_recipe_s(run, dataset, asked, best):
    (record,) = run(dataset, headline=asked)
    assert record.measured["best_update"] == best
    assert record.scores["certainty@best"] == pytest.approx(CERTAIN.get(best, 0.1))


def test_it_decides_patience_as_well(run):
    (record,) = run("certain", patience=1)
    assert record.measured["stopped_update"] == 6
    (record,) = run("certain", patience=1, headline="accuracy")
    assert record.measured["stopped_update"] == 2


def test_the_headline_of_the_kind_named_is_no_other_trial(planned):
    (plain,), (named,), (recipe,) = planned(), planned(headline="accuracy"), planned("certain")
    assert (named.key, named.terms.headline) == (plain.key, None)
    assert recipe.terms.headline == "certainty"
    assert planned(headline="certainty")[0].key != plain.key


def test_it_stands_in_the_protocol_and_differences_go_by_it(run, catalog):
    records = run("certain", methods="sure,other", seeds="2")
    other = [record for record in records if record.trial.method.name == "other"]
    for record in other:
        record.scores["certainty"] += 0.25 + 0.01 * record.trial.seed
    summary = summarise(records, catalog.metrics.values())
    (table,) = summary.tables
    assert table.protocol["headline"] == "certainty"
    assert "best by certainty" in render(summary, "text", 120)
    assert "certainty@best" in table.columns
    assert "accuracy@best" not in table.columns
    against = table.rows[1].against
    assert (against.metric, against.difference.mean) == ("certainty", pytest.approx(0.255))


def test_without_a_word_differences_go_by_the_kind_s_and_the_protocol_does_not_speak_of_it(run, catalog):
    records = run("plain", methods="sure,other", seeds="2")
    summary = summarise(records, catalog.metrics.values())
    assert "best by" not in render(summary, "text", 120)
    assert summary.tables[0].rows[1].against.metric == "accuracy"


@pytest.mark.parametrize(
    ("dataset", "asked", "said"),
    [
        (
            "plain",
            "certanity",
            "--headline certanity: no metric is called 'certanity'; did you mean 'certainty'? sc",
        ),
        ("plain", "weight", "--headline weight: weight is a cost, and a score decides which point is the best; scores"),
        ("plain", "update_seconds", "--headline update_seconds: update_seconds is a cost, and"),
        ("plain", "rmse", "--headline rmse: rmse is a metric for regression, and plain is classification; scores that"),
        ("plain", "late", "--headline late: late is not scored at every validation point; scores that can: accuracy, "),
        ("odd", None, "the recipe of data set odd (Plugin (test_headline)): no metric is called 'colour'"),
    ],
)
def test_what_cannot_decide_is_refused_while_planning(planned, dataset, asked, said):
    with pytest.raises(UsageError) as caught:
        planned(dataset, headline=asked)
    assert str(caught.value).startswith(said)


def test_a_wrong_recipe_does_no_harm_where_the_run_says_which(planned):
    assert planned("odd", headline="nll")[0].terms.headline == "nll"


def test_patience_asks_for_a_headline_where_no_metric_of_the_kind_is_marked(catalog):
    (metric,) = [metric for metric in catalog.metrics.values() if metric.name == "accuracy"]
    object.__setattr__(metric, "headline", False)
    request = Request(methods="sure", datasets="plain", seeds="1", device="cpu", patience=2)
    with pytest.raises(UsageError, match=r"--headline METRIC says which does$"):
        plan_trials(catalog, request)
    (trial,) = plan_trials(catalog, dataclasses.replace(request, headline="nll"))
    assert trial.terms.headline == "nll"


def test_a_suite_and_the_command_line_name_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HARNESS_PLUGINS", "executors,metrics")
    suite = tmp_path / "mine.toml"
    suite.write_text('methods = "counts"\nseeds = 1\nheadline = "nll"\n')
    assert read_suite(suite).request.headline == "nll"
    arguments = ["-p", str(TINY), "--suite", str(suite), "--results", str(tmp_path / "r"), "--dry-run"]
    assert main(["run", *arguments]) == 0
    key = capsys.readouterr().out.split()[0]
    assert main(["run", *arguments, "--headline", "accuracy"]) == 0
    assert capsys.readouterr().out.split()[0] != key
    assert main(["run", *arguments, "--headline", "length"]) == 2
    assert "--headline length: length is a cost" in capsys.readouterr().err
