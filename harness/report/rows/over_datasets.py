"""Methods over several data sets under one protocol: ranks, profiles of costs, and the headline where it is scaled."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from harness.report.rows.table import Row, Table, find_headline, is_cost
from harness.statistics.ranks import (
    Ranking,
    interquartile_mean,
    probability_of_improvement,
    profile_performance,
    rank_methods,
)
from harness.types import Metric

RATIOS = (1.0, 1.1, 1.25, 1.5, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class OverDatasets:
    """Methods by their headline on each of several data sets, all seeds of them.

    headlines: by data set. middle: interquartile means over runs and data sets, scaled so that on each the worst of
    these methods has the mean 0 and the best 1. improvements: the chance that a run of the left is better than one of
    the right. profiles: by cost, the share of data sets on which each method needs at most RATIOS times the least.
    left_out: methods without a headline over all seeds on some data set.
    """

    protocol: Mapping[str, Any]
    headlines: Mapping[str, str]
    methods: tuple[str, ...]
    ranking: Ranking
    middle: tuple[float, ...]
    improvements: tuple[tuple[str, str, float], ...]
    profiles: Mapping[str, tuple[tuple[float, ...], ...]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def compare_over_datasets(
    tables: Sequence[Table], metrics: Mapping[str, Metric], all_pairs: bool = False
) -> list[OverDatasets]:
    """Compare the methods of tables that differ in their data set alone, where three are on two or more of them."""
    groups: dict[str, list[Table]] = {}
    for table in tables:
        groups.setdefault(repr(sorted(table.protocol.items())), []).append(table)
    return [found for own in groups.values() if (found := _compare_group(own, metrics, all_pairs)) is not None]


def _compare_group(tables: Sequence[Table], metrics: Mapping[str, Metric], all_pairs: bool) -> OverDatasets | None:
    headed = [(table, name) for table in tables if (name := find_headline(table, metrics)) is not None]
    known = [{row.method: row for row in table.rows if row.cells[name].rival} for table, name in headed]
    every = dict.fromkeys(row.method for table, _ in headed for row in table.rows if row.n)
    methods = [method for method in every if all(method in rows for rows in known)]
    if len(headed) < 2 or len(methods) < 3:
        return None
    runs = [  # data sets, methods, seeds: the larger the better
        [_read_runs(rows[method], name, metrics[name]) for method in methods]
        for (_, name), rows in zip(headed, known, strict=True)
    ]
    pairs = combinations(range(len(methods)), 2) if all_pairs else ((0, place) for place in range(1, len(methods)))
    scaled = [_scale_runs(own) for own in runs]
    return OverDatasets(
        tables[0].protocol,
        {table.dataset: name for table, name in headed},
        tuple(methods),
        rank_methods(np.array([[_average(values) for values in own] for own in runs])),
        tuple(interquartile_mean([v for own in scaled for v in own[place]]) for place in range(len(methods))),
        tuple(
            (methods[b], methods[a], probability_of_improvement([own[b] for own in runs], [own[a] for own in runs]))
            for a, b in pairs
        ),
        dict(_profile_costs([table for table, _ in headed], methods, metrics)),
        tuple(method for method in every if method not in methods),
    )


def _read_runs(row: Row, name: str, metric: Metric) -> list[float]:
    sign = 1 if metric.better == "higher" else -1
    return [sign * value for value in row.cells[name].values.values()]


def _average(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _scale_runs(runs: Sequence[Sequence[float]]) -> list[list[float]]:
    means = [_average(values) for values in runs]
    worst, span = min(means), max(means) - min(means)
    return [[(value - worst) / (span or 1.0) for value in values] for values in runs]


def _profile_costs(
    tables: Sequence[Table], methods: Sequence[str], metrics: Mapping[str, Metric]
) -> Iterator[tuple[str, tuple[tuple[float, ...], ...]]]:
    """Yield the costs that all tables show, of which none may be more than is known; a method without one failed."""
    for name in (each for each in tables[0].columns if is_cost(metrics[each])):
        if not all(name in table.columns for table in tables):
            continue
        rows = [{row.method: row.cells[name] for row in table.rows} for table in tables]
        cells = [[own[method] for method in methods] for own in rows]
        costs = np.array([[c.mean if c.rival and c.mean is not None else math.inf for c in own] for own in cells])
        bounded = any(cell.lower_bound for own in cells for cell in own)
        if not bounded and (costs > 0).all() and np.isfinite(costs.min(1)).all():
            yield name, tuple(map(tuple, profile_performance(costs, RATIOS).T.tolist()))
