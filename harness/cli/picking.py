"""Which records of a results folder a command means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.catalog import Catalog
from harness.errors import UsageError
from harness.options import suggest
from harness.types import Choice, Record

if TYPE_CHECKING:
    from harness.selections.selection import Selected
    from harness.suites.suite import Comparison


def read_records(results: Path) -> list[Record]:
    """The records of a folder; what cannot be read is named on stderr."""
    from harness.records.store import Store

    store = Store(results)
    if not store.trials.is_dir():
        raise UsageError(
            f"results folder {results}: no records there; `harness run` makes some, --results names another"
        )
    records, problems = store.records()
    for problem in problems:
        click.echo(f"harness: {problem}", err=True)
    if not records:
        raise UsageError(f"results folder {results}: no records that can be read; `harness run` makes some")
    return records


def only(records: Sequence[Record], text: str | None, option: str) -> list[Record]:
    """The records of the selected methods (or data sets), in the order in which those are selected."""
    if text is None:
        return list(records)
    from harness.selections import selection

    kept: dict[str, Record] = {}
    for selected in selection.parse(text, option):
        found = [record for record in records if _selects(selected, _choice(record, option))]
        if not found:
            labels = list(dict.fromkeys(_choice(record, option).label for record in records))
            names = [_choice(record, option).name for record in records]
            close = suggest(selected.name, [*names, *labels])
            raise UsageError(f"{option} {text}: no record of {selected.name!r}{close} (records: {', '.join(labels)})")
        kept |= {record.trial.key: record for record in found if record.trial.key not in kept}
    return list(kept.values())


def suite_of(catalog: Catalog, name: str | None) -> Comparison | None:
    if name is None:
        return None
    from harness.suites import references

    return references.find(catalog, name)


def of_suite(
    catalog: Catalog, suite: Comparison, records: Sequence[Record], methods: str | None, datasets: str | None
) -> list[Record]:
    """The records of the suite's methods and data sets, unless the command names its own."""
    from harness.suites import references

    said = replace(suite.request, methods=None if methods else suite.request.methods)
    kept = references.selected(catalog, replace(said, datasets=None if datasets else said.datasets), records)
    if not kept:
        labels = list(dict.fromkeys(f"{each.trial.method.label} on {each.trial.dataset.label}" for each in records))
        raise UsageError(
            f"suite {suite.path}: no record of its methods on its data sets (records: {_first(labels)}); "
            "name others with --methods or --datasets, or make some with `harness run --suite`"
        )
    return kept


def _choice(record: Record, option: str) -> Choice:
    return record.trial.method if option == "--methods" else record.trial.dataset


def _selects(selected: Selected, choice: Choice) -> bool:
    """By name, and by the options that were resolved: `saf[steps=4]` selects `saf` if its default is 4."""
    provided = selected.provider is None or choice.provider in (None, selected.provider)
    return (
        provided
        and selected.name == choice.name
        and all(_among(choice.options, names, rows) for names, rows in selected.sweeps)
    )


def _among(options: Mapping[str, Any], names: Sequence[str], rows: Sequence[Sequence[Any]]) -> bool:
    """Whether the options are one of the rows; a list may also be the one value of an option that takes it whole."""
    whole = [[[value for row in rows for value in row]]] if len(names) == 1 else []
    return any(
        all(_same(options.get(name), value) for name, value in zip(names, row, strict=True)) for row in (*rows, *whole)
    )


def _same(recorded: Any, wanted: Any) -> bool:
    """Whether a value from a file, where a tuple is a list, is the one that was written on the command line."""
    if isinstance(recorded, (list, tuple)):
        return isinstance(wanted, (list, tuple)) and [*map(str, recorded)] == [*map(str, wanted)]
    if isinstance(recorded, bool) and isinstance(wanted, str):
        return wanted.lower() in (("true", "yes") if recorded else ("false", "no"))
    return bool(recorded == wanted)


def check_views(names: Iterable[str] | None, records: Sequence[Record], option: str) -> None:
    """A suffix that no record has is a slip of the pen, not a hole."""
    known = {name for record in records for name in record.scores if "@" in name}
    for name in names or ():
        if "@" in name and name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise UsageError(f"{option} {name}: no record has such a score{suggest(name, known)}; views here: {listed}")


def find(records: Sequence[Record], text: str) -> Record:
    """The one record that a key's beginning or METHOD/DATASET/SEED names. Raises UsageError for none or several."""
    exact = [record for record in records if text in (record.trial.key, _title(record))]
    found = exact or [record for record in records if text and record.trial.key.startswith(text)]
    if len(found) == 1:
        return found[0]
    if not found:
        titles = [_title(record) for record in records]
        known = f"the {len(records)} records are {_first(titles)}"
        raise UsageError(f"trial {text!r}: no such record{suggest(text, titles)}; {known}")
    listed = "".join(f"\n  {record.trial.key}  {_title(record)}, {_setting(record)}" for record in found)
    raise UsageError(f"trial {text!r} is one of {len(found)}; name it by its key:{listed}")


def _first(names: Sequence[str], most: int = 6) -> str:
    return f"{', '.join(names[:most])}{', ...' if len(names) > most else ''}"


def _title(record: Record) -> str:
    return f"{record.trial.method.label}/{record.trial.dataset.label}/{record.trial.seed}"


def _setting(record: Record) -> str:
    trial = record.trial
    return f"{trial.budget}, {trial.device}, {trial.precision}, {record.status}"
