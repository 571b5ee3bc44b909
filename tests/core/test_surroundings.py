"""A record says where it was taken, and a run that goes on says what has changed around it since."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path

import numpy as np
import pytest
from commands import forked

from harness import Budget, TrainingTerms, Trial
from harness.records import environment
from harness.running import surroundings
from harness.types import Choice

TINY = Path(__file__).with_name("tiny.py")


@pytest.fixture
def run(tmp_path):
    def call(*more: str, command: str = "run", **variables: str) -> subprocess.CompletedProcess[str]:
        words = [command, "-p", str(TINY), *more]
        if command == "run":
            words += ["--methods", "counts", "--results", str(tmp_path / "results")]
        known = os.environ | {"HARNESS_PLUGINS": "metrics,executors", "COLUMNS": "200"} | variables
        return forked(words, known)

    return call


def files(folder: Path) -> list[Path]:
    return sorted((folder / "results/trials").glob("*.json"))


CPUS = {
    "AVX-512": "flags\t\t: fpu sse4_2 avx avx2 avx512f avx512bw\n",
    "AVX2": "flags\t\t: fpu sse4_2 avx avx2 bmi2\n",
    "AVX": "flags\t\t: fpu sse4_2 avx\n",
    "NEON": "Features\t: fp asimd evtstrm\n",
    "SVE": "Features\t: fp asimd sve\n",
}


@pytest.mark.parametrize("expected", CPUS)
def test_the_instruction_set_is_the_widest_of_the_processor(tmp_path, expected):
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor : 0\nmodel name : avx512f in name only\n{CPUS[expected]}")
    assert environment.instruction_set(file) == expected


def test_a_record_says_what_it_was_computed_with(run, tmp_path):
    done = run("--seeds", "1")
    assert done.returncode == 0, done.stderr
    (path,) = files(tmp_path)
    said = json.loads(path.read_text())["environment"]
    assert said["numpy"] == np.__version__
    assert said["python"] == platform.python_version()
    assert {"scipy", "scikit-learn", "instruction_set", "blas"} < set(said)
    assert "thread" in said["blas"]
    assert 1 <= said["usable_cores"] <= said["cores"]
    assert said["train_wall_seconds"] > 0
    assert said["train_cpu_seconds"] >= 0
    assert len(said["load"]) == len(said["load_at_end"]) == 3


def test_harness_env_shows_what_a_record_would_say(run):
    said = json.loads(run("--format", "json", command="env").stdout)
    assert {"numpy", "scipy", "scikit-learn", "instruction_set", "blas", "usable_cores", "python"} < set(said)


def test_a_run_that_goes_on_elsewhere_says_so_in_one_line(run, tmp_path):
    run("--seeds", "3", "--here")
    first, second, _ = files(tmp_path)
    for path, changes in ((first, {"numpy": "1.0", "python": "3.9.0"}), (second, {"numpy": "1.0"})):
        value = json.loads(path.read_text())
        value["environment"] |= changes
        path.write_text(json.dumps(value))
    here = f"this run has {np.__version__}"
    for more in (("--seeds", "4"), ("--seeds", "3"), ("--seeds", "4", "--dry-run")):
        done = run(*more, "--here")
        (line,) = [
            line for line in (done.stdout + done.stderr).splitlines() if "taken with" in line and "this run" in line
        ]
        assert "2 of " in line
        assert f"records were taken with numpy 1.0, {here}" in line
        assert "record was" not in line
        assert f"taken with python 3.9.0, this run has {platform.python_version()}" in line


def test_the_same_surroundings_are_not_worth_a_line(run):
    run("--seeds", "1", "--here")
    assert "this run has" not in run("--seeds", "2", "--here").stderr


def test_more_threads_than_cores_are_said(run):
    done = run("--seeds", "1", "--threads", "999", "--dry-run")
    assert "999 threads on" in done.stdout
    assert "usable core" in done.stdout
    assert "usable core" not in run("--seeds", "1", "--threads", "1", "--dry-run").stdout


def test_default_threads_heed_openmp_and_explicit_ones_win(run):
    assert ", 1 thread," in run("--seeds", "1", "--dry-run", OMP_NUM_THREADS="1").stdout
    assert ", 2 threads," in run("--seeds", "1", "--dry-run", "--threads", "2", OMP_NUM_THREADS="1").stdout


def waiting(load: float, threads: int = 2, **variables: str) -> tuple[dict[str, str], list[str]]:
    choice = Choice("a", {}, {}, "a")
    trial = Trial(choice, choice, 0, TrainingTerms(Budget("updates", 1), 8, "cpu", "fp32", threads))
    return variables, surroundings.wait_passively([trial], 1, variables, load)


def test_threads_sleep_where_cores_are_shared_unless_the_user_says_how_they_wait(monkeypatch):
    monkeypatch.setattr(surroundings.cores, "usable_cores", lambda: 2)
    assert waiting(load=2.5) == ({}, [])
    assert waiting(load=50, threads=1) == ({}, [])
    assert waiting(load=50, OMP_WAIT_POLICY="ACTIVE") == ({"OMP_WAIT_POLICY": "ACTIVE"}, [])
    for found, (line,) in (waiting(load=3.5), waiting(load=0, threads=3)):
        assert found["OMP_WAIT_POLICY"] == "PASSIVE"
        assert "without spinning" in line


def test_a_record_says_how_its_threads_waited(run, tmp_path):
    done = run("--seeds", "1", "--threads", "99")
    assert "99 threads on" in done.stderr
    assert [json.loads(path.read_text())["environment"]["omp_wait_policy"] for path in files(tmp_path)] == ["PASSIVE"]
    run("--seeds", "[7]", "--threads", "99", OMP_WAIT_POLICY="active")
    said = {json.loads(path.read_text())["environment"]["omp_wait_policy"] for path in files(tmp_path)}
    assert said == {"PASSIVE", "active"}
