"""Records as reports group them: what may be compared together, the rows of that, and which record of a seed counts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from harness.types import Record, Trial

Place: TypeAlias = tuple[str, tuple[tuple[str, Any], ...]]  # a data set under a protocol: one table


def list_lineage(trial: Trial) -> list[Trial]:
    """The trial that was trained under the terms of the run, and those with epochs of their own that followed it."""
    found = [trial]
    while found[0].own_epochs and found[0].base is not None:
        found.insert(0, found[0].base)
    return found


def describe_budget(trial: Trial) -> str:
    """`20 epochs, then 10` of a trial that goes on for 10 epochs of its own from one that was trained for 20."""
    first, *later = (each.terms.budget for each in list_lineage(trial))
    parts = [f"{each.amount:g}" if each.unit == first.unit else str(each) for each in later]
    return ", then ".join([str(first), *parts])


def trial_protocol(trial: Trial) -> dict[str, Any]:
    """The terms of the run, which must agree before numbers may be averaged or compared."""
    return list_lineage(trial)[0].terms.protocol() | ({"refit": True} if trial.refit else {})


def trial_place(trial: Trial) -> Place:
    """Where a trial stands: records of one place are of one table."""
    return trial.dataset.label, tuple(sorted(trial_protocol(trial).items()))


def group_tables(records: Iterable[Record]) -> list[list[Record]]:
    """The records of each place, data sets together and in the order in which they first appear."""
    groups: dict[Place, list[Record]] = {}
    for record in records:
        groups.setdefault(trial_place(record.trial), []).append(record)
    datasets = list(dict.fromkeys(dataset for dataset, _ in groups))
    return sorted(groups.values(), key=lambda group: datasets.index(group[0].trial.dataset.label))


def group_rows(records: Iterable[Record]) -> dict[str, list[Record]]:
    """The records of each method by its label, in the order in which they first appear."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.trial.method.label, []).append(record)
    return groups


def by_seed(records: Iterable[Record]) -> dict[int, Record]:
    """The record of each seed that counts, the last one, in the order of the seeds."""
    last = {record.trial.seed: record for record in records}
    return {seed: last[seed] for seed in sorted(last)}
