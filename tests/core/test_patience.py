"""Early stopping: validation decides, the record says so, and the schedule is that of the whole budget."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from example_records import METRICS, record

from harness import (
    Batch,
    Budget,
    ClassLogProbs,
    Data,
    Dataset,
    Method,
    Problem,
    Recipe,
    RegressionMixture,
    UsageError,
    hookimpl,
)
from harness.cli import main
from harness.planning.plan import changed_parts, plan_trials
from harness.records.format import from_json, to_json
from harness.report import render, render_record, summarise
from harness.suites.suite import Request
from harness.trials.trial import run_trial

TINY = Path(__file__).with_name("tiny.py")
ROWS = 20

# update -> share of rows that are right, or how far off a prediction is; looked at every second update of ten
RISING_TO_FOUR = {0: 0.5, 2: 0.6, 4: 0.7, 6: 0.7, 8: 0.65, 10: 0.9}
TWICE_FALLING = {0: 3.0, 2: 2.0, 4: 2.5, 6: 2.25, 8: 1.0, 10: 0.5}
BEST_AT_THE_START = {0: 0.9}
NEVER_RIGHT: dict[int, float] = {}


def load_signs(config, seed, folder):
    """Two classes told apart by sign."""
    targets = np.tile([0, 1], 30)
    split = Batch((2.0 * targets - 1)[:, None].astype(np.float32), targets)
    cut = [Batch(split.inputs[i::3], split.targets[i::3]) for i in range(3)]
    return Data(Problem("classification", (1,), 2, ROWS), *cut)


def load_zeros(config, seed, folder):
    split = Batch(np.zeros((ROWS, 1), np.float32), np.linspace(-1, 1, ROWS, dtype=np.float32))
    return Data(Problem("regression", (1,), 1, ROWS), split, split, split)


class Scripted:
    """Predicts as well as the script says for its number of updates."""

    script = RISING_TO_FOUR

    def __init__(self, config):
        pass

    def init(self, problem, training, base):
        self.planned = training.updates
        self.kind = problem.kind
        return 0

    def update(self, state, batch):
        return state + 1, {"loss": torch.zeros(())}

    def predict(self, state, inputs):
        quality = self.script.get(state, 0.0)
        if self.kind == "regression":
            means = torch.full((1, len(inputs)), quality)
            return RegressionMixture(means, torch.ones_like(means), torch.zeros(1))
        right = torch.arange(len(inputs)) < round(quality * len(inputs))
        logits = inputs[:, 0] * (2.0 * right - 1)
        return ClassLogProbs(torch.stack([-logits, logits], -1).log_softmax(-1)[None], torch.zeros(1))

    def describe(self, state):
        return {"planned": self.planned}


def plugin_of(learner):
    class Plugin:
        @hookimpl
        def harness_methods(self):
            yield Method("tiny", "x", learner, ("classification", "regression", "riddle"))
            yield Method("after", "x", learner, ("classification",), starts_from="tiny")

        @hookimpl
        def harness_datasets(self):
            recipe = Recipe(Budget("updates", 10), 10)
            yield Dataset("signs", "x", "classification", load_signs, recipe=recipe, default=True)
            yield Dataset("zeros", "x", "regression", load_zeros, recipe=recipe)
            yield Dataset("riddles", "x", "riddle", load_zeros, recipe=recipe)

    return Plugin()


@pytest.fixture
def planned(catalog_of):
    def go(learner=Scripted, methods="tiny", **asked):
        catalog = catalog_of(plugin_of(learner))
        return catalog, plan_trials(catalog, Request(methods=methods, seeds="1", device="cpu", **asked))

    return go


@pytest.fixture
def run(planned):
    def go(learner=Scripted, **asked):
        catalog, (trial,) = planned(learner, **asked)
        done = run_trial(catalog, trial)
        assert done.status == "ok", done.traceback
        return done

    return go


def stopped(done):
    return done.curve[-1].update, done.measured.get("stopped_early"), done.measured.get("stopped_update")


# --- the loop -----------------------------------------------------------------------------------------------------


def test_without_patience_the_budget_alone_decides(run):
    assert stopped(run()) == (10, None, None)


@pytest.mark.parametrize(("patience", "expected"), [(1, (6, True, 6)), (2, (8, True, 8)), (3, (10, False, 10))])
def test_training_stops_after_as_many_points_without_improvement_and_a_tie_is_none(run, patience, expected):
    assert stopped(run(patience=patience)) == expected


def test_the_final_score_is_that_of_the_stop_and_the_best_is_beside_it(run):
    done = run(patience=2)
    assert done.scores["accuracy"] == done.scores["accuracy@valid"] == pytest.approx(0.65)
    assert done.scores["accuracy@best"] == done.scores["accuracy@valid-best"] == pytest.approx(0.7)


@pytest.mark.parametrize("patience", [2, None])
def test_of_points_that_tie_the_first_is_the_best_as_patience_sees_it(run, patience):
    """Updates 4 and 6 are equally right, and the learner is surer of itself at 6."""

    class Surer(Scripted):
        script = RISING_TO_FOUR | {10: 0.2}

        def predict(self, state, inputs):
            return super().predict(state, inputs * (2.0 if state == 6 else 1.0))

    done = run(Surer, patience=patience)
    fourth, sixth = (next(point for point in done.curve if point.update == update) for update in (4, 6))
    assert done.measured["best_update"] == 4
    assert fourth.valid["accuracy"] == sixth.valid["accuracy"]
    assert done.scores["nll@valid-best"] == fourth.valid["nll"] != sixth.valid["nll"]


def test_the_learner_is_told_of_all_planned_updates(run):
    assert run(patience=1).facts["planned"] == 10


def test_lower_is_better_where_the_headline_says_so(run):
    class Falling(Scripted):
        script = TWICE_FALLING

    assert stopped(run(Falling, datasets="zeros", patience=2)) == (6, True, 6)
    assert stopped(run(Falling, datasets="zeros", patience=3)) == (10, False, 10)


def test_the_start_counts_as_a_point(run):
    class Falls(Scripted):
        script = BEST_AT_THE_START

    assert stopped(run(Falls, patience=1)) == (2, True, 2)


def test_a_budget_of_seconds_stops_early_too(run):
    class Constant(Scripted):
        script = NEVER_RIGHT

    done = run(Constant, patience=2, budget=Budget("seconds", 0.5))
    assert done.measured["stopped_early"] is True
    assert done.measured["stopped_update"] == done.curve[-1].update
    assert len(done.curve) == 3


# --- the trial ----------------------------------------------------------------------------------------------------


def test_patience_is_part_of_the_key(planned):
    _, (plain,) = planned()
    _, (patient,) = planned(patience=3)
    assert (plain.terms.patience, patient.terms.patience) == (None, 3)
    assert changed_parts(plain.parts, patient.parts) == ["patience"]
    assert plain.key != patient.key


def test_a_base_is_trained_as_its_recipe_says(planned):
    _, (base, trial) = planned(methods="after", patience=3)
    assert (base.terms.patience, trial.terms.patience) == (None, 3)


@pytest.mark.parametrize(("asked", "words"), [({"patience": 0}, "at least 1"), ({"datasets": "riddles"}, "riddles")])
def test_patience_that_cannot_decide_is_refused(planned, asked, words):
    with pytest.raises(UsageError, match=words):
        planned(**{"patience": 2} | asked)


def with_patience(made, patience: int):
    terms = dataclasses.replace(made.trial.terms, patience=patience)
    return dataclasses.replace(made, trial=dataclasses.replace(made.trial, terms=terms, key="patient"))


def test_a_record_keeps_its_patience_and_one_of_before_reads():
    value = to_json(with_patience(record(), 4))
    assert from_json(value).trial.terms.patience == 4
    del value["trial"]["terms"]["patience"]
    assert from_json(value).trial.terms.patience is None
    value["trial"]["terms"]["patience"] = "four"
    with pytest.raises(TypeError, match="patience must be int or none"):
        from_json(value)


# --- the report ---------------------------------------------------------------------------------------------------


def test_trials_with_and_without_patience_are_never_averaged():
    plain = record(scores={"accuracy": 0.9})
    patient = with_patience(plain, 4)
    summary = summarise([plain, patient], METRICS)
    assert [table.protocol.get("patience") for table in summary.tables] == [None, 4]
    assert "1 thread, patience 4" in render(summary, "text")
    assert "patience" in render_record(patient, METRICS)


def test_a_run_with_patience_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,executors")
    monkeypatch.chdir(tmp_path)
    suite = tmp_path / "s.toml"
    suite.write_text('methods = "counts"\nseeds = 1\npatience = 2\n')
    for arguments, expected in (
        (["--methods", "counts", "--seeds", "1", "--patience", "1"], 1),
        (["--suite", str(suite)], 2),
    ):
        assert main(["run", "--here", *arguments, "-p", str(TINY)]) == 0
        assert f"patience {expected}" in capsys.readouterr().out
    assert main(["report", "--metrics", "accuracy,accuracy@best", "--format", "json", "-p", str(TINY)]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["protocol"]["patience"] for row in rows] == [1, 2]
    assert all({"accuracy", "accuracy@best"} == row["metrics"].keys() for row in rows)
    assert main(["run", "--methods", "counts", "--patience", "0", "-p", str(TINY)]) == 2
    assert "--patience" in capsys.readouterr().err
