"""Tables in Markdown, for pages. tabulate lays them out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tabulate import tabulate

from harness.report.rows.table import Cell, Summary, Table
from harness.report.wording import numbers, paired, published
from harness.report.wording.captions import ARROWS, count_seeds, list_taken_over, title

BESIDE: dict[str, Any] = {"disable_numparse": True, "colalign": ["left"] * 3 + ["right"] * 2}


def render_markdown(summary: Summary) -> str:
    """Render a heading, a table and its notes, for each data set and protocol."""
    parts = []
    for table in summary.tables:
        heads = ["method", "n", *(_escape(write_head(table, name, summary)) for name in table.columns)]
        rows = list_body(table, summary, _code, lambda shown: f"**{shown}**")
        parts.append(f"### {_span(table.dataset)}\n\n{title(table)}\n")
        parts.append(tabulate(rows, heads, "pipe", disable_numparse=True, colalign=_align(table)) + "\n")
        parts += [f"- {_escape(line)}" for line in list_footer(table)]
        parts += [""] * bool(list_footer(table))
    parts += [f"- {_escape(note)}" for note in summary.notes]
    return _join_parts([*parts, *_render_markdown_suite(summary)])


def _render_markdown_suite(summary: Summary) -> Iterator[str]:
    """Render published values beside measured ones, claims with their verdicts, and the sources of both."""
    sources = published.Footnotes()
    rows = published.list_published(summary, sources)
    if rows:
        rows = [[_code(method), _code(dataset), _escape(metric), *rest] for method, dataset, metric, *rest in rows]
        yield f"\n### Measured beside published\n\n{tabulate(rows, published.list_heads(summary), 'pipe', **BESIDE)}"
    lines = list(published.list_claims(summary, sources))
    if lines:
        yield "\n### Claims\n"
    yield from (f"- **{verdict}**: {_escape(words)}  \n  {_span(found)}" for verdict, words, found in lines)
    yield from ["", *(f"- [{number}] {_escape(note)}" for note, number in sources.numbered.items())]


def _join_parts(parts: Iterable[str]) -> str:
    """Lines, never two empty ones in a row."""
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


def list_body(
    table: Table, summary: Summary, named: Callable[[str], str], bold: Callable[[str], str]
) -> list[list[str]]:
    columns = {
        name: numbers.scale([row.cells[name] for row in table.rows], summary.metrics[name]) for name in table.columns
    }
    best = {name: scale.best([row.cells[name] for row in table.rows]) for name, scale in columns.items()}
    return [
        [named(row.method), count_seeds(row)]
        + [_cell(row.cells[name], scale, bold if best[name][place] else str) for name, scale in columns.items()]
        for place, row in enumerate(table.rows)
    ]


def _cell(cell: Cell, scale: numbers.Scale, marked: Callable[[str], str]) -> str:
    if cell.mean is None:
        return "-"
    shown = ("≥ " if cell.lower_bound else "") + scale.mean(cell) + scale.deviation(cell)
    few = f" (n={cell.n})" if cell.hole else ""
    relative = f" ({numbers.format_ratio(cell.relative)})" if cell.relative is not None else ""
    return marked(shown) + few + relative


def write_head(table: Table, name: str, summary: Summary) -> str:
    metric = summary.metrics[name]
    unit = numbers.scale([row.cells[name] for row in table.rows], metric).unit
    return f"{name}{f' [{unit}]' if unit else ''}{ARROWS[metric.better]}"


def list_footer(table: Table) -> list[str]:
    """List the lines under a table: paired differences, choices, missing values and failed trials, each said once."""
    holes: dict[str, list[str]] = {}
    for row in table.rows:
        for name in table.columns:
            if row.cells[name].lower_bound:
                holes.setdefault(f"{row.method}: at least; {row.cells[name].lower_bound}", []).append(name)
            if row.cells[name].hole and row.n:
                holes.setdefault(f"{row.method}: {row.cells[name].hole}", []).append(name)
    missing = [f"{', '.join(names)} of {reason}" for reason, names in holes.items()]
    choices = [row.choice for row in table.rows if row.choice]
    differences = [f"{paired.write_heading(table)}: {method} {words}" for method, words in paired.list_entries(table)]
    missing += list_taken_over(table)
    return [*differences, *choices, *missing, *(line for row in table.rows for line in row.failures)]


def _align(table: Table) -> list[str]:
    return ["left", *["right"] * (1 + len(table.columns))]


def _code(name: str) -> str:
    """A name in a cell as Markdown code: its brackets, stars and underscores are then no markup; a bar ends a cell."""
    return _span(name).replace("|", r"\|")


def _span(text: str) -> str:
    """Text as Markdown code, between as many backticks as it needs."""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    padding = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{padding}{text}{padding}{fence}"


def _escape(text: str) -> str:
    """Text in which Markdown sees no markup: no table, code, emphasis, heading, link, mathematics or HTML."""
    escaped = re.sub(r"([\\`*|<>$~]|(?<!\w)_|_(?!\w)|^[#+=-]|\[(?=[^\]]*\]\()|^\[(?=[^\]]*\]:))", r"\\\1", text)
    return re.sub(r"&(?=#?\w+;)", "&amp;", escaped)
