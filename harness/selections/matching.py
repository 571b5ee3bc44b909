"""Methods (or data sets) that have records, matched with a selection.

`saf` is the plain one, without options; `saf[steps=4]` the one with these options and no others; `saf[steps=4,*]` each
with at least these, as they were resolved, and `saf[*]` each of that name. Where no label is the one that is asked for,
what resolved to the same is meant: `saf[steps=4]` is plain `saf` if four steps are its default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.errors import UsageError
from harness.selections.expansion import list_combinations
from harness.selections.grammar import format_literal
from harness.selections.selection import Selected, parse
from harness.types import Choice

_BOOLEANS = {"true": "True", "yes": "True", "false": "False", "no": "False"}


class Index:
    """Choices by name, so that a long selection finds its own in many records. Places count from 0."""

    def __init__(self, choices: Iterable[Choice]) -> None:
        self._known = [_Known(choice) for choice in choices]
        self._by_name: dict[str, list[int]] = {}
        self._by_label: dict[tuple[str, frozenset[tuple[str, str]]], list[int]] = {}
        for place, known in enumerate(self._known):
            self._by_name.setdefault(known.choice.name, []).append(place)
            self._by_label.setdefault((known.choice.name, known.key), []).append(place)

    def find_places(self, selected: Selected) -> list[int]:
        """The places of the choices that a selected item means, in order."""
        if selected.name == "*":
            return list(range(len(self._known)))
        # Most items of a long selection are labels as they stand: no record but theirs is looked at.
        key = _make_key(selected)
        labelled = [] if key is None else self._by_label.get((selected.name, key), [])
        if own := self._filter_by_provider(labelled, selected.provider):
            return own
        named = self._filter_by_provider(self._by_name.get(selected.name, []), selected.provider)
        columns = [_Column(names, rows) for names, rows in selected.sweeps]
        if selected.every:
            return [place for place in named if _fits_columns(columns, self._known[place].options)]
        return self._match_options(named, columns)

    def _filter_by_provider(self, places: Iterable[int], provider: str | None) -> list[int]:
        own = (None, provider)
        return [place for place in places if provider is None or self._known[place].choice.provider in own]

    def _match_options(self, named: Sequence[int], columns: Sequence[_Column]) -> list[int]:
        """Places of choices that were given just these options; and of combinations that none was given."""
        names = {name for column in columns for name in column.names}
        alike = [place for place in named if names >= self._known[place].given.keys()]
        alike = [place for place in alike if _fits_columns(columns, self._known[place].options)]
        exact = {place for place in alike if names == self._known[place].given.keys()}
        taken = {self._known[place].values_of(names) for place in exact}
        return [place for place in alike if place in exact or self._known[place].values_of(names) not in taken]


@dataclass(frozen=True)
class _Known:
    """A choice with the values of its options as they are compared."""

    choice: Choice

    @cached_property
    def options(self) -> Mapping[str, str]:
        return {name: _normalise_value(value) for name, value in {**self.choice.options, **self.given}.items()}

    @cached_property
    def given(self) -> Mapping[str, Any]:
        """As the label says, which is all that a person sees of it."""
        try:
            (selected,) = parse(self.choice.label, "label")
            (given,) = list_combinations(selected)
        except (UsageError, ValueError):
            return self.choice.given
        return given

    @property
    def key(self) -> frozenset[tuple[str, str]]:
        """The key that tells this choice from others of its name."""
        return frozenset((name, self.options[name]) for name in self.given)

    def values_of(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(self.options[name] for name in sorted(names))


class _Column:
    """Parameters that vary together, and their rows; a list may also be the one value of a parameter that takes it."""

    def __init__(self, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
        self.names = names
        self._rows = {tuple(map(_normalise_value, row)) for row in rows}
        if len(names) == 1:
            self._rows.add((_normalise_value([value for row in rows for value in row]),))

    def holds(self, options: Mapping[str, str]) -> bool:
        return tuple(options.get(name) for name in self.names) in self._rows


def _make_key(selected: Selected) -> frozenset[tuple[str, str]] | None:
    """The key of the one choice that an item without sweeps selects."""
    if selected.every or any(len(rows) != 1 for _, rows in selected.sweeps):
        return None
    given = (pair for names, (row,) in selected.sweeps for pair in zip(names, row, strict=True))
    return frozenset((name, _normalise_value(value)) for name, value in given)


def _fits_columns(columns: Iterable[_Column], options: Mapping[str, str]) -> bool:
    return all(column.holds(options) for column in columns)


def _normalise_value(value: object) -> str:
    """A value as it is compared: a file holds lists for tuples, and 1 was written for 1.0, yes for True."""
    if isinstance(value, (tuple, list)):
        return f"({','.join(map(_normalise_value, value))})"
    if type(value) is int and abs(value) < 2**53:
        return repr(float(value))
    text = format_literal(value)
    return _BOOLEANS.get(text.lower(), text)
