"""Values for one's own analysis: the trials of a summary, one by one, as CSV and JSON, and their learning curves.

Numbers are in SI units, bytes and counts, never rounded; what is not finite is null, or an empty cell.
"""

from __future__ import annotations

import json as json_library
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from harness.conversion import show
from harness.records.format import to_json
from harness.report.formats.csv_json import PROTOCOL_COLUMNS, SCHEMA, Lines, write_csv
from harness.report.rows.table import Row, Summary, Table
from harness.report.rows.values import list_sources, read_claimed, read_measured
from harness.report.wording.cleaning import clean_values
from harness.types import Record
from harness.words import clean_line

IDENTITY = ("method", "dataset", "seed", "status", "reason", "key", "base")
CARRIED = "carried_over"
POINT = ("method", "dataset", "seed", "key", "update", "epoch", "seconds", "quantity", "value")
GROUPS = ("scores", "measured", "readings", "seconds", "facts", "holes", "warnings", "at_least")


class Placed(NamedTuple):
    """A record with its place in a summary."""

    table: Table
    row: Row
    record: Record


def render_trials_csv(summary: Summary) -> str:
    return write_csv(*tabulate_trials(summary))


def tabulate_trials(summary: Summary) -> Lines:
    """A line per trial: what it is, its protocol, its options, and each number that a metric describes.

    Options of the method and of the data set are columns `option.NAME` and `dataset.NAME`.
    """
    placed = list(_list_trials(summary))
    options = [_list_options(each.record) for each in placed]
    values = [_read_values(each) for each in placed]
    lines = [_identify(each) | own | found for each, own, found in zip(placed, options, values, strict=True)]
    named = [_name_column(name) for table in summary.tables for name in table.names]
    columns = dict.fromkeys([*IDENTITY, *PROTOCOL_COLUMNS, *sorted({name for own in options for name in own}), *named])
    known = {name for line in lines for name in line}
    return lines, [*(name for name in columns if name in IDENTITY or name in known), CARRIED]


def render_curves_csv(summary: Summary) -> str:
    return write_csv(*tabulate_curves(summary))


def tabulate_curves(summary: Summary) -> Lines:
    """A line per trial, point of its learning curve and quantity: a scalar of the method, or a score as NAME@valid."""
    lines = [
        {name: identity[name] for name in POINT[:4]}
        | {"update": point.update, "epoch": point.epoch, "seconds": point.seconds, "quantity": name, "value": value}
        for each in _list_trials(summary)
        for identity in [_identify(each)]
        for point in each.record.curve
        for name, value in {**point.scalars, **{f"{name}@valid": score for name, score in point.valid.items()}}.items()
    ]
    return lines, POINT


def render_trials_json(summary: Summary, curves: bool = False) -> str:
    """{"schema": 1, "trials": [...]}, each with its protocol, its options and the parts of its record."""
    trials = [_dump_trial(each, curves) for each in _list_trials(summary)]
    report = {"schema": SCHEMA, "trials": trials, "notes": list(summary.notes)}
    return json_library.dumps(report, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _list_trials(summary: Summary) -> Iterator[Placed]:
    for table in summary.tables:
        for row in table.rows:
            yield from (Placed(table, row, record) for record in row.records)


def _identify(each: Placed) -> dict[str, Any]:
    trial = each.record.trial
    found: dict[str, Any] = {
        "method": each.row.method,
        "dataset": each.table.dataset,
        "seed": trial.seed,
        "status": each.record.status,
        "reason": clean_line(each.record.reason),
        "key": trial.key,
        "base": trial.base and trial.base.key,
    }
    return found | dict(each.table.protocol)


def _list_options(record: Record) -> dict[str, Any]:
    """Options by column; those that are several values as they are written on the command line."""
    trial = record.trial
    sides = (("option", trial.method.options), ("dataset", trial.dataset.options))
    return {
        f"{side}.{clean_line(name)}": value if isinstance(value, (bool, int, float)) else clean_line(show(value))
        for side, options in sides
        for name, value in options.items()
    }


def _read_values(each: Placed) -> dict[str, Any]:
    """Each number of a trial: measured, else claimed by the method itself, else found from its curve."""
    found: dict[str, Any] = {CARRIED: " ".join(_list_carried(each.record, each.table.names))}
    for name in each.table.names:
        value = read_measured(each.record, name)
        value = read_claimed(each.record, name) if value is None else value
        found[_name_column(name)] = each.row.cells[name].values.get(each.record.trial.seed) if value is None else value
    return found


def _list_carried(record: Record, names: Iterable[str]) -> list[str]:
    """Names of readings that were measured in another seed's trial."""
    return [clean_line(name) for name in names if list_sources(record, name)]


def _name_column(name: str) -> str:
    """The column of a number; a plugin may call a reading `seed`."""
    return clean_line(f"value.{name}" if name in (*IDENTITY, *PROTOCOL_COLUMNS, CARRIED) else name)


def _dump_trial(each: Placed, curves: bool) -> dict[str, Any]:
    whole = clean_values(to_json(each.record))
    identity = _identify(each)
    found = {name: identity[name] for name in IDENTITY} | {"protocol": dict(each.table.protocol)}
    sides = {"options": whole["trial"]["method"], "dataset_options": whole["trial"]["dataset"]}
    found |= {name: side["options"] for name, side in sides.items()}
    found |= {name: whole[name] for name in GROUPS} | {CARRIED: _list_carried(each.record, each.record.readings)}
    return found | ({"curve": whole["curve"]} if curves else {})
