"""Runs in which trials are trained as one: what is planned, what is recorded, what ends it, and what goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import forked

from harness.executors import pool
from harness.types import RunContext

pytestmark = pytest.mark.xdist_group("processes")

HERE = Path(__file__).parent
PLUGINS = ["-p", str(HERE / "tiny.py"), "-p", str(HERE / "lanes.py")]
SWEEP = "steps[rate=[0.1,0.3]]"
ENDS = ("key", "status", "reason")


def environment(**more):
    return os.environ | {"HARNESS_PLUGINS": "metrics,executors", "COLUMNS": "100"} | more


@pytest.fixture
def harness(tmp_path):
    def call(*arguments, results="results", dataset="line", **more):
        words = ["run", "--datasets", dataset, *arguments, *PLUGINS, "--results", str(tmp_path / results)]
        return forked(words, environment(**more))

    return call


@pytest.fixture
def records(tmp_path):
    def read(results="results"):
        values = [json.loads(path.read_text()) for path in (tmp_path / results / "trials").glob("*.json")]
        return {f"{value['trial']['method']['label']} {value['trial']['seed']}": value for value in values}

    return read


def require_same(found, other):
    """Keys, ends and numbers; no times."""
    assert set(found) == set(other)
    for name, value in found.items():
        alone = other[name]
        assert [value[part] for part in ENDS] == [alone[part] for part in ENDS]
        assert value["scores"] == pytest.approx(alone["scores"], rel=1e-9)
        assert len(value["curve"]) == len(alone["curve"])
        for point, expected in zip(value["curve"], alone["curve"], strict=True):
            for part in ("scalars", "valid"):
                assert point[part] == pytest.approx(expected[part], rel=1e-9)


def sizes(found):
    return {name: value["measured"].get("cohort") for name, value in found.items()}


# --- what is planned and recorded -------------------------------------------------------------------------------------


def test_trials_that_are_trained_as_one_have_the_records_that_they_have_alone(harness, records):
    together = harness("--methods", SWEEP, "--seeds", "all")
    assert together.returncode == 0, together.stderr
    assert "10 trials of steps on line are trained in one cohort; their times are shares of it" in together.stderr
    alone = harness("--methods", SWEEP, "--seeds", "all", "--one-by-one", results="alone")
    assert "cohort" not in alone.stderr
    assert set(sizes(records()).values()) == {10}
    assert set(sizes(records("alone")).values()) == {None}
    require_same(records(), records("alone"))


def test_what_is_left_is_a_cohort_and_nothing_is_run_twice(harness, records):
    harness("--methods", "steps[rate=0.1]", "--seeds", "[1,3]")
    first = records()
    again = harness("--methods", SWEEP, "--seeds", "all")
    assert "2 of 10 trials have a record; 8 to run" in again.stderr
    assert "8 trials of steps on line are trained in one cohort" in again.stderr
    assert all(records()[name]["finished"] == value["finished"] for name, value in first.items())
    assert sorted(sizes(records()).values()) == [2] * 2 + [8] * 8
    harness("--methods", SWEEP, "--seeds", "all", results="whole")
    require_same(records(), records("whole"))


def test_one_that_is_left_runs_alone(harness, records):
    harness("--methods", "steps", "--seeds", "[0,1]")
    assert "cohort" not in harness("--methods", "steps", "--seeds", "3").stderr
    assert sizes(records()) == {"steps 0": 2, "steps 1": 2, "steps 2": None}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--methods", SWEEP], "10 trials of steps on line are trained in one cohort; "),
        (["--methods", SWEEP, "--lanes", "4"], "10 trials of steps on line are trained in 3 cohorts of at most 4; "),
        (["--methods", SWEEP, "--workers", "2"], "10 trials of steps on line are trained in 2 cohorts of at most 5; "),
        (["--methods", "steps[bias=[yes,no]]"], "5 trials of steps on line are trained in one cohort; "),
        (["--methods", SWEEP, "--patience", "2"], "could be trained as one: each stops by --patience\n"),
        (["--methods", SWEEP, "--seconds", "9"], "could be trained as one: a budget of seconds is of each\n"),
        (
            ["--methods", "goes-on"],
            "5 trials of goes-on on line run one by one, though they could be trained as one: each",
        ),
    ],
)
def test_a_dry_run_says_what_is_trained_as_one(harness, arguments, said):
    plan = harness(*arguments, "--seeds", "all", "--dry-run").stdout
    assert said in plan


@pytest.mark.parametrize("how", [["--one-by-one"], ["--here"], ["--lanes", "1"], ["--methods", "alone"]])
def test_a_dry_run_says_nothing_of_cohorts_where_there_is_none(harness, how):
    plan = harness("--methods", SWEEP, *how, "--dry-run") if "--methods" not in how else harness(*how, "--dry-run")
    assert plan.returncode == 0
    assert "cohort" not in plan.stdout


def test_lanes_with_other_numbers_of_rows_share_the_process_but_not_the_cohort(harness, records):
    harness("--methods", SWEEP, "--seeds", "all", dataset="line[uneven=yes]")
    assert sizes(records()) == {
        f"steps{rate} {seed}": 2 if seed == 2 else 8 for rate in ("", "[rate=0.3]") for seed in range(5)
    }


def test_what_starts_from_lanes_finds_their_arrays(harness, records):
    run = harness("--methods", "goes-on", "--seeds", "[0,1]")
    assert run.returncode == 0, run.stderr
    assert sizes(records()) == {"steps 0": 2, "steps 1": 2, "goes-on 0": None, "goes-on 1": None}


def test_each_has_a_log_of_what_the_cohort_printed(harness, records, tmp_path):
    harness("--methods", "prints", "--seeds", "3")
    logs = [tmp_path / "results" / "logs" / f"{value['key']}.log" for value in records().values()]
    assert [log.read_text() for log in logs] == ["3 lanes\n"] * 3


def test_progress_tells_of_the_cohort_once_and_of_each_end(harness):
    lines = harness("--methods", "steps", "--seeds", "3").stderr.splitlines()
    told = [line for line in lines if "steps on line" in line and line.startswith("[")]
    assert told[0] == "[1/3] steps on line, seed 0: started, trained as one with 2 others"
    assert [line.partition(": ")[0] for line in told[1:]] == [f"[{n}/3] steps on line, seed {n - 1}" for n in (1, 2, 3)]


def test_a_refit_is_trained_as_one_too(harness, records):
    run = harness("--methods", SWEEP, "--seeds", "all", "--select", "rmse@valid", "--refit")
    assert run.returncode == 0, run.stderr
    assert "5 trials of steps on line are trained in one cohort" in run.stderr


REPEATS = """
from contextlib import nullcontext
from harness import Instrument, hookimpl

class Gauge:
    def session(self):
        return nullcontext()
    def measure(self, stage, examples):
        return nullcontext()
    def readings(self):
        return {"depth": 3}

@hookimpl
def harness_instruments():
    yield Instrument("depths", "reads", Gauge, repeats=True)
"""


def test_what_repeats_is_measured_in_two_lanes_and_taken_over_by_the_others(harness, records, tmp_path):
    (tmp_path / "depths.py").write_text(REPEATS)
    run = harness("--methods", SWEEP, "--seeds", "4", "-p", str(tmp_path / "depths.py"))
    assert run.returncode == 0, run.stderr
    found = records()
    assert {value["readings"]["depth"] for value in found.values()} == {3}
    over = {
        name: value["provenance"].get("carried_over", {}).get("depths", {}).get("seeds")
        for name, value in found.items()
    }
    assert over == {
        f"steps{rate} {seed}": [0, 1] if seed > 1 else None for rate in ("", "[rate=0.3]") for seed in range(4)
    }


# --- what ends it -----------------------------------------------------------------------------------------------------


def test_a_lane_that_diverged_has_its_record_whatever_becomes_of_the_others(harness, records):
    run = harness("--methods", "dies[rate=[0.1,1e200]]", "--seeds", "2")
    found = records()
    for seed in (0, 1):
        assert found[f"dies[rate=1e+200] {seed}"]["status"] == "diverged"
        assert found[f"dies[rate=1e+200] {seed}"]["measured"]["cohort"] == 4
        assert found[f"dies {seed}"]["status"] == "ok"
        assert found[f"dies {seed}"]["warnings"]["cohort"] == (
            "trained alone, after a cohort of 4: exited with code 7 before it returned a record"
        )
    assert "trained alone, after a cohort of 4: exited with code 7" in run.stdout


def test_a_cohort_that_cannot_be_made_costs_no_trial(harness, records):
    run = harness("--methods", "unmade", "--seeds", "3")
    assert run.returncode == 0
    assert sizes(records()) == {f"unmade {seed}": None for seed in range(3)}
    for value in records().values():
        said = value["warnings"]["cohort"]
        assert said.startswith("trained alone, after a cohort of 3: ValueError: no lanes today (lanes.py line ")


def test_trials_that_cannot_be_trained_as_one_run_alone_without_a_warning(harness, records):
    run = harness("--methods", "refuses", "--seeds", "3")
    assert run.returncode == 0
    for value in records().values():
        assert value["warnings"] == {}
        assert value["provenance"]["alone"] == "trained alone, after a cohort of 3: these are no lanes"


def test_a_cohort_that_is_too_large_for_its_memory_is_halved(harness, records):
    run = harness("--methods", "hungry", "--seeds", "all")
    assert run.returncode == 0
    assert sorted(sizes(records()).values(), key=str) == [2, 2, 2, 2, None]
    (alone,) = (value for value in records().values() if value["measured"].get("cohort") is None)
    assert alone["warnings"]["cohort"].startswith("trained alone, after a cohort of 3: MemoryError: too many lanes")


def test_the_time_limit_of_a_cohort_is_that_of_its_trials_together(harness, records, tmp_path):
    (tmp_path / "wait").touch()
    harness("--methods", "waits-for-all", "--seeds", "2", "--timeout", "1", LANES_WAIT=str(tmp_path / "wait"))
    for value in records().values():
        assert value["status"] == "timeout"
        assert value["reason"] == "its cohort of 2 was stopped at its time limit of 2 x 1 s (--timeout)"


DEADLY = """
import os
from contextlib import nullcontext
from harness import Instrument, Metric, hookimpl

calls = []

class Gauge:
    def session(self):
        return nullcontext()
    def measure(self, stage, examples):
        return nullcontext()
    def readings(self):
        calls.append(1)
        if len(calls) == 2:
            os._exit(7)
        return {"depth": 1}

@hookimpl
def harness_instruments():
    yield Instrument("deadly", "ends the second", Gauge)
"""


def test_all_that_are_trained_and_scored_stand_when_an_instrument_ends_the_process(harness, records, tmp_path):
    (tmp_path / "deadly.py").write_text(DEADLY)
    run = harness("--methods", "steps", "--seeds", "3", "-p", str(tmp_path / "deadly.py"))
    assert run.returncode == 0
    found = records()
    assert [found[f"steps {seed}"]["status"] for seed in range(3)] == ["ok"] * 3
    assert set(sizes(found).values()) == {3}
    assert "deadly" not in found["steps 0"]["holes"]
    assert "exited with code 7" in found["steps 1"]["holes"]["deadly"]
    assert "exited with code 7" in found["steps 2"]["holes"]["describe"]


METRIC = """
import os
import threading
from harness import Metric, hookimpl

calls = []

def sharpness(outcome):
    calls.append(1)
    if len(calls) == 3:
        ACT
    return 0.5

@hookimpl
def harness_metrics():
    yield Metric("sharpness", "of a plugin", "", "higher", ("regression",), sharpness)
"""


@pytest.mark.parametrize("act", ["os._exit(7)", pytest.param("threading.Event().wait()", marks=pytest.mark.slow)])
def test_a_metric_that_ends_the_process_on_the_curve_costs_what_it_costs_alone(harness, records, tmp_path, act):
    (tmp_path / "sharp.py").write_text(METRIC.replace("ACT", act))
    run = harness("--methods", "steps", "--seeds", "2", "--timeout", "4", "-p", str(tmp_path / "sharp.py"))
    assert run.returncode == 0, run.stderr
    for value in records().values():
        assert value["scores"]["sharpness"] == 0.5
        assert "computed at the end alone" in value["holes"]["sharpness@best"]
        assert value["warnings"]["cohort"].startswith("trained alone, after a cohort of 2: ")
        assert "in metric sharpness" in value["warnings"]["cohort"]


def test_an_interrupted_cohort_is_run_again_from_what_has_no_record(harness, records, tmp_path):
    (tmp_path / "wait").touch()
    words = ["--methods", "waits-for-all[rate=[0.1,1e200]]", "--seeds", "2"]
    command = ["run", "--datasets", "line", *words, *PLUGINS, "--results", str(tmp_path / "results")]
    run = subprocess.Popen(
        [sys.executable, "-m", "harness", *command],
        env=environment(LANES_WAIT=str(tmp_path / "wait")),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    ended = 0
    for line in run.stderr:
        ended += ": diverged: " in line
        if ended == 2:
            break
    run.send_signal(signal.SIGINT)
    assert run.wait(60) == 130
    assert {value["status"] for value in records().values()} == {"diverged"}
    (tmp_path / "wait").unlink()
    again = harness(*words)
    assert again.returncode == 1  # the diverged lanes diverge again
    healthy = {name: value for name, value in records().items() if "1e+200" not in name}
    assert {name: value["status"] for name, value in healthy.items()} == {
        "waits-for-all 0": "ok",
        "waits-for-all 1": "ok",
    }
    harness(*words, "--one-by-one", results="alone")
    require_same(healthy, {name: value for name, value in records("alone").items() if name in healthy})


@pytest.mark.parametrize(("free", "bound"), [(1000, 400), (250, 250), (50, 100)])
def test_several_may_hold_as_many_times_the_memory_but_no_more_than_is_free(monkeypatch, tmp_path, free, bound):
    monkeypatch.setattr(pool.linux, "available_bytes", lambda: free)
    monkeypatch.setattr(pool, "SHARE_OF_FREE_MEMORY", 1.0)
    with pool.Pool("nowhere:task", RunContext(tmp_path, None, memory=100), lambda *_: None) as made:
        assert [made.limit_memory(1), made.limit_memory(4)] == [100, bound]
