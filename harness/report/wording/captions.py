"""Captions of tables: the protocol, how many trials a row is of, which readings were carried over."""

from __future__ import annotations

from harness.report.rows.table import Row, Summary, Table
from harness.report.wording import numbers
from harness.types import Metric
from harness.types.terms import make_heading

GROUPS = ("scores", "memory", "time", "operations", "sizes", "other")
SIZES = ("parameters", "nonzeros", "stored_bytes")
ARROWS = {"higher": " ↑", "lower": " ↓", "neither": ""}


def title(table: Table) -> str:
    """`10 epochs, batch 128, cpu, fp32, 1 thread`."""
    return make_heading(table.protocol)


def count_seeds(row: Row) -> str:
    """`3`, or `2/3` where trials failed or have no record yet."""
    total = sum(row.statuses.values()) + len(row.unrecorded)
    return str(row.n) if row.n == total else f"{row.n}/{total}"


def list_taken_over(table: Table) -> list[str]:
    """`forward_macs, total_macs: n=2, carried over (seed 2)`, with the methods unless it holds for all of them."""
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name in table.columns:
        for words in dict.fromkeys(row.cells[name].carried_over for row in table.rows if row.cells[name].carried_over):
            methods = tuple(row.method for row in table.rows if row.cells[name].carried_over == words)
            found.setdefault((words, methods), []).append(name)
    every = len(table.rows)
    lines = []
    for (words, methods), names in found.items():
        whose = "" if len(methods) == every else f" of {', '.join(methods)}"
        lines.append(f"{', '.join(names)}{whose}: {words}")
    return lines


def group_metric(metric: Metric) -> str:
    """The group of columns in which a metric stands: scores, memory, time, operations, sizes or other."""
    if metric.measures == "score":
        return "scores"
    if metric.name in SIZES:
        return "sizes"
    if metric.measures == "quantity":
        return "other"
    by_unit = {"B": "memory", "bytes": "memory", "s": "time", "": "operations", "MACs": "operations"}
    return by_unit.get(metric.unit, "other")


def find_marked(table: Table, name: str, metric: Metric) -> list[bool]:
    """Whether each row of a table is marked as the best on a metric."""
    cells = [row.cells[name] for row in table.rows]
    return numbers.scale(cells, metric).best(cells)


def write_legend(summary: Summary, best: str) -> str:
    """`mean ± standard deviation over n seeds; *: best; x: relative to saf`. best: how the best are marked."""
    cells = [(table, row.cells[name]) for table in summary.tables for row in table.rows for name in table.columns]
    several = any(cell.n > 1 for _, cell in cells)
    terms = ["mean ± standard deviation over n seeds" if several else "n: trials that ended ok"]
    if any(cell.range is not None for _, cell in cells):
        terms.append("(a to b): from the least to the most, over seeds whose configurations differ")
    if any(any(find_marked(table, name, summary.metrics[name])) for table in summary.tables for name in table.columns):
        terms.append(best)
    if any(cell.relative is not None for _, cell in cells):
        first = dict.fromkeys(table.rows[0].method for table in summary.tables)
        terms.append(f"x: relative to {next(iter(first)) if len(first) == 1 else 'the first method of each table'}")
    return "; ".join(terms)
