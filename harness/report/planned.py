"""What the runs of a results folder meant to run, held against the records that are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from harness.records import plans
from harness.records.plans import Planned
from harness.report import mixing, notes
from harness.types import Record

Place: TypeAlias = tuple[str, tuple[tuple[str, Any], ...]]  # a data set under a protocol: one table


class Plan:
    """Seeds by table and method."""

    def __init__(self, planned: Iterable[Planned] = ()) -> None:
        self._seeds: dict[Place, dict[str, frozenset[int]]] = {}
        for row in planned:
            place = _place(row.dataset, row.protocol)
            self._seeds.setdefault(place, {})[row.method] = frozenset(row.keys)

    def seeds(self, record: Record) -> frozenset[int]:
        """Those that were planned for the row of the record; none where no plan names it."""
        return self._of(record).get(record.trial.method.label, frozenset())

    def expected(self, own: Sequence[Record], table: Iterable[Record]) -> frozenset[int]:
        """The seeds that a row should have: those of its plans, or of its whole table without one, and its own."""
        stated = self.seeds(own[0]) or frozenset(record.trial.seed for record in table)
        return stated | {record.trial.seed for record in own}

    def notes(self, records: Iterable[Record]) -> Iterator[str]:
        """What was planned and has no record: `planned, no record: saf seed 2`."""
        held: dict[tuple[Place, str], set[int]] = {}
        for record in records:
            place = _place(record.trial.dataset.label, plans.protocol(record.trial))
            held.setdefault((place, record.trial.method.label), set()).add(record.trial.seed)
        missing = [
            f"{method}{_where(place, self._seeds)} {notes.seeds(sorted(left))}"
            for place, rows in self._seeds.items()
            for method, seeds in rows.items()
            if (left := seeds - held.get((place, method), set()))
        ]
        if missing:
            yield f"planned, no record: {'; '.join(mixing.first(missing))}"

    def _of(self, record: Record) -> Mapping[str, frozenset[int]]:
        return self._seeds.get(_place(record.trial.dataset.label, plans.protocol(record.trial)), {})


def _place(dataset: str, protocol: Mapping[str, Any]) -> Place:
    return dataset, tuple(sorted(protocol.items()))


def _where(place: Place, places: Mapping[Place, object]) -> str:
    """The data set, and the budget if several tables are of it; nothing where there is one table."""
    if len(places) == 1:
        return ""
    dataset, terms = place
    several = sum(each[0] == dataset for each in places) > 1
    return f" on {dataset}" + (f", {dict(terms).get('budget')}," if several else "")
