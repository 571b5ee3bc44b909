"""Records of an older source that may stand for trials of a new one: nothing but code and its version differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from harness.planning.plan import changed_parts, describe_changes
from harness.records.store import trial_identity
from harness.types import Record, Trial
from harness.words import list_seeds

CODE = ("version", "source")
Digests = Mapping[str, str]
Look = Callable[[Sequence[Trial]], Mapping[str, Digests]]


def match_records(trials: Iterable[Trial], records: Iterable[Record], look: Look) -> dict[str, Record]:
    """For each trial, by its key, the newest ok record of which sources alone differ, over the same data.

    look: the digests of the data of trials as they would be loaded now, by key; none where they cannot be.
    """
    earlier: dict[tuple[Any, ...], list[Record]] = {}
    for record in sorted(records, key=lambda record: record.finished, reverse=True):
        if record.status == "ok":
            earlier.setdefault(trial_identity(record.trial), []).append(record)
    wanted = [trial for trial in trials if not trial.skip]
    alike = {
        trial.key: [record for record in earlier.get(trial_identity(trial), ()) if _same_but_code(record.trial, trial)]
        for trial in wanted
    }
    present = look([trial for trial in wanted if any(_needs_digests(record, trial) for record in alike[trial.key])])
    matches: dict[str, Record] = {}
    for trial in wanted:
        fitting = (record for record in alike[trial.key] if _over_same_data(record, trial, present.get(trial.key)))
        if match := next(fitting, None):
            matches[trial.key] = match
    return matches


def _same_but_code(old: Trial, new: Trial) -> bool:
    """Whether two trials of one identity differ in nothing but sources and versions, nor do those they start from."""
    bases = old.base, new.base
    if bases != (None, None) and (old.base is None or new.base is None or not _same_but_code(old.base, new.base)):
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


def _needs_digests(record: Record, trial: Trial) -> bool:
    """Whether code that loads the data has changed, and the record knows what they were."""
    changed = changed_parts(record.trial.parts, trial.parts) if _data_digests(record) else ()
    return not {"core", "dataset"}.isdisjoint(changed)


def _over_same_data(record: Record, trial: Trial, present: Digests | None) -> bool:
    """Older records know no digests: then the data set must be the same in all that is known of it."""
    if _needs_digests(record, trial):
        return _data_digests(record) == present
    return "dataset" not in changed_parts(record.trial.parts, trial.parts)


def _data_digests(record: Record) -> Digests:
    found = record.provenance.get("data")
    return found if isinstance(found, Mapping) else {}


def remark_kept(trials: Iterable[Trial], kept: Mapping[str, Record]) -> list[str]:
    """Remarks below the table on records that were kept although the code has changed since."""
    groups: dict[str, dict[str, list[str]]] = {}
    for trial in (trial for trial in trials if trial.key in kept):
        since = ", ".join(describe_changes(kept[trial.key].trial, trial)) or "what it starts from"
        groups.setdefault(since, {}).setdefault(trial.method.label, []).append(str(trial.seed))
    return [
        f"kept although the code has changed since (--keep-outdated): {_join_labels(rows)}; changed: {since}"
        for since, rows in groups.items()
    ]


def _join_labels(rows: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{label} {list_seeds(list(dict.fromkeys(seeds)))}" for label, seeds in rows.items())
