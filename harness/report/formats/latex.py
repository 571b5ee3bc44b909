r"""Tables for papers, in LaTeX: as wide as a column or a page, with notes below them. Needs \usepackage{booktabs}."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate
from string import ascii_lowercase

from harness.report.formats import tex
from harness.report.rows.table import Cell, Row, Summary, Table
from harness.report.wording import numbers, paired, published
from harness.report.wording.captions import ARROWS, count_seeds, list_taken_over, title, write_legend

MOST_NOTES = 900  # characters below a table; what is more stands in comments


@dataclass
class Notes:
    """Notes of one table by the letters that mark them in its cells."""

    lettered: dict[str, str] = field(default_factory=dict)

    def mark(self, *notes: str) -> str:
        r"""The marks of notes, `\textsuperscript{a,b}`; nothing for empty ones."""
        letters = [self.lettered.setdefault(note, _letter(len(self.lettered))) for note in notes if note]
        return rf"\textsuperscript{{{','.join(letters)}}}" if letters else ""

    def list_lines(self) -> list[str]:
        return [rf"\textsuperscript{{{mark}}}\,{tex.escape_note(note)}" for note, mark in self.lettered.items()]


def render_latex(summary: Summary, page: bool = False) -> str:
    """A table for each data set and protocol, for a column or for a page; remarks on the whole as comments."""
    lines = [rf"% \usepackage{{booktabs}}; for {'the width of a page' if page else 'a column'}"]
    taken: dict[str, int] = {}
    for table in summary.tables:
        label = re.sub(r"[^a-z0-9]+", "-", table.dataset.lower()).strip("-")[:40] or "table"
        taken[label] = taken.get(label, 0) + 1
        number = f"-{taken[label]}" if taken[label] > 1 else ""
        lines += _write_table(table, summary, f"tab:{label}{number}", page)
    lines += map(_comment, summary.notes)
    return "\n".join([*lines, *_write_suite(summary, page)]).rstrip() + "\n"


def _write_table(table: Table, summary: Summary, label: str, page: bool) -> Iterator[str]:
    notes = Notes()
    width = tex.PAGE if page else tex.COLUMN
    key = tex.make_names("method", [row.method for row in table.rows], width)
    counts = [count_seeds(row) for row in table.rows]
    marked = [count + notes.mark(*row.failures) for count, row in zip(counts, table.rows, strict=True)]
    columns = [
        tex.make_column(["n"], marked, counts),
        *(_make_column(table, name, summary, notes) for name in table.columns),
    ]
    legend = write_legend(replace(summary, tables=(table,)), "bold: best")
    if any(row.cells[name].exact for row in table.rows for name in table.columns):
        legend += "; without a deviation: counts, the same in all seeds"
    caption = rf"{tex.escape_name(table.dataset)}: {tex.escape(f'{title(table)}. {_capitalise(legend)}.')}"
    said = [*map(tex.escape_note, _list_remarks(table)), *notes.list_lines()]
    most = sum(length <= MOST_NOTES for length in accumulate(map(len, said)))
    yield from tex.write_float(tex.Float(key, tuple(columns), caption, label, tuple(said[:most])), page)
    yield from map(_comment, said[most:])


def _make_column(table: Table, name: str, summary: Summary, notes: Notes) -> tex.Column:
    metric = summary.metrics[name]
    cells = [row.cells[name] for row in table.rows]
    scale = numbers.scale(cells, metric)
    best = scale.best(cells)
    shown = [_format_cell(cell, scale) for cell in cells]
    written = [
        _write_cell(mean, rest, bold) + notes.mark(*_explain_cell(row, name))
        for (mean, rest), bold, row in zip(shown, best, table.rows, strict=True)
    ]
    head = [name, f"{f'[{scale.unit}]' if scale.unit else ''}{ARROWS[metric.better]}".strip()]
    return tex.make_column(list(filter(None, head)), written, [mean + rest for mean, rest in shown])


def _format_cell(cell: Cell, scale: numbers.Scale) -> tuple[str, str]:
    """A value, and what stands behind it in brackets."""
    if cell.mean is None:
        return "-", ""
    few = f" (n={cell.n})" if cell.hole else ""
    relative = f" ({numbers.format_ratio(cell.relative)})" if cell.relative is not None else ""
    deviation = "" if cell.exact else scale.deviation(cell)
    return ("≥ " if cell.lower_bound else "") + scale.mean(cell) + deviation, few + relative


def _write_cell(mean: str, rest: str, bold: bool) -> str:
    return (rf"\textbf{{{tex.escape(mean)}}}" if bold else tex.escape(mean)) + tex.escape(rest)


def _explain_cell(row: Row, name: str) -> Iterator[str]:
    """Explain what is missing in a cell; of a row without any trial its failures say it."""
    cell = row.cells[name]
    if cell.lower_bound:
        yield f"at least; {cell.lower_bound}"
    if cell.hole and row.n:
        yield cell.hole


def _list_remarks(table: Table) -> list[str]:
    """Lines below a table that belong to no cell: paired differences, choices, what was carried over."""
    entries = [f"{method} {words}" for method, words in paired.list_entries(table)]
    differences = [f"{paired.write_heading(table)}: {'; '.join(entries)}"] if entries else []
    return [*differences, *(row.choice for row in table.rows if row.choice), *list_taken_over(table)]


def _write_suite(summary: Summary, page: bool) -> Iterator[str]:
    """Published values as a table with their sources below it, claims as comments."""
    sources = published.Footnotes()
    rows = published.list_published(summary, sources)
    if rows:
        heads = published.list_heads(summary)
        names = [f"{method} on {dataset}: {metric}" for method, dataset, metric, *_ in rows]
        columns = [
            tex.make_column([head], [tex.escape(row[place]) for row in rows], [row[place] for row in rows])
            for place, head in enumerate(heads[3:], 3)
        ]
        key = tex.make_names("quantity", names, tex.PAGE if page else tex.COLUMN)
        said = tuple(map(tex.escape_note, sources.list_lines()))
        yield ""
        yield from tex.write_float(
            tex.Float(key, tuple(columns), "Measured beside published.", "tab:published", said), page
        )
    told = sources.list_lines()
    for verdict, words, found in published.list_claims(summary, sources):
        yield _comment(f"claim {verdict}: {words}; {found}")
    yield from map(_comment, [line for line in sources.list_lines() if line not in told])


def _letter(place: int) -> str:
    """`a` to `z`, then `aa` and so on."""
    more, place = divmod(place, len(ascii_lowercase))
    return (_letter(more - 1) if more else "") + ascii_lowercase[place]


def _capitalise(text: str) -> str:
    return text[:1].upper() + text[1:]


def _comment(line: str) -> str:
    return "% " + " ".join(line.split())
