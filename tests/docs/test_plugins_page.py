"""docs/plugins.md: what it lists is what there is, and its command works."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest

import harness
from harness import executing, hookspecs
from harness.catalog import Catalog
from harness.catalog.descriptors import HOOKS
from harness.cli import main
from harness.executing import Job, outcome, write
from harness.suites import entries, suite
from harness.types import (
    Budget,
    Check,
    Choice,
    DataOptions,
    Dataset,
    Export,
    Formula,
    Gauge,
    Instrument,
    Kept,
    Method,
    Metric,
    Outcome,
    Record,
    RunContext,
    Suite,
    Trained,
    TrainingTerms,
    Trial,
    Written,
)

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^#{2,3} (.*?)\n(.*?)(?=^#{2,3} |\Z)", PAGE, re.MULTILINE | re.DOTALL))
LISTED = {name: re.findall(r"^\| `(\w+)[^|]*?` \|", text, re.MULTILINE) for name, text in SECTIONS.items()}


GAUGE = ("deployed", "pause", "settle", "use_formulas")  # what is optional of one


def fields(kind: type) -> list[str]:
    return [item.name for item in dataclasses.fields(kind)]


EXPECTED = {
    "Hooks": [name for name in vars(hookspecs) if name.startswith("harness_")],
    **{
        kind.__name__: fields(kind)
        for kind in (
            Method,
            Dataset,
            DataOptions,
            Metric,
            Outcome,
            Instrument,
            Formula,
            Export,
            Kept,
            Written,
            Check,
            Suite,
        )
    },
    "Record": fields(Record),
    "Gauge": [*(name for name in vars(Gauge) if not name.startswith("_")), *GAUGE],
    "Trained": [name for name in fields(Trained) if not name.startswith("_")],
    "Keys of a suite's file": list(suite.KINDS),
    "`[[published]]`": list(entries.PUBLISHED),
    "`[[claims]]`": list(entries.CLAIM),
}


@pytest.mark.parametrize("section", EXPECTED)
def test_a_table_lists_every_key_there_is_and_no_other(section):
    assert sorted(LISTED[section]) == sorted(EXPECTED[section])


def test_every_kind_of_offer_has_its_table_but_those_of_few_authors():
    undescribed = {"ExecutorOffer", "BackendOffer"}
    assert {kind.__name__ for kind, _ in HOOKS.values()} - set(SECTIONS) == undescribed


def test_the_fields_of_a_recipe_are_named_as_they_are():
    assert f"Recipe({', '.join(get_type_hints(harness.Recipe))})" in PAGE


def test_a_command_reaches_every_shelf_that_the_catalogue_has():
    shelves = re.search(r"a shelf for each kind of offer: (.*?), each with", PAGE, re.DOTALL)[1]
    named = re.findall(r"`(\w+)`", shelves)
    assert len(named) == len(HOOKS)
    assert all(getattr(Catalog(), name).names() == [] for name in named)


def shown(section: str, path: Path) -> Path:
    """The plugin that a section shows, in a file."""
    (block,) = re.findall(r"^```python\n(.*?)^```$", SECTIONS[section], re.MULTILINE | re.DOTALL)
    path.write_text(block)
    return path


def test_the_command_that_is_shown_works(tmp_path, monkeypatch, capsys):
    plugin = shown("Commands and records", tmp_path / "slowest.py")
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,executors")
    results = tmp_path / "results"
    tiny = ROOT / "tests" / "core" / "tiny.py"
    run = ["run", "--methods", "counts", "--seeds", "1", "-p", str(tiny), "--results", str(results), "--here"]
    assert main(run) == 0
    capsys.readouterr()
    assert main(["-p", str(plugin), "slowest", "--results", str(results)]) == 0
    assert re.fullmatch(r"counts on coins: [\d.e-]+ s\n", capsys.readouterr().out)
    assert main(["-p", str(plugin), "slowest", "--results", str(tmp_path / "none")]) == 1
    assert "no records" in capsys.readouterr().err


def test_the_format_that_is_shown_works(tmp_path, monkeypatch, capsys):
    plugin = shown("Export", tmp_path / "logs.py")
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,executors")
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--methods", "counts", "--seeds", "1", "-p", str(TINY), "--here", "--keep-weights"]) == 0
    capsys.readouterr()
    assert main(["export", "counts/coins/0", "logs.npy", "--to", "npy", "-p", str(TINY), "-p", str(plugin)]) == 0
    assert "numpy.load('logs.npy')" in capsys.readouterr().out
    assert np.exp(np.load("logs.npy")).sum() == pytest.approx(1)


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]*)#?[^)]*\)", PAGE):
        assert not target or (ROOT / "docs" / target).exists()
    anchors = {re.sub(r"[^\w\s-]", "", name).strip().lower().replace(" ", "-") for name in SECTIONS}
    assert set(re.findall(r"\]\(#(.*?)\)", PAGE)) <= anchors


# --- the executor -----------------------------------------------------------------------------------------------------

TINY = ROOT / "tests" / "core" / "tiny.py"
CHOICE = Choice("a", {}, {}, "a")
TERMS = TrainingTerms(Budget("updates", 1), 1, "cpu", "fp32", 1)
DYING = """
    import os, threading
    import tiny
    from harness import Method, hookimpl

    class Dies(tiny.Counts):
        def update(self, state, batch):
            os._exit(7)

    class Hangs(tiny.Counts):
        def update(self, state, batch):
            if "GATE" in os.environ:
                gate = open(os.environ["GATE"], "w")
                threading.Event().wait()
            return super().update(state, batch)

    @hookimpl
    def harness_methods():
        yield Method("dies", "ends its process", Dies, ("classification",), config=tiny.Prior)
        yield Method("hangs", "at a gate", Hangs, ("classification",), config=tiny.Prior)
        follows = dict(config=tiny.Prior, starts_from="dies")
        yield Method("follows", "starts from it", tiny.Starts, ("classification",), **follows)
    """


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    """Arguments that run methods with the executor that is shown."""
    path = tmp_path / "dying.py"
    path.write_text(textwrap.dedent(DYING))
    plugins = (str(TINY), str(path), str(shown("Executors", tmp_path / "programs.py")))
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,executors")
    monkeypatch.setenv("PYTHONPATH", str(TINY.parent))
    monkeypatch.syspath_prepend(TINY.parent)
    loaded = [word for plugin in plugins for word in ("-p", plugin)]

    def build(methods: str) -> list[str]:
        results = str(tmp_path / "results")
        return ["run", "--methods", methods, "--seeds", "1", "--executor", "programs", "--results", results, *loaded]

    return build


def test_the_executor_that_is_shown_runs_bases_first_and_a_death_costs_what_starts_from_it(arguments, tmp_path, capsys):
    assert main(arguments("starts,breaks,follows")) == 1
    records = {record.trial.method.name: record for record in harness.read_records(tmp_path / "results")}
    assert list(records) == ["counts", "starts", "breaks", "dies", "follows"]
    assert {name: record.status for name, record in records.items()} == {
        "counts": "ok",
        "starts": "ok",
        "breaks": "failed",
        "dies": "failed",
        "follows": "skipped",
    }
    assert "accuracy@start" in records["starts"].scores
    assert records["breaks"].reason.startswith("ValueError: [red]broken[/red] on purpose")
    assert records["dies"].reason == "exited with code 7 before it returned a record"
    assert records["follows"].reason == f"starts from dies, which failed: {records['dies'].reason}"
    assert main(arguments("starts")) == 0
    assert "2 of 2 trials have a record; 0 to run" in capsys.readouterr().err


def test_ctrl_c_ends_what_the_executor_that_is_shown_runs_and_the_rest_is_run_later(arguments, tmp_path, monkeypatch):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    monkeypatch.setenv("GATE", str(gate))
    command = [sys.executable, "-m", "harness", *arguments("counts,hangs")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        with gate.open() as pipe:
            process.send_signal(signal.SIGINT)
            assert pipe.read() == ""  # until the process of the trial has ended
        _, err = process.communicate()
    assert process.returncode == 130, err
    records = {record.trial.method.name: record.status for record in harness.read_records(tmp_path / "results")}
    assert records == {"counts": "ok"}
    monkeypatch.delenv("GATE")
    assert main(arguments("counts,hangs")) == 0


def test_what_no_process_has_left_is_no_record_and_that_of_another_trial_is_refused(tmp_path):
    one, other = (Trial(CHOICE, CHOICE, 0, TERMS, key=key) for key in ("one", "other"))
    file = tmp_path / "jobs" / "one"
    write(Job(one, RunContext(tmp_path, None), task="none:at_all"), file)
    assert outcome(file, one) is None
    executing.main(file)
    record = outcome(file, one)
    assert (record.status, record.reason) == ("failed", "ModuleNotFoundError: No module named 'none'")
    assert record.trial is one
    with pytest.raises(ValueError, match="its record is of another trial, 'one', not of 'other'"):
        outcome(file, other)
    write(Job(one, RunContext(tmp_path, None)), file)
    assert outcome(file, one) is None
