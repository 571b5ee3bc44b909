"""Figures of a table, as `svg` and `page.js` draw them: trade-off, learning curves, swept options."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.report.formats.page import svg
from harness.report.rows import curves, swept, tradeoff
from harness.report.rows.table import Cell, Row, Table, is_cost
from harness.report.wording import numbers
from harness.types import Metric

Figure = dict[str, Any]
SPREAD = 12.0  # a cost is drawn on a logarithmic axis from here on, largest over least
LINES = 8  # with a name and a colour; the others are grey
GREY = 40  # of them; the rest is left out
WORDS = {"higher": " (more is better)", "lower": " (less is better)", "neither": ""}
AXIS_WORDS = {"update": "training updates", "epoch": "epochs", "seconds": "seconds of training, evaluation excluded"}


def read_base_name(row: Row) -> str:
    """The method's name without its options: variants of one method have one colour and one marker."""
    return row.method.partition("[")[0]


def list_keys(tables: Iterable[Table]) -> dict[str, int]:
    """A number for each method, by which all plots give it the same colour and marker."""
    names = dict.fromkeys(read_base_name(row) for table in tables for row in table.rows)
    return {name: place for place, name in enumerate(names)}


def number(value: float | None) -> float | None:
    """A value with six figures, which is more than a plot or a table shows; None where it is not finite.

    >>> number(0.123456789), number(float("inf"))
    (0.123457, None)
    """
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def scale_column(table: Table, name: str, metrics: Mapping[str, Metric]) -> numbers.Scale:
    """The scale of a metric's column in a table, prefix and decimals."""
    return numbers.scale([row.cells[name] for row in table.rows], metrics[name])


def draw_tradeoff(
    table: Table, metrics: Mapping[str, Metric], keys: Mapping[str, int], score: str, cost: str
) -> Figure:
    """A score against a cost, one point for each row that has both, with their intervals."""
    scales = [scale_column(table, name, metrics) for name in (cost, score)]
    placed = [point for point in tradeoff.place_points(table, score, cost, metrics) if point.is_placed]
    means = [point.cost.mean or 0.0 for point in placed]
    series = [
        _make_series(point.row.method, keys[read_base_name(point.row)], [_make_point(point, scales)])
        for point in placed
    ]
    log = bool(means) and min(means) > 0 and max(means) / min(means) > SPREAD
    axes = [_make_axis(name, scale, metrics) for name, scale in zip((cost, score), scales, strict=True)]
    return {"x": {**axes[0], "log": log}, "y": axes[1], "front": True, "series": series}


def draw_curves(
    table: Table, metrics: Mapping[str, Metric], keys: Mapping[str, int], score: str, axis: curves.Axis
) -> Figure:
    """A validation score during training, a line for each row, with the 95 % band of its mean."""
    series = []
    for row in table.rows:
        points = thin(leave_out_start(curves.average_curve(row, score, axis)), 60)
        if len(points) > 1:
            shown = [_make_curve_point(row, point, score, axis) for point in points]
            series.append(_make_series(row.method, keys[read_base_name(row)], shown, line=True))
    series = _mute(series, metrics[score].better)
    label = f"validation {score}{WORDS[metrics[score].better]}"
    return {"x": {"label": AXIS_WORDS[axis], "log": False}, "y": {"label": label, "log": False}, "front": False} | {
        "series": series
    }


def draw_sweep(
    table: Table, metrics: Mapping[str, Metric], keys: Mapping[str, int], lines: Sequence[swept.SweptLine], name: str
) -> Figure:
    """A metric over the values of one option, a line for each method."""
    scale = scale_column(table, name, metrics)
    series = []
    for line in lines:
        known = [(value, row) for value, row in line.points if row.cells[name].mean is not None]
        points = [_make_swept_point(value, row, line.option, name, scale) for value, row in known]
        if points:
            series.append(_make_series(line.label, keys[read_base_name(known[0][1])], points, line=True))
    series = _mute(series, metrics[name].better)
    values = [value for line in lines for value, _ in line.points]
    log = min(values) > 0 and max(values) / min(values) > SPREAD
    axis = _make_axis(name, scale, metrics)
    means = [point[1] for each in series for point in each["points"]]
    tall = is_cost(metrics[name]) and bool(means) and min(means) > 0 and max(means) / min(means) > SPREAD
    return {"x": {"label": lines[0].option, "log": log}, "y": {**axis, "log": tall}, "front": False, "series": series}


def leave_out_start(points: Sequence[curves.CurvePoint]) -> Sequence[curves.CurvePoint]:
    """Leave out the untrained network: beside it all else would be a line along the edge of the plot."""
    return points[1:] if len(points) > 3 and points[0].at == 0 else points


def thin(points: Sequence[curves.CurvePoint], most: int) -> list[curves.CurvePoint]:
    """So many of the points at most, the first and the last among them.

    >>> thin(list(range(10)), 4)
    [0, 3, 6, 9]
    """
    if len(points) <= most:
        return list(points)
    return [points[round(place * (len(points) - 1) / (most - 1))] for place in range(most)]


def _make_axis(name: str, scale: numbers.Scale, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    unit = f" [{scale.unit}]" if scale.unit else ""
    return {"label": f"{name}{unit}{WORDS[metrics[name].better]}", "log": False}


def _make_series(name: str, key: int, points: list[list[Any]], line: bool = False) -> dict[str, Any]:
    return {"name": name, "key": key, "line": line, "muted": False, "points": points}


def _make_point(point: tradeoff.TradePoint, scales: Sequence[numbers.Scale]) -> list[Any]:
    kind = svg.APART if point.apart else svg.FRONT if point.front else svg.POINT
    cells = (point.cost, point.score)
    places = [number((cell.mean or 0.0) / scale.divisor) for cell, scale in zip(cells, scales, strict=True)]
    ends = [end for cell, scale in zip(cells, scales, strict=True) for end in _scale_interval(cell, scale)]
    said = [describe_cell(cell, scale) for cell, scale in zip(cells, scales, strict=True)]
    title = f"{point.row.method}: {said[1]}; {said[0]}{f'; not compared: {point.apart}' if point.apart else ''}"
    return [*places, *ends, kind, point.row.method, title]


def _make_curve_point(row: Row, point: curves.CurvePoint, score: str, axis: str) -> list[Any]:
    band = "" if point.low is None else f" ({point.low:.4g} to {point.high:.4g})"
    title = f"{row.method}: {score} {point.mean:.4g}{band} at {axis} {point.at:.4g}, n={point.n}"
    return [number(point.at), number(point.mean), None, None, number(point.low), number(point.high), 0, "", title]


def _make_swept_point(value: float, row: Row, option: str, name: str, scale: numbers.Scale) -> list[Any]:
    cell = row.cells[name]
    title = f"{row.method}: {describe_cell(cell, scale)} at {option} {value:g}"
    place = number((cell.mean or 0.0) / scale.divisor)
    return [number(value), place, None, None, *_scale_interval(cell, scale), svg.POINT, "", title]


def describe_cell(cell: Cell, scale: numbers.Scale) -> str:
    """`1.15 MB (1.10 to 1.20), n=3`; a dash for no number."""
    if cell.mean is None:
        return "-"
    ends = cell.interval
    shown = "" if ends is None else f" ({scale.format(ends[0])} to {scale.format(ends[1])})"
    return f"{'≥ ' if cell.lower_bound else ''}{scale.mean(cell)} {scale.unit}".rstrip() + f"{shown}, n={cell.n}"


def _scale_interval(cell: Cell, scale: numbers.Scale) -> list[float | None]:
    ends = cell.interval or (None, None)
    return [None if end is None else number(end / scale.divisor) for end in ends]


def _mute(series: list[dict[str, Any]], better: str) -> list[dict[str, Any]]:
    """The lines, all but the best few at their ends muted where there are too many to be named, and the worst left out
    where they would hide each other. Lines of one colour have different dashes.
    """
    sign = -1 if better == "higher" else 1
    ranked = sorted(series, key=lambda each: sign * each["points"][-1][1])
    seen: dict[int, int] = {}
    for place, each in enumerate(ranked):
        each["muted"] = len(series) > LINES <= place
        colour = each["key"] % svg.COLOURS
        each["dash"] = seen[colour] = (seen.get(colour, -1) + 1) % 4
    kept = {id(each) for each in ranked[: LINES + GREY]}
    return sorted((each for each in series if id(each) in kept), key=lambda each: not each["muted"])


def list_numbers(figure: Figure) -> Iterator[list[str]]:
    """The points of a figure as a table behind it: name and what the point says."""
    for series in figure["series"]:
        for point in series["points"]:
            yield [series["name"], point[8].removeprefix(f"{point[7] or series['name']}: ")]
