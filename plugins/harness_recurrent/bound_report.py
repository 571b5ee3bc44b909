"""Rows of `harness bound` as text, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import click

from harness_recurrent.bounds import Row

FIELDS = ("part", "name", "value", "log10", "vacuous", "title", "equation", "note")
NARROWEST = 24  # columns for the equation and note of a number


def as_text(about: Mapping[str, Any], rows: Sequence[Row], width: int, colour: bool) -> str:
    """Format a title and a table, its parts apart and its vacuous bounds dim."""
    titles, numbers = max(len(row.title) for row in rows), max(len(_format_number(row)) for row in rows)
    lines = [_format_title(about)]
    for place, row in enumerate(rows):
        if not place or rows[place - 1].part != row.part:
            lines.append("")
        said = _wrap_texts(row, max(NARROWEST, width - titles - numbers - 4))
        found = [f"{row.title:{titles}}  {_format_number(row):>{numbers}}  {said[0]}".rstrip()]
        found += [" " * (titles + numbers + 4) + each for each in said[1:]]
        lines += [click.style(each, dim=True) for each in found] if colour and row.vacuous else found
    return "\n".join(lines) + "\n"


def as_json(about: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Format rows by name; a value that exceeds every float, or is missing, is null beside its log10."""
    return json.dumps({**about, "rows": {row.name: _convert_row(row) for row in rows}}, indent=1) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """Format a line for each row."""
    file = io.StringIO()
    writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({"name": row.name, **_convert_row(row)} for row in rows)
    return file.getvalue()


def _format_title(about: Mapping[str, Any]) -> str:
    lower = about["precision"]
    rounded = (
        f"\nall is in float64; the trial ran in {lower}, whose scores differ by rounding" if lower != "fp32" else ""
    )
    return (
        f"{about['method']} on {about['dataset']}, seed {about['seed']}, from {about['base']}\n"
        f"trial {about['trial']}; bounds of the risk hold with probability {1 - about['delta']:g}{rounded}"
    )


def _convert_row(row: Row) -> dict[str, Any]:
    value = row.value if row.value is not None and math.isfinite(row.value) else None
    log10 = None if row.log_value is None or math.isinf(row.log_value) else row.log_value / math.log(10)
    said = {"part": row.part, "title": row.title, "equation": row.equation, "note": row.note}
    return {"value": value, "log10": log10, "vacuous": row.vacuous if row.trivial is not None else None, **said}


def _format_number(row: Row) -> str:
    if row.value is None:
        return "-"
    if math.isinf(row.value) and row.log_value is not None:
        return f"1e{row.log_value / math.log(10):.0f}"
    return f"{row.value:d}" if isinstance(row.value, int) else f"{row.value:.4g}"


def _wrap_texts(row: Row, width: int) -> list[str]:
    """Wrap equation and note into lines, one at least."""
    return [line for text in (row.equation, row.note) for line in textwrap.wrap(text, width)] or [""]
