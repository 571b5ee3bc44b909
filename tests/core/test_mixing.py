"""Records of one table that are not of the same making: what is said of them, and what is not compared."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from commands import forked
from example_records import METRICS, record

from harness import Budget
from harness.report import FORMATS, render, summarise, with_suite
from harness.report.rows.selecting import Choosing, parse_criterion
from harness.suites.entries import Claim, Published, Quantity
from harness.suites.suite import Comparison, Request
from harness.types import Record

PARTS = {
    "core": "core-1",
    "backend": {"distribution": "b", "version": "1.0", "source": "backend-1"},
    "method": {"distribution": "m", "version": "1.0", "source": "method-1"},
    "dataset": {"distribution": "d", "version": "1.0", "source": "data-1", "files": {"x.npy": [1, 2]}, "options": {}},
}
SPLITS = ("train.inputs", "train.targets", "valid.inputs", "valid.targets", "test.inputs", "test.targets")


def trained(method: str, seeds=range(3), *, rows: str | None = "rows", parts: dict[str, Any] | None = None, **others):
    """Records with parts and digests; `rows` names the data of all seeds, None for older records without digests."""
    found = []
    for seed in seeds:
        provenance = {} if rows is None else {"data": {split: f"{rows}-{split}-{seed}" for split in SPLITS}}
        scores = {"accuracy": 0.9 + seed / 100 + len(method) * seed / 1000, "accuracy@valid": 0.9 + seed / 100}
        readings = {"train_seconds": 2.0 + len(method) + seed / 10, "forward_macs": 100 * len(method)}
        each = record(method, seed, scores=scores, readings=readings, provenance=provenance, **others)
        merged = {
            name: part | (parts or {}).get(name, {}) if isinstance(part, dict) else part for name, part in PARTS.items()
        }
        merged |= {name: part for name, part in (parts or {}).items() if not isinstance(part, dict)}
        found.append(dataclasses.replace(each, trial=dataclasses.replace(each.trial, parts=merged)))
    return found


def notes(*records: list[Record]) -> tuple[str, ...]:
    return summarise([each for row in records for each in row], METRICS).notes


def compared(*records: list[Record]) -> dict[str, bool]:
    """Whether anything in the table holds the rows against each other, by kind."""
    (table,) = summarise([each for row in records for each in row], METRICS).tables
    cells = [cell for row in table.rows for cell in row.cells.values()]
    return {
        "best": any(cell.best for cell in cells),
        "ratio": any(cell.relative is not None for row in table.rows[1:] for cell in row.cells.values()),
        "difference": any(row.against is not None for row in table.rows),
    }


NOTHING = {"best": False, "ratio": False, "difference": False}
ALL = {"best": True, "ratio": True, "difference": True}

# --- data ---------------------------------------------------------------------------------------------------------

EDITED = {"dataset": {"source": "data-2"}}
MOVED = {"dataset": {"files": {"x.npy": [3, 4]}}}


def test_rows_over_other_data_are_neither_paired_nor_compared():
    first, second = trained("a"), trained("bb", rows="others", parts=EDITED)
    assert compared(first, second) == NOTHING
    said = notes(first, second)
    assert said[0].startswith("rows of digits over different data are neither paired nor compared: a; bb (the rows of ")
    assert "train.inputs" in said[0]
    assert "records differ in the source of digits: a; bb" in said
    for style in FORMATS:
        shown = render(summarise([*first, *second], METRICS), style, 120)
        assert "less that of a" not in shown


def test_the_same_rows_from_another_source_are_compared_with_a_note():
    first, second = trained("a"), trained("bb", parts=EDITED)
    assert compared(first, second) == ALL
    assert notes(first, second) == ("records differ in the source of digits: a; bb",)


@pytest.mark.parametrize("parts", [EDITED, MOVED, {"dataset": {"options": {"train": 100}}}], ids=str)
@pytest.mark.parametrize("without", [(True, True), (True, False), (False, True)], ids=["both", "first", "second"])
def test_without_digests_what_the_data_came_from_decides(parts, without):
    rows = [None if old else "rows" for old in without]
    first, second = trained("a", rows=rows[0]), trained("bb", rows=rows[1], parts=parts)
    assert compared(first, second) == NOTHING
    assert "not known to be the same" in notes(first, second)[0]
    assert compared(trained("a", rows=rows[0]), trained("bb", rows=rows[1])) == ALL


def test_one_seed_of_other_data_parts_two_rows():
    mixed = [*trained("bb", (0, 1)), *trained("bb", (2,), rows="others")]
    assert compared(trained("a"), mixed) == NOTHING
    assert any("(seed 2)" in note for note in notes(trained("a"), mixed))


def test_rows_without_a_common_seed_are_of_what_their_data_came_from():
    assert notes(trained("a", (0, 1)), trained("bb", (2, 3), parts=EDITED))[1].startswith(
        "rows of digits over different"
    )
    assert not any("over different data" in note for note in notes(trained("a", (0, 1)), trained("bb", (2, 3))))


def test_a_table_of_csv_numbers_the_data_where_rows_differ_in_them():
    records = [*trained("a"), *trained("bb"), *trained("ccc", rows="others")]
    lines = list(csv.DictReader(io.StringIO(render(summarise(records, METRICS), "csv"))))
    assert {(line["method"], line["data"]) for line in lines} == {("a", "1"), ("bb", "1"), ("ccc", "2")}
    alike = render(summarise([*trained("a"), *trained("bb")], METRICS), "csv")
    assert "data" not in alike.splitlines()[0].split(",")


def test_rows_of_the_first_rows_data_keep_their_difference():
    (table,) = summarise([*trained("a"), *trained("bb"), *trained("ccc", rows="others")], METRICS).tables
    assert [row.against is not None for row in table.rows] == [False, True, False]
    assert [row.cells["train_seconds"].relative is not None for row in table.rows] == [True, True, False]
    assert not any(cell.best for row in table.rows for cell in row.cells.values())


def test_claims_across_data_are_not_measured_and_published_values_stand():
    claim = Claim("better", Quantity("bb", "accuracy"), minus=Quantity("a", "accuracy"), at_least=-10)
    value = Published("a", "digits", "accuracy", 0.9, "Someone 2020")
    suite = Comparison(Path("s.toml"), Request(), published=(value,), claims=(claim,))

    def judged(second):
        records = [*trained("a"), *second]
        return with_suite(summarise(records, METRICS), records, METRICS, suite)

    assert judged(trained("bb")).claims[0].judgement.verdict == "holds"
    found = judged(trained("bb", rows="others"))
    assert found.claims[0].judgement.verdict == "not measured"
    assert "over different data: the rows of train.inputs" in found.claims[0].finding
    assert found.published[0].measured.n == 3


SWEEP = ((("rate",), ((0.1,), (0.2,))),)


def test_nothing_is_chosen_from_configurations_over_different_data():
    def swept(rows):
        found = []
        for rate, own in zip((0.1, 0.2), rows, strict=True):
            for each in trained(f"saf[rate={rate}]", rows=own):
                method = dataclasses.replace(each.trial.method, given={"rate": rate}, sweep=SWEEP)
                found.append(dataclasses.replace(each, trial=dataclasses.replace(each.trial, method=method)))
        return summarise(found, METRICS, select=Choosing(parse_criterion("accuracy@valid", METRICS)))

    assert len(swept(("rows", "rows")).tables[0].rows) == 1
    apart = swept(("rows", "others"))
    assert len(apart.tables[0].rows) == 2
    assert any("none is chosen, the rows of train.inputs" in note for note in apart.notes)


# --- code, versions, machines -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts, words",
    [
        ({"core": "core-2"}, "the source of the harness"),
        ({"backend": {"source": "backend-2"}}, "the source of the backend"),
        ({"backend": {"version": "2.0"}}, "the version of the backend (1.0 and 2.0)"),
        ({"method": {"source": "method-2"}}, "the source of a"),
        ({"method": {"version": "2.0"}}, "the version of a (1.0 and 2.0)"),
        (MOVED, "the files of digits"),
        (
            {"core": "core-2", "backend": {"source": "backend-2"}},
            "the source of the harness and the source of the backend",
        ),
    ],
    ids=str,
)
def test_a_part_that_differs_between_seeds_is_named_with_the_seeds(parts, words):
    said = notes([*trained("a", (0, 1)), *trained("a", (2,), parts=parts)], trained("bb"))
    others = "" if "of a" in words else ", bb"
    assert f"records differ in {words}: a seeds 0, 1{others}; a seed 2" in said


def test_another_version_of_a_library_that_a_plugin_uses_is_named():
    records = [*trained("a", (0, 1)), *trained("bb", (0, 1))]
    versions = {"a": {"jax": "1", "numpy": "2"}, "bb": {"jax": "3", "other": "1"}}
    stated = [
        dataclasses.replace(
            each,
            provenance={**each.provenance, "libraries": versions[each.trial.method.label]},
            environment={"numpy": "2"},
        )
        for each in records
    ]
    assert notes(stated) == ("records differ in the version of jax (1 and 3): a; bb",)


def test_another_commit_is_named():
    first, second = trained("a", environment={"commit": "abc"}), trained("bb", environment={"commit": "def+"})
    assert notes(first, second) == ("records differ in the commit (abc and def+): a; bb",)


def test_methods_differ_by_nature_and_their_sources_are_no_note():
    assert notes(trained("a"), trained("bb", parts={"method": {"source": "method-2"}})) == ()


def of_file(method: str, seeds, digest: str | None, *, file: str = "m.py", source: str = "", **more: Any):
    """Records of a method whose plugin is a file of that digest; None for older records that state none."""
    parts = {"method": {"source": source or f"{method}-{digest}"}, **more}
    rows = trained(method, seeds, parts=parts)
    if digest is None:
        return rows
    stated = {file: digest, "same.py": "same"}
    return [dataclasses.replace(each, provenance={**each.provenance, "sources": stated}) for each in rows]


def test_two_methods_of_one_file_at_two_versions_are_noted():
    said = notes(of_file("one", (0, 1), "v1"), of_file("two", (0, 1), "v2"))
    assert said == ("records differ in the source file m.py: one; two",)
    said = notes(
        of_file("one", (0, 1, 2), "v1"),
        [*of_file("two", (0, 1), "v2", source="x"), *of_file("two", (2,), "v1", source="x")],
    )
    assert said == ("records differ in the source file m.py: one, two seed 2; two seeds 0, 1",)


@pytest.mark.parametrize(
    "second",
    [of_file("two", (0, 1), "v1"), of_file("two", (0, 1), "v2", file="n.py"), of_file("two", (0, 1), None)],
    ids=["the same", "another file", "an older record"],
)
def test_no_note_where_no_file_is_known_to_differ(second):
    assert notes(of_file("one", (0, 1), "v1"), second) == ()


def test_what_a_methods_or_the_datas_own_source_says_is_not_said_twice():
    one = [*of_file("one", (0,), "v1"), *of_file("one", (1,), "v2")]
    assert notes(one) == ("records differ in the source of one: one seed 0; one seed 1",)
    two = [*of_file("two", (0,), "v1"), *of_file("two", (1,), "v2")]
    assert notes(one, two) == (
        "records differ in the source of one: one seed 0; one seed 1",
        "records differ in the source of two: two seed 0; two seed 1",
    )
    data = of_file("two", (0, 1), "v2", dataset={"source": "data-2"})
    assert notes(of_file("one", (0, 1), "v1"), data) == ("records differ in the source of digits: one; two",)


def test_many_files_that_differ_alike_are_one_note():
    one, two = trained("one"), trained("two")
    rows = [
        dataclasses.replace(
            each, provenance={**each.provenance, "sources": {f"pack/{n}.py": digest for n in range(30)}}
        )
        for digest, own in (("v1", one), ("v2", two))
        for each in own
    ]
    (note,) = notes(rows)
    assert "the source file pack/0.py, the source file pack/1.py" in note
    assert note.endswith("and 11 more: one; two")


@pytest.fixture
def run_twice(tmp_path):
    """The report on two methods of one file, the second trained after the file was edited."""
    method = """
import numpy as np
from harness import ClassLogProbs, Method, hookimpl

class Learner:
    def __init__(self, config): pass
    def init(self, problem, training, base): return problem.output_size
    def update(self, state, batch): return state, {}
    def predict(self, state, inputs):
        return ClassLogProbs(np.full((1, len(inputs), state), -np.log(state)), np.zeros(1))

@hookimpl
def harness_methods():
    yield Method("one", "x", Learner, ("classification",))
    yield Method("two", "x", Learner, ("classification",))
"""
    file = tmp_path / "m.py"

    def harness(*words: str) -> str:
        command = [*words, "-p", str(Path(__file__).with_name("tiny.py"))]
        command += ["--results", str(tmp_path / "results")]
        environment = os.environ | {"HARNESS_PLUGINS": "metrics,executors", "COLUMNS": "200"}
        done = forked(command, environment, tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def runs(edited: str) -> str:
        for name, text in (("one", method), ("two", method + edited)):
            file.write_text(text)
            harness("run", "-p", str(file), "--methods", name, "--seeds", "2", "--here")
        return harness("report")

    return runs


@pytest.mark.parametrize("edited", ["", "\nSIGN = -1\n"], ids=["as it was", "edited"])
def test_a_file_edited_between_the_runs_of_its_methods_is_noted_in_the_report(run_twice, edited):
    assert ("the source file m.py" in run_twice(edited)) == bool(edited)


def test_a_base_of_another_source_is_named():
    def with_base(source, seed):
        (base,) = trained("dense", (seed,), parts={"method": {"source": source}})
        (own,) = trained("a", (seed,))
        return dataclasses.replace(own, trial=dataclasses.replace(own.trial, base=base.trial))

    assert notes([with_base("x", 0), with_base("y", 1)]) == (
        "records differ in the source of dense: a seed 0; a seed 1",
    )


@pytest.mark.parametrize("key", ["torch", "numpy", "scipy", "scikit-learn", "python", "cpu", "instruction_set", "blas"])
def test_what_may_change_the_last_digits_of_a_score_is_noted_for_scores_too(key):
    said = notes(trained("a", environment={key: "1"}), trained("bb", environment={key: "2"}))
    assert said == (f"scores and times are of different environments: {key} 1 (a); 2 (bb)",)


@pytest.mark.parametrize("key", ["cores", "usable_cores", "memory_bytes", "system"])
def test_what_changes_times_alone_is_noted_for_them(key):
    said = notes(trained("a", environment={key: 1}), trained("bb", environment={key: 2}))
    assert said == (f"times are of different environments: {key} 1 (a); 2 (bb)",)


# --- times --------------------------------------------------------------------------------------------------------


def test_a_busy_machine_is_told_once_for_all_trials():
    busy = {"load": [15.2, 3.0, 1.0], "usable_cores": 2, "cores": 64}
    said = notes(trained("a", environment=busy), trained("bb", (0, 2), environment=busy))
    assert [note for note in said if "busy" in note] == [
        "times were taken on a busy machine, with a load of 15 on 2 cores: a seeds 0, 1, 2; bb seeds 0, 2"
    ]
    longer = trained("a", environment=busy, budget=Budget("epochs", 9))
    (of_one,) = [note for note in notes(trained("a"), longer) if "busy" in note]
    assert of_one.startswith("times of digits, 9 epochs, batch 128, cpu, fp32, ")
    assert "were taken on a busy machine, with a load of 15" in of_one
    later = {"load": [0.1, 0.0, 0.0], "load_at_end": [9.0, 3.0, 1.0], "usable_cores": 2}
    assert "load of 9 on 2 cores: a seed 0" in notes(trained("a", (0,), environment=later))[0]
    idle = {"load": [1.9, 30.0, 30.0], "usable_cores": 2}
    assert notes(trained("a", environment=idle)) == ()


@pytest.mark.parametrize(
    "cpu, threads, device, words",
    [
        (3.0, 1, "cpu", "training waited, for its CPU time is less than its wall time, by a factor of: a seed 0 (0.3)"),
        (19.0, 1, "cpu", "used more threads than it was given, CPU time over threads x wall time: a seed 0 (1.9)"),
        (19.0, 2, "cpu", ""),
        (9.0, 1, "cpu", ""),
        (3.0, 1, "cuda", ""),
        (None, 1, "cpu", ""),
    ],
)
def test_processor_time_that_parts_from_the_clock_is_told(cpu, threads, device, words):
    environment = {"train_wall_seconds": 10.0, "train_cpu_seconds": cpu}
    said = notes(trained("a", (0,), environment=environment, threads=threads, device=device))
    assert [words in note for note in said] == [True] * bool(words)


@pytest.mark.parametrize("phase", ["prepare", "finish"])
def test_what_a_method_trains_outside_its_updates_is_a_column_and_a_note(phase):
    def summary(seconds, **others):
        row = record("mymethod", scores={"accuracy": 0.9}, readings={"train_seconds": 1.0}, seconds={phase: seconds})
        return summarise([dataclasses.replace(row, **others), record("b", readings={"train_seconds": 1.0})], METRICS)

    found = summary(3.1)
    assert found.notes == (f"mymethod trains 3.1 s in {phase} beside 1 s of updates",)
    assert f"{phase}_seconds" in found.tables[0].columns
    assert f"{phase}_seconds" in render(found, "text", 120)
    assert summary(0.09).notes == ()
    assert f"{phase}_seconds" not in summary(0.09).tables[0].columns


def test_the_training_of_a_base_counts_as_training():
    base = record("dense", readings={"train_seconds": 99.0}, budget=Budget("epochs", 50), key="base")
    own = record("a", measured={"train_seconds": 1.0}, seconds={"prepare": 3.0})
    own = dataclasses.replace(own, trial=dataclasses.replace(own.trial, base=base.trial))
    assert summarise([base, own], METRICS).notes == ()
    assert summarise([own], METRICS).notes == ("a trains 3 s in prepare beside 1 s of updates",)
    slow = dataclasses.replace(own, seconds={"prepare": 11.0})
    (note,) = summarise([base, slow], METRICS).notes
    assert note == "a trains 11 s in prepare beside 100 s of updates, its base's among them"


def test_unequal_training_after_what_rows_start_from_is_a_note():
    base = record("dense", budget=Budget("epochs", 50), key="base")

    def own(method, epochs):
        row = record(method, budget=Budget("epochs", epochs))
        return dataclasses.replace(row, trial=dataclasses.replace(row.trial, base=base.trial, own_epochs=True))

    found = summarise([base, own("a", 0), own("b", 10), own("c", 0)], METRICS)
    said = "training after the trained network that rows start from is unequal: 0 epochs: a, c; 10 epochs: b"
    assert said in found.notes
    assert not any("unequal" in note for note in summarise([base, own("a", 10), own("b", 10)], METRICS).notes)


def test_json_of_a_mixed_table_is_read_by_other_tools():
    found = json.loads(render(summarise([*trained("a"), *trained("bb", rows="others")], METRICS), "json"))
    assert [row["difference"] for row in found["rows"]] == [None, None]
    assert "over different data" in found["notes"][0]
