"""Rows that differ in the value of one numeric option, as lines over that option."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from harness.report.rows.table import Row, Table
from harness.report.rows.values import as_number
from harness.selections import expansion
from harness.words import clean_line


class SweptLine(NamedTuple):
    """Rows of one method by the value of `option`, all else being equal, ascending. label: the method without it."""

    label: str
    option: str
    points: tuple[tuple[float, Row], ...]


def find_lines(table: Table) -> tuple[SweptLine, ...]:
    """Find the lines of a table with two points or more, option by option in the order in which they first vary."""
    known = [(row, options) for row in table.rows if (options := _read_options(row))]
    lines: dict[tuple[str, str], dict[float, Row]] = {}
    for row, options in known:
        for option, value in _list_numeric(options):
            rest = repr((row.records[0].trial.method.name, *((n, v) for n, v in options.items() if n != option)))
            lines.setdefault((option, rest), {}).setdefault(value, row)
    found = [_make_swept_line(option, rows) for (option, _), rows in lines.items() if len(rows) > 1]
    order = list(dict.fromkeys(line.option for line in found))
    return tuple(sorted(found, key=lambda line: order.index(line.option)))


def _make_swept_line(option: str, rows: Mapping[float, Row]) -> SweptLine:
    choice = next(iter(rows.values())).records[0].trial.method
    given = {name: value for name, value in choice.given.items() if name != option}
    label = clean_line(expansion.format_label(choice.label.partition("[")[0], given))
    return SweptLine(label, clean_line(option), tuple(sorted(rows.items(), key=lambda each: each[0])))


def _read_options(row: Row) -> Mapping[str, Any]:
    """Read all options of a row's method; none where its seeds were given unlike ones."""
    several = [{**each.trial.method.options, **each.trial.method.given} for each in row.records]
    return several[0] if several and all(repr(each) == repr(several[0]) for each in several) else {}


def _list_numeric(options: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in options.items():
        if (number := as_number(value)) is not None:
            yield name, number
