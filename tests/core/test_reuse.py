"""`--rerun` and `--keep-outdated`: what runs although there is a record, and what is kept although the code changed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import forked

TINY = Path(__file__).with_name("tiny.py")
FAILING = """
from pathlib import Path
import tiny_copy
from harness import Method, hookimpl

class Moody(tiny_copy.Counts):
    def update(self, state, batch):
        if Path(__file__).with_name("fail").exists():
            raise ValueError("in a bad mood")
        return super().update(state, batch)

@hookimpl
def harness_methods():
    yield Method("moody", "x", Moody, ("classification",), config=tiny_copy.Prior)
"""


@pytest.fixture
def folder(tmp_path):
    """Of plugin files that a test may change: tiny, and a method that fails while the file `fail` lies beside it."""
    shutil.copy(TINY, tmp_path / "tiny.py")
    shutil.copy(TINY, tmp_path / "tiny_copy.py")
    (tmp_path / "moody.py").write_text(FAILING)
    return tmp_path


@pytest.fixture
def words(folder):
    def make(*more: str, methods: str = "counts,moody") -> list[str]:
        files = ["-p", str(folder / "tiny.py"), "-p", str(folder / "moody.py")]
        where = ["--results", str(folder / "results"), "--seeds", "2"]
        return ["run", *files, "--methods", methods, *where, *more]

    return make


@pytest.fixture
def run(words):
    def call(*more: str, methods: str = "counts,moody") -> subprocess.CompletedProcess[str]:
        return forked(words(*more, methods=methods), known())

    return call


def known(**more: str) -> dict[str, str]:
    return os.environ | {"HARNESS_PLUGINS": "metrics,executors", "COLUMNS": "300"} | more


def finished(folder: Path) -> dict[str, str]:
    """When each trial ended last, by its name."""
    records = [json.loads(path.read_text()) for path in (folder / "results/trials").glob("*.json")]
    records.sort(key=lambda each: each["finished"])
    return {f"{each['trial']['method']['label']} {each['trial']['seed']}": each["finished"] for each in records}


def later(folder: Path, before: dict[str, str]) -> set[str]:
    return {name for name, moment in finished(folder).items() if moment > before.get(name, "")}


# --- --rerun ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("counts", {"counts 0", "counts 1"}),
        ("counts[*]", {"counts 0", "counts 1", "counts[strength=2.0] 0", "counts[strength=2.0] 1"}),
        ("counts[strength=2]", {"counts[strength=2.0] 0", "counts[strength=2.0] 1"}),
        ("*", {f"{name} {seed}" for name in ("counts", "moody", "counts[strength=2.0]") for seed in (0, 1)}),
        ("FILE", {"moody 0", "moody 1"}),
    ],
)
def test_the_methods_that_are_named_run_again_and_no_others(run, folder, asked, expected):
    methods = "counts,moody,counts[strength=2]"
    run("--here", methods=methods)
    before = finished(folder)
    done = run("--rerun", asked.replace("FILE", str(folder / "moody.py")), "--here", methods=methods)
    assert done.returncode == 0, done.stderr
    assert later(folder, before) == expected
    assert f"{len(expected)} trials run for --rerun" in done.stderr


def test_a_plan_says_what_would_run_again_and_runs_nothing(run, folder):
    run("--here", methods="counts")
    before = finished(folder)
    lines = run("--dry-run", "--rerun", "counts").stdout.splitlines()
    assert [line.rpartition(", ")[2] for line in lines if "updates, batches" in line] == [
        "to run again", "to run", "to run again", "to run",
    ]  # fmt: skip
    assert later(folder, before) == set()


def test_a_method_that_the_run_has_not_is_refused(run, folder):
    done = run("--rerun", "moody", methods="counts")
    assert done.returncode == 2
    assert "--rerun moody: this run has no 'moody'" in done.stderr
    assert not (folder / "results").exists()


def test_a_rerun_that_fails_leaves_the_ok_record_and_is_seen(run, folder):
    run("--here")
    before = finished(folder)
    (folder / "fail").touch()
    done = run("--rerun", "moody", "--here")
    assert done.returncode == 1
    assert later(folder, before) == set()
    attempts = list((folder / "results/attempts").glob("*.json"))
    assert [json.loads(path.read_text())["status"] for path in attempts] == ["failed", "failed"]
    assert "moody on coins, seed 0 ran again: failed (ValueError: in a bad mood" in done.stdout
    assert str(attempts[0].parent) in done.stdout
    assert "2 of 2" in run(methods="moody").stderr
    (folder / "fail").unlink()
    assert run("--rerun", "moody", "--here").returncode == 0
    assert later(folder, before) == {"moody 0", "moody 1"}
    assert not list((folder / "results/attempts").iterdir())


@pytest.mark.xdist_group("processes")
def test_a_rerun_that_is_interrupted_leaves_the_ok_record(run, words, folder, tmp_path):
    run("--here", methods="waits")
    before = finished(folder)
    wait = tmp_path / "wait"
    wait.touch()
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-m", "harness", *words("--rerun", "*", methods="waits")]
    process = subprocess.Popen(command, env=known(TINY_WAIT=str(wait)), **pipes)
    for line in process.stderr:
        if "started" in line:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert later(folder, before) == set()
    assert "2 of 2 trials have a record; 0 to run" in run(methods="waits").stderr


# --- --keep-outdated ----------------------------------------------------------------------------------------------


def edit(path: Path, old: str = "", new: str = "\n# a comment\n") -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new) if old else text + new)


@pytest.mark.parametrize("here", [True, False], ids=["here", "elsewhere"])
def test_a_comment_in_the_code_keeps_the_records_and_the_table_says_so(run, folder, here):
    more = ("--here",) if here else ()
    first = run("--here", methods="counts")
    before = finished(folder)
    edit(folder / "tiny.py")
    planned = run("--dry-run", "--keep-outdated", *more, methods="counts")
    assert planned.stdout.count("has a record of older code") == 2
    done = run("--keep-outdated", *more, methods="counts")
    assert done.returncode == 0, done.stderr
    assert later(folder, before) == set()
    note = "kept although the code has changed since (--keep-outdated): counts seeds 0, 1; changed: the source of"
    assert note in done.stdout
    assert note in planned.stdout
    assert first.stdout.splitlines()[3] in done.stdout
    assert later(folder, before) == set()
    run("--here", methods="counts")
    assert later(folder, before) == {"counts 0", "counts 1"}
    assert "kept although" not in run("--keep-outdated", "--here", methods="counts").stdout


OTHER = {
    "the rows": ("choice(3, size=90, p=[0.6, 0.3, 0.1])", "choice(3, size=90, p=[0.1, 0.3, 0.6])"),
    "the inputs": ("rng.normal(size=(90, 2))", "rng.normal(1, size=(90, 2))"),
    "a default": ("option(1.0, ", "option(2.0, "),
    "the recipe": ('Budget("updates", 6), 10', 'Budget("updates", 6), 5'),
    "a data set that cannot be loaded": (
        "    rng = np.random.default_rng(seed)\n    targets",
        "    1 / 0\n    targets",
    ),
}


@pytest.mark.parametrize("what", OTHER)
def test_other_data_and_other_options_are_never_kept(run, folder, what):
    run("--here", methods="counts")
    edit(folder / "tiny.py", *OTHER[what])
    planned = run("--dry-run", "--keep-outdated", "--here", methods="counts").stdout
    assert "older code" not in planned
    assert planned.count(", to run\n") == 2


def test_an_option_that_no_longer_exists_is_no_difference(run, folder):
    own = '    strength: float = option(1.0, "how much the prior counts", above=0)\n'
    gone = '    smooth: bool = option(True, "left at its default")\n'
    edit(folder / "tiny.py", own, own + gone)
    run("--here", methods="counts")
    edit(folder / "tiny.py", gone, "")
    planned = run("--dry-run", "--keep-outdated", "--here", methods="counts").stdout
    assert planned.count("has a record of older code") == 2


def test_without_digests_a_changed_data_set_is_not_trusted_and_a_changed_method_is(run, folder):
    run("--here")
    for path in (folder / "results/trials").glob("*.json"):
        value = json.loads(path.read_text())
        del value["provenance"]["data"]
        path.write_text(json.dumps(value))
    edit(folder / "moody.py")
    planned = run("--dry-run", "--keep-outdated", "--here").stdout
    assert (planned.count("older code"), planned.count("has a record\n")) == (2, 2)
    edit(folder / "tiny.py")
    assert "older code" not in run("--dry-run", "--keep-outdated", "--here").stdout


def test_the_newest_of_several_is_kept_and_failed_ones_are_not(run, folder):
    run("--here", methods="moody")
    edit(folder / "moody.py")
    run("--here", methods="moody")
    (folder / "fail").touch()
    edit(folder / "moody.py")
    run("--here", methods="moody")
    edit(folder / "moody.py")
    newest = sorted(
        (folder / "results/trials").glob("*.json"), key=lambda path: json.loads(path.read_text())["finished"]
    )
    good = [path for path in newest if json.loads(path.read_text())["status"] == "ok"]
    planned = run("--dry-run", "--keep-outdated", "--here", methods="moody").stdout
    for path in good[-2:]:
        assert f"has a record of older code, {path.stem}" in planned


def test_what_starts_from_a_kept_base_may_be_kept_too(run, folder):
    run("--here", methods="starts")
    edit(folder / "tiny.py")
    done = run("--keep-outdated", "--here", methods="starts")
    assert done.returncode == 0, done.stderr
    assert "4 of 4 trials have a record; 0 to run" in done.stderr


def test_rerun_wins_over_an_outdated_record(run, folder):
    run("--here", methods="counts")
    before = finished(folder)
    edit(folder / "tiny.py")
    run("--keep-outdated", "--rerun", "counts", "--here", methods="counts")
    assert later(folder, before) == {"counts 0", "counts 1"}
