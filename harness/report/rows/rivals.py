"""Rows held against each other: the best of each column, costs relative to the first row, scores paired by seed.

Only what may be compared is: means over all seeds that the table should have, of the same data. A mean over survivors,
or over other seeds than its rivals', is never the best.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from harness.records.grouping import by_seed
from harness.report.rows import sameness
from harness.report.rows.table import Against, Cell, Row, is_cost
from harness.report.rows.timing import are_unlike_shares
from harness.report.rows.values import read_measured
from harness.statistics import paired_difference
from harness.types import Metric, Record

Groups = Mapping[str, Sequence[Record]]


def compare_rows(rows: Sequence[Row], groups: Groups, shown: Mapping[str, Metric]) -> list[Row]:
    """The rows with the best value of each metric marked, costs set against the first row's, and scores paired with it.

    groups: the records of each row, by its method.
    """
    seeds = {seed for row in rows if row.n for seed in row.planned}
    classes = sameness.group_alike(range(len(rows)), lambda place: groups[rows[place].method])
    marked: list[dict[str, Cell]] = [{} for _ in rows]
    for name, metric in shown.items():
        apart = are_unlike_shares(name, [record for row in rows for record in groups[row.method]])
        column = [_mark_rival(row.cells[name], seeds, len(classes) == 1 and not apart) for row in rows]
        best = _find_best_mean(column, metric)
        for place, cell in enumerate(column):
            has_ratio = is_cost(metric) and len(rows) > 1 and place in classes[0] and not apart
            relative = _divide_by_first(cell, column[0], len(seeds)) if has_ratio else None
            marked[place][name] = replace(cell, relative=relative, best=best is not None and _is_best(cell, best))
    paired = [_pair_with_first(row, rows[0], groups, shown) if n in classes[0] else None for n, row in enumerate(rows)]
    data = {place: number for number, own in enumerate(classes, 1) for place in own if len(classes) > 1}
    changed = enumerate(zip(rows, marked, paired, strict=True))
    return [replace(row, cells=cells, against=pair, data=data.get(n, 0)) for n, (row, cells, pair) in changed]


def _mark_rival(cell: Cell, seeds: Collection[int], same_data: bool) -> Cell:
    whole = cell.covers == len(seeds) and cell.mean is not None and cell.range is None
    return replace(cell, rival=whole and same_data and not cell.hole)


def _is_best(cell: Cell, best: float) -> bool:
    return cell.rival and cell.mean == best and not cell.lower_bound


def _find_best_mean(cells: Iterable[Cell], metric: Metric) -> float | None:
    """The best mean among the rivals; none where none can be, all agree, or one may be higher than is known."""
    rivals = [(cell.mean, cell.lower_bound) for cell in cells if cell.rival and cell.mean is not None]
    means = [mean for mean, _ in rivals]
    if (
        metric.better == "neither"
        or len(set(means)) < 2
        or (metric.better == "higher" and any(bound for _, bound in rivals))
    ):
        return None
    return max(means) if metric.better == "higher" else min(means)


def _divide_by_first(cell: Cell, first: Cell, seeds: int) -> float | None:
    """The ratio to the first row's mean, if both are over all seeds; counts are the same in any. None below zero, and
    where a mean is over unlike configurations.
    """
    whole = all(each.range is None and (each.exact or each.covers == seeds) for each in (cell, first))
    if not whole or cell.lower_bound or first.lower_bound or cell.mean is None or not first.mean:
        return None
    ratio = cell.mean / first.mean
    return ratio if math.isfinite(ratio) and min(cell.mean, first.mean) >= 0 else None


def _pair_with_first(row: Row, first: Row, groups: Groups, shown: Mapping[str, Metric]) -> Against | None:
    for name, metric in shown.items():
        if metric.headline and name == metric.name and row is not first:
            ours, theirs = (_read_by_seed(groups[each.method], name) for each in (row, first))
            difference = paired_difference(ours, theirs)
            if difference.n > 1:
                seeds = tuple(sorted(seed for seed in ours if seed in theirs))
                lacking = sorted({*row.planned, *first.planned} - {*seeds})
                return Against(first.method, name, difference, seeds, tuple(lacking))
    return None


def _read_by_seed(records: Iterable[Record], name: str) -> dict[int, float]:
    """The score of each seed's last record, where that ended ok; what is not finite counts for no pair."""
    last = by_seed(records)
    found = {seed: read_measured(record, name) for seed, record in last.items() if record.status == "ok"}
    return {seed: number for seed, number in found.items() if number is not None and math.isfinite(number)}
