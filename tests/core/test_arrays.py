"""Trained arrays on disk: what a record says of them, and what happens where they are not that."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import shutil
from pathlib import Path

import pytest
from core.example_records import METRICS, record

from harness.cli import main
from harness.records.store import Store
from harness.report.rows.summary import summarise

TINY = Path(__file__).with_name("tiny.py")


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command in an empty folder: what it said, and the records by method."""
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,executors")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, code: int = 0):
        done = main(["run", "--here", "--seeds", "1", "-p", str(TINY), *arguments])
        out, err = capsys.readouterr()
        assert done == code, err
        records = Store(tmp_path / "results").read_newest()[0] if "--dry-run" not in arguments else []
        return out + err, {each.trial.method.name: each for each in records}

    return run


def weights(record) -> Path:
    return Store(Path("results")).locate_weights(record.trial.key)


def test_a_record_states_digest_and_size_of_the_arrays_that_are_kept_and_a_dependent_those_that_it_started_from(run):
    _, records = run("--methods", "starts")
    content = weights(records["counts"]).read_bytes()
    stated = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    assert records["counts"].provenance["arrays"] == stated
    assert records["starts"].provenance["base"] == {"key": records["counts"].trial.key, **stated}
    assert "arrays" not in records["starts"].provenance
    assert "base" not in records["counts"].provenance


def spoil_by_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


SPOILT = {
    "missing": (Path.unlink, "are gone"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:20]), r"are 20 bytes, its record says \d+"),
    "longer": (lambda path: path.write_bytes(path.read_bytes() + b"x"), r"are \d+ bytes, its record says \d+"),
    "changed": (spoil_by_a_byte, "are not those that its record says"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
}


@pytest.mark.parametrize("how", [name for name in SPOILT if name != "a folder"])
def test_a_base_whose_arrays_are_not_those_of_its_record_is_planned_again_and_a_line_names_the_file(run, how):
    spoil, words = SPOILT[how]
    _, before = run("--methods", "starts")
    path = weights(before["counts"])
    spoil(path)
    Store(Path("results")).locate_record(before["starts"].trial.key).unlink()
    for command in (["--dry-run"], []):
        said, after = run("--methods", "starts", *command)
        line = f"counts on coins, seed 0 runs again: its trained arrays, {path.absolute()}, {words}"
        assert re.search(line, said), said
    assert after["counts"].finished > before["counts"].finished
    assert after["starts"].provenance["base"]["sha256"] == after["counts"].provenance["arrays"]["sha256"]


def test_a_base_is_left_alone_where_nothing_that_starts_from_it_runs(run):
    _, before = run("--methods", "starts")
    spoil_by_a_byte(weights(before["counts"]))
    said, after = run("--methods", "starts")
    assert "runs again" not in said
    assert after["counts"] == before["counts"]


def test_a_base_that_was_run_for_itself_is_trained_again_for_what_starts_from_it_and_that_is_said(run):
    _, alone = run("--methods", "counts")
    assert not weights(alone["counts"]).exists()
    said, after = run("--methods", "starts")
    assert "were not kept" in said
    assert after["starts"].status == "ok"


@pytest.mark.parametrize("how", SPOILT)
def test_arrays_that_are_spoilt_meanwhile_fail_what_starts_from_them_with_the_name_of_the_file(run, how):
    from harness.catalog import Settings, load_catalog
    from harness.executors.worker import run_task as attempt
    from harness.planning.plan import plan_trials
    from harness.suites.suite import Request
    from harness.types import RunContext

    spoil, words = SPOILT[how]
    _, before = run("--methods", "starts")
    path = weights(before["counts"])
    spoil(path)
    catalog = load_catalog(Settings(plugins=(str(TINY),)))
    trial = plan_trials(catalog, Request(methods="starts", seeds="1"))[-1]
    found = attempt(trial, RunContext(Path("results"), None, plugins=(str(TINY),)), lambda progress: None)
    assert found.status == "failed"
    assert re.fullmatch(f"starts from counts, whose trained arrays {words}.*: .*{path.name}", found.reason)


def test_keep_weights_keeps_the_arrays_of_every_trial(run):
    _, records = run("--methods", "counts,starts", "--keep-weights")
    for each in records.values():
        assert each.provenance["arrays"]["sha256"] == hashlib.sha256(weights(each).read_bytes()).hexdigest()


def test_keep_weights_says_of_which_trials_there_are_none(run, tmp_path):
    file = tmp_path / "mine.py"
    shutil.copy(TINY, file)
    file.write_text(file.read_text() + "\n\ndel Counts.save\n")
    _, records = run("--methods", "counts", "--keep-weights", "-p", str(file), "--disable-plugin", str(TINY))
    assert records["counts"].status == "ok"
    assert (
        records["counts"].holes["save"].startswith("TypeError: counts has no save(state): there are no arrays to keep")
    )


def test_trials_that_ended_before_keep_the_arrays_that_they_have_and_a_line_says_so(run):
    run("--methods", "counts")
    said, records = run("--methods", "counts", "--keep-weights")
    assert "1 of the trials that have a record has no trained arrays there; --rerun" in said
    assert not weights(records["counts"]).exists()
    run("--methods", "counts", "--keep-weights", "--rerun", "counts")
    assert weights(records["counts"]).exists()
    said, _ = run("--methods", "counts", "--keep-weights")
    assert "no trained arrays" not in said


# --- the report ---------------------------------------------------------------------------------------------------


def started(method: str, digest: str, seed: int = 0):
    made = record(
        method, seed, provenance={"base": {"key": "b", "sha256": digest, "bytes": 1}}, scores={"accuracy": 0.5}
    )
    return dataclasses.replace(made, trial=dataclasses.replace(made.trial, base=record("dense").trial))


def notes(*records) -> str:
    return "\n".join(summarise(list(records), METRICS).notes)


def test_rows_of_a_seed_that_started_from_different_arrays_are_told():
    said = notes(
        *(started(name, digest, seed) for seed in (0, 1) for name, digest in (("untuned", "a"), ("tuned", "b")))
    )
    assert "rows did not start from the same trained arrays of dense in seeds 0, 1: untuned; tuned" in said


def test_rows_that_started_from_the_same_arrays_and_other_seeds_are_no_news():
    alike = [started(name, f"of seed {seed}", seed) for seed in (0, 1) for name in ("untuned", "tuned")]
    assert "trained arrays" not in notes(*alike, record("dense"))
