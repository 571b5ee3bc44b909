"""Times of trials that were trained as one are shares: said so, and not held against times of another kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from example_records import METRICS, record

from harness.report import render, summarise
from harness.report.rows.suite_claims import with_suite
from harness.suites.entries import Claim, Quantity
from harness.suites.suite import Comparison, Request


def timed(method, seed, seconds, cohort=None, **others):
    measured = {"update_seconds": seconds, **({"cohort": cohort} if cohort else {})}
    return record(method, seed, measured=measured, scores={"accuracy": 0.9 + seed / 100}, **others)


def table(*records):
    summary = summarise(list(records), METRICS, columns=["accuracy", "update_seconds"])
    return [row.cells["update_seconds"] for row in summary.tables[0].rows], summary.notes


ALIKE = [
    timed(method, seed, 1.0 + place + seed / 100, 4) for seed in (0, 1) for place, method in enumerate(("saf", "ottt"))
]
MIXED = [timed("saf", seed, 2.0) for seed in (0, 1)] + [timed("ottt", seed, 1.0, 2) for seed in (0, 1)]


def test_shares_are_called_so_and_compared_with_their_like():
    cells, notes = table(*ALIKE)
    assert [(cell.relative, cell.best) for cell in cells] == [(1.0, True), (pytest.approx(2.005 / 1.005), False)]
    assert notes == (
        "times are shares of what several trials took that were trained as one, so many: "
        "saf seeds 0, 1 (4); ottt seeds 0, 1 (4)",
    )


def test_shares_of_one_measurement_have_no_deviation():
    same = [timed("saf", seed, 1.5, 3) for seed in range(3)]
    alone = [timed("ottt", seed, 1.5) for seed in range(3)]
    (share, own), _ = table(*same, *alone)
    assert [(cell.mean, cell.sd, cell.n) for cell in (share, own)] == [(1.5, None, 3), (1.5, 0.0, 3)]
    summary = summarise([*same, *alone], METRICS, columns=["update_seconds"])
    text = {line.split()[0]: line for line in render(summary).splitlines() if line.startswith(("saf", "ottt"))}
    assert "±" not in text["saf"]
    assert "± 0" in text["ottt"]
    rows = json.loads(render(summary, "json"))["rows"]
    assert [row["metrics"]["update_seconds"]["sd"] for row in rows] == [None, 0.0]
    assert [row["metrics"]["update_seconds"]["n"] for row in rows] == [3, 3]
    of_saf = next(line for line in render(summary, "csv").splitlines() if line.startswith("saf,"))
    assert of_saf.split(",")[2:6] == ["update_seconds", "1.5", "", "3"]


@pytest.mark.parametrize("size", [None, 3])
def test_shares_are_not_compared_with_times_alone_nor_with_shares_of_other_numbers(size):
    records = [timed("saf", seed, 2.0, size) for seed in (0, 1)] + [timed("ottt", seed, 1.0, 2) for seed in (0, 1)]
    cells, notes = table(*records)
    assert [(cell.mean, cell.relative, cell.best) for cell in cells] == [(2.0, None, False), (1.0, None, False)]
    assert notes[-1] == (
        "times of one trial alone and shares of unlike numbers are not compared: none is best, none has a ratio"
    )


def test_scores_are_compared_all_the_same():
    summary = summarise(MIXED, METRICS, columns=["accuracy", "update_seconds"])
    assert [row.against is not None for row in summary.tables[0].rows] == [False, True]


def test_a_trial_that_ran_alone_has_no_share():
    assert table(timed("saf", 0, 1.0), timed("ottt", 0, 1.0, 1))[1] == ()


@pytest.mark.parametrize(
    ("records", "measured", "reason"),
    [
        (ALIKE, -1.0, "equal in all 2 seeds"),
        (MIXED, None, "of times alone and shares of what several trials took as one; --one-by-one"),
    ],
)
def test_no_claim_rests_on_times_of_two_kinds(records, measured, reason):
    left, right = (Quantity(method, "update_seconds") for method in ("saf", "ottt"))
    claim = Claim("as quick", left, minus=right, at_least=-9, at_most=9)
    comparison = Comparison(Path("s.toml"), Request(), published=(), claims=(claim,))
    found = with_suite(summarise(records, METRICS), records, METRICS, comparison).claims[0].judgement
    assert found.measured == measured
    assert found.verdict == ("open" if measured else "not measured")
    assert reason in found.reason or reason == found.no_interval
