"""Tables for a terminal, or for a file without colours: the same layout, the best value bold or marked with *.

Columns that do not fit side by side are broken into blocks, scores before costs, each with the methods again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table as Grid
from rich.text import Text

from harness.report.formats.console import open_console, print_lines, read_console
from harness.report.rows.table import Cell, Row, Summary, Table, is_cost
from harness.report.wording import numbers, paired, published
from harness.report.wording.captions import ARROWS, count_seeds, list_taken_over, title, write_legend
from harness.report.wording.published import Footnotes
from harness.types import Metric

VERDICTS = {"holds": "green", "fails": "red", "open": "yellow", "not measured": "dim"}


@dataclass(frozen=True)
class Column:
    """One metric as it stands in a block: two header lines, a text per row."""

    head: Text
    cells: tuple[Text, ...]
    cost: bool


def render_text(summary: Summary, width: int | None, colour: bool) -> str:
    """The summary as lines of at most `width` characters, with ANSI colours if wanted."""
    console = open_console(width, colour)
    for table in summary.tables:
        _print_table(console, table, summary)
    if summary.tables:
        print_lines(console, [write_legend(summary, "bold: best" if colour else "*: best")], "dim")
    print_lines(console, [f"note: {note}" for note in summary.notes], "yellow")
    _print_suite(console, summary)
    return read_console(console)


def _print_table(console: Console, table: Table, summary: Summary) -> None:
    reasons = Footnotes()
    plain = console.color_system is None
    columns = [_make_column(table, name, summary.metrics[name], reasons, plain) for name in table.columns]
    console.print(Text.assemble((table.dataset, "bold"), "  ", (title(table), "dim")), soft_wrap=True)
    methods = [_fold_label(row.method, max(16, console.width // 4)) for row in table.rows]
    for number, block in enumerate(_break_into_blocks(console, methods, table.rows, columns)):
        console.print()
        console.print(_make_grid(methods, table.rows, block, counts=number == 0))
    _print_differences(console, table)
    print_lines(console, [*reasons.list_lines(), *list_taken_over(table)], "dim")
    print_lines(console, [row.choice for row in table.rows if row.choice], "dim")
    print_lines(console, [line for row in table.rows for line in row.failures], "red")
    console.print()


def _print_differences(console: Console, table: Table) -> None:
    found = list(paired.list_entries(table))
    if not found:
        return
    width = max(len(method) for method, _ in found)
    console.print()
    print_lines(console, [f"{paired.write_heading(table)}:"], "dim")
    print_lines(console, [f"  {method.ljust(width)}  {words}" for method, words in found], "dim")


def _print_suite(console: Console, summary: Summary) -> None:
    """Print published values beside measured ones, then the claims, then the sources of both."""
    sources = Footnotes()
    rows = published.list_published(summary, sources)
    if rows:
        grid = Grid(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        for head in published.list_heads(summary):
            grid.add_column(Text(head), justify="right" if head in ("measured", "published") else "left")
        for row in rows:
            grid.add_row(*map(Text, row))
        console.print(Text("\nmeasured beside published", style="bold"))
        console.print(grid)
    if summary.claims:
        console.print(Text("\nclaims", style="bold"))
    for verdict, words, found in published.list_claims(summary, sources):
        hanging = Grid.grid(padding=(0, 2, 0, 0))
        hanging.add_column(width=max(map(len, VERDICTS)))
        hanging.add_column(overflow="fold")
        hanging.add_row(Text(verdict, style=VERDICTS[verdict]), Text(words))
        hanging.add_row("", Text(found, style="dim"))
        console.print(hanging)
    print_lines(console, sources.list_lines(), "dim")


# --- layout -------------------------------------------------------------------------------------------------------


def _make_grid(methods: Sequence[str], rows: Sequence[Row], columns: Sequence[Column], *, counts: bool) -> Grid:
    grid = Grid(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="")
    grid.add_column(Text("method", style="bold"), no_wrap=True)
    if counts:
        grid.add_column(Text("n", style="bold"), justify="right", no_wrap=True)
    for column in columns:
        grid.add_column(column.head, justify="right", no_wrap=True)
    for index, row in enumerate(rows):
        cells: list[RenderableType] = [column.cells[index] for column in columns]
        grid.add_row(Text(methods[index]), *([Text(count_seeds(row))] if counts else []), *cells)
    return grid


def _break_into_blocks(
    console: Console, methods: Sequence[str], rows: Sequence[Row], columns: Sequence[Column]
) -> list[Sequence[Column]]:
    """All columns in one block if they fit; else scores and costs apart, each in the fewest blocks of even size."""

    def fits_width(block: Sequence[Column]) -> bool:
        grid = _make_grid(methods, rows, block, counts=block[:1] == columns[:1])
        return Measurement.get(console, console.options.update(width=10_000), grid).maximum <= console.width

    if not columns or fits_width(columns):
        return [columns]
    sections = [[column for column in columns if column.cost is cost] for cost in (False, True)]
    return [block for section in sections if section for block in _even_blocks(section, fits_width)]


def _even_blocks(columns: Sequence[Column], fits_width: Callable[[Sequence[Column]], bool]) -> list[Sequence[Column]]:
    for parts in range(1, len(columns)):
        size = -(-len(columns) // parts)
        blocks = [columns[start : start + size] for start in range(0, len(columns), size)]
        if all(map(fits_width, blocks)):
            return blocks
    return [[column] for column in columns]


def _fold_label(label: str, width: int) -> str:
    """A label broken after commas and brackets into lines of at most `width` characters where that is possible."""
    lines = [""]
    for piece in re.findall(r"[^,\[\]]*[,\[\]]*", label):
        indent = "  " if len(lines) > 1 else ""
        if len(indent + lines[-1] + piece) > width and lines[-1]:
            lines.append("")
        lines[-1] += piece
    return "\n  ".join(lines)


# --- cells --------------------------------------------------------------------------------------------------------


def _make_column(table: Table, name: str, metric: Metric, reasons: Footnotes, plain: bool) -> Column:
    cells = [row.cells[name] for row in table.rows]
    scale = numbers.scale(cells, metric)
    best = scale.best(cells)
    parts = [
        _pad_parts([_format_mean(cell, scale) for cell in cells], right=True),
        _pad_parts([scale.deviation(cell) for cell in cells], right=True),
        _pad_parts(["*" if marked and plain else "" for marked in best]),
        _pad_parts([_format_relative(cell) for cell in cells], right=True),
        _pad_parts([_mark_few(cell, row, reasons) for cell, row in zip(cells, table.rows, strict=True)]),
    ]
    head = Text.assemble((name, "bold"), ARROWS[metric.better], (f"\n{scale.unit}" if scale.unit else "", "dim"))
    shown = [_assemble_cell([part[index] for part in parts], marked) for index, marked in enumerate(best)]
    empty = [_mark_empty(cell, row, reasons) for cell, row in zip(cells, table.rows, strict=True)]
    texts = tuple(e if cell.mean is None else s for cell, s, e in zip(cells, shown, empty, strict=True))
    return Column(head, texts, is_cost(metric))


def _assemble_cell(parts: Sequence[str], best: bool) -> Text:
    mean, deviation, star, relative, few = parts
    return Text.assemble((mean + deviation, "bold green" if best else ""), star, (relative + few, "dim"))


def _mark_empty(cell: Cell, row: Row, reasons: Footnotes) -> Text:
    """A dash with the number of its reason; where no trial ended ok, the lines below say why."""
    return Text(f"- {reasons.mark(cell.hole)}" if cell.mean is None and row.n else "-", style="dim")


def _format_mean(cell: Cell, scale: numbers.Scale) -> str:
    return "" if cell.mean is None else f"{'≥ ' if cell.lower_bound else ''}{scale.mean(cell)}"


def _format_relative(cell: Cell) -> str:
    return f"  {numbers.format_ratio(cell.relative)}" if cell.relative is not None else ""


def _mark_few(cell: Cell, row: Row, reasons: Footnotes) -> str:
    """`n=2 [1]` for a mean over fewer trials than the row has, `[2]` for one that the truth may exceed."""
    few = f" n={cell.n} {reasons.mark(cell.hole)}" if 0 < cell.n < row.n and cell.hole else ""
    return few + (f" {reasons.mark(f'at least: {cell.lower_bound}')}" if cell.lower_bound and cell.n else "")


def _pad_parts(parts: Sequence[str], *, right: bool = False) -> list[str]:
    width = max(map(len, parts))
    return [part.rjust(width) if right else part.ljust(width) for part in parts]
