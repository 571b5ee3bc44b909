"""Learning curves of a row: a validation score during training, averaged over seeds at the points that all have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from harness.report.rows.table import Row, Table
from harness.statistics import compute_interval, estimate_mean
from harness.types import Metric, Point

Axis: TypeAlias = Literal["update", "epoch", "seconds"]
AXES: tuple[Axis, ...] = ("update", "epoch", "seconds")


class CurvePoint(NamedTuple):
    """A validation score after so many updates, epochs or seconds of training, on average over n seeds; its 95 %
    interval, None where there is none.
    """

    at: float
    mean: float
    low: float | None
    high: float | None
    n: int


def average_curve(row: Row, score: str, axis: Axis) -> tuple[CurvePoint, ...]:
    """Average the curves of the trials of a row that ended ok, update by update, as far as all of them go.

    A time is the mean of the seeds' times. Empty where no trial has the score on its curve, or no update is common.
    """
    curves = [curve for record in row.records if record.status == "ok" and (curve := _read_curve(record.curve, score))]
    common = [update for update in curves[0] if all(update in other for other in curves)] if curves else []
    return tuple(_average([curve[update] for curve in curves], score, axis) for update in common)


def list_curve_scores(table: Table, metrics: Mapping[str, Metric]) -> list[str]:
    """List the scores on the validation curves of a table, the headline first."""
    points = (point for row in table.rows for record in row.records for point in record.curve[-1:])
    names = dict.fromkeys(name for point in points for name in point.valid if name in metrics)
    return sorted(names, key=lambda name: not metrics[name].headline)


def _read_curve(points: object, score: str) -> dict[int, Point]:
    found = points if isinstance(points, (list, tuple)) else ()
    return {point.update: point for point in found if math.isfinite(point.valid.get(score, math.nan))}


def _average(points: list[Point], score: str, axis: Axis) -> CurvePoint:
    values = [point.valid[score] for point in points]
    at, found = estimate_mean([getattr(point, axis) for point in points]).mean, estimate_mean(values)
    low, high = compute_interval(values) or (None, None)
    return CurvePoint(at or 0.0, found.mean or 0.0, low, high, found.n)
