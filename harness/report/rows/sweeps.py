"""Sweeps to choose from: configurations of one method that one item of --methods stood for.

Sweeps that share a configuration are one. Options that a method says are rows of their own (`Method.row_options`) are
never chosen from: their values part a sweep.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from harness.errors import UsageError
from harness.selections import expansion, matching, selection
from harness.selections.grammar import format_literal
from harness.types import Choice, Record
from harness.types.running import Sweep as Swept

# Name, provider, and the values of all options, as texts; of one that has no record, of those that were given.
Configuration: TypeAlias = tuple[str, str | None, frozenset[tuple[str, str]]]
Given: TypeAlias = Mapping[str, Any]
Held: TypeAlias = Mapping[Configuration, Choice]  # those with records


@dataclass(frozen=True)
class Sweep:
    """Configurations of one method: all that it was given, and the records of those that have some."""

    given: tuple[Configuration, ...]
    records: Mapping[Configuration, Sequence[Record]]
    label: str

    def all_records(self) -> list[Record]:
        """The records of all configurations."""
        return [record for records in self.records.values() for record in records]

    def labels(self) -> tuple[str, ...]:
        """The labels of the configurations that have records."""
        return tuple(records[0].trial.method.label for records in self.records.values())

    def tell_apart(self, configuration: Configuration) -> str:
        """Tell a configuration from the others by its values, as in `rate=0.1,tau=0.2`."""
        several = [_merge(records[0].trial.method) for records in self.records.values()]
        own = self.records[configuration][0].trial.method
        values = _merge(own)
        differing = (name for name in values if len({_spell(each.get(name)) for each in several}) > 1)
        return ",".join(f"{name}={format_literal(values[name])}" for name in differing) or own.label


def find_sweeps(records: Iterable[Record], items: Iterable[str], apart: Mapping[str, Sequence[str]]) -> list[Sweep]:
    """The sweeps of which there is a record, in the order of their first one.

    items: selections that make a sweep of what may have been run one by one; what they name is of no other sweep that
    it was once run in, but for `saf[*]`. apart: by method, the options whose values part a sweep.
    """
    held: dict[Configuration, list[Record]] = {}
    for record in records:
        held.setdefault(_read_configuration(record.trial.method), []).append(record)
    choices = {each: own[0].trial.method for each, own in held.items()}
    asked = [item for text in items for item in _parse_items(text, choices)]
    named = {each for item in asked if not item.open for each in item.given}
    others = [own for each, own in held.items() if each not in named]
    swept = [record.trial.method for own in others for record in own if record.trial.method.sweep]
    distinct = {(_read_provider(each), repr(each.sweep), each.name): each for each in swept}
    every = [*(_Item.make(each, choices) for each in distinct.values()), *asked]
    merged = _merge_sets([*((each,) for each in held), *(item.given for item in every)])
    parts = [part for given in merged for part in _part_configurations(given, apart.get(given[0][0], ()))]
    return [_make_sweep(given, held, every) for given in parts if not held.keys().isdisjoint(given)]


@dataclass(frozen=True)
class _Item:
    """An item of a selection: what it stands for, and how that is written. open: `saf[*]`, for whatever there is."""

    given: tuple[Configuration, ...]
    name: str
    provider: str | None
    sweep: Swept
    open: bool = False

    @classmethod
    def make(cls, choice: Choice, held: Held) -> _Item:
        """The item that selected a choice."""
        name, provider = choice.name, _read_provider(choice)
        return cls(_find(name, provider, expansion.combine_sweep(choice.sweep), held), name, provider, choice.sweep)

    def restrict_to(self, given: tuple[Configuration, ...], held: Held) -> _Item:
        """The part of it whose values these configurations have."""
        values = {pair for _, _, options in given for pair in options}
        sweep = tuple(
            (names, tuple(row for row in rows if values.issuperset(zip(names, map(_spell, row), strict=True))))
            for names, rows in self.sweep
        )
        return _Item(
            _find(self.name, self.provider, expansion.combine_sweep(sweep), held), self.name, self.provider, sweep
        )


def _make_sweep(
    given: tuple[Configuration, ...], held: Mapping[Configuration, Sequence[Record]], every: list[_Item]
) -> Sweep:
    own = {each: held[each] for each in held if each in given}
    choices = {each: records[0].trial.method for each, records in own.items()}
    first = next(iter(choices.values()))
    if len(given) == 1:
        return Sweep(given, own, first.label)
    items = [
        part
        for item in every
        for part in (item, item.restrict_to(given, choices))
        if item.sweep and set(part.given) == set(given)
    ]
    sweep = items[0].sweep if items else _couple_choices(list(choices.values()))
    return Sweep(given, own, expansion.format_item(replace(first, sweep=sweep)))


def _couple_choices(choices: Sequence[Choice]) -> Swept:
    """Couple choices that no single item stood for: shared options first, then the others as one group."""
    several = [_merge(choice) for choice in choices]
    names = list(dict.fromkeys(name for values in several for name in values))
    differing = tuple(each for each in names if len({_spell(values.get(each)) for values in several}) > 1)
    shared = (each for each in names if each not in differing and any(each in choice.given for choice in choices))
    rows = tuple(tuple(values.get(each) for each in differing) for values in several)
    return (*(((each,), ((several[0][each],),)) for each in shared), (differing, rows))


def _part_configurations(given: tuple[Configuration, ...], names: Sequence[str]) -> list[tuple[Configuration, ...]]:
    """Configurations apart by the values of these options."""
    parts: dict[tuple[str | None, ...], list[Configuration]] = {}
    for each in given:
        options = dict(each[2])
        parts.setdefault(tuple(options.get(name) for name in names), []).append(each)
    return [tuple(part) for part in parts.values()]


def _merge_sets(sets: Iterable[tuple[Configuration, ...]]) -> list[tuple[Configuration, ...]]:
    """Sets that share a configuration, joined at the place of the first of them."""
    merged: list[tuple[Configuration, ...]] = []
    for own in sets:
        shared = [other for other in merged if not set(own).isdisjoint(other)]
        joined = tuple(dict.fromkeys(each for part in (*shared, own) for each in part))
        place = merged.index(shared[0]) if shared else len(merged)
        merged = [other for other in merged if other not in shared]
        merged.insert(place, joined)
    return merged


# --- configurations -----------------------------------------------------------------------------------------------


def _read_configuration(choice: Choice) -> Configuration:
    return choice.name, _read_provider(choice), _spell_all(_merge(choice))


def _merge(choice: Choice) -> Given:
    """Merge the options of a choice: defaults, and values of the data set's recipe."""
    return {**choice.options, **choice.given}


def _read_provider(choice: Choice) -> str | None:
    """The provider of a choice as it was written: a suite leaves its own out."""
    return choice.label.partition("[")[0].rpartition(":")[0] or None


def _parse_items(text: str, held: Held) -> list[_Item]:
    """The items of a selection that stand for several configurations; none for a text that is no selection."""
    try:
        items = [each for each in selection.parse(text, "--methods", every=True) if each.name != "*"]
    except UsageError:
        return []
    return [_find_every(each, held) if each.every else _make_item(each, held) for each in items]


def _find_every(selected: selection.Selected, held: Held) -> _Item:
    """Find the configurations of `saf[*]`: all that have a record."""
    known = list(held)
    given = tuple(known[place] for place in matching.Index(held.values()).find_places(selected))
    return _Item(given, selected.name, selected.provider, (), open=True)


def _make_item(selected: selection.Selected, held: Held) -> _Item:
    """Make an item with its values as the records have them: 1000 is 1000.0 where the option is a float."""
    found = _find(selected.name, selected.provider, expansion.list_combinations(selected), held)
    written = {
        (name, _spell(value)): value for each in found if each in held for name, value in _merge(held[each]).items()
    }
    sweep = tuple(
        (names, tuple(tuple(written.get((n, _spell(v)), v) for n, v in zip(names, row, strict=True)) for row in rows))
        for names, rows in selected.sweeps
    )
    return _Item(found, selected.name, selected.provider, sweep)


def _find(name: str, provider: str | None, several: Iterable[Given], held: Held) -> tuple[Configuration, ...]:
    """Find the configurations of given values: those with a record, and of the others what was given of them."""
    alike = {each: choice for each, choice in held.items() if each[0] == name and each[1] in (None, provider)}
    found = (next((each for each, choice in alike.items() if _fits(choice, given)), None) or given for given in several)
    return tuple(each if isinstance(each, tuple) else (name, provider, _spell_all(each)) for each in found)


def _fits(choice: Choice, given: Given) -> bool:
    """Whether these are the values of a choice, which has its defaults for whatever else there is."""
    values = _merge(choice)
    same = all(name in values and _spell(values[name]) == _spell(value) for name, value in given.items())
    return same and choice.given.keys() <= given.keys()


def _spell_all(options: Given) -> frozenset[tuple[str, str]]:
    return frozenset((name, _spell(value)) for name, value in options.items())


def _spell(value: object) -> str:
    """A value as it is compared: 1000 was written for a parameter that is 1000.0 in the record."""
    if isinstance(value, (tuple, list)):
        return f"({','.join(map(_spell, value))})"
    return repr(float(value)) if type(value) is int and abs(value) < 2**53 else format_literal(value)
