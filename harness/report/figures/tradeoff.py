"""A score against costs, with intervals and the Pareto front: a panel for each table and cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.report.figures import canvas
from harness.report.rows.table import Cell, Summary, Table
from harness.report.rows.tradeoff import TradePoint, list_costs, list_scores, pick_axes, place_points
from harness.report.wording import figure_captions as words


def draw_tradeoff(summary: Summary, asked: canvas.Asked) -> canvas.Drawn:
    """Draw each table's rows as points; those that nothing beats in both are filled and joined."""
    wanted = [(table, names) for table in summary.tables for names in _pick_pairs(table, summary, asked) or [None]]
    panels = canvas.list_panels(summary, wanted, "such a score and cost")
    figure, axes = canvas.open_figure(asked.width, len(panels))
    placed = [(panel, _place_points(panel, summary)) for panel in panels]
    methods = list(dict.fromkeys(point.row.method for _, points in placed for point in points if point.is_placed))
    for axis, (panel, points) in zip(axes, placed, strict=True):
        _draw_panel(axis, panel, points, methods, summary)
    handles = [canvas.make_handle(**canvas.pick_style(place)) for place in range(len(methods))]
    front = canvas.make_handle(linestyle="-", color="#888888", linewidth=0.9)
    canvas.add_legend(figure, [*handles, front], [*methods, "Pareto front of the means"])
    return canvas.Drawn(figure, _write_caption(placed, panels))


def _pick_pairs(table: Table, summary: Summary, asked: canvas.Asked) -> list[tuple[str, str] | None]:
    """The score with each cost that was asked for and the table has, else with the usual one."""
    scores, costs = list_scores(table, summary.metrics), list_costs(table, summary.metrics)
    usual = pick_axes(table, summary.metrics)
    score = asked.score or (usual and usual[0])
    chosen = asked.costs or (usual[1:] if usual else ())
    return [(score, cost) for cost in chosen if score in scores and cost in costs]


def _place_points(panel: canvas.Panel, summary: Summary) -> tuple[TradePoint, ...]:
    score, cost = panel.names
    return place_points(panel.table, score, cost, summary.metrics)


def _draw_panel(
    axis: Any, panel: canvas.Panel, points: Sequence[TradePoint], methods: Sequence[str], summary: Summary
) -> None:
    score, cost = panel.names
    shown = [point for point in points if point.is_placed]
    front = sorted(_place(point) for point in shown if point.front)
    axis.plot(*zip(*front, strict=True) if front else ((), ()), drawstyle="steps-post", color="#888888", linewidth=0.9)
    for point in shown:
        style = canvas.pick_style(methods.index(point.row.method))
        fill = style["color"] if point.front else "white"
        errors = {"xerr": _measure_bar(point.cost), "yerr": _measure_bar(point.score)}
        axis.errorbar(
            *_place(point), **errors, **style, mfc=fill, alpha=0.45 if point.apart else 1, elinewidth=0.7, linestyle=""
        )
    axis.set_title(canvas.name_panel(panel.table, summary))
    canvas.scale_axis(axis.xaxis, summary.metrics[cost], cost, [_place(point)[0] for point in shown])
    canvas.scale_axis(axis.yaxis, summary.metrics[score], score, [_place(point)[1] for point in shown])
    axis.margins(0.08)
    if axis.get_xscale() == "linear" and axis.get_xlim()[0] < 0:
        axis.set_xlim(left=0)  # a bar may reach below, a cost does not


def _place(point: TradePoint) -> tuple[float, float]:
    return point.cost.mean or 0.0, point.score.mean or 0.0


def _measure_bar(cell: Cell) -> Any:
    """The lengths of a bar on both sides of the mean; None where there is no interval."""
    if cell.interval is None or cell.mean is None:
        return None
    return [[cell.mean - cell.interval[0]], [cell.interval[1] - cell.mean]]


def _write_caption(placed: Sequence[tuple[canvas.Panel, Sequence[TradePoint]]], panels: Sequence[canvas.Panel]) -> str:
    pairs = dict.fromkeys(f"{score} against {cost}" for score, cost in (panel.names for panel in panels))
    tables = list({id(panel.table): panel.table for panel in panels}.values())
    every = [point for _, points in placed for point in points]
    apart = [(point.row.method, point.apart) for point in every if point.is_placed and point.apart]
    lost = [(point.row.method, point.apart) for point in every if not point.is_placed]
    return words.join(
        f"{'; '.join(pairs)}. {words.describe_tables(tables)}",
        f"Points are means, bars {words.INTERVAL}.",
        "Filled and joined: the Pareto front, points that no other beats in both means.",
        words.list_missing(apart, "Faint, and compared with no other"),
        words.list_missing(lost, "Not shown"),
        words.describe_machines(tables),
    )
