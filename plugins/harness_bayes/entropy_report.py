"""Output of `harness entropy-error`: a table with its legend and a chart in plain characters, JSON, or CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness_bayes.entropy_study import Question, Row

# Later ones are drawn over earlier ones.
MARKS = {"weight_entropy": "H", "theorem_1": "T", "overlaps": "B", "kolchinsky_tracey": "K", "lower": "L", "error": "o"}
LEAST = -16  # decades; below it stands <
ALWAYS = ("lower", "error", "exceeding")  # columns, also of nothing but zeros
LONG = 1e-99  # of two digits there is no room beside such an exponent
TINY = "<1e-307"  # a number too small for float64
GAP = 2
NARROWEST = 20  # characters of a chart


def as_json(question: Question, rows: Sequence[Row]) -> str:
    """All numbers unrounded, errors and bounds in nats; null where a bound does not hold."""
    content = {**asdict(question), "rows": [asdict(row) for row in rows]}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """A line for each dimension, unrounded; an empty cell where a bound does not hold."""
    file = io.StringIO()
    writer = csv.DictWriter(file, [each.name for each in fields(rows[0])], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return file.getvalue()


def as_text(question: Question, rows: Sequence[Row], width: int, colour: bool) -> str:
    """A table, its legend and findings, and a chart."""
    from rich.console import Console
    from rich.text import Text

    console = Console(
        file=io.StringIO(), width=width, force_terminal=colour, color_system="standard" if colour else None
    )
    setting = f"{question.components} components, {question.covariance}, spread {question.spread:g}"
    console.print(Text.assemble(("error of the approximate entropy", "bold"), f"  {setting}, seed {question.seed}"))
    console.print()
    heads = _choose_headings(question, rows)
    for part in _split_columns(heads, rows, width):
        console.print(_build_grid(rows, {name: heads[name] for name in part}))
        console.print()
    for line in [*_write_legend(question, rows), *_describe_findings(rows)]:
        console.print(Text(line, style="dim"))
    console.print()
    for line in draw_chart(rows, width):
        console.print(Text(line))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def _split_columns(heads: Mapping[str, str], rows: Sequence[Row], width: int) -> list[list[str]]:
    """Split columns into tables: one where there is room for all of them, else two below each other."""
    names = list(heads)
    needed = sum(max(len(heads[name]), *(len(_format_cell(row, name)) for row in rows)) + GAP for name in names) - GAP
    if needed <= width:
        return [names]
    half = len(names) // 2 + 1
    return [names[:half], [names[0], *names[half:]]]


def _build_grid(rows: Sequence[Row], heads: Mapping[str, str]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    grid = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for head in heads.values():
        grid.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        grid.add_row(*(_format_cell(row, name) for name in heads))
    return grid


def _choose_headings(question: Question, rows: Sequence[Row]) -> dict[str, str]:
    """Headings by field, of fields that are not zero everywhere, and of those that are always shown."""
    heads = {
        "dimension": "m",
        "alpha": "alpha",
        "sqrt_dimension": "sqrt(m)",
        "lower": "lower",
        "error": "error",
        "standard_error": "+-",
        "kolchinsky_tracey": "KT",
        "overlaps": "BC",
        "weight_entropy": "H(pi)",
        "theorem_1": "T1",
        "exceeding": f">={question.epsilon:g}",
        "theorem_3": "T3",
    }
    return {name: head for name, head in heads.items() if any(getattr(row, name) for row in rows) or name in ALWAYS}


def _format_cell(row: Row, name: str) -> str:
    value = getattr(row, name)
    if name == "alpha":
        return f"{value:.3g}{'*' if value > row.sqrt_dimension else ' '}"
    if name in ("dimension", "sqrt_dimension"):
        return str(value) if name == "dimension" else f"{value:.3g}"
    return TINY if value == 0 and name in MARKS else _format_number(value)


def _format_number(value: float) -> str:
    """Two digits, or one beside a long exponent, for which there is no more room."""
    if value == 0 or 10 <= value < 1000:
        return f"{value:.0f}"
    if 0.01 <= value < 10:
        return f"{value:.2g}"
    return f"{value:.0e}" if value < LONG else f"{value:.1e}"


def _write_legend(question: Question, rows: Sequence[Row]) -> list[str]:
    sampled = any(row.standard_error for row in rows)
    how = "+-: its Monte-Carlo standard error." if sampled else "It is integrated."
    third = (
        "T3: the bound of theorem 3 for that probability; above 1 it says nothing."
        if question.covariance == "tied"
        else "Theorem 3 supposes one covariance of all components."
    )
    return [
        f"Means over {question.draws} mixtures, in nats. error: approximate less true entropy. {how} lower, KT: bounds "
        "by Kolchinsky and Tracey; BC: by overlaps; H(pi): entropy of the weights; T1: theorem 1. alpha: of the "
        "closest pair, half its distance in deviations where covariances are one; *: above sqrt(m). "
        f">={question.epsilon:g}: share of mixtures with such an error. {third}"
    ]


def _describe_findings(rows: Sequence[Row]) -> list[str]:
    """Describe whether the error vanishes, and from where on theorem 1 says something."""
    first, last = rows[0], rows[-1]
    lines = []
    if len(rows) > 1:
        verb = "falls" if last.error < first.error else "does not fall"
        ends = ", ".join(f"{_format_cell(row, 'error')} at m = {row.dimension}" for row in (first, last))
        lines.append(f"The error {verb} with the dimension: {ends}.")
    told = _describe_dimensions([row.dimension for row in rows], [row.theorem_1 < row.weight_entropy for row in rows])
    beyond = _describe_dimensions([row.dimension for row in rows], [row.alpha > row.sqrt_dimension for row in rows])
    lines.append(f"alpha exceeds sqrt(m) {beyond}, and T1 says more than H(pi) {told}.")
    return lines


def _describe_dimensions(dimensions: Sequence[int], holds: Sequence[bool]) -> str:
    where = [m for m, each in zip(dimensions, holds, strict=True) if each]
    if not where:
        return "nowhere here"
    if len(where) == len(dimensions):
        return "everywhere here"
    return f"at m = {', '.join(map(str, where))}"


def draw_chart(rows: Sequence[Row], width: int) -> list[str]:
    """Draw a line for each dimension, values from left to right on a logarithmic scale."""
    values = [getattr(row, name) for row in rows for name in MARKS]
    logs = [math.log10(value) for value in values if value > 0]
    low, high = max(LEAST, math.floor(min(logs))), math.ceil(max(logs))
    low, high = min(low, high - 1), max(high, low + 1)
    margin = max(len(str(row.dimension)) for row in rows) + 4
    across = max(NARROWEST, width - margin - 3)
    lines = [f"{'m = ' + str(row.dimension):>{margin}} |{_draw_marks(row, low, high, across)}|" for row in rows]
    legend = "o error, L lower, K KT, B BC, T T1, H H(pi), < below; by powers of ten, in nats"
    return [*lines, " " * (margin + 2) + _draw_scale(low, high, across), legend]


def _draw_marks(row: Row, low: int, high: int, across: int) -> str:
    line = [" "] * across
    for name, mark in MARKS.items():
        value = getattr(row, name)
        place = (math.log10(value) - low) / (high - low) * (across - 1) if value > 0 else -1.0
        line[max(0, round(place))] = mark if place >= 0 else "<"
    return "".join(line)


def _draw_scale(low: int, high: int, across: int) -> str:
    """Draw exponents below their places, as many as there is room for."""
    step = max(1, math.ceil((high - low) * 6 / across))
    line = [" "] * (across + 4)
    for exponent in range(high, low - 1, -step):
        place = round((exponent - low) / (high - low) * (across - 1))
        line[place : place + len(str(exponent))] = str(exponent)
    return "".join(line)
