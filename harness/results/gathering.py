"""The records of one results folder, or of several together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.errors import UsageError
from harness.types import Record
from harness.words import clean_line

if TYPE_CHECKING:
    from harness.records.plans import Planned


def gather_records(folders: Sequence[Path]) -> tuple[list[Record], list[str]]:
    """Gather the newest record of every trial in these folders, with remarks on their origin.

    What cannot be read is named on stderr.
    """
    named: dict[str, Path] = {}
    for folder in folders:
        named.setdefault(os.path.realpath(folder), folder)  # one folder has many names; a loop of links is none
    found = {folder: _read_folder(folder) for folder in named.values()}
    if len(found) == 1:
        return next(iter(found.values())), []
    return merge_records(found)


def gather_plans(folders: Sequence[Path]) -> list[Planned]:
    """Read the plans of the runs of these folders; a plan that cannot be read is named on stderr."""
    from harness.records import plans

    planned, problems = plans.read_plans(*{os.path.realpath(folder): folder for folder in folders}.values())
    for problem in problems:
        click.echo(f"harness: {clean_line(problem)}", err=True)
    return planned


def _read_folder(folder: Path) -> list[Record]:
    from harness.records.store import Store

    store = Store(folder)
    if not store.trials.is_dir():
        raise UsageError(
            f"results folder {folder}: no records there; `harness run` makes some, --results names another"
        )
    records, problems = store.read_newest()
    for problem in problems:
        click.echo(f"harness: {clean_line(problem)}", err=True)
    if not records:
        raise UsageError(f"results folder {folder}: no records that can be read; `harness run` makes some")
    return records


def merge_records(found: Mapping[Path, Sequence[Record]]) -> tuple[list[Record], list[str]]:
    """Merge the records of folders, with remarks: how many each has, and which of a trial in several counts."""
    from harness.records.store import keep_newest, trial_identity

    kept = keep_newest(record for records in found.values() for record in records)
    counted = {id(record) for record in kept}
    held: dict[tuple[Any, ...], dict[Path, Record]] = {}
    for folder, records in found.items():
        for record in records:
            held.setdefault(trial_identity(record.trial), {})[folder] = record
    notes = [f"records of {' and '.join(f'{folder} ({len(records)})' for folder, records in found.items())}"]
    for folders, several in _group_by_folders(held).items():
        chosen = [folder for own in several for folder, record in own.items() if id(record) in counted]
        of = ", ".join(f"{chosen.count(folder)} of {folder}" for folder in folders if folder in chosen)
        many = "1 trial is" if len(several) == 1 else f"{len(several)} trials are"
        notes.append(f"{many} in {' and '.join(map(str, folders))}: the newest record counts ({of})")
    return kept, notes


def _group_by_folders(held: Mapping[Any, Mapping[Path, Record]]) -> dict[tuple[Path, ...], list[Mapping[Path, Record]]]:
    """The trials of which several folders have a record, by these folders."""
    shared: dict[tuple[Path, ...], list[Mapping[Path, Record]]] = {}
    for own in held.values():
        if len(own) > 1:
            shared.setdefault(tuple(own), []).append(own)
    return shared
