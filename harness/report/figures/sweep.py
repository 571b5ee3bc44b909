"""Scores and costs over an option that was swept: a panel for each table and metric."""

from __future__ import annotations

from collections import Counter
from typing import Any

from harness.errors import UsageError
from harness.report.figures import canvas
from harness.report.rows.swept import SweptLine, find_lines
from harness.report.rows.table import Summary, Table, is_cost
from harness.report.rows.tradeoff import list_costs, list_scores, pick_axes
from harness.report.wording import figure_captions as words
from harness.words import list_first, suggest


def draw_sweep(summary: Summary, asked: canvas.Asked) -> canvas.Drawn:
    """Draw lines over the option that was asked for, else over the one that most rows vary in."""
    found = [(table, find_lines(table)) for table in summary.tables]
    option = _pick_option([line for _, lines in found for line in lines], asked)
    lines_of = {id(table): [line for line in lines if line.option == option] for table, lines in found}
    tables = [table for table, _ in found if lines_of[id(table)]]
    wanted = [(table, (name,)) for table in tables for name in _pick_metrics(table, summary, asked)]
    panels = canvas.list_panels(summary, wanted, "such a score or cost in a sweep")
    figure, axes = canvas.open_figure(asked.width, len(panels))
    labels = list(dict.fromkeys(line.label for table in tables for line in lines_of[id(table)]))
    for axis, panel in zip(axes, panels, strict=True):
        _draw_panel(axis, panel, lines_of[id(panel.table)], labels, summary)
    handles = [canvas.make_handle(linestyle="-", **canvas.pick_style(place)) for place in range(len(labels))]
    canvas.add_legend(figure, handles, labels)
    names = ", ".join(dict.fromkeys(panel.names[0] for panel in panels))
    lost = [
        (row.method, row.cells[panel.names[0]].hole or "; ".join(row.failures) or "no value")
        for panel in panels
        for line in lines_of[id(panel.table)]
        for _, row in line.points
        if row.cells[panel.names[0]].mean is None
    ]
    return canvas.Drawn(
        figure,
        words.join(
            f"{names} over {option}, all other options being equal on a line. {words.describe_tables(tables)}",
            f"Points are means, bars {words.INTERVAL}.",
            words.list_missing(lost, "Not shown"),
            words.describe_machines(tables),
        ),
    )


def _pick_option(lines: list[SweptLine], asked: canvas.Asked) -> str:
    """Raises UsageError where no rows differ in one numeric option alone."""
    counts = Counter(dict.fromkeys(dict.fromkeys(line.option for line in lines), 0))
    for line in lines:
        counts[line.option] += len(line.points)
    if asked.over is None and counts:
        return counts.most_common(1)[0][0]
    if asked.over is None:
        raise UsageError('no two rows differ in a single numeric option; run a sweep, such as "saf[steps=[4,8]]"')
    if asked.over not in counts:
        known = list_first(list(counts)) or "none"
        near = suggest(asked.over, counts)
        raise UsageError(f"--over {asked.over}: no rows differ in it alone{near}; swept: {known}")
    return asked.over


def _pick_metrics(table: Table, summary: Summary, asked: canvas.Asked) -> list[str]:
    known = [*list_scores(table, summary.metrics), *list_costs(table, summary.metrics)]
    chosen = [*([asked.score] if asked.score else []), *asked.costs] or list(pick_axes(table, summary.metrics) or ())
    return [name for name in chosen if name in known]


def _draw_panel(axis: Any, panel: canvas.Panel, lines: list[SweptLine], labels: list[str], summary: Summary) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator, ScalarFormatter

    name, seen, places = panel.names[0], [], set()
    for line in lines:
        cells = [(value, row.cells[name]) for value, row in line.points if row.cells[name].mean is not None]
        style = canvas.pick_style(labels.index(line.label))
        axis.plot([value for value, _ in cells], [cell.mean for _, cell in cells], **style)
        for value, cell in cells:
            places.add(value)
            seen.append(cell.mean or 0.0)
            if cell.interval is not None:
                axis.vlines(value, *cell.interval, color=style["color"], linewidth=0.7)
    canvas.scale_axis(axis.yaxis, summary.metrics[name], name, seen)
    if places and min(places) > 0 and max(places) >= 8 * min(places):
        canvas.set_logarithmic(axis.xaxis, 2)
    if len(places) <= 8:
        axis.xaxis.set_major_formatter(ScalarFormatter())
        axis.set_xticks(sorted(places), [f"{value:g}" for value in sorted(places)])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_minor_formatter(NullFormatter())
    if is_cost(summary.metrics[name]) and axis.get_yscale() == "linear":
        axis.set_ylim(bottom=0)
    axis.set_xlabel(lines[0].option)
    axis.set_title(canvas.name_panel(panel.table, summary))
