"""The base that a method starts from: which one, under which terms, and how the two stand in one table."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness import (
    Batch,
    Budget,
    ClassLogProbs,
    Data,
    Dataset,
    Method,
    PluginError,
    Problem,
    Recipe,
    UsageError,
    checks,
    hookimpl,
    option,
)
from harness.cli import main
from harness.metrics import harness_metrics
from harness.planning.plan import plan_trials
from harness.records.format import from_json, to_json
from harness.records.grouping import trial_protocol
from harness.records.plans import group_planned
from harness.records.store import Store
from harness.report.formats.one_record import render_record
from harness.report.render import render
from harness.report.rows.suite_claims import with_suite
from harness.report.rows.summary import summarise
from harness.suites import references
from harness.suites.suite import Request
from harness.testing.kit import cases
from harness.trials.rehearsal import rehearse
from harness.trials.trial import run_trial

POINT = torch.zeros(1)
KINDS = ("classification",)
ROWS = 24


@dataclass(frozen=True)
class Width:
    width: int = option(4, "columns that it sees", low=1)


@dataclass(frozen=True)
class Kept(Width):
    kept: int = option(2, "columns that are left", low=1)
    epochs: int = option(1, "epochs after that", low=0)


def load(config, seed, folder):
    rng = np.random.default_rng(seed)
    targets = np.arange(3 * ROWS) % 3
    inputs = (np.eye(3, 4)[targets] * 2 + 0.5 * rng.normal(size=(3 * ROWS, 4))).astype(np.float32)
    splits = [Batch(inputs[i : i + ROWS], targets[i : i + ROWS]) for i in range(0, 3 * ROWS, ROWS)]
    return Data(Problem("classification", (4,), 3, ROWS), *splits)


class Dense:
    """Softmax regression on the first columns."""

    def __init__(self, config):
        self.config = config

    def init(self, problem, training, base):
        return {"weight": torch.zeros(problem.output_size, self.config.width), "updates": 0}

    def update(self, state, batch):
        weight = state["weight"].requires_grad_()
        loss = torch.nn.functional.cross_entropy(self._logits(weight, batch.inputs), batch.targets)
        (gradient,) = torch.autograd.grad(loss, weight)
        step = {"weight": (weight - gradient).detach(), "updates": state["updates"] + 1}
        return step, {"loss": loss.detach()}

    def predict(self, state, inputs):
        return ClassLogProbs(self._logits(state["weight"].detach(), inputs).log_softmax(-1)[None], POINT)

    def _logits(self, weight, inputs):
        return inputs.flatten(1)[:, : weight.shape[1]] @ weight.T

    def save(self, state):
        return {"weight": state["weight"].detach()}

    def describe(self, state):
        return {"updates_done": state["updates"]}


class Pruned(Dense):
    """Goes on with the first columns alone."""

    def init(self, problem, training, base):
        assert base["weight"].shape == (3, self.config.width)
        weight = base["weight"].clone()
        weight[:, self.config.kept :] = 0
        return {"weight": weight, "updates": 0}


def start(config: Any) -> str:
    if config.kept > config.width:
        raise UsageError(f"kept={config.kept} is more than width={config.width} of what it starts from")
    return f"dense[width={config.width}]"


class Plugin:
    starts_from: Any = staticmethod(start)

    @hookimpl
    def harness_methods(self):
        yield Method("dense", "all columns", Dense, KINDS, config=Width)
        yield Method("prune", "fewer", Pruned, KINDS, config=Kept, starts_from=self.starts_from, epochs_option="epochs")
        yield Method("again", "and fewer", Pruned, KINDS, config=Kept, starts_from="prune", epochs_option="epochs")

    @hookimpl
    def harness_datasets(self):
        yield Dataset("blobs", "three", "classification", load, recipe=Recipe(Budget("epochs", 5), 8), default=True)


@pytest.fixture
def catalog(catalog_of):
    return catalog_of(Plugin())


@pytest.fixture
def planned_(catalog):
    def make(methods: str, **asked):
        return plan_trials(catalog, Request(**{"methods": methods, "seeds": "1", "device": "cpu", **asked}))

    return make


@pytest.fixture
def run(catalog, tmp_path):
    """Plan and run in this process: the records by label, of the first seed."""

    def run(methods: str, **asked):
        store = Store(tmp_path)
        store.prepare()
        asked = {"seeds": "1", "device": "cpu", "threads": 1, **asked}
        for trial in plan_trials(catalog, Request(methods=methods, **asked)):
            base = store.locate_weights(trial.base.key) if trial.base else None
            store.write(run_trial(catalog, trial, base=base, weights=store.locate_weights(trial.key)))
        return {each.trial.method.label: each for each in store.read_newest()[0]}

    return run


# --- which one ----------------------------------------------------------------------------------------------------


def test_a_method_starts_from_what_its_options_say(planned_):
    base, pruned = planned_("prune[width=3]")
    assert (base.method.label, pruned.method.label, pruned.base) == ("dense[width=3]", "prune[width=3]", base)
    assert base.keep


def test_a_sweep_over_options_of_the_base_has_a_base_for_each_value(planned_):
    trials = planned_("prune[width=[3,4],kept=[1,2]]")
    assert [trial.method.label for trial in trials] == [
        "dense[width=3]",
        "prune[width=3,kept=1]",
        "prune[width=3]",
        "dense",
        "prune[kept=1]",
        "prune",
    ]
    assert {trial.base.method.label for trial in trials[4:]} == {"dense"}


def test_options_may_start_from_nothing(planned_, monkeypatch):
    monkeypatch.setattr(Plugin, "starts_from", staticmethod(lambda config: "dense" if config.kept > 1 else ""))
    alone, base, pruned = planned_("prune[kept=[1,2]]")
    assert (alone.method.label, alone.base) == ("prune[kept=1]", None)
    assert pruned.base == base


def test_what_does_not_fit_its_base_is_refused_while_planning(planned_):
    with pytest.raises(UsageError, match=r"^prune: kept=4 is more than width=3 of what it starts from"):
        planned_("prune[width=3,kept=4]")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda config: config.nodes, "starts_from raised AttributeError: .*nodes.*; the method is at fault"),
        (lambda config: None, "starts_from returned None, expected a selection.*the method is at fault"),
        (lambda config: " ", "expected a selection such as 'dense'"),
        (lambda config: 7, "returned 7"),
        (lambda config: "dense[", r"starts from 'dense\[', which is no selection: the method is at fault"),
        (lambda config: "dense,dense[width=3]", "one method with one value for each option was expected"),
        (lambda config: "dense[width=[3,4]]", "one method with one value for each option was expected"),
        (lambda config: "*", "no selection"),
        (lambda config: "./dense.py", "one method with one value"),
        (lambda config: "dence", r"prune \(.*\) starts from 'dence': unknown method 'dence'; did you mean 'dense'"),
        (lambda config: "dense[width=0]", "starts from 'dense.width=0.': dense: width must be >= 1"),
        (lambda config: "prune", "goes in a circle, prune -> prune"),
        (lambda config: f"prune[width={config.width + 1}]", "goes on and on"),
    ],
)
def test_an_answer_that_names_no_base_is_told_as_the_methods_fault(catalog_of, answer, words):
    class Wrong(Plugin):
        starts_from = staticmethod(answer)

    with pytest.raises(UsageError, match=words):
        plan_trials(catalog_of(Wrong()), Request(methods="prune", seeds="1", device="cpu"))


def test_a_method_may_start_from_itself_with_other_options(catalog_of):
    class Rounds(Plugin):
        starts_from = staticmethod(lambda config: f"prune[kept={config.kept + 1}]" if config.kept < 4 else "dense")

    trials = plan_trials(catalog_of(Rounds()), Request(methods="prune[kept=3]", seeds="1", device="cpu"))
    assert [trial.method.label for trial in trials] == ["dense", "prune[kept=4]", "prune[kept=3]"]


def test_the_contract_and_a_rehearsal_start_from_what_the_options_say(catalog, catalog_of):
    contract = cases(catalog_of(checks, Plugin()), "prune[width=3]")
    results = {case.check.name: case.run() for case in contract}
    assert results["kinds-taken"].status == "ok", results["kinds-taken"]
    rehearsal = rehearse(catalog, "prune[width=3]", device="cpu")
    assert rehearsal.state["weight"].shape == (3, 3)
    assert rehearsal.base["weight"].any()  # zeros before the first update, which a method may refuse
    assert rehearse(catalog, "dense", device="cpu").base is None


def test_the_contract_tells_of_a_method_that_cannot_say_what_it_starts_from(catalog_of):
    class Wrong(Plugin):
        starts_from = staticmethod(lambda config: config.nodes)

    (case, *_) = (each for each in cases(catalog_of(checks, Wrong()), "prune") if each.check.name == "kinds-taken")
    result = case.run()
    assert result.status == "broken"
    assert re.search("its starts_from raised AttributeError: .*nodes.*; the method is at fault", result.reason)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs_option": "epoch", "starts_from": "dense"}, "epochs_option must be one of its options"),
        ({"epochs_option": "epochs", "starts_from": None}, "epochs_option needs starts_from"),
        ({"starts_from": 3}, "starts_from must be a selection or a callable"),
    ],
)
def test_a_method_that_cannot_start_from_anything_is_refused_when_it_is_loaded(catalog_of, changes, words):
    class Wrong:
        @hookimpl
        def harness_methods(self):
            yield Method(**{"name": "w", "summary": "", "factory": Dense, "kinds": KINDS, "config": Kept, **changes})

    with pytest.raises(PluginError, match=words):
        catalog_of(Wrong()).fill_shelves()


def test_nothing_is_asked_of_a_method_that_is_skipped_anyway(catalog_of):
    @dataclass(frozen=True)
    class Unset(Width):
        epochs: int | None = option(None, "what a recipe says")

    class Absent(Plugin):
        @hookimpl
        def harness_methods(self):
            yield Method("dense", "all", Dense, KINDS, config=Width)
            asked = {"starts_from": lambda config: config.nothing, "epochs_option": "epochs", "config": Unset}
            yield Method("lost", "x", Pruned, KINDS, requires=("no_such_module",), **asked)
            yield Method("set", "x", Pruned, KINDS, **asked | {"starts_from": "dense"})

    catalog = catalog_of(Absent())
    _, lost = plan_trials(catalog, Request(methods="dense,lost", seeds="1", device="cpu"))
    assert "no_such_module" in lost.skip
    with pytest.raises(UsageError, match=r"^set .*: epochs holds its epochs; expected a number of 0 or more, not None"):
        plan_trials(catalog, Request(methods="set", seeds="1", device="cpu"))


def test_a_listing_says_that_options_decide_the_base(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics")
    file = tmp_path / "mine.py"
    file.write_text(
        "from harness import Method, hookimpl\n\n\n@hookimpl\ndef harness_methods():\n"
        "    yield Method('prune', 'fewer', 'a:b', ('classification',), starts_from=lambda config: 'dense')\n"
    )
    for format_ in ("text", "json"):
        assert main(["list", "prune", "-p", str(file), "--format", format_]) == 0
        assert re.search(r"starts_from\W+what its options say", capsys.readouterr().out)


# --- under which terms --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [{}, {"budget": Budget("epochs", 3), "batch_size": 4, "patience": 2}])
def test_the_run_s_budget_and_patience_are_the_base_s_and_the_batch_size_is_both_s(planned_, asked):
    base, pruned = planned_("prune[epochs=7]", **asked)
    assert base.terms.budget == asked.get("budget", Budget("epochs", 5))
    assert base.terms.patience == asked.get("patience")
    assert (pruned.terms.budget, pruned.terms.patience) == (Budget("epochs", 7), None)
    assert base.terms.batch_size == pruned.terms.batch_size == asked.get("batch_size", 8)


def test_a_base_that_is_also_named_in_the_run_is_one_trial(planned_):
    for methods in ("dense,prune", "prune,dense", "dense[width=4],prune[epochs=1]"):
        trials = planned_(methods, budget=Budget("epochs", 3))
        assert sorted(trial.method.label for trial in trials) == ["dense", "prune"]
        assert next(trial for trial in trials if trial.method.name == "dense").keep


def test_every_link_of_a_chain_has_epochs_of_its_own_but_the_first(planned_):
    trials = planned_("again[epochs=2]", budget=Budget("updates", 40))
    assert [str(trial.terms.budget) for trial in trials] == ["40 updates", "1 epoch", "2 epochs"]
    assert {str(trial_protocol(trial)) for trial in trials} == {str(trial_protocol(trials[0]))}


def test_without_an_option_for_its_epochs_a_method_has_the_run_s_budget_and_its_base_the_recipe_s(catalog_of):
    class Plain(Plugin):
        @hookimpl
        def harness_methods(self):
            yield Method("dense", "all", Dense, KINDS, config=Width)
            yield Method("tune", "on", Pruned, KINDS, config=Kept, starts_from="dense")

    base, tuned = plan_trials(
        catalog_of(Plain()), Request(methods="tune", seeds="1", device="cpu", budget=Budget("epochs", 2))
    )
    assert (base.terms.budget.amount, tuned.terms.budget.amount) == (5, 2)
    assert trial_protocol(tuned)["budget"] == "2 epochs"


def test_whole_amounts_are_one_budget_however_they_are_written(planned_):
    whole, decimal = (planned_("dense", budget=Budget("epochs", amount)) for amount in (3, 3.0))
    assert whole[0].key == decimal[0].key


def test_a_base_that_two_start_from_under_other_terms_is_two_trials(catalog_of):
    class Both(Plugin):
        @hookimpl
        def harness_methods(self):
            yield from Plugin.harness_methods(self)
            yield Method("onward", "on", Pruned, KINDS, config=Kept, starts_from="prune")

    request = Request(methods="onward,prune", seeds="1", device="cpu", budget=Budget("epochs", 3))
    trials = plan_trials(catalog_of(Both()), request)
    told = [(trial.method.name, *(str(each.terms.budget) for each in (trial.base, trial) if each)) for trial in trials]
    assert told == [
        ("dense", "5 epochs"),
        ("prune", "5 epochs", "1 epoch"),
        ("onward", "1 epoch", "3 epochs"),
        ("dense", "3 epochs"),
        ("prune", "3 epochs", "1 epoch"),
    ]


# --- in one table -------------------------------------------------------------------------------------------------


def test_base_untuned_and_tuned_stand_in_one_table_with_their_differences(run):
    records = run("dense,prune[epochs=[0,2]]", seeds="2", budget=Budget("epochs", 3))
    assert [each.status for each in records.values()] == ["ok"] * 3
    summary = summarise(list(records.values()), list(harness_metrics()))
    (table,) = summary.tables
    assert [row.method for row in table.rows] == ["dense", "prune[epochs=0]", "prune[epochs=2]"]
    assert table.protocol["budget"] == "3 epochs"
    assert "blobs  3 epochs, batch 8, cpu, fp32, 1 thread" in render(summary, "text")


def test_claims_of_a_suite_hold_tuned_and_untuned_against_each_other_and_the_base(run, catalog, tmp_path):
    suite = tmp_path / "pruning.toml"
    suite.write_text(
        """
        methods = ["dense[width=4]", "prune[epochs=[0,2],kept=2]"]
        epochs = 3
        [[claims]]
        text = "tuned is no worse than untuned"
        left = "prune[epochs=2].accuracy"
        minus = "prune[kept=2,epochs=0].accuracy"
        at_least = 0
        [[claims]]
        text = "the base is as good as itself"
        left = "Plugin:dense.accuracy"
        over = "dense[width=4].accuracy"
        at_most = 1
        """
    )
    comparison = references.find_suite(catalog, str(suite))
    records = list(run(comparison.request.methods, seeds="3", budget=comparison.request.budget).values())
    metrics = list(harness_metrics())
    found = with_suite(summarise(records, metrics), records, metrics, comparison)
    assert [claim.judgement.claim.expression for claim in found.claims] == [
        "prune[epochs=2].accuracy - prune[epochs=0].accuracy",
        "dense.accuracy / dense.accuracy",
    ]
    assert [claim.judgement.verdict for claim in found.claims if claim.judgement.verdict == "not measured"] == []


def test_plans_name_the_table_that_records_stand_in(planned_):
    rows = group_planned(planned_("dense,prune[epochs=0]"))
    assert [row.protocol for row in rows] == [rows[0].protocol] * 2


def test_a_record_says_how_it_was_trained_before_and_reads_back(run):
    records = run("again[epochs=2]", budget=Budget("epochs", 3))
    shown = {label: render_record(each, []) for label, each in records.items()}
    assert "3 epochs, then 1\n" in shown["prune"]
    assert "3 epochs, then 1, then 2\n" in shown["again[epochs=2]"]
    assert "prune, 3 epochs, then 1 (" in shown["again[epochs=2]"]
    last = records["again[epochs=2]"]
    assert from_json(to_json(last)).trial == dataclasses.replace(last.trial)


def test_a_dry_run_says_how_it_is_trained_before(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,executors")
    file = tmp_path / "tunes.py"
    file.write_text(
        "from dataclasses import dataclass\nfrom harness import ClassLogProbs, Method, hookimpl, option\n"
        "@dataclass(frozen=True)\nclass Options:\n    epochs: int = option(0, 'epochs after that', low=0)\n"
        "@hookimpl\ndef harness_methods():\n"
        "    yield Method('tunes', 'goes on', 'tunes:no', ('classification',), config=Options, starts_from='counts',"
        " epochs_option='epochs')\n"
    )
    tiny = Path(__file__).with_name("tiny.py")
    arguments = ["run", "--methods", "tunes[epochs=2]", "--seeds", "1", "--epochs", "3", "--dry-run"]
    assert main([*arguments, "--results", str(tmp_path / "r"), "-p", str(tiny), "-p", str(file)]) == 0
    base, tuned, _ = capsys.readouterr().out.splitlines()
    assert "counts on coins, seed 0: 3 epochs, batches of 10" in base
    assert "tunes[epochs=2] on coins, seed 0: 3 epochs, then 2, batches of 10" in tuned


def test_epochs_after_updates_say_their_unit(run):
    records = run("prune[epochs=2]", budget=Budget("updates", 9))
    assert "9 updates, then 2 epochs\n" in render_record(records["prune[epochs=2]"], [])


class Counted(Pruned):
    """States how many rows it has predicted by the time it is described: after its scores, before it is profiled."""

    rows = 0

    def predict(self, state, inputs):
        self.rows += len(inputs)
        return super().predict(state, inputs)

    def describe(self, state):
        return {"rows_predicted": self.rows}


def test_without_updates_each_split_is_predicted_once_for_its_scores(catalog_of, tmp_path):
    class Counting(Plugin):
        @hookimpl
        def harness_methods(self):
            yield Method("dense", "all columns", Dense, KINDS, config=Width)
            yield Method("count", "x", Counted, KINDS, config=Kept, starts_from=start, epochs_option="epochs")

    catalog, store = catalog_of(Counting()), Store(tmp_path)
    store.prepare()
    base, trial = plan_trials(catalog, Request(methods="count[epochs=0]", seeds="1", device="cpu"))
    run_trial(catalog, base, weights=store.locate_weights(base.key))
    counted = run_trial(catalog, trial, base=store.locate_weights(base.key))
    assert counted.facts["rows_predicted"] == 2 * ROWS


def test_no_epochs_are_no_update_scored_once(run):
    records = run("prune[epochs=0],prune[epochs=1]", budget=Budget("epochs", 3))
    untuned, tuned = records["prune[epochs=0]"], records["prune"]
    assert (untuned.status, untuned.facts["updates_done"]) == ("ok", 0)
    assert [point.update for point in untuned.curve] == [0]
    assert untuned.scores["accuracy"] == untuned.scores["accuracy@start"] == tuned.scores["accuracy@start"]
    assert untuned.scores["accuracy@best"] == untuned.scores["accuracy"]
    assert untuned.scores.keys() == tuned.scores.keys()
    assert {"update_seconds", "train_seconds"} <= untuned.holes.keys()
    assert "update_seconds" not in untuned.measured
