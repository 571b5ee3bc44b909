"""Records to rows: one per method and data set, over seeds.

Trials that were not run under the same protocol (budget, batch size, device, precision, threads) are never averaged
or compared: each protocol is a table of its own. What else may spoil a comparison is said in notes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.report import notes
from harness.report.comparison import Beside, Judged
from harness.report.selecting import Chosen, Criterion, Selection, choose
from harness.report.values import (
    TO_TARGET,
    Target,
    Value,
    base_name,
    known,
    lower_bound,
    measured,
    target_metric,
    value,
)
from harness.statistics import Difference, estimate, paired_difference
from harness.types import Metric, Record

DEFAULT_COSTS = ("update_seconds", "activation_bytes", "forward_macs", "total_macs")


@dataclass(frozen=True)
class Cell:
    """One metric over the seeds of one row. hole: why values are missing. relative: to the table's first row.

    lower_bound: why the truth may be more than the mean; empty where it is exact.
    """

    mean: float | None
    sd: float | None
    n: int
    hole: str = ""
    relative: float | None = None
    best: bool = False
    lower_bound: str = ""


@dataclass(frozen=True)
class Against:
    """A score of a row less that of the table's first row, `method`, over the seeds that both have."""

    method: str
    metric: str
    difference: Difference


@dataclass(frozen=True)
class Row:
    """One method on one data set. n: trials that ended ok. failures: a line for each that did not.

    tried, selected_by: of how many configurations this one was chosen, by which validation score. against: the final
    headline score against the first row's, where at least two seeds can be paired.
    """

    method: str
    n: int
    seeds: tuple[int, ...]
    statuses: Mapping[str, int]
    cells: Mapping[str, Cell]
    failures: tuple[str, ...] = ()
    tried: int | None = None
    selected_by: str | None = None
    against: Against | None = None

    @property
    def choice(self) -> str:
        """`saf[rate=0.1]: chosen of 3 by nll@valid`; empty where nothing was chosen."""
        return f"{self.method}: chosen of {self.tried} by {self.selected_by}" if self.selected_by else ""


@dataclass(frozen=True)
class Table:
    """Rows that may be compared: one data set under one protocol.

    names: every metric that some record knows. columns: those worth showing where room is scarce.
    """

    dataset: str
    protocol: Mapping[str, Any]
    rows: tuple[Row, ...]
    names: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """All tables, the metrics of their cells by name (`accuracy@best` too), and notes on what to beware of.

    published, claims: what a suite says beside the tables.
    """

    tables: tuple[Table, ...]
    metrics: Mapping[str, Metric]
    notes: tuple[str, ...] = ()
    published: tuple[Beside, ...] = ()
    claims: tuple[Judged, ...] = ()


@dataclass(frozen=True)
class Asked:
    """What to tabulate: metrics by name, whether the user chose them, the validation score to reach."""

    shown: Mapping[str, Metric]
    chosen: bool
    target: float | None


def summarise(
    records: Sequence[Record],
    metrics: Sequence[Metric],
    *,
    columns: Sequence[str] | None = None,
    target: float | None = None,
    select: Criterion | None = None,
    items: Sequence[str] = (),
) -> Summary:
    """Group records into tables, in the order in which methods and data sets first appear.

    metrics: descriptors, in the order in which to show them. columns: names to show, with a suffix such as @best where
    wanted; by default all scores and the usual costs. target: validation score whose training time is
    `seconds_to_target`. select: the validation score that chooses one configuration of each sweep; items:
    further sweeps (see `selecting.choose`). Raises KeyError for a column that no metric describes.
    """
    described = {metric.name: metric for metric in metrics}
    names = _names(records, metrics) if columns is None else list(columns)
    if target is not None and TO_TARGET not in names:
        names.append(TO_TARGET)
    asked = Asked({name: described[base_name(name)] for name in names}, columns is not None, target)
    groups = [choose(group, select, items) for group in _grouped(records).values()]
    warnings = dict.fromkeys(
        note for group in groups for note in (*group.notes, *notes.collect(group.records, described))
    )
    return Summary(tuple(_table(group, metrics, asked) for group in groups), asked.shown, tuple(warnings))


def is_cost(metric: Metric) -> bool:
    """Costs are read by instruments, scores are computed from predictions."""
    return metric.compute is None


def protocol(record: Record) -> dict[str, Any]:
    """What must agree before numbers may be averaged or compared. GPUs of one machine count as one device."""
    trial = record.trial
    terms: dict[str, Any] = {
        "budget": str(trial.budget),
        "batch_size": trial.batch_size,
        "device": trial.device.partition(":")[0],
        "precision": trial.precision,
        "threads": trial.threads,
    }
    terms |= {"patience": trial.patience} if trial.patience is not None else {}
    return terms | ({"deterministic": True} if trial.deterministic else {})


def _grouped(records: Iterable[Record]) -> dict[tuple[Any, ...], list[Record]]:
    groups: dict[tuple[Any, ...], list[Record]] = {}
    datasets = list(dict.fromkeys(record.trial.dataset.label for record in records))
    for record in sorted(records, key=lambda record: datasets.index(record.trial.dataset.label)):
        groups.setdefault((record.trial.dataset.label, *protocol(record).items()), []).append(record)
    return groups


def _names(records: Iterable[Record], metrics: Iterable[Metric]) -> list[str]:
    """Every metric that some record knows, each followed by its views."""
    scored = list(dict.fromkeys(name for record in records for name in record.scores))
    names = []
    for metric in metrics:
        if any(known(record, metric.name) for record in records):
            names.append(metric.name)
        names += [name for name in scored if "@" in name and base_name(name) == metric.name]
    return names


def _table(selection: Selection, metrics: Sequence[Metric], asked: Asked) -> Table:
    records = selection.records
    compared = target_metric(records, metrics)
    target = Target(asked.target, compared) if asked.target is not None and compared else None
    by_method: dict[str, list[Record]] = {}
    for record in records:
        by_method.setdefault(record.trial.method.label, []).append(record)
    rows = [_row(method, group, asked.shown, target) for method, group in by_method.items()]
    rows = _compared([_labelled(row, selection.chosen.get(row.method)) for row in rows], asked.shown)
    rows = [replace(row, against=_against(row.method, by_method, asked.shown)) for row in rows]
    names = [name for name in asked.shown if _wanted(records, name, asked)]
    columns = tuple(names) if asked.chosen else _usual(names, asked)
    return Table(records[0].trial.dataset.label, protocol(records[0]), tuple(rows), tuple(names), columns)


def _wanted(records: Iterable[Record], name: str, asked: Asked) -> bool:
    to_target = name == TO_TARGET and asked.target is not None
    return asked.chosen or to_target or any(known(record, name) for record in records)


def _usual(names: Sequence[str], asked: Asked) -> tuple[str, ...]:
    """The final scores, the one that validation goes by with its best beside it, and the usual costs."""
    scores = [name for name in names if not is_cost(asked.shown[name]) and ("@" not in name or _at_best(name, asked))]
    costs = [name for name in DEFAULT_COSTS if name in names]
    return (*scores, *costs, *([TO_TARGET] if asked.target is not None else []))


def _at_best(name: str, asked: Asked) -> bool:
    return asked.shown[name].headline and name == f"{base_name(name)}@best"


def _row(method: str, records: Sequence[Record], shown: Mapping[str, Metric], target: Target | None) -> Row:
    by_seed = {record.trial.seed: record for record in records}  # the last record of a seed counts
    used = [by_seed[seed] for seed in sorted(by_seed)]
    good = [record for record in used if record.status == "ok"]
    cells = {
        name: replace(
            _cell([(record.trial.seed, value(record, name, metric, target)) for record in good]),
            lower_bound=next(filter(None, (lower_bound(record, name) for record in good)), ""),
        )
        for name, metric in shown.items()
    }
    statuses: Counter[str] = Counter(record.status for record in used)
    seeds = tuple(record.trial.seed for record in good)
    return Row(method, len(good), seeds, dict(statuses), cells, notes.failures(method, used))


def _labelled(row: Row, chosen: Chosen | None) -> Row:
    return row if chosen is None else replace(row, tried=chosen.tried, selected_by=chosen.by)


def _cell(values: Sequence[tuple[int, Value]]) -> Cell:
    """The estimate over seeds and, where some have no number, why, with the seeds unless it holds for all."""
    mean, sd, n = estimate([found.number for _, found in values if found.number is not None])
    missing: dict[str, list[int]] = {}
    for seed, found in values:
        if found.number is None:
            missing.setdefault(found.reason, []).append(seed)
    if not values:
        return Cell(None, None, 0, "no trial ended ok")
    whole = len(missing) == 1 and n == 0
    reasons = [reason if whole else f"{reason} ({notes.seeds(seeds)})" for reason, seeds in missing.items()]
    return Cell(mean, sd, n, "; ".join(reasons))


def _compared(rows: Sequence[Row], shown: Mapping[str, Metric]) -> list[Row]:
    """The rows with the best value of each metric marked and costs set against the first row's."""
    marked: list[dict[str, Cell]] = [{} for _ in rows]
    for name, metric in shown.items():
        column = [row.cells[name] for row in rows]
        first = column[0].mean if is_cost(metric) and len(rows) > 1 and not column[0].lower_bound else None
        best = _best(column, metric)
        for cells, cell in zip(marked, column, strict=True):
            is_best = best is not None and cell.mean == best and not (cell.hole or cell.lower_bound)
            relative = None if cell.lower_bound else _ratio(cell.mean, first)
            cells[name] = replace(cell, relative=relative, best=is_best)
    return [replace(row, cells=cells) for row, cells in zip(rows, marked, strict=True)]


def _against(method: str, by_method: Mapping[str, Sequence[Record]], shown: Mapping[str, Metric]) -> Against | None:
    first = next(iter(by_method))
    for name, metric in shown.items():
        if metric.headline and name == metric.name and method != first:
            difference = paired_difference(_by_seed(by_method[method], name), _by_seed(by_method[first], name))
            if difference.n > 1:
                return Against(first, name, difference)
    return None


def _by_seed(records: Iterable[Record], name: str) -> dict[int, float]:
    """The score of each seed's last record, where that ended ok; what is not finite counts for no pair."""
    last = {record.trial.seed: record for record in records}
    found = {seed: measured(record, name) for seed, record in last.items() if record.status == "ok"}
    return {seed: number for seed, number in found.items() if number is not None and math.isfinite(number)}


def _best(cells: Sequence[Cell], metric: Metric) -> float | None:
    """The best mean among rows that have a number for all of their trials; none where all rows agree."""
    means = [cell.mean for cell in cells if cell.mean is not None and not cell.hole]
    if len(set(means)) < 2:
        return None
    return max(means) if metric.better == "higher" else min(means)


def _ratio(mean: float | None, first: float | None) -> float | None:
    ratio = mean / first if mean is not None and first else math.nan
    return ratio if math.isfinite(ratio) else None
