"""Records of an older source that may stand for trials of a new one: nothing but code and its version differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from harness.planning.plan import changed_parts, describe_changes
from harness.records.store import identity
from harness.types import Record, Trial
from harness.words import list_seeds

CODE = ("version", "source")
Digests = Mapping[str, str]
Look = Callable[[Sequence[Trial]], Mapping[str, Digests]]


def kept(trials: Iterable[Trial], records: Iterable[Record], look: Look) -> dict[str, Record]:
    """For each trial, by its key, the newest ok record of which sources alone differ, over the same data.

    look: the digests of the data of trials as they would be loaded now, by key; none where they cannot be.
    """
    earlier: dict[tuple[Any, ...], list[Record]] = {}
    for record in sorted(records, key=lambda record: record.finished, reverse=True):
        if record.status == "ok":
            earlier.setdefault(identity(record.trial), []).append(record)
    found = {
        trial.key: (
            trial,
            [record for record in earlier.get(identity(trial), ()) if _same_but_code(record.trial, trial)],
        )
        for trial in trials
        if not trial.skip
    }
    present = look([trial for trial, alike in found.values() if any(_to_verify(record, trial) for record in alike)])
    chosen = {key: _first(alike, trial, present.get(key)) for key, (trial, alike) in found.items()}
    return {key: record for key, record in chosen.items() if record is not None}


def _first(records: Sequence[Record], trial: Trial, present: Digests | None) -> Record | None:
    return next((record for record in records if _over_same_data(record, trial, present)), None)


def _same_but_code(old: Trial, new: Trial) -> bool:
    """Whether two trials of one identity differ in nothing but sources and versions, nor do those they start from."""
    if (old.base is None) != (new.base is None):
        return False
    if old.base is not None and new.base is not None and not _same_but_code(old.base, new.base):
        return False
    return not changed_parts(_without_gone(_without_code(old.parts), new.parts), _without_code(new.parts))


def _without_code(parts: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: part for name, part in parts.items() if name not in ("core", "base")}
    return {
        name: {word: value for word, value in part.items() if word not in CODE} if isinstance(part, Mapping) else part
        for name, part in kept.items()
    }


def _without_gone(parts: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out options that no longer exist: where labels are the same, they were left at their default."""
    kept = dict(parts)
    for name, part in parts.items():
        if isinstance(part, Mapping) and "options" in part:
            known = new.get(name, {}).get("options", {})
            kept[name] = {**part, "options": {key: value for key, value in part["options"].items() if key in known}}
    return kept


def _to_verify(record: Record, trial: Trial) -> bool:
    """Whether code that loads the data has changed, and the record knows what they were."""
    return bool(_digests(record)) and bool({"core", "dataset"} & set(changed_parts(record.trial.parts, trial.parts)))


def _over_same_data(record: Record, trial: Trial, present: Digests | None) -> bool:
    """Older records know no digests: then the data set must be the same in all that is known of it."""
    if _to_verify(record, trial):
        return _digests(record) == present
    return "dataset" not in changed_parts(record.trial.parts, trial.parts)


def _digests(record: Record) -> Digests:
    found = record.provenance.get("data")
    return found if isinstance(found, Mapping) else {}


def remark(trials: Iterable[Trial], kept: Mapping[str, Record]) -> list[str]:
    """Remarks below the table on records that were kept although the code has changed since."""
    old = [(trial, kept[trial.key]) for trial in trials if trial.key in kept]
    said: dict[str, dict[str, list[str]]] = {}
    for trial, record in old:
        since = ", ".join(describe_changes(record.trial, trial)) or "what it starts from"
        said.setdefault(since, {}).setdefault(trial.method.label, []).append(str(trial.seed))
    return [
        f"kept although the code has changed since (--keep-outdated): {_listed(rows)}; changed: {since}"
        for since, rows in said.items()
    ]


def _listed(rows: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{label} {list_seeds(list(dict.fromkeys(seeds)))}" for label, seeds in rows.items())
