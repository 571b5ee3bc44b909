"""A run runs those trials of its plan that have no record yet, and reports all of them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from commands import forked

from harness import Budget, Dataset, Method, Record, TrainingTerms, Trial, hookimpl
from harness.records import trained_arrays
from harness.records.store import Store
from harness.running import runner
from harness.running.runner import explain_reruns, split_plan
from harness.types import Choice, RunContext

TERMS = TrainingTerms(Budget("epochs", 1), 8, "cpu", "fp32", 1)
TINY = Path(__file__).with_name("tiny.py")


def chain() -> list[Trial]:
    """Three trials, each starting from the one before it."""
    trials: list[Trial] = []
    for name in ("a", "b", "c"):
        base = dataclasses.replace(trials[-1], keep=True) if trials else None
        method, dataset = Choice(name, {}, {}, name), Choice("d", {}, {}, "d")
        trials.append(Trial(method, dataset, 0, TERMS, base=base, key=name))
    return trials


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(tmp_path)
    made.prepare()
    return made


@pytest.mark.parametrize(
    ("recorded", "weights", "todo"),
    [
        ("abc", "", ""),
        ("ab", "ab", "c"),
        ("ab", "a", "bc"),
        ("ab", "", "abc"),
        ("bc", "b", "a"),
        ("", "", "abc"),
    ],
)
def test_a_base_runs_again_if_a_trial_needs_weights_that_have_gone(store, recorded, weights, todo):
    for trial in chain():
        path = store.locate_weights(trial.key)
        if trial.key in weights:
            path.touch()
        if trial.key in recorded:
            store.write(
                Record(trial, "ok", provenance={"arrays": trained_arrays.state_file(path)} if path.exists() else {})
            )
    found = split_plan(chain(), store)
    assert "".join(trial.key for trial in found.todo) == todo
    assert {record.trial.key for record in found.done} == set("abc") - set(todo)


MEASURE = """
from harness import Instrument, Metric, hookimpl

def width(outcome):
    return {value}

@hookimpl
def harness_metrics():
    yield Metric("width", "how wide it is", "", "higher", ("classification",), width)
"""


def test_a_metric_that_has_changed_since_is_told_and_nothing_runs_again(tmp_path):
    metric = tmp_path / "measure.py"

    def run(value: int, *more: str) -> subprocess.CompletedProcess[str]:
        metric.write_text(MEASURE.format(value=value))
        command = ["run", "-p", str(TINY), "-p", str(metric), "--methods", "counts"]
        command += ["--seeds", "2", "--here", "--results", str(tmp_path / "results"), "--metrics", "width", *more]
        environment = os.environ | {"HARNESS_PLUGINS": "metrics,executors", "COLUMNS": "100"}
        return forked(command, environment)

    assert run(10).returncode == 0
    same = run(10)
    assert "2 of 2 trials have a record" in same.stderr
    assert "changed" not in same.stderr
    changed, planned = run(11), run(11, "--dry-run")
    for said in (changed.stderr, planned.stdout):
        assert "2 of the records were measured before the source of measure changed; without " in said
    assert "10" in changed.stdout
    for path in (tmp_path / "results" / "trials").glob("*.json"):
        assert str(path.parent) in changed.stderr
        path.unlink()
    again = run(11)
    assert "changed" not in again.stderr
    assert "11" in again.stdout


class Hands:
    """An executor that hands out records as they are, and what is told of a run."""

    def __init__(self, *records):
        self.records = records
        self.finished_as = []

    def run(self, trials, context, progress):
        yield from self.records

    def started(self, trial, cohort): ...

    def progressed(self, trial, progress): ...

    def finished(self, trial, record):
        self.finished_as.append(record.status)


def nested(depth):
    value: object = 1
    for _ in range(depth):
        value = {"in": value}
    return value


class Unwritable:
    def __str__(self):
        raise RuntimeError("freed")


@pytest.mark.parametrize("facts", [nested(490), nested(5000), Unwritable(), 10**5000], ids=range(4))
def test_a_record_that_no_file_can_hold_becomes_a_failed_one_and_costs_no_other(store, tmp_path, catalog_of, facts):
    class Offers:
        @hookimpl
        def harness_methods(self):
            yield from (Method(name, "x", "nowhere:x", ("classification",)) for name in "abc")

        @hookimpl
        def harness_datasets(self):
            yield Dataset("d", "x", "classification", "nowhere:x")

    before, odd, after = (dataclasses.replace(trial, base=None) for trial in chain())
    hands = Hands(Record(before, "ok"), Record(odd, "ok", facts={"odd": facts}), Record(after, "ok"))
    context = RunContext(tmp_path, None)
    list(run([before, odd, after], catalog_of(Offers()), store, hands, context))
    assert hands.finished_as == ["ok", "failed", "ok"]
    found = {record.trial.key: record for record in store.read_newest()[0]}
    assert {key: record.status for key, record in found.items()} == {"a": "ok", "b": "failed", "c": "ok"}
    assert found["b"].reason.startswith("its record cannot be written: ")


def test_a_plugin_that_is_told_of_a_record_cannot_change_it(store, tmp_path, catalog_of):
    class Offers:
        @hookimpl
        def harness_methods(self):
            yield Method("a", "x", "nowhere:x", ("classification",))

        @hookimpl
        def harness_datasets(self):
            yield Dataset("d", "x", "classification", "nowhere:x")

        @hookimpl
        def harness_run_started(self, trials):
            trials.clear()

        @hookimpl
        def harness_trial_finished(self, record):
            record.scores["accuracy"] = 1.0

        @hookimpl
        def harness_run_finished(self, records):
            for record in records:
                record.scores["accuracy"] = 1.0

    trial, *_ = chain()
    hands = Hands(Record(trial, "ok", scores={"accuracy": 0.5}))
    (record,) = run([trial], catalog_of(Offers()), store, hands, RunContext(tmp_path, None))
    assert record.scores == {"accuracy": 0.5}


def run(trials, catalog, store, hands, context):
    return runner.run_trials(catalog, trials, store, hands, context, hands)


# --- why a trial runs again -----------------------------------------------------------------------------------------


PARTS = {
    "core": "c1",
    "backend": {"version": "1", "source": "b1"},
    "method": {"label": "a", "options": {"rate": 0.1}, "version": "1", "source": "m1"},
    "dataset": {"label": "d", "options": {}, "version": "1", "source": "d1", "files": {"x": "f1"}},
    "seed": 0,
    "base": None,
}


def planned(number: int = 0, **parts) -> Trial:
    """A trial whose key follows from its parts."""
    merged = {name: {**part, **parts.get(name, {})} if isinstance(part, dict) else part for name, part in PARTS.items()}
    merged |= {name: part for name, part in parts.items() if not isinstance(part, dict)}
    method, dataset = Choice("a", {}, {}, "a"), Choice("d", {}, {}, "d")
    key = f"{number}-{json.dumps(merged, sort_keys=True)}".replace("/", "")
    key = hashlib.sha256(key.encode()).hexdigest()[:16]
    return Trial(method, dataset, number, TERMS, key=key, parts=merged)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"method": {"source": "m2"}}, "the source of a"),
        ({"method": {"source": "m2", "version": "2"}}, "the version of a, the source of a"),
        ({"method": {"options": {"rate": 0.2}}}, "the options of a"),
        ({"dataset": {"files": {"x": "f2"}}}, "the files of d"),
        ({"backend": {"source": "b2"}, "core": "c2"}, "the source of the harness, the source of the backend"),
        ({"base": "other"}, "what it starts from"),
        ({"base": "other", "core": "c2"}, "the source of the harness"),
    ],
)
def test_what_has_changed_since_is_said_in_words(store, parts, said):
    store.write(Record(planned(), "ok", finished="1"))
    assert explain_reruns([planned(**parts)], store) == [f"1 trial runs again, changed since: {said}"]


def test_several_trials_share_a_line_and_those_that_ended_badly_have_their_own(store):
    for number, status in enumerate(("ok", "ok", "failed", "timeout", "failed")):
        store.write(Record(planned(number), status, finished=str(number)))
    new = [planned(number, core="c2") for number in range(6)]
    assert explain_reruns(new, store) == [
        "3 trials run again: failed, timeout before",
        "2 trials run again, changed since: the source of the harness",
    ]


def test_nothing_is_said_of_new_trials_or_in_an_empty_folder(store, tmp_path):
    assert explain_reruns([planned()], store) == []
    assert explain_reruns([planned()], Store(tmp_path / "nowhere")) == []
    store.write(Record(planned(), "ok", finished="1"))
    assert explain_reruns([planned(1), dataclasses.replace(planned(core="c2"), skip="unfit")], store) == []


def test_a_run_reports_its_own_records_after_the_code_has_changed_and_changed_back(tmp_path):
    plugin = tmp_path / "tiny.py"
    shutil.copy(TINY, plugin)

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        command = ["run", "-p", str(plugin), "--methods", "counts", "--seeds", "1"]
        command += ["--here", "--results", str(tmp_path / "results"), *more]
        environment = os.environ | {"HARNESS_PLUGINS": "metrics,executors", "COLUMNS": "100"}
        return forked(command, environment)

    first = run()
    original = plugin.read_text()
    plugin.write_text(original + "\n# changed\n")
    why = "1 trial runs again, changed since: the source of the backend, the source of counts, the source of coins\n"
    assert why in run("--dry-run").stdout
    assert "again" not in first.stderr
    second = run()
    assert (second.returncode, why in second.stderr) == (0, True)
    plugin.write_text(original)
    back = run()
    assert "1 of 1 trials have a record" in back.stderr or "1 of 1 trial" in back.stderr
    assert (back.returncode, back.stdout) == (first.returncode, first.stdout) == (0, first.stdout)
    assert "counts" in back.stdout
