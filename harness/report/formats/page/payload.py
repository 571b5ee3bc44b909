"""Values that a page carries for its script: the rows of its tables, each fact written once.

Options and facts of a row are those of the first row of the same method, and what differs from them. Curves are thinned
to what all of them together may weigh. Texts of records are cleaned.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from harness.report.formats.page.figures import Figure, leave_out_start, number, read_base_name, scale_column, thin
from harness.report.rows import again, curves, tradeoff
from harness.report.rows.table import Cell, Row, Summary, Table
from harness.report.wording.captions import group_metric
from harness.report.wording.cleaning import clean_values
from harness.types import Metric, Record
from harness.words import clean_ends, clean_line

CURVE_NUMBERS = 60_000  # of all curves of a page together
FEWEST, MOST = 8, 60  # points of a curve
TRACE_LETTERS = 200_000  # of all tracebacks together
LONGEST_TRACE = 4000


class Endings(NamedTuple):
    """Ends of trials that did not end ok: their logs by key, and how many characters a traceback may have."""

    logs: Mapping[str, str]
    letters: int


def write_payload(summary: Summary, keys: Mapping[str, int], sweeps: Sequence[Figure]) -> str:
    """Write a page's rows as JSON that a script element may hold: no text in it ends the element. sweeps: figures that
    the script draws again as they are.
    """
    payload = {**make_payload(summary, keys), "sweeps": list(sweeps)}
    text = json.dumps(payload, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def make_payload(summary: Summary, keys: Mapping[str, int]) -> dict[str, Any]:
    """Make plain values of a summary: its metrics, and its tables row by row."""
    shared: dict[str, dict[str, Any]] = {}
    limit = _limit_points(summary)
    failed = sum(bool(each.traceback) for t in summary.tables for row in t.rows for each in row.records)
    letters = min(LONGEST_TRACE, TRACE_LETTERS // max(failed + len(summary.logs), 1))
    endings = Endings({key: clean_ends(text, letters) for key, text in summary.logs.items()}, letters)
    tables = [_dump_table(table, summary.metrics, keys, shared, limit, endings) for table in summary.tables]
    metrics = {name: [each.better, each.measures, group_metric(each)] for name, each in summary.metrics.items()}
    return {"metrics": metrics, "shared": shared, "tables": tables}


def _dump_table(
    table: Table,
    metrics: Mapping[str, Metric],
    keys: Mapping[str, int],
    shared: dict[str, dict[str, Any]],
    limit: tuple[int, bool],
    endings: Endings,
) -> dict[str, Any]:
    scores, costs = tradeoff.list_scores(table, metrics), tradeoff.list_costs(table, metrics)
    scales = {name: scale_column(table, name, metrics) for name in table.names}
    kept = curves.list_curve_scores(table, metrics)[: 1 if limit[1] else None]
    return {
        "dataset": table.dataset,
        "names": list(table.names),
        "shown": list(table.columns),
        "scales": {name: [each.divisor, each.unit, each.decimals] for name, each in scales.items()},
        "axes": tradeoff.pick_axes(table, metrics),
        "scores": scores,
        "costs": costs,
        "fronts": {"|".join(axes): front for axes, front in tradeoff.list_fronts(table, metrics).items()},
        "curves": kept,
        "rows": [_dump_page_row(row, table, keys, shared, kept, limit[0], endings) for row in table.rows],
    }


def _dump_page_row(
    row: Row,
    table: Table,
    keys: Mapping[str, int],
    shared: dict[str, dict[str, Any]],
    scores: Sequence[str],
    points: int,
    endings: Endings,
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": row.method,
        "key": keys[read_base_name(row)],
        "cells": [_dump_page_cell(row, row.cells[name]) for name in table.names],
        "seeds": [_dump_seed(record, endings) for record in row.records],
        "command": again.write_row_command(row),
        **_share(row, shared),
    }
    drawn = {score: dumped for score in scores if (dumped := _dump_curve(row, score, points))}
    texts = {"choice": row.choice, "lacking": " ".join(map(str, row.unrecorded))}
    return found | ({"curves": drawn} if drawn else {}) | {name: text for name, text in texts.items() if text}


def _dump_page_cell(row: Row, cell: Cell) -> Any:
    """[mean, n, ratio, low, high, why it is not compared, by seed, whether it is a lower bound], cut where nothing more
    is said; a cell without a number is the reason.
    """
    if cell.mean is None:
        return cell.hole
    low, high = cell.interval or (None, None)
    seeds = [number(cell.values.get(record.trial.seed)) for record in row.records] if cell.n > 1 else None
    apart = tradeoff.explain_apart(row, cell)
    values = [number(cell.relative), number(low), number(high), apart or None, seeds, 1 if cell.lower_bound else None]
    while values and values[-1] is None:
        values.pop()
    return [number(cell.mean), cell.n, *values]


def _dump_seed(record: Record, endings: Endings) -> list[Any]:
    """[seed, status, key, when it finished, reason, traceback, what it printed last], cut where nothing is said."""
    reason = clean_line(record.reason)
    key, finished = clean_line(record.trial.key), clean_line(record.finished)[:16]
    trace, log = clean_ends(record.traceback, endings.letters), endings.logs.get(record.trial.key, "")
    values = [record.trial.seed, record.status, key, finished, reason, trace, log]
    while not values[-1]:
        values.pop()
    return values


def _share(row: Row, shared: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Options and facts of a row: those of the first row of its method, and what differs."""
    if not row.records:
        return {}
    first = row.records[0]
    method = first.trial.method
    found = {}
    for kind, own in (("options", {**method.options, **method.given}), ("facts", first.facts)):
        values = {name: _format_shown(value) for name, value in clean_values(own).items()}
        place = clean_line(f"{kind} of {method.name}")
        base = shared.setdefault(place, values)
        changed = {name: value for name, value in values.items() if base.get(name) != value}
        dropped = [name for name in base if name not in values]
        found[kind] = {"of": place, **({"own": changed} if changed else {})}
        found[kind] |= {"less": dropped} if dropped else {}
    return found


def _format_shown(value: Any) -> str:
    return clean_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str), 300)


def _dump_curve(row: Row, score: str, points: int) -> list[list[Any]]:
    """[updates, epochs, seconds, means, lows, highs] of a curve; without the last two where nothing has an interval."""
    several = {axis: thin(leave_out_start(curves.average_curve(row, score, axis)), points) for axis in curves.AXES}
    if len(several["update"]) < 2:
        return []
    places = [[number(point.at) for point in several[axis]] for axis in curves.AXES]
    own = several["update"]
    ends = [[number(point.low) for point in own], [number(point.high) for point in own]]
    known = any(end is not None for end in ends[0])
    return [*places, [number(point.mean) for point in own], *(ends if known else [])]


def _limit_points(summary: Summary) -> tuple[int, bool]:
    """How many points of a curve are kept, and whether the headline's curve alone is."""
    rows = sum(len(table.rows) for table in summary.tables) or 1
    kinds = max((len(curves.list_curve_scores(table, summary.metrics)) for table in summary.tables), default=1) or 1
    each = CURVE_NUMBERS // (rows * kinds * 6)
    if each >= FEWEST:
        return min(each, MOST), False
    return max(FEWEST // 2, min(CURVE_NUMBERS // (rows * 6), MOST)), True
