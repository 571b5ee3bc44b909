"""Whether two rows are of the same data: by the digests of their arrays, or by where those came from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from harness.records.grouping import by_seed
from harness.types import Record
from harness.words import list_seeds

SOURCES = ("source", "files", "options")

T = TypeVar("T")


def explain_apart(left: Iterable[Record], right: Iterable[Record]) -> str:
    """Explain why two rows may not be compared: data that differ, or are not known to be the same; else empty.

    Data depend on the seed, so the trials of one seed are held against each other; where the rows have no seed in
    common, what their data came from.
    """
    ours, theirs = _index_ok_records(left), _index_ok_records(right)
    common = [seed for seed in ours if seed in theirs]
    pairs = [(ours[seed], theirs[seed]) for seed in common]
    if not common:
        pairs = [(one, other) for one in _distinct(ours.values()) for other in _distinct(theirs.values())]
    reasons: dict[str, list[int]] = {}
    for one, other in pairs:
        if reason := _explain_different(one, other, bool(common)):
            reasons.setdefault(reason, []).append(one.trial.seed)
    where = (f" ({list_seeds(seeds)})" if common else "" for seeds in reasons.values())
    return "; ".join(f"{reason}{place}" for reason, place in zip(reasons, where, strict=True))


def group_alike(rows: Sequence[T], records: Callable[[T], Iterable[Record]]) -> list[list[T]]:
    """The rows that are of the same data, together; one class where all are."""
    found: list[list[T]] = []
    for row in rows:
        own = list(records(row))
        fitting = (each for each in found if not explain_apart(records(each[0]), own))
        target = next(fitting, None)
        if target is None:
            found.append([row])
        else:
            target.append(row)
    return found


def _explain_different(one: Record, other: Record, same_seed: bool) -> str:
    if same_seed:
        ours, theirs = _read_digests(one), _read_digests(other)
        held = [name for name in ours if name in theirs]
        if held:
            differing = [name for name in held if ours[name] != theirs[name]]
            return f"the rows of {', '.join(differing)} differ" if differing else ""
    changed = [name for name in SOURCES if _read_data_part(one, name) != _read_data_part(other, name)]
    if not changed:
        return ""
    listed = " and ".join({"options": "defaults"}.get(name, name) for name in changed)
    return f"not known to be the same: the {listed} of {one.trial.dataset.name} changed, and no digest says more"


def _distinct(records: Iterable[Record]) -> Iterator[Record]:
    """Iterate one record of each source: the others say nothing more."""
    seen: set[str] = set()
    for record in records:
        key = str([_read_data_part(record, name) for name in SOURCES])
        if key not in seen:
            seen.add(key)
            yield record


def _index_ok_records(records: Iterable[Record]) -> dict[int, Record]:
    """The last record of each seed that ended ok."""
    return by_seed(record for record in records if record.status == "ok")


def _read_digests(record: Record) -> Mapping[str, Any]:
    found = record.provenance.get("data")
    return found if isinstance(found, Mapping) else {}


def _read_data_part(record: Record, name: str) -> str:
    """Read a part of the source of the data, as text that can be compared."""
    found = record.trial.parts.get("dataset")
    part = found.get(name) if isinstance(found, Mapping) else None
    return json.dumps(part, sort_keys=True, default=str)
