"""Cells, rows and tables of a report; one row per method and data set, over seeds.

Trials that were not run under the same protocol (budget, batch size, device, precision, threads) are never averaged
or compared: each protocol is a table of its own. What else may spoil a comparison is said in notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.report.rows.comparison import Beside, Judged
from harness.statistics import Difference, compute_interval
from harness.types import Metric, Record
from harness.words import list_seeds


@dataclass(frozen=True)
class Cell:
    """One metric over the seeds of one row. hole: why values are missing. relative: to the table's first row.

    lower_bound: why the truth may be more than the mean; empty where it is exact. rival: whether it may be compared
    with the other rows' cells, being of all their seeds and their data. exact: a count, the same in all seeds.
    range: smallest and largest value, where the seeds were given unlike configurations, so that a deviation over them
    would say nothing of chance: such a cell is no rival.
    sd: None of one seed, and where seeds have shares of one measurement.
    n: seeds in which it was measured. taken: seeds that took it over from these. covers: seeds with either.
    values: by the seed in which it was measured.
    """

    mean: float | None
    sd: float | None
    n: int
    hole: str = ""
    relative: float | None = None
    best: bool = False
    lower_bound: str = ""
    rival: bool = False
    exact: bool = False
    range: tuple[float, float] | None = None
    taken: tuple[int, ...] = ()
    covers: int = 0
    values: Mapping[int, float] = field(default_factory=dict)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean; None where the cell has no deviation, or its values are all equal."""
        return None if self.sd is None else compute_interval(list(self.values.values()))

    @property
    def carried_over(self) -> str:
        """`n=2, carried over (seed 2)` where seeds took it over, which needs no word in the cell; empty elsewhere."""
        return f"n={self.n}, carried over ({list_seeds(self.taken)})" if self.taken else ""


@dataclass(frozen=True)
class Against:
    """A score of a row less that of the table's first row, `method`, over the `seeds` that both have.

    lacking: seeds that one of them should have and has not.
    """

    method: str
    metric: str
    difference: Difference
    seeds: tuple[int, ...] = ()
    lacking: tuple[int, ...] = ()


@dataclass(frozen=True)
class Row:
    """One method on one data set. n: trials that ended ok. failures: a line for each that did not.

    tried, selected_by: of how many configurations this one was chosen, by which validation score; times: for how many
    seeds each, by what tells it from the others, where each seed chose for itself. against: the final
    headline score against the first row's, where at least two seeds can be paired. planned: the seeds that the row
    should have, by the plans of its runs, or those of its whole table where there is no plan. unrecorded: of the seeds
    in its plans, those without a record. data: a number, the same for rows of its table that are of the
    same data; 0 where all are. records: those that it stands for, one for each seed, whatever became of them; their
    texts are as they were written, for a format to clean.
    """

    method: str
    n: int
    seeds: tuple[int, ...]
    statuses: Mapping[str, int]
    cells: Mapping[str, Cell]
    failures: tuple[str, ...] = ()
    tried: int | None = None
    selected_by: str | None = None
    times: Mapping[str, int] = field(default_factory=dict)
    against: Against | None = None
    planned: tuple[int, ...] = ()
    unrecorded: tuple[int, ...] = ()
    data: int = 0
    records: tuple[Record, ...] = field(default=(), repr=False)

    @property
    def lacking_seeds(self) -> tuple[int, ...]:
        """Planned seeds of which no trial ended ok."""
        return tuple(seed for seed in self.planned if seed not in self.seeds)

    @property
    def choice(self) -> str:
        """`saf[rate=[0.1,0.3]]: chosen of 2 by nll@valid for each seed: rate=0.3 2x, rate=0.1 1x`.

        `saf[rate=0.1]: chosen of 3 by nll@valid` where one was chosen for all seeds; empty where there was no choice.
        """
        if not self.selected_by or self.tried == 1:
            return ""
        said = f"{self.method}: chosen of {self.tried} by {self.selected_by}"
        times = (f"{what} {count}x" for what, count in sorted(self.times.items(), key=lambda each: -each[1]))
        return f"{said} for each seed: {', '.join(times)}" if self.times else said


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

    published, claims: what a suite says beside the tables. standing: the records of rows that stand for several
    methods, under the rows' labels; members: the labels of those methods. citations: of methods and data sets by name.
    logs: what trials that did not end ok printed last, by their keys.
    """

    tables: tuple[Table, ...]
    metrics: Mapping[str, Metric]
    notes: tuple[str, ...] = ()
    published: tuple[Beside, ...] = ()
    claims: tuple[Judged, ...] = ()
    standing: tuple[Record, ...] = ()
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    citations: Mapping[str, str] = field(default_factory=dict)
    logs: Mapping[str, str] = field(default_factory=dict)


def find_headline(table: Table, metrics: Mapping[str, Metric]) -> str | None:
    """Find the final score that decides in a table; none where it was not asked for, or no row has it."""
    named = (name for name in table.names if metrics[name].headline and name == metrics[name].name)
    return next((name for name in named if any(row.cells[name].mean is not None for row in table.rows)), None)


def is_cost(metric: Metric) -> bool:
    """Costs have a ratio to the first row's and a prefix of their unit."""
    return metric.measures == "cost"
