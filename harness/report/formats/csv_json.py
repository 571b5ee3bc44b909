"""Formats for other programs: CSV in long form and JSON. Values in SI units, bytes and counts, never rounded."""

from __future__ import annotations

import json as json_library
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, TypeAlias

from harness.report.rows.comparison import Beside, Judged
from harness.report.rows.table import Against, Cell, Row, Summary, Table
from harness.suites.entries import Published
from harness.types import Metric, TrainingTerms

Lines: TypeAlias = tuple[Sequence[Mapping[str, Any]], Sequence[str]]  # and the columns that stand above them

SCHEMA = 1
CSV_COLUMNS = ("method", "dataset", "metric", "mean", "sd", "n", "unit", "better")
PUBLISHED_COLUMNS = ("published", "published_sd", "published_n", "source")
PROTOCOL_COLUMNS = (*(term.name for term in fields(TrainingTerms)), "refit")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
RARE_COLUMNS = ("at_least", "lowest", "highest", "lacking_seeds", "data")


def render_csv(summary: Summary) -> str:
    return write_csv(*tabulate_rows(summary))


def tabulate_rows(summary: Summary) -> Lines:
    """One line per method, data set, metric; the protocol tells lines of different runs apart, `data` those of a table
    over other data.
    """
    lines = [
        {"method": row.method, "dataset": table.dataset, "metric": name, **estimate, **table.protocol, **_standing(row)}
        for table in summary.tables
        for row in table.rows
        for name, estimate in _dump_cells(table, row, summary).items()
    ]
    rare = [name for name in RARE_COLUMNS if any(name in line for line in lines)]
    columns = [*CSV_COLUMNS, *PROTOCOL_COLUMNS, *rare]
    if summary.published:
        columns += PUBLISHED_COLUMNS
        entries = dict.fromkeys(each.published for each in summary.published)
        lines += [_make_published_line(entry, summary.metrics[entry.metric]) for entry in entries]
    return lines, columns


def write_csv(lines: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Write lines under these columns; a cell is empty where its number is not finite, or where there is none."""
    import pandas

    cells = [[_make_cell(line.get(name)) for name in columns] for line in lines]
    frame = pandas.DataFrame(cells, columns=[_defuse(name) for name in columns], dtype=object)  # counts stay whole
    return frame.to_csv(index=False, lineterminator="\n")


def _make_cell(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return _defuse(value) if isinstance(value, str) else value


def _defuse(text: str) -> str:
    """A text that a spreadsheet would compute as a formula, with an apostrophe before it."""
    return f"'{text}" if text.startswith(FORMULA) else text


def render_json(summary: Summary) -> str:
    """{"schema": 1, "rows": [...], "claims": [...], "notes": [...]}, and a suite's "published" values.

    Strict: what is not a number is null.
    """
    rows = [_dump_row(table, row, summary) for table in summary.tables for row in table.rows]
    claims = list(map(_dump_claim, summary.claims))
    report = {"schema": SCHEMA, "rows": rows, "claims": claims, "notes": list(summary.notes)}
    if summary.published:
        report["published"] = [_dump_published(each, summary) for each in summary.published]
    return json_library.dumps(report, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _make_published_line(entry: Published, metric: Metric) -> dict[str, Any]:
    """A line of its own, whose columns are not those of measured values."""
    named = {"method": entry.method, "dataset": entry.dataset, "metric": entry.metric}
    described = {"unit": metric.unit, "better": metric.better}
    return named | described | dict(zip(PUBLISHED_COLUMNS, (entry.value, entry.sd, entry.n, entry.origin), strict=True))


def _dump_published(each: Beside, summary: Summary) -> dict[str, Any]:
    entry = asdict(each.published)
    measured = None if each.measured is None else each.measured._asdict()
    protocol = None if each.protocol is None else dict(each.protocol)
    return {
        **entry,
        "unit": summary.metrics[entry["metric"]].unit,
        "measured": measured,
        "planned_seeds": each.planned,
        "difference": None if each.difference is None else each.difference._asdict(),
        "protocol": protocol,
    }


def _dump_claim(each: Judged) -> dict[str, Any]:
    """A claim's words, verdict and mean first, then its terms, findings and place."""
    found, claim = each.judgement, each.judgement.claim
    quantities = {name: side and str(side) for name, side in (("over", claim.over), ("minus", claim.minus))}
    return {
        "text": claim.text,
        "verdict": found.verdict,
        "measured": found.measured,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "no_interval": found.no_interval,
        "left": str(claim.left),
        **quantities,
        "at_least": claim.at_least,
        "at_most": claim.at_most,
        "reason": found.reason,
        "notes": list(found.notes),
        "dataset": each.dataset,
        "protocol": None if each.protocol is None else dict(each.protocol),
        "published": claim.published,
        "source": claim.source,
        "setting": claim.setting,
    }


def _dump_row(table: Table, row: Row, summary: Summary) -> dict[str, Any]:
    return {
        "method": row.method,
        "dataset": table.dataset,
        "n": row.n,
        "statuses": dict(row.statuses),
        "metrics": _dump_cells(table, row, summary),
        "seeds": list(row.seeds),
        "planned_seeds": list(row.planned),
        "lacking_seeds": list(row.lacking_seeds),
        "protocol": dict(table.protocol),
        "holes": {name: row.cells[name].hole for name in table.names if row.cells[name].hole},
        "failures": list(row.failures),
        "lower_bounds": {name: row.cells[name].lower_bound for name in table.names if row.cells[name].lower_bound},
        "tried": row.tried,
        "selected_by": row.selected_by,
        "times": dict(row.times),
        "difference": None if row.against is None else _dump_difference(row.against),
    }


def _dump_difference(against: Against) -> dict[str, Any]:
    found = against.difference
    places = {"seeds": list(against.seeds), "no_interval": found.no_interval}
    return {"metric": against.metric, "against": against.method, **found._asdict(), **places}


def _standing(row: Row) -> dict[str, Any]:
    """The reasons why a row may not be compared: the planned seeds of which no trial ended ok, and its data."""
    lacking = {"lacking_seeds": " ".join(map(str, row.lacking_seeds))} if row.lacking_seeds else {}
    return lacking | ({"data": row.data} if row.data else {})


def _dump_cells(table: Table, row: Row, summary: Summary) -> dict[str, dict[str, Any]]:
    return {name: _dump_cell(row.cells[name], summary.metrics[name]) for name in table.names}


def _dump_cell(cell: Cell, metric: Metric) -> dict[str, Any]:
    found: dict[str, Any] = {"mean": cell.mean, "sd": cell.sd, "n": cell.n}
    found |= {"unit": metric.unit, "better": metric.better}
    found |= {"lowest": cell.range[0], "highest": cell.range[1]} if cell.range is not None else {}
    found |= {"carried_over": list(cell.taken)} if cell.taken else {}
    return found | ({"at_least": True} if cell.lower_bound else {}) | ({"exact": True} if cell.exact else {})
