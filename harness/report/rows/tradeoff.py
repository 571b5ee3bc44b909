"""Rows of a table as points of a score against a cost, and which of them no other beats in both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.report.rows.table import Cell, Row, Table, is_cost
from harness.types import Metric
from harness.words import list_seeds

# The axis that a plot begins with: the first that as many rows have as any.
USUAL_COSTS = ("activation_bytes", "update_seconds", "inference_macs", "stored_bytes", "total_macs", "total_seconds")


@dataclass(frozen=True)
class TradePoint:
    """A row's place in a plot of a score against a cost. front: no row that it may be compared with is better in both,
    or as good in one and better in the other. apart: why it is compared with none; empty where it is.
    """

    row: Row
    score: Cell
    cost: Cell
    front: bool = False
    apart: str = ""

    @property
    def is_placed(self) -> bool:
        """Whether both of its means are known."""
        return self.score.mean is not None and self.cost.mean is not None


def place_points(table: Table, score: str, cost: str, metrics: Mapping[str, Metric]) -> tuple[TradePoint, ...]:
    """Place every row of a table, in its order; those on the Pareto front of the two means are marked."""
    points = [_place_row(row, row.cells[score], row.cells[cost]) for row in table.rows]
    compared = [place for place, point in enumerate(points) if not point.apart]
    signs = [{"higher": -1.0, "lower": 1.0, "neither": math.nan}[metrics[name].better] for name in (cost, score)]
    if not any(map(math.isnan, signs)):
        pairs = [(signs[0] * _mean(points[each].cost), signs[1] * _mean(points[each].score)) for each in compared]
        for place, front in zip(compared, find_front(pairs), strict=True):
            points[place] = replace(points[place], front=front)
    return tuple(points)


def list_fronts(table: Table, metrics: Mapping[str, Metric]) -> dict[tuple[str, str], list[int]]:
    """List the places of the rows on the front, for each pair of a score and a cost."""
    signs = {"higher": -1.0, "lower": 1.0}
    signed = {
        name: [None if explain_apart(row, row.cells[name]) else sign * _mean(row.cells[name]) for row in table.rows]
        for name in _known(table)
        if (sign := signs.get(metrics[name].better))
    }
    pairs = [(score, cost) for score in list_scores(table, metrics) for cost in list_costs(table, metrics)]
    return {(score, cost): _list_front(signed.get(cost, []), signed.get(score, [])) for score, cost in pairs}


def _list_front(costs: Sequence[float | None], scores: Sequence[float | None]) -> list[int]:
    both = enumerate(zip(costs, scores, strict=False))
    known = {place: (cost, score) for place, (cost, score) in both if cost is not None and score is not None}
    return [place for place, front in zip(known, find_front(list(known.values())), strict=True) if front]


def find_front(pairs: Sequence[tuple[float, float]]) -> list[bool]:
    """Mark the pairs that no other beats, the less the better in both.

    >>> find_front([(1, 3), (2, 2), (2, 3), (3, 1), (1, 3)])
    [True, True, False, True, True]
    """
    front, best, last = [False] * len(pairs), math.inf, None
    for place in sorted(range(len(pairs)), key=pairs.__getitem__):
        if pairs[place][1] < best or pairs[place] == last:
            front[place], best, last = True, pairs[place][1], pairs[place]
    return front


def pick_axes(table: Table, metrics: Mapping[str, Metric]) -> tuple[str, str] | None:
    """Pick the score and the cost that a plot of a table begins with; None where it has no such pair."""
    scores, costs = list_scores(table, metrics), list_costs(table, metrics)
    if not scores or not costs:
        return None
    usual = [name for name in USUAL_COSTS if name in costs] or costs
    return scores[0], max(usual, key=lambda name: sum(row.cells[name].mean is not None for row in table.rows))


def list_scores(table: Table, metrics: Mapping[str, Metric]) -> list[str]:
    """List the scores that some row has, the headline first and final ones before their views."""
    names = [name for name in _known(table) if metrics[name].measures == "score"]
    return sorted(names, key=lambda name: ("@" in name, not metrics[name].headline, names.index(name)))


def list_costs(table: Table, metrics: Mapping[str, Metric]) -> list[str]:
    """List the costs that some row has, in the table's order."""
    return [name for name in _known(table) if is_cost(metrics[name])]


def explain_apart(row: Row, cell: Cell) -> str:
    """Explain why a row's number is compared with no other's; empty where it is."""
    if cell.mean is None:
        return cell.hole if row.n else "; ".join(row.failures) or "no trial ended ok"
    if cell.rival and not cell.lower_bound:
        return ""
    reasons = (
        cell.hole,
        f"at least; {cell.lower_bound}" if cell.lower_bound else "",
        f"lacks {list_seeds(row.lacking_seeds)}" if row.lacking_seeds else "",
        "over other data than other rows" if row.data else "",
        "a range over unlike configurations" if cell.range is not None else "",
    )
    return next(filter(None, reasons), "not measured as other rows are, or not over the seeds that they have")


def _place_row(row: Row, score: Cell, cost: Cell) -> TradePoint:
    return TradePoint(row, score, cost, apart=explain_apart(row, score) or explain_apart(row, cost))


def _known(table: Table) -> list[str]:
    return [name for name in table.names if any(row.cells[name].mean is not None for row in table.rows)]


def _mean(cell: Cell) -> float:
    assert cell.mean is not None
    return cell.mean
