"""`harness run` as a user meets it: resume, interrupts, crashes, mistakes."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from commands import forked

from harness.cli import main
from harness.metrics import harness_metrics
from harness.records.format import from_json
from harness.report import summarise
from harness.report.rows import again

TINY = Path(__file__).with_name("tiny.py")


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"HARNESS_PLUGINS": "metrics,executors", "COLUMNS": "100"} | more


@pytest.fixture
def results(tmp_path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def harness(results):
    def call(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return forked(words(results, *arguments), environment(**more))

    return call


def words(results: Path, *arguments: str) -> list[str]:
    where = ["--results", str(results)] if arguments[0] in ("run", "report", "show") else []
    return [*arguments, "-p", str(TINY), *where]


def in_a_process(results: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", *words(results, *arguments)]
    return subprocess.run(command, env=environment(**more), capture_output=True, text=True, timeout=120)


def records(results: Path) -> dict[str, dict]:
    values = [json.loads(path.read_text()) for path in (results / "trials").glob("*.json")]
    return {f"{value['trial']['method']['label']} {value['trial']['seed']}": value for value in values}


def started(results: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    """A run in the background, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "harness", *words(results, "run", *arguments)],
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def read_until(process: subprocess.Popen[str], text: str) -> list[str]:
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return lines
    pytest.fail(f"{text!r} never came:\n{''.join(lines)}")


# --- what it does -------------------------------------------------------------------------------------------------


READ = """
    import numpy as np
    from harness import *

    def load(config, seed, folder):
        import reader
        rows = Batch(np.zeros((30, 2), np.float32), np.arange(30) % 3)
        return Data(Problem("classification", (2,), 3, 30), rows, rows, rows)

    @hookimpl
    def harness_datasets():
        yield Dataset("read", "needs a library", "classification", load, recipe=Recipe(Budget("updates", 2), 10),
                      requires=("reader",))
    """


def test_the_library_that_a_data_set_requires_is_imported_once_for_all_trials(results, tmp_path):
    imported, plugin = tmp_path / "imported", tmp_path / "reads.py"
    (tmp_path / "reader.py").write_text(f"with open({str(imported)!r}, 'a') as file:\n    file.write('again ')\n")
    plugin.write_text(textwrap.dedent(READ))
    asked = ("run", "--methods", "counts", "--datasets", "read", "--seeds", "2", "-p", str(plugin))
    done = in_a_process(results, *asked, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert {record["status"] for record in records(results).values()} == {"ok"}
    assert imported.read_text() == "again "


def test_a_run_prints_a_table_and_writes_one_record_a_trial(results):
    done = in_a_process(results, "run", "--methods", "counts,counts[strength=5]", "--seeds", "2")
    assert done.returncode == 0, done.stderr
    assert "counts[strength=5.0]" in done.stdout
    assert "accuracy" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert sorted(records(results)) == ["counts 0", "counts 1", "counts[strength=5.0] 0", "counts[strength=5.0] 1"]
    assert "[4/4]" in done.stderr


def test_the_same_command_runs_nothing_twice_and_more_seeds_only_the_new_ones(harness, results):
    harness("run", "--methods", "counts", "--seeds", "2", "--here")
    before = {path: path.stat().st_mtime_ns for path in (results / "trials").iterdir()}
    again = harness("run", "--methods", "counts", "--seeds", "3", "--here")
    assert again.returncode == 0
    assert "2 of 3 trials have a record; 1 to run" in again.stderr
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    assert len(records(results)) == 3


def test_a_dry_run_prints_the_plan_and_writes_nothing(harness, results):
    done = harness("run", "--methods", "counts,fits,starts", "--datasets", "coins", "--seeds", "1", "--dry-run")
    assert done.returncode == 0
    assert "fits takes regression, coins is classification" in done.stdout
    assert "3 trials" in done.stdout
    assert "no earlier record to estimate from" in done.stdout
    assert not results.exists()


def test_a_dry_run_estimates_from_earlier_records(harness):
    harness("run", "--methods", "counts", "--seeds", "1", "--here")
    done = harness("run", "--methods", "counts", "--seeds", "3", "--dry-run")
    assert "has a record" in done.stdout
    assert "3 trials, 2 to run on cpu, fp32" in done.stdout
    assert "about" in done.stdout


def test_the_command_of_a_report_plans_the_very_trials_that_it_shows(harness, results):
    """The command that reports print to run a row or a table again: nothing is left to run of it."""
    harness("run", "--methods", "counts", "--seeds", "[0,2]", "--updates", "3", "--patience", "2", "--here")
    found = [from_json(value) for value in records(results).values()]
    (table,) = summarise(found, [*harness_metrics()]).tables
    for command in (again.write_table_command(table), again.write_row_command(table.rows[0])):
        done = harness(*shlex.split(command)[1:], "--dry-run")
        assert "2 trials, 0 to run" in done.stdout


def test_what_fails_or_does_not_fit_is_a_hole_with_its_reason_and_exit_code_1(harness, results):
    done = harness("run", "--methods", "breaks,fits,counts", "--datasets", "coins", "--seeds", "1", "--here")
    assert done.returncode == 1
    found = records(results)
    assert found["breaks 0"]["status"] == "failed"
    assert found["breaks 0"]["reason"].startswith("ValueError: [red]broken[/red] on purpose (tiny.py line ")
    assert "Breaks" not in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert found["fits 0"]["status"] == "skipped"
    assert found["counts 0"]["status"] == "ok"
    assert "[red]broken[/red] on purpose" in done.stdout
    assert "fits takes regression" in done.stdout
    assert f"harness show {found['breaks 0']['key']} --results {results} shows where" in done.stderr


SILENT = """
from harness import Method, hookimpl

class Silent:
    def init(self, problem, training, base):
        return {}

    def predict(self, state, inputs):
        return None

@hookimpl
def harness_methods():
    yield Method("silent", "predicts nothing", lambda config: Silent(), ("classification",))
"""


def test_a_prediction_that_is_none_is_named(harness, results, tmp_path):
    path = tmp_path / "silent.py"
    path.write_text(SILENT)
    done = harness("run", "--methods", str(path), "--seeds", "1", "--here")
    assert done.returncode == 1
    assert records(results)["silent 0"]["reason"].startswith("TypeError: predict returned NoneType, expected one of ")


def test_failed_trials_run_again_and_finished_ones_do_not(harness):
    harness("run", "--methods", "breaks,counts", "--seeds", "1", "--here")
    again = harness("run", "--methods", "breaks,counts", "--seeds", "1", "--here")
    assert "1 of 2 trials have a record; 1 to run\n1 trial runs again: failed before\n" in again.stderr
    assert again.returncode == 1


def test_a_record_that_cannot_be_read_is_named_before_its_trial_runs_again(harness, results):
    harness("run", "--methods", "counts", "--seeds", "1", "--here")
    (path,) = (results / "trials").glob("*.json")
    path.write_text(path.read_text()[:300])
    again = harness("run", "--methods", "counts", "--seeds", "1", "--here")
    assert again.stderr.startswith(f"record {path}: not JSON or cut short (")
    assert (again.returncode, path.with_suffix(".unreadable").exists()) == (0, True)


def test_a_base_is_trained_once_and_its_weights_lie_beside_its_record(harness, results):
    done = harness("run", "--methods", "starts", "--seeds", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(records(results)) == ["counts 0", "starts 0"]
    assert len(list((results / "trials").glob("*.safetensors"))) == 1
    (results / "trials" / next(iter((results / "trials").glob("*.safetensors"))).name).unlink()
    assert "2 of 2" in harness("run", "--methods", "starts", "--seeds", "1").stderr
    more = harness("run", "--methods", "starts,starts[strength=2]", "--seeds", "1", "--here")
    assert more.returncode == 0, more.stdout + more.stderr
    assert len(list((results / "trials").glob("*.safetensors"))) == 1


def test_workers_run_trials_at_once_and_the_report_says_so(harness):
    done = harness("run", "--methods", "counts", "--seeds", "4", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert "2 workers" in done.stdout or "2 trials at once" in done.stdout, done.stdout


def test_here_runs_in_this_process(harness, results):
    done = harness("run", "--methods", "counts", "--seeds", "1", "--here")
    assert done.returncode == 0, done.stderr
    assert records(results)["counts 0"]["status"] == "ok"


def test_a_suite_is_run_and_flags_override_it(harness, results, tmp_path):
    suite = tmp_path / "coins.toml"
    suite.write_text('methods = "counts,counts[strength=2]"\nseeds = 2\nupdates = 4\n')
    done = harness("run", "--suite", str(suite), "--seeds", "[7]", "--here")
    assert done.returncode == 0, done.stderr
    found = records(results)
    assert sorted(found) == ["counts 7", "counts[strength=2.0] 7"]
    assert found["counts 7"]["trial"]["terms"]["budget"] == {"unit": "updates", "amount": 4}


def test_a_file_is_a_method(harness, results):
    done = harness("run", "--methods", f"{TINY.parent / 'tiny_extra.py'},counts", "--seeds", "1", "--here")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(records(results)) == ["counts 0", "extra 0"]


def test_a_file_in_a_folder_with_blanks_is_a_method_and_its_records_are_found_again(harness, results, tmp_path):
    folder = tmp_path / "My Drive, (old) [1]"
    folder.mkdir()
    shutil.copy(TINY.parent / "tiny_extra.py", folder / "extra one.py")
    suite = tmp_path / "mine.toml"
    suite.write_text(f"""methods = ['"{folder}/extra one.py"', "counts"]\nseeds = 1\n""")
    done = harness("run", "--methods", f"'{folder}/extra one.py',counts", "--seeds", "1", "--here")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(records(results)) == ["counts 0", "extra 0"]
    again = harness("run", "--suite", str(suite))
    assert "2 of 2 trials have a record" in again.stderr
    assert harness("report", "--methods", "extra").returncode == 0


# --- crashes and interrupts ---------------------------------------------------------------------------------------


processes = pytest.mark.xdist_group("processes")


@processes
def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(harness, results, tmp_path):
    wait = tmp_path / "wait"
    wait.touch()
    run = started(results, "--methods", "counts,waits", "--seeds", "2", TINY_WAIT=str(wait))
    read_until(run, "waits on coins, seed 0: started")
    os.kill(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130, said
    assert "interrupted: 1 of 4 trials" in said
    assert sorted(records(results)) == ["counts 0"]
    wait.unlink()
    again = harness("run", "--methods", "counts,waits", "--seeds", "2", "--here")
    assert again.returncode == 0, again.stderr
    assert "1 of 4 trials have a record; 3 to run" in again.stderr


@processes
def test_kill_9_of_the_whole_run_loses_nothing_finished_and_leaves_nobody_behind(harness, results, tmp_path):
    wait = tmp_path / "wait"
    wait.touch()
    run = started(results, "--methods", "counts,waits", "--seeds", "2", TINY_WAIT=str(wait))
    read_until(run, "waits on coins, seed 0: started")
    os.kill(run.pid, signal.SIGKILL)
    run.communicate(timeout=60)  # returns when the last process that holds its output has gone
    wait.unlink()
    again = harness("run", "--methods", "counts,waits", "--seeds", "2", "--here")
    assert again.returncode == 0, again.stderr
    assert "1 of 4 trials have a record; 3 to run" in again.stderr


@processes
def test_a_second_run_in_the_same_folder_is_refused_and_the_first_goes_on(harness, results, tmp_path):
    wait = tmp_path / "wait"
    wait.touch()
    run = started(results, "--methods", "waits", "--seeds", "1", TINY_WAIT=str(wait))
    read_until(run, "started")
    second = harness("run", "--methods", "counts", "--seeds", "1")
    os.kill(run.pid, signal.SIGINT)
    run.communicate(timeout=60)
    assert second.returncode in (1, 2)
    assert f"process {run.pid}" in second.stderr
    assert "Traceback" not in second.stderr


@processes
def test_a_trial_beyond_its_time_ends_as_timeout(harness, results, tmp_path):
    wait = tmp_path / "wait"
    wait.touch()
    done = harness("run", "--methods", "waits,counts", "--seeds", "1", "--timeout", "3", TINY_WAIT=str(wait))
    assert done.returncode == 1
    found = records(results)
    assert (found["waits 0"]["status"], found["counts 0"]["status"]) == ("timeout", "ok")
    assert found["waits 0"]["curve"][-1]["update"] <= 2


# --- mistakes -----------------------------------------------------------------------------------------------------

MISTAKES = {
    "no method": ([], "--methods"),
    "unknown method": (["--methods", "count"], "counts"),
    "unknown data set": (["--methods", "counts", "--datasets", "coin"], "coins"),
    "unknown metric": (["--methods", "counts", "--metrics", "acuracy"], "accuracy"),
    "unknown parameter": (["--methods", "counts[strenth=1]"], "strength"),
    "wrong type": (["--methods", "counts[strength=high]"], "strength"),
    "out of range": (["--methods", "counts[strength=0]"], "strength"),
    "an empty name": (["--methods", "counts,"], "counts,"),
    "no seeds": (["--methods", "counts", "--seeds", "0"], "--seeds"),
    "negative budget": (["--methods", "counts", "--epochs", "-1"], "--epochs"),
    "an endless budget": (["--methods", "counts", "--epochs", "inf"], "--epochs"),
    "no number": (["--methods", "counts", "--timeout", "nan"], "--timeout"),
    "a fraction of an update": (["--methods", "counts", "--updates", "1.5"], "whole number"),
    "two budgets": (["--methods", "counts", "--epochs", "1", "--updates", "1"], "--epochs and --updates"),
    "batch of none": (["--methods", "counts", "--batch-size", "0"], "--batch-size"),
    "a missing device": (["--methods", "counts", "--device", "cuda"], "--device cuda"),
    "unknown suite": (["--suite", "nosuch"], "nosuch"),
    "missing suite file": (["--suite", "no/such.toml"], "no/such.toml"),
    "unknown executor": (["--methods", "counts", "--executor", "lokal"], "local"),
    "a wrong size": (["--methods", "counts", "--memory", "much"], "much"),
    "a size without its unit": (
        ["--methods", "counts", "--memory", "8"],
        "'8' is 8 bytes: expected a size such as 8GiB",
    ),
    "unknown option": (["--methods", "counts", "--sedes", "1"], "--seeds"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_a_line_that_names_the_word_and_exit_code_2(results, what, monkeypatch, capsys):
    for name in ("HARNESS_PLUGINS", "COLUMNS"):
        monkeypatch.setenv(name, environment()[name])
    arguments, named = MISTAKES[what]
    code = main(["run", *arguments, "-p", str(TINY), "--results", str(results)])
    said = capsys.readouterr().err
    assert code == 2, said
    assert named in said
    assert "Traceback" not in said
    assert not results.exists()


def test_the_process_ends_with_the_exit_code_of_a_mistake(results):
    done = in_a_process(results, "run", "--methods", "count")
    assert (done.returncode, done.stdout) == (2, "")
    assert "counts" in done.stderr
    assert not results.exists()


def test_a_folder_that_cannot_be_made_is_named(results, harness):
    results.parent.joinpath("results").write_text("in the way")
    done = harness("run", "--methods", "counts", "--seeds", "1")
    assert done.returncode == 1
    assert "results" in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(results, harness):
    results.parent.joinpath("results").write_text("in the way")
    assert "Traceback" in harness("run", "--methods", "counts", "--debug").stderr
