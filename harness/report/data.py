"""Formats for other programs: CSV in long form and JSON. Values in SI units, bytes and counts, never rounded."""

from __future__ import annotations

import json as json_library
from typing import Any

from harness.report.rows import Cell, Row, Summary, Table
from harness.types import Metric

SCHEMA = 1
CSV_COLUMNS = ("method", "dataset", "metric", "mean", "sd", "n", "unit", "better")
PROTOCOL_COLUMNS = ("budget", "batch_size", "device", "precision", "threads")


def csv(summary: Summary) -> str:
    """One line per method, data set, metric; the protocol tells lines of different runs apart."""
    import pandas

    lines = [
        {"method": row.method, "dataset": table.dataset, "metric": name, **estimate, **table.protocol}
        for table in summary.tables
        for row in table.rows
        for name, estimate in _estimates(table, row, summary).items()
    ]
    frame = pandas.DataFrame(lines, columns=[*CSV_COLUMNS, *PROTOCOL_COLUMNS])
    return frame.to_csv(index=False, lineterminator="\n")


def json(summary: Summary) -> str:
    """{"schema": 1, "rows": [...], "claims": [], "notes": [...]}; strict: what is not a number is null."""
    rows = [_json_row(table, row, summary) for table in summary.tables for row in table.rows]
    report = {"schema": SCHEMA, "rows": rows, "claims": [], "notes": list(summary.notes)}
    return json_library.dumps(report, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _json_row(table: Table, row: Row, summary: Summary) -> dict[str, Any]:
    return {
        "method": row.method,
        "dataset": table.dataset,
        "n": row.n,
        "statuses": dict(row.statuses),
        "metrics": _estimates(table, row, summary),
        "seeds": list(row.seeds),
        "protocol": dict(table.protocol),
        "holes": {name: row.cells[name].hole for name in table.names if row.cells[name].hole},
        "failures": list(row.failures),
    }


def _estimates(table: Table, row: Row, summary: Summary) -> dict[str, dict[str, Any]]:
    return {name: _estimate(row.cells[name], summary.metrics[name]) for name in table.names}


def _estimate(cell: Cell, metric: Metric) -> dict[str, Any]:
    return {"mean": cell.mean, "sd": cell.sd, "n": cell.n, "unit": metric.unit, "better": metric.better}
