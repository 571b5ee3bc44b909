"""Learning curves, with bands over seeds: a panel for each table."""

from __future__ import annotations

from typing import Any

from harness.report.figures import canvas
from harness.report.rows.curves import CurvePoint, average_curve, list_curve_scores
from harness.report.rows.table import Summary, Table
from harness.report.rows.tradeoff import explain_apart
from harness.report.wording import figure_captions as words
from harness.report.wording.scaling import find_range

AXES = {"update": "updates", "epoch": "epochs", "seconds": "seconds of training"}
MARKED = 8  # points of a line that have markers, about


def draw_curves(summary: Summary, asked: canvas.Asked) -> canvas.Drawn:
    """Draw a validation score of each table's rows during training."""
    wanted = [(table, _pick_score(table, summary, asked)) for table in summary.tables]
    panels = canvas.list_panels(summary, wanted, f"learning curves{f' of {asked.score}' if asked.score else ''}")
    figure, axes = canvas.open_figure(asked.width, len(panels))
    methods = list(dict.fromkeys(row.method for panel in panels for row in panel.table.rows))
    beyond = [_draw_panel(axis, panel, methods, summary, asked) for axis, panel in zip(axes, panels, strict=True)]
    drawn = [method for method in methods if any(method in own for own, _ in beyond)]
    styles = [_pick_line(methods.index(method)) for method in drawn]
    canvas.add_legend(figure, [canvas.make_handle(**style) for style in styles], drawn)
    lost = [
        (row.method, explain_apart(row, row.cells[score]) if score in row.cells else "no curve")
        for panel, (own, _) in zip(panels, beyond, strict=True)
        for score in [panel.names[0]]
        for row in panel.table.rows
        if row.method not in own
    ]
    tables = [panel.table for panel in panels]
    scores = ", ".join(dict.fromkeys(panel.names[0] for panel in panels))
    return canvas.Drawn(
        figure,
        words.join(
            f"{scores} on the validation rows during training, against {AXES[asked.x]}.",
            words.describe_tables(tables),
            f"Lines are means over seeds as far as all of them go, bands {words.INTERVAL}.",
            "Where a beginning lies beyond the frame, the frame shows the last three quarters."
            if any(cut for _, cut in beyond)
            else "",
            words.list_missing([(method, reason or "no curve") for method, reason in lost], "Not shown"),
            words.describe_machines(tables),
        ),
    )


def _pick_score(table: Table, summary: Summary, asked: canvas.Asked) -> tuple[str] | None:
    scores = list_curve_scores(table, summary.metrics)
    score = asked.score.removesuffix("@valid") if asked.score else None
    chosen = [name for name in scores if score in (None, name)]
    return (chosen[0],) if chosen else None


def _draw_panel(
    axis: Any, panel: canvas.Panel, methods: list[str], summary: Summary, asked: canvas.Asked
) -> tuple[list[str], bool]:
    """The methods that were drawn, and whether the beginning of some lies beyond the frame."""
    score = panel.names[0]
    curves = [(row, points) for row in panel.table.rows if (points := average_curve(row, score, asked.x))]
    for row, points in curves:
        _draw_line(axis, points, methods.index(row.method))
    ends = [find_range([point.mean for point in points]) for _, points in curves]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    inside = [
        value
        for _, points in curves
        for point in points
        if point.low is not None and low <= point.mean <= high
        for value in (point.low, point.high)
        if value is not None
    ]
    room = (high - low) or abs(high) or 1.0
    bottom, top = max(min([low, *inside]), low - room), min(max([high, *inside]), high + room)
    pad = 0.06 * (top - bottom or room)
    axis.set_ylim(bottom - pad, top + pad)
    canvas.scale_axis(axis.yaxis, summary.metrics[score], f"{score}@valid", [])
    axis.set_xlabel(AXES[asked.x])
    axis.set_title(canvas.name_panel(panel.table, summary))
    cut = any(not low - pad <= point.mean <= high + pad for _, points in curves for point in points)
    return [row.method for row, _ in curves], cut


def _draw_line(axis: Any, points: tuple[CurvePoint, ...], place: int) -> None:
    style = _pick_line(place)
    every = max(1, len(points) // MARKED)
    at = [point.at for point in points]
    axis.plot(at, [point.mean for point in points], markevery=(place % every, every), **{**style, "markersize": 3.2})
    banded = [point for point in points if point.low is not None]
    if banded:
        ends = [[point.low for point in banded], [point.high for point in banded]]
        axis.fill_between([point.at for point in banded], *ends, color=style["color"], alpha=0.13, linewidth=0)


def _pick_line(place: int) -> dict[str, Any]:
    return {**canvas.pick_style(place), "linestyle": canvas.LINES[place % len(canvas.LINES)]}
