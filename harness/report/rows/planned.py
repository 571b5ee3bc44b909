"""The plans of the runs of a results folder, held against the records that are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from harness.records.grouping import Place, trial_place
from harness.records.plans import Planned
from harness.types import Record
from harness.words import cap_texts, list_seeds


class Plan:
    """Seeds by table and method."""

    def __init__(self, planned: Iterable[Planned] = ()) -> None:
        self._seeds: dict[Place, dict[str, frozenset[int]]] = {}
        for row in planned:
            where = (row.dataset, tuple(sorted(row.protocol.items())))
            self._seeds.setdefault(where, {})[row.method] = frozenset(row.keys)

    def merge_members(self, members: Mapping[str, Sequence[str]]) -> Plan:
        """This plan with the seeds of rows, by label, that stand for several methods: those of all of them."""
        plan = Plan()
        for where, rows in self._seeds.items():
            joined = {row: frozenset().union(*(rows.get(each, ()) for each in own)) for row, own in members.items()}
            plan._seeds[where] = {**rows, **{row: seeds for row, seeds in joined.items() if seeds}}
        return plan

    def planned_for(self, record: Record) -> frozenset[int]:
        """The seeds planned for the row of the record; none where no plan names it."""
        return self._find_rows(record).get(record.trial.method.label, frozenset())

    def expect_seeds(self, own: Sequence[Record], table: Iterable[Record]) -> frozenset[int]:
        """The seeds that a row should have: those of its plans, or of its whole table without one, and its own."""
        stated = self.planned_for(own[0]) or frozenset(record.trial.seed for record in table)
        return stated | {record.trial.seed for record in own}

    def note_missing(self, records: Iterable[Record]) -> Iterator[str]:
        """Note planned trials without a record: `planned, no record: saf seed 2`."""
        held: dict[tuple[Place, str], set[int]] = {}
        for record in records:
            held.setdefault((trial_place(record.trial), record.trial.method.label), set()).add(record.trial.seed)
        missing = [
            f"{method}{_name_place(where, self._seeds)} {list_seeds(sorted(left))}"
            for where, rows in self._seeds.items()
            for method, seeds in rows.items()
            if (left := seeds - held.get((where, method), set()))
        ]
        if missing:
            yield f"planned, no record: {'; '.join(cap_texts(missing))}"

    def _find_rows(self, record: Record) -> Mapping[str, frozenset[int]]:
        return self._seeds.get(trial_place(record.trial), {})


def _name_place(own: Place, places: Mapping[Place, object]) -> str:
    """The data set, and the budget if several tables are of it; nothing where there is one table."""
    if len(places) == 1:
        return ""
    dataset, terms = own
    several = sum(each[0] == dataset for each in places) > 1
    if not several:
        return f" on {dataset}"
    known = dict(terms)
    return f" on {dataset}, {known.get('budget')},{' trained anew,' if known.get('refit') else ''}"
