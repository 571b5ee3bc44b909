"""`harness merge`, `harness why`, `harness replay`: records of other machines and other days, once more."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from commands import forked

TINY = Path(__file__).with_name("tiny.py").read_text(encoding="utf-8")
FEW = ("--updates", "6", "--threads", "1", "--here")


@pytest.fixture
def harness(tmp_path, monkeypatch):
    """The program in a folder with a plugin of its own, and the records of a tiny run; each call a process."""
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,executors")
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(TINY)

    def call(*arguments: str) -> tuple[int, str, str]:
        done = forked([*arguments, "-p", "mine.py"], dict(os.environ), tmp_path)
        return done.returncode, done.stdout, done.stderr

    code, _, err = call("run", "--methods", "counts,starts", "--seeds", "2", *FEW)
    assert code == 0, err
    return call


def read(folder="results"):
    values = [json.loads(path.read_text()) for path in Path(folder, "trials").glob("*.json")]
    return {f"{each['trial']['method']['label']} {each['trial']['seed']}": each for each in values}


def write(value, folder="results"):
    Path(folder, "trials", f"{value['key']}.json").write_text(json.dumps(value))


# --- merge --------------------------------------------------------------------------------------------------------


def test_merge_takes_the_newest_of_each_trial_with_its_files_and_names_clashes(harness):
    shutil.copytree("results", "other")
    changed = read()["counts 0"]
    changed["scores"]["accuracy"] = 0.125
    changed["finished"] = "2099-01-01T00:00:00.000+00:00"
    write(changed, "other")
    Path("results", "trials", f"{read()['starts 1']['key']}.json").unlink()
    code, out, err = harness("merge", "results", "other", "--into", "all")
    assert (code, err) == (0, "")
    assert "other: 2 of 4 records" in out
    assert "1 trial with other scores:" in out
    assert f"{changed['key']} (counts on coins, seed 0): other has accuracy 0.125 (2099-01-01, kept), results" in out
    merged = read("all")
    assert len(merged) == 4
    assert merged["counts 0"]["scores"]["accuracy"] == 0.125
    assert len(list(Path("all", "trials").glob("*.safetensors"))) == 2
    assert len(list(Path("all", "plans").glob("*.json"))) == 2
    assert harness("report", "--results", "all")[0] == 0


def test_a_record_that_ended_ok_is_kept_over_a_newer_failure(harness):
    shutil.copytree("results", "other")
    failed = read()["counts 0"] | {"status": "failed", "reason": "broke", "finished": "2099-01-01T00:00:00.000+00:00"}
    write(failed, "other")
    code, out, _ = harness("merge", "results", "other", "--into", "all")
    assert code == 0
    assert read("all")["counts 0"]["status"] == "ok"
    assert "other failed (2099-01-01)" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("results", "--into", "all"), "name two folders or more"),
        (("results", "./results", "--into", "all"), "name two folders or more, each once"),
        (("results", "nowhere", "--into", "all"), "results folder nowhere: no records there"),
        (("results", "other", "--into", "results"), "--into results: has records"),
        (("results", "other"), "--into"),
        (("results", "other", "--into", "mine.py"), "mine.py"),
    ],
)
def test_mistakes_of_merge_are_told(harness, arguments, words):
    shutil.copytree("results", "other")
    code, _, err = harness("merge", *arguments)
    assert code in (1, 2)
    assert words in err
    assert not Path("all").exists()


# --- why ----------------------------------------------------------------------------------------------------------


def test_why_says_that_nothing_has_changed(harness):
    code, out, err = harness("why", "counts/coins/0")
    assert code == 0, err
    assert "nothing in its key has changed" in out


def test_why_names_what_changed_before_and_after_and_by_which_commit(harness):
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run([*git, "init", "-q"], check=True)
    Path("mine.py").write_text(TINY.replace("option(1.0, ", "option(2.0, "))
    subprocess.run([*git, "add", "mine.py"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "A stronger prior"], check=True)
    code, out, err = harness("why", "starts/coins/1")
    assert code == 0, err
    assert "method options strength: 1.0 -> 2.0" in out
    assert "base, method options strength: 1.0 -> 2.0" in out
    assert "source of mine.py: mine.py changed" in out
    assert "A stronger prior" in out
    Path("mine.py").write_text(TINY.replace("option(1.0, ", "option(3.0, "))
    assert "not committed: mine.py" in harness("why", "starts/coins/1")[1]


def test_why_says_that_a_method_is_gone(harness):
    Path("mine.py").write_text(TINY.replace('("counts", Counts), ', "").replace('starts_from="counts"', ""))
    code, _, err = harness("why", "counts/coins/0")
    assert code == 2
    assert "counts" in err
    assert harness("why", "nothing/coins/0")[0] == 2


# --- replay -------------------------------------------------------------------------------------------------------


def test_a_folder_is_reproduced_to_the_digit_and_stays_as_it_is(harness):
    before = {path: path.stat().st_mtime_ns for path in Path("results").rglob("*")}
    code, out, err = harness("replay", "results", "--here")
    assert code == 0, err + out
    assert "4 trials: 4 to the digit" in out
    assert {path: path.stat().st_mtime_ns for path in Path("results").rglob("*")} == before


def test_a_difference_of_one_test_row_is_found_and_named(harness):
    changed = read()["counts 0"]
    changed["scores"]["accuracy"] += 1 / 30
    write(changed)
    code, out, _ = harness("replay", "counts/coins/0", "--here")
    assert code == 1
    assert "counts on coins, seed 0: within noise" in out
    assert "accuracy: " in out
    assert "(-0.0333)" in out
    assert harness("replay", "counts/coins/0", "--here", "--noise")[0] == 0


def test_a_metric_that_came_later_is_no_difference_and_one_that_is_gone_is(harness):
    changed = read()["counts 0"]
    del changed["scores"]["ece"]
    write(changed)
    assert harness("replay", "counts/coins/0", "--here")[0] == 0
    changed["scores"]["older"] = 0.5
    write(changed)
    code, out, _ = harness("replay", "counts/coins/0", "--here", "--noise")
    assert code == 1
    assert "older: 0.5 there, None here" in out


def test_a_point_of_the_curve_and_a_count_are_found(harness):
    changed = read()["counts 1"]
    changed["curve"][1]["valid"]["nll"] += 0.25
    changed["readings"]["length"] = 7
    write(changed)
    code, out, _ = harness("replay", changed["key"], "--here", "--noise")
    assert code == 1
    assert "seed 1: different" in out
    assert f"curve from update {changed['curve'][1]['update']} on, nll: " in out
    assert "length: 7 there, " in out


def test_a_changed_source_is_named_and_the_numbers_are_compared_all_the_same(harness):
    Path("mine.py").write_text(TINY + "\n# a word\n")
    code, out, _ = harness("replay", "results", "--methods", "counts", "--seed", "1", "--here")
    assert code == 0, out
    assert "1 trial: 1 to the digit" in out
    assert "changed since, compared all the same: backend source, method source, dataset source" in out


def test_a_trial_that_fails_today_is_different(harness):
    Path("mine.py").write_text(
        TINY.replace("class Counts:", "class Counts:\n    broken = True").replace(
            'counts = state["counts"] + ', 'raise ValueError("broken today")\n        counts = '
        )
    )
    code, out, _ = harness("replay", "counts/coins/0", "--here")
    assert code == 1
    assert "did not end ok: failed: ValueError: broken today" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nobody/coins/0",), "no such record"),
        (("results", "--seed", "9"), "no record that ended ok and is of what was asked for"),
        (("results", "--methods", "saf"), "no record of 'saf'"),
        (("counts/coins/0", "--results", "nowhere"), "no records there"),
    ],
)
def test_mistakes_of_replay_are_told(harness, arguments, words):
    code, out, err = harness("replay", *arguments)
    assert (code, out) == (2, "")
    assert words in err
