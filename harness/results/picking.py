"""Selecting records for a command from those that it read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from harness.catalog import Catalog
from harness.errors import UsageError
from harness.types import Choice, Record
from harness.words import list_first, suggest

if TYPE_CHECKING:
    from harness.records.plans import Planned
    from harness.selections.matching import Index
    from harness.selections.selection import Selected
    from harness.suites.suite import Comparison


def keep_plans(planned: Iterable[Planned], records: Iterable[Record]) -> list[Planned]:
    """Keep the plans of the methods and data sets of some records."""
    held = {(record.trial.method.label, record.trial.dataset.label) for record in records}
    return [row for row in planned if (row.method, row.dataset) in held]


def select_records(records: Sequence[Record], text: str | None, option: str) -> list[Record]:
    """The records of the selected methods (or data sets), in the order in which those are selected."""
    if text is None:
        return list(records)
    from harness.selections import matching, selection

    choices = [_read_side(record, option) for record in records]
    index = matching.Index(choices)
    kept: dict[int, None] = {}
    for selected in selection.parse(text, option, every=True):
        found = index.find_places(selected) or _find_variants(index, selected, choices, option)
        if not found:
            raise UsageError(f"{option} {text}: {_describe_unmatched(selected, choices)}")
        kept |= dict.fromkeys(found)
    return [records[place] for place in kept]


def _find_variants(index: Index, selected: Selected, choices: Sequence[Choice], option: str) -> list[int]:
    """Find the records of a plain data set's variants where it has none itself; a line says so."""
    if option != "--datasets" or selected.sweeps:
        return []
    found = index.find_places(replace(selected, every=True))
    labels = list(dict.fromkeys(choices[place].label for place in found))
    if found:
        click.echo(f"harness: no record of plain {selected.full_name}; shown instead: {list_first(labels)}", err=True)
    return found


def _describe_unmatched(selected: Selected, choices: Sequence[Choice]) -> str:
    labels = list(dict.fromkeys(choice.label for choice in choices))
    name = selected.full_name
    if any(choice.name == selected.name for choice in choices):
        such = f"with these options; {name}[*]" if selected.sweeps else f"without options; {name}[*]"
        return f"no record of {name!r} {such} is every variant (records: {list_first(labels)})"
    close = suggest(selected.name, [*(choice.name for choice in choices), *labels])
    return f"no record of {name!r}{close} (records: {list_first(labels)})"


def resolve_suite(catalog: Catalog, name: str | None) -> Comparison | None:
    if name is None:
        return None
    from harness.suites import references

    return references.find_suite(catalog, name)


def select_of_suite(
    catalog: Catalog, suite: Comparison, records: Sequence[Record], methods: str | None, datasets: str | None
) -> list[Record]:
    """The records of the suite's methods and data sets, unless the command names its own."""
    from harness.suites import references

    said = replace(suite.request, methods=None if methods else suite.request.methods)
    kept = references.keep_requested(catalog, replace(said, datasets=None if datasets else said.datasets), records)
    if not kept:
        labels = list(dict.fromkeys(f"{each.trial.method.label} on {each.trial.dataset.label}" for each in records))
        raise UsageError(
            f"suite {suite.path}: no record of its methods on its data sets (records: {list_first(labels)}); "
            "name others with --methods or --datasets, or make some with `harness run --suite`"
        )
    return kept


def _read_side(record: Record, option: str) -> Choice:
    return record.trial.method if option == "--methods" else record.trial.dataset


def refuse_unknown_views(names: Iterable[str] | None, records: Sequence[Record], option: str) -> None:
    """A suffix that no record has is a slip of the pen, not a hole."""
    known = {name for record in records for name in record.scores if "@" in name}
    for name in names or ():
        if "@" in name and name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise UsageError(f"{option} {name}: no record has such a score{suggest(name, known)}; views here: {listed}")
