"""What a report is made of: cells, rows and tables; one row per method and data set, over seeds.

Trials that were not run under the same protocol (budget, batch size, device, precision, threads) are never averaged
or compared: each protocol is a table of its own. What else may spoil a comparison is said in notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.report.comparison import Beside, Judged
from harness.statistics import Difference
from harness.types import Metric


@dataclass(frozen=True)
class Cell:
    """One metric over the seeds of one row. hole: why values are missing. relative: to the table's first row.

    lower_bound: why the truth may be more than the mean; empty where it is exact. rival: whether it may be compared
    with the other rows' cells, being of all their seeds and their data. exact: a count, the same in all seeds.
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

    tried, selected_by: of how many configurations this one was chosen, by which validation score. against: the final
    headline score against the first row's, where at least two seeds can be paired. planned: the seeds that the row
    should have, by the plans of its runs, or those of its whole table where there is no plan. unrecorded: of the seeds
    in its plans, those without a record.
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
    planned: tuple[int, ...] = ()
    unrecorded: tuple[int, ...] = ()

    @property
    def lacking(self) -> tuple[int, ...]:
        """Planned seeds of which no trial ended ok."""
        return tuple(seed for seed in self.planned if seed not in self.seeds)

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


def is_cost(metric: Metric) -> bool:
    """Costs have a ratio to the first row's and a prefix of their unit."""
    return metric.measures == "cost"
