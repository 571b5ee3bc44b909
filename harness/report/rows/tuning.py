"""The worth of a sweep: the best that validation expects of so many of its configurations, and their price."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from harness.records import grouping
from harness.report.rows.selecting import Choosing, Criterion
from harness.report.rows.sweeps import Sweep, find_sweeps
from harness.report.rows.values import read_measured
from harness.statistics.subsets import expect_best
from harness.types import Record
from harness.words import clean_line


class Step(NamedTuple):
    """Expected validation score of the best of k configurations, and the test score of that one: means over seeds.

    None where some choices of k hold none but such as ended without a score.
    """

    k: int
    valid: float | None
    test: float | None


@dataclass(frozen=True)
class Tuned:
    """One sweep. tried: configurations with a record; trials, seconds: all of their trials, and training them all."""

    label: str
    tried: int
    trials: int
    seconds: float
    seeds: tuple[int, ...]
    curve: tuple[Step, ...]


@dataclass(frozen=True)
class Tuning:
    """The sweeps of one table. by, test: the score that chooses, and the test score that goes with it."""

    dataset: str
    protocol: Mapping[str, Any]
    by: str
    test: str
    sweeps: tuple[Tuned, ...]


def weigh_sweeps(records: Iterable[Record], how: Choosing) -> list[Tuning]:
    """Weigh the sweeps of each table of what was not trained anew, by the score that chooses."""
    by = how.by
    if by is None:
        return []
    groups = [group for group in grouping.group_tables(records) if not group[0].trial.refit]
    return [
        Tuning(
            clean_line(group[0].trial.dataset.label),
            grouping.trial_protocol(group[0].trial),
            by.name,
            _name_test(by),
            tuple(_weigh_sweep(sweep, by) for sweep in find_sweeps(group, how.items, how.apart)),
        )
        for group in groups
    ]


def _name_test(by: Criterion) -> str:
    return f"{by.metric.name}@best" if by.view == "valid-best" else by.metric.name


def _weigh_sweep(sweep: Sweep, by: Criterion) -> Tuned:
    every = sweep.all_records()
    several = [grouping.by_seed(records) for records in sweep.records.values()]
    seeds = sorted({seed for own in several for seed in own})
    trials = [[own[seed] for own in several if seed in own] for seed in seeds]  # each seed chooses for itself
    pools = [[_read_pair([each], by) for each in own] for own in trials]
    if by.jointly:  # one choice for all seeds, of the configurations that all seeds have
        pools = [[_read_pair(list(own.values()), by) for own in several if own.keys() == set(seeds)]]
    most = min((len(pool) for pool in pools), default=0)
    curve = tuple(_take_step(k, pools, by.sign) for k in range(1, most + 1))
    seconds = math.fsum(read_measured(each, "train_seconds") or 0.0 for each in every)
    return Tuned(clean_line(sweep.label), len(sweep.records), len(every), seconds, tuple(seeds), curve)


def _read_pair(records: Sequence[Record], by: Criterion) -> tuple[float, float] | None:
    """Read the mean validation and test score; None where a trial has no such score."""
    good = all(each.status == "ok" for each in records)
    pairs = [[each.scores.get(name, math.nan) for name in (by.name, _name_test(by))] for each in records]
    means = [math.fsum(values) / len(pairs) for values in zip(*pairs, strict=True)]
    return (means[0], means[1]) if good and all(map(math.isfinite, means)) else None


def _take_step(k: int, pools: Sequence[Sequence[tuple[float, float] | None]], sign: int) -> Step:
    expected = []
    for pool in pools:
        best_first = sorted((pair for pair in pool if pair is not None), key=lambda pair: -sign * pair[0])
        expected.append([expect_best([pair[part] for pair in best_first], len(pool), k) for part in (0, 1)])
    valid, test = ([value for value in values if value is not None] for values in zip(*expected, strict=True))
    if len(valid) < len(pools):
        return Step(k, None, None)
    return Step(k, math.fsum(valid) / len(valid), math.fsum(test) / len(test))
