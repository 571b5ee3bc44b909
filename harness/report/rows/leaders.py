"""The leader of a table on one quantity, and those that it can be told apart from over the seeds that both have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.report.rows.table import Row, Table
from harness.statistics import Difference, paired_difference
from harness.types import Metric


@dataclass(frozen=True)
class Lead:
    """A row with the best mean among those that may be compared, the next one, and how far it is.

    difference: the leader's value less the next one's, paired by seed; None where no seed is common or times are
    shares. alike: rows whose difference from the leader may be chance, apart: the others. exact: counts, which no
    chance decides.
    """

    metric: str
    row: Row
    next: Row
    difference: Difference | None
    alike: tuple[Row, ...]
    apart: tuple[Row, ...]
    exact: bool = False


def find_lead(table: Table, name: str, metrics: Mapping[str, Metric]) -> Lead | None:
    """Find who leads on a metric; None where fewer than two rows may be compared, or no value is the best."""
    metric = metrics[name]
    rivals = [row for row in table.rows if row.cells[name].rival and not row.cells[name].lower_bound]
    if metric.better == "neither" or len(rivals) < 2:
        return None
    sign = -1 if metric.better == "higher" else 1
    first, *others = sorted(rivals, key=lambda row: sign * (row.cells[name].mean or 0.0))
    exact = all(row.cells[name].exact for row in rivals)
    told = [_are_apart(first, row, name, exact) for row in others]
    alike, apart = (
        tuple(row for row, each in zip(others, told, strict=True) if each is side) for side in (False, True)
    )
    return Lead(name, first, others[0], _subtract(first, others[0], name), alike, apart, exact)


def _are_apart(left: Row, right: Row, name: str, exact: bool) -> bool:
    if exact:
        return left.cells[name].mean != right.cells[name].mean
    found = _subtract(left, right, name)
    if found is None or found.low is None or found.high is None:
        return False
    return found.low > 0 or found.high < 0


def _subtract(left: Row, right: Row, name: str) -> Difference | None:
    ours, theirs = left.cells[name], right.cells[name]
    if any(cell.sd is None and cell.n > 1 for cell in (ours, theirs)):
        return None
    found = paired_difference(ours.values, theirs.values)
    return found if found.n else None
