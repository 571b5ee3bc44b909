"""Plans in a results folder: what a run means to run, so that a report knows what is missing."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path

import pytest
from example_records import METRICS, record

from harness.cli import main
from harness.records import plans
from harness.records.plans import Planned
from harness.records.store import Store
from harness.report import FORMATS, render, summarise, with_suite
from harness.report.rows.selecting import Choosing, parse_criterion
from harness.suites.entries import Claim, Quantity
from harness.suites.suite import Comparison, Request

TINY = Path(__file__).with_name("tiny.py")
COMMAND = ["run", "--methods", "counts,counts[strength=2]", "--seeds", "2"]


def scored(method: str, scores: dict[int, float], **others):
    return [record(method, seed, scores={"accuracy": score}, **others) for seed, score in scores.items()]


def diverged(method: str, *seeds: int):
    return [record(method, seed, status="diverged", reason="loss is nan") for seed in seeds]


def planned(*methods: str, seeds: int = 3) -> list[Planned]:
    return plans.group_planned(record(method, seed).trial for method in methods for seed in range(seeds))


def best(records, **asked) -> list[str]:
    (table,) = summarise(records, METRICS, **asked).tables
    return [row.method for row in table.rows if row.cells["accuracy"].best]


# --- survivors ----------------------------------------------------------------------------------------------------

STEADY = scored("a", {0: 0.95, 1: 0.96, 2: 0.94}) + scored("b", {0: 0.9, 1: 0.915, 2: 0.92})
LUCKY = scored("lucky", {2: 0.999})


@pytest.mark.parametrize("lost", [diverged("lucky", 0, 1), []], ids=["diverged", "no record"])
def test_a_mean_over_survivors_is_never_the_best(lost):
    records = [*STEADY, *lost, *LUCKY]
    assert best(records) == ["a"]
    assert best([*LUCKY, *lost, *STEADY]) == ["a"]
    assert best([*records[:3], *lost, *LUCKY]) == [], "one whole row has no rival"
    for style in ("text", "markdown", "latex"):
        shown = render(summarise(records, METRICS), style, 120)
        for mark in ("0.9990*", "**0.9990", r"\textbf{0.9990"):
            assert mark not in shown
    assert "\x1b[1;32m0.9990" not in render(summarise(records, METRICS), "text", 120, colour=True)


def test_what_every_row_lacks_is_known_from_the_plan_alone():
    """Interrupted before its last seed, or with one that all rows lost: nothing in the records says so."""
    records = [each for each in STEADY if each.trial.seed < 2]
    assert best(records) == ["a"]
    assert best(records, planned=planned("a", "b")) == []
    summary = summarise(records, METRICS, planned=planned("a", "b"))
    assert summary.notes[:2] == (
        "planned, no record: a seed 2; b seed 2",
        "rows that lack seeds are never the best and have no ratio but of counts: a 2; b 2",
    )
    assert "  2/3  " in render(summary, "text", 120)


def test_what_was_planned_and_never_began_is_told():
    summary = summarise(STEADY, METRICS, planned=planned("a", "b", "c"))
    assert summary.notes == ("planned, no record: c seeds 0, 1, 2",)
    elsewhere = plans.group_planned([record("a", 0, "mnist").trial])
    notes = summarise(STEADY, METRICS, planned=[*planned("a", "b"), *elsewhere]).notes
    assert notes == ("planned, no record: a on mnist seed 0",)


def test_rows_over_other_seeds_than_their_rivals_are_not_compared():
    records = scored("a", {0: 0.95, 1: 0.96}) + scored("b", {1: 0.9, 2: 0.91})
    assert best(records) == []


def test_ratios_are_of_rows_that_have_all_seeds_but_for_counts():
    def costly(method, seeds, seconds):
        readings = {"train_seconds": seconds, "forward_macs": 100 * seconds}
        return [record(method, seed, readings=readings | {"train_seconds": seconds + seed}) for seed in seeds]

    def relative(*rows):
        (table,) = summarise([each for row in rows for each in row], METRICS).tables
        return [(row.cells["train_seconds"].relative, row.cells["forward_macs"].relative) for row in table.rows]

    whole, part = costly("a", range(3), 2.0), costly("b", range(2), 4.0)
    assert relative(whole, part) == [(1.0, 1.0), (None, 2.0)]
    assert relative(part, whole) == [(None, 1.0), (None, 0.5)]


def test_a_difference_over_survivors_says_over_which_seeds():
    records = [*STEADY[:3], *diverged("b", 1), *scored("b", {0: 0.9, 2: 0.92})]
    assert ", n=2, over seeds 0, 2 alone" in render(summarise(records, METRICS), "text", 120)
    _, row = json.loads(render(summarise(records, METRICS), "json"))["rows"]
    assert (row["difference"]["seeds"], row["lacking_seeds"], row["planned_seeds"]) == ([0, 2], [1], [0, 1, 2])


def test_lacking_seeds_stand_in_the_csv():
    lines = list(csv.DictReader(io.StringIO(render(summarise([*STEADY, *LUCKY], METRICS), "csv"))))
    assert {line["method"]: line["lacking_seeds"] for line in lines} == {"a": "", "b": "", "lucky": "0 1"}
    assert "lacking_seeds" not in render(summarise(STEADY, METRICS), "csv")


def test_a_claim_over_survivors_is_open_and_says_so():
    claim = Claim("better", Quantity("lucky", "accuracy"), minus=Quantity("a", "accuracy"), at_least=0)
    suite = Comparison(Path("s.toml"), Request(), claims=(claim,))
    records = [*STEADY, *scored("lucky", {0: 0.999, 2: 0.998}), *diverged("lucky", 1)]
    (found,) = with_suite(summarise(records, METRICS), records, METRICS, suite).claims
    assert found.judgement.verdict == "open"
    assert "over survivors: lacks seed 1; lucky seed 1: diverged: loss is nan" in found.finding
    kept = [each for each in STEADY if each.trial.seed < 2]
    claim = dataclasses.replace(claim, left=Quantity("b", "accuracy"), at_least=-10)
    suite = dataclasses.replace(suite, claims=(claim,))
    verdicts = [
        with_suite(summarise(kept, METRICS), kept, METRICS, suite, planned=plan).claims[0].judgement.verdict
        for plan in ([], planned("a", "b"))
    ]
    assert verdicts == ["holds", "open"]


def test_a_configuration_over_survivors_is_not_chosen():
    def tried(rate, scores):
        label = f"saf[rate={rate}]"
        return [record(label, seed, scores={"accuracy@valid": score}) for seed, score in scores.items()]

    def swept(records):
        choices = {each.trial.method.label: {"rate": float(each.trial.method.label[9:-1])} for each in records}
        return [
            dataclasses.replace(
                each,
                trial=dataclasses.replace(
                    each.trial,
                    method=dataclasses.replace(
                        each.trial.method,
                        given=choices[each.trial.method.label],
                        sweep=((("rate",), ((0.1,), (0.2,))),),
                    ),
                ),
            )
            for each in records
        ]

    by = parse_criterion("accuracy@valid", METRICS, jointly=True)
    whole, part = tried(0.1, {0: 0.8, 1: 0.81, 2: 0.82}), tried(0.2, {0: 0.9, 1: 0.99})
    summary = summarise(swept([*whole, *part]), METRICS, select=Choosing(by))
    assert [row.method for row in summary.tables[0].rows] == ["saf[rate=0.1]"]
    assert any("passed over" in note for note in summary.notes)
    both = swept([*tried(0.1, {0: 0.8, 1: 0.81}), *part])
    plan = plans.group_planned(
        record(label, seed).trial for label in ("saf[rate=0.1]", "saf[rate=0.2]") for seed in range(3)
    )
    summary = summarise(both, METRICS, select=Choosing(by), planned=plan)
    assert any("saf[rate=0.2] is chosen over survivors" in note for note in summary.notes)


@pytest.mark.parametrize("style", FORMATS)
def test_every_format_takes_a_table_that_lacks_everything(style):
    records = [*diverged("a", 0, 1), *diverged("b", 0)]
    assert render(summarise(records, METRICS, planned=planned("a", "b", "c")), style)


# --- files --------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,executors")
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path / "results"


def harness(capsys, *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_a_run_leaves_its_plan_and_a_report_knows_what_is_missing(folder, capsys):
    command = [*COMMAND, "--here", "--results", folder, "-p", TINY]
    harness(capsys, *command)
    (path,) = (folder / "plans").glob("*.json")
    written = json.loads(path.read_text())
    assert written["command"] == [str(word) for word in command]
    assert {row["method"]: sorted(row["trials"]) for row in written["rows"]}["counts"] == ["0", "1"]
    keys = {key for row in written["rows"] for key in row["trials"].values()}
    assert {path.stem for path in Store(folder).trials.glob("*.json")} >= keys
    harness(capsys, *command)
    assert len(list((folder / "plans").glob("*"))) == 1, "nothing was run, nothing is planned"
    (lost,) = (
        each for each in Store(folder).read_newest()[0] if (each.trial.method.label, each.trial.seed) == ("counts", 1)
    )
    Store(folder).locate_record(lost.trial.key).unlink()
    _, out, err = harness(capsys, "report", "--results", folder)
    assert ("planned, no record: counts seed 1" in out, err) == (True, "")
    _, out, _ = harness(capsys, "report", "--results", folder, "--methods", "counts[strength=2]")
    assert "planned, no record" not in out


def test_several_plans_add_up_and_the_newest_decides(tmp_path):
    first = [record("a", seed, key=f"old{seed}").trial for seed in (0, 1)]
    second = [record("a", seed, key=f"new{seed}").trial for seed in (1, 2)]
    plans.write_plan(tmp_path, first, ["run"])
    plans.write_plan(tmp_path, second, ["run"])
    ((row,), problems) = plans.read_plans(tmp_path)
    assert (row.method, row.keys, problems) == ("a", {0: "old0", 1: "new1", 2: "new2"}, [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"schema": 99, "rows": []}',
        '{"schema": 1}',
        '{"schema": 1, "rows": [3]}',
        '{"schema": 1, "rows": [{"method": 1, "dataset": "d", "protocol": {}, "trials": {}}]}',
        '{"schema": 1, "rows": [{"method": "m", "dataset": "d", "protocol": {"x": []}, "trials": {}}]}',
        '{"schema": 1, "rows": [{"method": "m", "dataset": "d", "protocol": {}, "trials": {"x": "y"}}]}',
        '{"schema": 1, "rows": [{"method": "\\ud800", "dataset": "d", "protocol": {}, "trials": {}}]}',
        "[" * 100_000,
    ],
    ids=lambda text: text[:60],
)
def test_a_plan_that_cannot_be_read_is_named_and_costs_nothing(folder, capsys, text):
    store = Store(folder)
    store.prepare()
    for place, each in enumerate(STEADY):
        store.write(dataclasses.replace(each, finished=f"2026-01-01T00:00:{place:02d}.000+00:00"))
    plans.write_plan(folder, [record("a", 7).trial], ["run"])
    (folder / "plans" / "20000101T000000Z-1.json").write_text(text)
    (folder / "plans" / "20000101T000001Z-1.json").mkdir()
    code, out, err = harness(capsys, "report", "--results", folder)
    assert code == 0
    assert "planned, no record: a seed 7" in out
    assert [line.count("20000101T00000") for line in err.splitlines() if line.startswith("harness: plan ")] == [1, 1]


def test_a_plan_that_cannot_be_written_is_said_in_a_line(folder, capsys):
    folder.mkdir()
    (folder / "plans").write_text("in the way")
    code, _, err = harness(capsys, *COMMAND, "--here", "--results", folder, "-p", TINY)
    assert code == 1
    assert "plans" in err
    assert "internal error" not in err


def test_a_row_that_lost_every_seed_is_no_rival():
    plan = [*planned("a", "b"), *planned("c", seeds=5)]
    assert best([*STEADY, *diverged("c", 0, 1, 2, 3, 4)], planned=plan) == ["a"]
