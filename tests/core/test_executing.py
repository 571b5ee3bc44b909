"""Trials that other executors run elsewhere are as well guarded as those of the harness's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import faulty
import pytest
import tiny

from harness import Progress
from harness.catalog import Settings, load_catalog
from harness.executing import Job, Queue, ended, outcome, write
from harness.executors.local import LocalExecutor
from harness.planning.plan import plan_trials
from harness.records.store import Store
from harness.suites.suite import Request
from harness.types import RunContext

pytestmark = pytest.mark.xdist_group("processes")

PLUGIN = """
    import os, threading
    import tiny
    from harness import Method, Metric, hookimpl

    calls = []

    def sharpness(outcome):
        calls.append(outcome)
        if len(calls) == 3:  # on the curve
            ACT()
        return 0.5

    class Hangs(tiny.Counts):
        def update(self, state, batch):
            if "GATE" in os.environ:
                gate = open(os.environ["GATE"], "w")
            threading.Event().wait()

    @hookimpl
    def harness_methods():
        yield Method("hangs", "never learns", Hangs, ("classification",), config=tiny.Prior)

    @hookimpl
    def harness_metrics():
        yield Metric("sharpness", "of a plugin", "", "higher", ("classification",), sharpness)
"""
ACTS = {"none": "lambda: None", "hangs": "threading.Event().wait", "exits": "lambda: os._exit(7)"}
COMMAND = (sys.executable, "-m", "harness.executing")


class Programs:
    """A program for each trial."""

    def run(self, trials, context, progress):
        queue = Queue(trials)
        while trial := queue.take():
            progress(trial, Progress("start", 0.0))
            file = context.results / "jobs" / trial.key
            write(Job(trial, context), file)
            code = subprocess.call([*COMMAND, str(file)])
            record = outcome(file, trial) or ended(trial, "killed", f"ended with code {code}")
            queue.ended(record)
            yield record


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """planned(method, act, limits): the trial, and the context in which the metric acts so."""
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    monkeypatch.setenv("PYTHONPATH", str(Path(tiny.__file__).parent))

    def build(method, act="none", **limits):
        path = tmp_path / f"mine_{act}.py"
        path.write_text(textwrap.dedent(PLUGIN).replace("ACT()", f"({ACTS[act]})()"))
        plugins = ("harness.metrics", "tiny", str(path))
        store = Store(tmp_path / "results")
        store.prepare()
        (trial,) = plan_trials(load_catalog(Settings(plugins)), Request(methods=method, seeds="[0]"))
        return trial, RunContext(store.folder, None, plugins=plugins, **limits)

    return build


@pytest.mark.parametrize("executor", [LocalExecutor(), Programs()], ids=["local", "programs"])
@pytest.mark.parametrize(
    ("act", "limits", "why"),
    [
        ("exits", {}, "exited with code 7 before it returned a record, in metric sharpness"),
        ("hangs", {"timeout": 2.0}, "stopped at its time limit of 2 s (--timeout), in metric sharpness"),
    ],
)
def test_a_metric_that_ends_the_process_on_the_curve_costs_what_it_would_have_said(planned, executor, act, limits, why):
    trial, context = planned("counts", act, **limits)
    (record,) = executor.run([trial], context, lambda *_: None)
    assert (record.status, record.reason) == ("ok", "")
    assert record.scores["sharpness"] == 0.5
    lost = {name: reason for name, reason in record.holes.items() if name.startswith("sharpness")}
    assert lost == dict.fromkeys(
        ("sharpness@best", "sharpness@valid-best"), f"computed at the end alone; on the way, {why}"
    )


def test_the_program_keeps_the_limits_that_the_user_has_asked_for(planned):
    trial, context = planned("hangs", timeout=0.5)
    (record,) = Programs().run([trial], context, lambda *_: None)
    assert (record.status, record.reason) == ("timeout", "stopped at its time limit of 0.5 s (--timeout)")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_program_that_is_ended_takes_its_trial_with_it(planned, tmp_path, monkeypatch, number):
    trial, context = planned("hangs")
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    monkeypatch.setenv("GATE", str(gate))
    write(Job(trial, context), tmp_path / "job")
    with subprocess.Popen([*COMMAND, str(tmp_path / "job")]) as process, gate.open() as pipe:
        process.send_signal(number)
        assert pipe.read() == ""  # until the process of the trial has ended
    assert outcome(tmp_path / "job", trial) is None


def test_a_job_brings_the_variables_that_it_is_to_see(tmp_path, planned):
    _, context = planned("counts")
    trial = faulty.trial("environment")
    write(Job(trial, context, "faulty:task", {"CUDA_VISIBLE_DEVICES": "3"}), tmp_path / "job")
    assert subprocess.call([*COMMAND, str(tmp_path / "job")]) == 0
    assert outcome(tmp_path / "job", trial).facts["CUDA_VISIBLE_DEVICES"] == "3"
