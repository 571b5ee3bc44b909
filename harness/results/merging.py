"""Results folders of several machines made one: of a trial that several have, the newest record that ended ok."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError, UsageError
from harness.records import plans
from harness.records.store import Store
from harness.types import Record
from harness.words import format_count


@dataclass(frozen=True)
class Clash:
    """A trial of which two folders have records that differ in how they ended, or in scores."""

    kept: Path
    other: Path
    record: Record
    rival: Record

    def describe(self) -> str:
        trial = self.record.trial
        title = f"{trial.key} ({trial.method.label} on {trial.dataset.label}, seed {trial.seed})"
        ours, theirs = (_say_result(each, self._list_differing()) for each in (self.record, self.rival))
        when = self.record.finished[:10], self.rival.finished[:10]
        return f"{title}: {self.kept} has {ours} ({when[0]}, kept), {self.other} {theirs} ({when[1]})"

    def _list_differing(self) -> list[str]:
        names = dict.fromkeys([*self.record.scores, *self.rival.scores])
        return [name for name in names if self.record.scores.get(name) != self.rival.scores.get(name)]


def merge_folders(folders: Sequence[Path], into: Path) -> tuple[list[str], list[Clash], list[str]]:
    """Copy the records of folders, with their files and the plans of their runs, into a folder without records.

    Returns a line for each folder, the clashes, and what could not be read. Raises UsageError for a folder without
    records, and for a target that has some; HarnessError where it cannot be written.
    """
    sources = list({os.path.realpath(folder): folder for folder in folders}.values())
    if len(sources) < 2:
        raise UsageError("merge: name two folders or more, each once, and where they go: harness merge A B --into C")
    if any(Store(into).trials.glob("*.json")):
        raise UsageError(f"--into {into}: has records; name it among the folders, and a folder without records here")
    found, problems = _read_folders(sources)
    chosen, clashes = _choose_records(found)
    Store(into).prepare()
    try:
        for key, folder in chosen.items():
            for path in Store(folder).trials.glob(f"{key}.*"):
                shutil.copy2(path, Store(into).trials)
        for folder in sources:
            _copy_plans(folder, into)
    except OSError as error:
        raise HarnessError(f"--into {into}: not written ({error.strerror})") from error
    taken = list(chosen.values())
    lines = [f"{folder}: {taken.count(folder)} of {format_count(len(own), 'record')}" for folder, own in found.items()]
    return lines, clashes, problems


def _read_folders(folders: Sequence[Path]) -> tuple[dict[Path, dict[str, Record]], list[str]]:
    found, problems = {}, []
    for folder in folders:
        if not Store(folder).trials.is_dir():
            raise UsageError(f"results folder {folder}: no records there; `harness run` makes some")
        records, unread = Store(folder).read_all()
        problems += unread
        found[folder] = {record.trial.key: record for record in records}
    return found, problems


def _choose_records(found: Mapping[Path, Mapping[str, Record]]) -> tuple[dict[str, Path], list[Clash]]:
    chosen: dict[str, Path] = {}
    clashes = []
    for key in dict.fromkeys(key for own in found.values() for key in own):
        having = [folder for folder, own in found.items() if key in own]
        best = max(having, key=lambda folder: (found[folder][key].status == "ok", found[folder][key].finished))
        chosen[key] = best
        record = found[best][key]
        clashes += [
            Clash(best, folder, record, rival)
            for folder in having
            if (rival := found[folder][key]) is not record and _differ(record, rival)
        ]
    return chosen, clashes


def _differ(record: Record, rival: Record) -> bool:
    return record.status != rival.status or repr(sorted(record.scores.items())) != repr(sorted(rival.scores.items()))


def _say_result(record: Record, names: Sequence[str]) -> str:
    if record.status != "ok":
        return record.status
    shown = [f"{name} {record.scores[name]!r}" for name in names if name in record.scores]
    return ", ".join(shown[:1]) or "ok"


def _copy_plans(folder: Path, into: Path) -> None:
    """Plans are named by their time, by which they add up; two of one moment and process number are never one run's."""
    for path in (folder / plans.FOLDER).glob("*.json"):
        target = into / plans.FOLDER / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        while target.exists():
            target = target.with_name(f"{target.stem}-{target.suffix}")
        shutil.copy2(path, target)
