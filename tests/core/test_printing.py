"""Cells of tables: digits that follow the value, marks that follow the digits, texts that nothing escapes from."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from example_records import METRICS, record

from harness.report import FORMATS, render, render_record, summarise
from harness.report.formats.markup import render_markdown
from harness.report.rows.table import Cell
from harness.report.wording.numbers import format_fixed, scale
from harness.types import Metric, Point

MARKED = {"text": "*", "markdown": "**", "latex": r"\textbf{"}


def counted(*values: float, name: str = "forward_macs", seeds: int = 1):
    return [record(f"m{n}", seed, readings={name: value}) for n, value in enumerate(values) for seed in range(seeds)]


def cells(records, style: str, name: str = "forward_macs") -> list[str]:
    """The cells of one column, as they are printed."""
    shown = render(summarise(records, METRICS, columns=[name]), style, 120)
    lines = [line for line in shown.splitlines() if re.match(r"(\| `|\\texttt\{)?m\d", line.strip())]
    return [
        re.split(r"\s*[|&]\s*|\s{2,}", line.strip("| \\"), maxsplit=2)[2].removesuffix(r"\\").strip(" |")
        for line in lines
    ]


# --- digits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", MARKED)
@pytest.mark.parametrize("small", [0.25e6, 1.0, 1e-3, 1e-30])
def test_a_measured_value_never_prints_as_zero(style, small):
    first, second = cells(counted(small, 1815e6), style)
    assert float(re.search(r"[\d.]+(e[-+]\d+)?", first)[0]) > 0
    assert MARKED[style] in first
    assert MARKED[style] not in second


@pytest.mark.parametrize("style", MARKED)
def test_what_reads_alike_is_marked_alike(style):
    found = cells(counted(604.93e6, 604.97e6, 1210e6), style)
    assert [MARKED[style] in each for each in found] == [True, True, False]
    assert len({re.search(r"605", each)[0] for each in found[:2]}) == 1


@pytest.mark.parametrize("style", MARKED)
def test_nothing_is_marked_where_all_read_alike(style):
    found = cells(counted(1000.001e6, 1000.002e6), style)
    assert not any(MARKED[style] in each for each in found)


def test_zero_itself_prints_as_zero():
    assert cells(counted(0.0, 5.0), "markdown") == ["**0**", "5"]


@pytest.mark.parametrize(
    "sds, shown",
    [([0.02, 1e-6], "± 0.000001"), ([0.02, 3e-9], "± 0.000000003"), ([0.02, 1e-20], "± 1e-20"), ([0.02, 0.0], "± 0")],
)
def test_a_deviation_prints_as_zero_only_where_it_is(sds, shown):
    metric = Metric("accuracy", "", "", "higher", compute="x:y")
    column = [Cell(0.9, sd, 3) for sd in sds]
    assert scale(column, metric).deviation(column[1]) == f" {shown}"
    assert scale(column, metric).deviation(Cell(0.9, None, 1)) == ""


def test_ratios_intervals_and_differences_never_read_as_zero():
    found = cells(counted(1e9, 1e3), "markdown")
    assert "(1e-06x)" in found[1]
    scores = {"a": (0.9, 0.8, 0.7), "b": (0.9 + 1e-9, 0.8 + 3e-9, 0.7 + 1e-9), "c": (0.9, 0.801, 0.6992)}
    records = [record(m, s, scores={"accuracy": value}) for m, own in scores.items() for s, value in enumerate(own)]
    shown = render(summarise(records, METRICS), "text", 120)
    for line in shown.splitlines():
        for number in re.findall(r"[-+][\d.]+(?:e[-+]\d+)?", line):
            assert float(number) != 0, line


@pytest.mark.parametrize("value", [0.4, 0.04, 4e-7, -0.0004, 3e-13, 1e-300])
@pytest.mark.parametrize("decimals", [0, 2, 6])
def test_any_number_keeps_a_figure(value, decimals):
    assert float(format_fixed(value, decimals)) == pytest.approx(value, rel=0.5)


def test_a_published_value_beside_a_far_larger_one_keeps_its_digits():
    from pathlib import Path

    from harness.report import with_suite
    from harness.suites.entries import Published
    from harness.suites.suite import Comparison, Request

    entry = Published("m0", "digits", "forward_macs", 0.25e6, "Someone 2020")
    records = counted(1815e6)
    summary = with_suite(summarise(records, METRICS), records, METRICS, Comparison(Path("s"), Request(), "", (entry,)))
    assert re.search(r"\| +1815 M MACs \| +0\.250? M MACs \[1\]", render_markdown(summary))


def test_show_prints_digits_of_small_values():
    shown = render_record(record(readings={"update_seconds": 1e-12}, scores={"accuracy": 1e-9}), METRICS)
    assert not re.search(r"(update_seconds|accuracy) +0(\.0*)?( |$)", shown, re.MULTILINE)


def test_show_cuts_no_column_of_a_curve_with_many_scores():
    names = [f"a_score_with_a_long_name_{number}" for number in range(6)]
    curve = tuple(Point(10 * n, float(n), float(n), {"loss": 1.5}, dict.fromkeys(names, 0.1234)) for n in range(2))
    shown = render_record(dataclasses.replace(record(), curve=curve), METRICS, width=80)
    assert all(re.search(rf" {name}@valid( |$)", shown, re.MULTILINE) for name in names)
    assert len(re.findall(r"^ +10 ", shown, re.MULTILINE)) > 1
    assert "…" not in shown


# --- texts --------------------------------------------------------------------------------------------------------

HOSTILE = "\x1b[31mred\x1b[0m\x07 <script>alert(1)</script> | `code` *b* _e_ # % & $x$ ~ [a](b) \u202e"
LONG = "x" * 5_000_000


def dirty(text: str):
    label = f"m[path={text}]"
    return [
        record(label, 0, f"d[{text}]", scores={"accuracy": 0.9}, holes={"activation_bytes": text, text: text}),
        record(label, 1, f"d[{text}]", status="failed", reason=text, traceback=text),
        record(
            "other",
            0,
            f"d[{text}]",
            readings={"gpu_warning": text, "uncovered": {text: 1}},
            facts={"kernels": text, text: text},
            environment={"torch": text},
        ),
    ]


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("text", [HOSTILE, LONG], ids=["hostile", "long"])
def test_texts_are_bounded_and_hold_nothing_that_a_terminal_obeys(style, text):
    shown = render(summarise(dirty(text), METRICS), style, 120)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown)
    assert "[31m" not in shown
    assert len(shown) < (30_000 if style != "html" else 400_000)
    if style == "json":
        assert all(len(note) <= 4000 for note in json.loads(shown)["notes"])


@pytest.mark.parametrize("text", [HOSTILE, LONG], ids=["hostile", "long"])
def test_show_is_clean_and_bounded_too(text):
    for each in dirty(text):
        shown = render_record(each, METRICS)
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown)
        assert len(shown) < 60_000


def test_markdown_holds_no_markup_of_others():
    shown = render(summarise(dirty(HOSTILE), METRICS), "markdown")
    outside = "\n".join(re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", line) for line in shown.splitlines() if "`" in line)
    plain = "\n".join(line for line in shown.splitlines() if line.startswith("- "))
    for lines in (outside, plain):
        assert not re.search(r"(?<!\\)<script", lines)
    assert not re.search(r"(?<!\\)(`|\*|\||\$)", plain)
    rows = [line for line in shown.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in rows}) == 1


def test_latex_comments_are_one_line_each_and_cells_are_escaped():
    shown = render(summarise(dirty("a\nb % c_d # & $"), METRICS), "latex")
    for line in shown.splitlines():
        if line.startswith("%"):
            continue
        ours = re.sub(r"\$\\(uparrow|downarrow|pm)\$", "", line)
        assert not re.search(r"(?<!\\)[%#$_]", ours), line
    assert r"c\_d \# \& \$" in shown


@pytest.mark.parametrize("style", FORMATS)
def test_numbers_beyond_all_measure_are_short_and_break_nothing(style):
    records = [
        record(f"m{n}", seed, scores={"accuracy": value})
        for n, value in enumerate((0.5, 1e308, -1e308))
        for seed in (0, 1)
    ]
    records += [record("m3", seed, scores={"accuracy": 10.0 ** (200 + seed)}) for seed in (0, 1)]
    shown = render(summarise(records, METRICS, columns=["accuracy"]), style, 100)
    lines = shown.partition('type="application/json"')[0].partition("<body>")[2] if style == "html" else shown
    assert max(map(len, lines.splitlines())) < (400 if style != "html" else 6000)


def test_nothing_is_the_best_beside_what_may_be_higher():
    saved = Metric("saved", "operations saved", "", "higher", per="update")
    records = [
        record("m0", readings={"saved": 5.0}),
        record("m1", readings={"saved": 3.0, "saved_at_least": "left torch"}),
    ]
    (table,) = summarise(records, [saved], columns=["saved"]).tables
    assert [row.cells["saved"].best for row in table.rows] == [False, False]
    assert table.rows[1].cells["saved"].lower_bound


def test_ratios_to_what_lies_below_zero_are_left_out():
    signed = Metric("drift", "signed", "", "lower", per="update")
    records = [record("m0", readings={"drift": -4.5}), record("m1", readings={"drift": 2.7})]
    (table,) = summarise(records, [signed], columns=["drift"]).tables
    assert [row.cells["drift"].relative for row in table.rows] == [None, None]
