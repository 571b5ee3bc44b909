"""The headline score decides the best point of a curve, patience, and the differences to a report's first row."""

from __future__ import annotations

from collections.abc import Iterable

from harness.types import Metric


def find_headline(metrics: Iterable[Metric], kind: str, named: str | None = None) -> Metric | None:
    """The headline of a kind of problem among the metrics: the one of this name, else the first that is marked as such.

    The harness's own metrics come before those of others, so theirs decide where they have one.
    """
    scores = [metric for metric in metrics if metric.compute is not None and kind in metric.kinds]
    return next((metric for metric in scores if (metric.name == named if named else metric.headline)), None)
