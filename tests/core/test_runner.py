"""Which trials of a plan still have to run, and that a run reports the trials that it planned."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import Budget, Record, Trial
from harness.runner import split
from harness.store import Store
from harness.types import Choice

TINY = Path(__file__).with_name("tiny.py")


def chain() -> list[Trial]:
    """Three trials, each starting from the one before it."""
    trials: list[Trial] = []
    for name in ("a", "b", "c"):
        base = dataclasses.replace(trials[-1], keep=True) if trials else None
        method, dataset = Choice(name, {}, {}, name), Choice("d", {}, {}, "d")
        trials.append(Trial(method, dataset, 0, Budget("epochs", 1), 8, "cpu", "fp32", 1, base=base, key=name))
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
        if trial.key in recorded:
            store.write(Record(trial, "ok"))
        if trial.key in weights:
            store.weights(trial.key).touch()
    found = split(chain(), store)
    assert "".join(trial.key for trial in found.todo) == todo
    assert {record.trial.key for record in found.done} == set("abc") - set(todo)


def test_a_run_reports_its_own_records_after_the_code_has_changed_and_changed_back(tmp_path):
    plugin = tmp_path / "tiny.py"
    shutil.copy(TINY, plugin)

    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "harness", "run", "-p", str(plugin), "--methods", "counts", "--seeds", "1"]
        command += ["--here", "--results", str(tmp_path / "results")]
        environment = os.environ | {"HARNESS_PLUGINS": "metrics,executors", "COLUMNS": "100"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    first = run()
    original = plugin.read_text()
    plugin.write_text(original + "\n# changed\n")
    assert run().returncode == 0
    plugin.write_text(original)
    back = run()
    assert "1 of 1 trials have a record" in back.stderr or "1 of 1 trial" in back.stderr
    assert (back.returncode, back.stdout) == (first.returncode, first.stdout) == (0, first.stdout)
    assert "counts" in back.stdout
