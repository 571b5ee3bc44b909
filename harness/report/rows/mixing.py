"""Notes on records of one table that are not of the same making: sources, versions, defaults, machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from harness.records import grouping
from harness.types import Choice, Record, Trial
from harness.words import cap_texts, clean_line, list_seeds

# workers and load have notes of their own, the commit stands with the sources
TOLD_APART = ("workers", "commit", "load")
# What a time depends on and no score does. Whatever else differs may change the last digits of a score as well.
OF_TIMES = ("cores", "usable_cores", "memory_bytes", "gpu_memory_bytes", "system", "memory_bounded")
PARTS = ("source", "version", "files")
FILE = "the source file "
WORD = 60  # characters of a value that a note shows


Rows: TypeAlias = Mapping[str, set[int]]


def name_rows(records: Iterable[Record], whole: Rows) -> str:
    """The rows of some records, with the seeds where others of the row are not among them: `saf, ottt seeds 0, 1`.

    whole: all rows with all their seeds.
    """
    own = index_seeds(records)
    names = [label if found == whole[label] else f"{label} {list_seeds(sorted(found))}" for label, found in own.items()]
    return ", ".join(cap_texts(names))


def index_seeds(records: Iterable[Record]) -> Rows:
    """The seeds of each row."""
    return {label: {record.trial.seed for record in own} for label, own in grouping.group_rows(records).items()}


def note_mixing(records: Sequence[Record]) -> Iterator[str]:
    """Note the differences in the making of records that ended ok."""
    yield from _note_sources(records)
    yield from _note_environments(records)
    yield from _note_measuring(records)
    yield from _note_defaults(records)


def _note_sources(records: Sequence[Record]) -> Iterator[str]:
    """Parts of the code and the data that differ, those that part the records in the same way in one note."""
    whole = index_seeds(records)
    found: dict[str, list[tuple[str, Record]]] = {}
    for record in records:
        for words, part in _iterate_parts(record):
            found.setdefault(words, []).append((part, record))
    divisions: dict[str, list[str]] = {}
    owned = {f"the source of {choice.name}" for each in records for choice in _iterate_choices(each)}
    for words, parts in found.items():
        by_value = _group_by_value(parts)
        if len(by_value) > 1 and not (words.startswith(FILE) and _are_parted_alike(by_value.values())):
            division = "; ".join(cap_texts(name_rows(own, whole) for own in by_value.values()))
            named = divisions.setdefault(division, [])
            if not (words.startswith(FILE) and any(each in owned for each in named)):
                named.append(words + _describe_versions(words, by_value))
    for division, named in divisions.items():
        yield f"records differ in {_join_words(cap_texts(named))}: {division}"


def _iterate_choices(record: Record) -> Iterator[Choice]:
    yield from (choice for trial in _iterate_lineage(record.trial) for choice in (trial.method, trial.dataset))


def _are_parted_alike(parts: Iterable[Sequence[Record]]) -> bool:
    """Whether every row has seeds in each part, and no two rows have one seed in different parts: what differs then
    is said of each row's own source.
    """
    every = [index_seeds(part) for part in parts]
    rows = {row for part in every for row in part}
    seeds_of = [{seed for own in part.values() for seed in own} for part in every]
    apart = sum(map(len, seeds_of)) == len(set().union(*seeds_of))
    return apart and all(rows == set(part) for part in every)


def _iterate_parts(record: Record) -> Iterator[tuple[str, str]]:
    """Iterate the parts that made a record, in words, with the digest or version that it states of each."""
    for trial in _iterate_lineage(record.trial):
        if "core" in trial.parts:
            yield "the source of the harness", str(trial.parts["core"])
        owners = {"backend": "the backend", "method": trial.method.name, "dataset": trial.dataset.name}
        for role, owner in owners.items():
            stated = trial.parts.get(role)
            known = stated if isinstance(stated, Mapping) else {}
            for part in PARTS:
                if part in known:
                    yield f"the {part} of {owner}", json.dumps(known[part], sort_keys=True, default=str)
    libraries = record.provenance.get("libraries")
    for name, version in libraries.items() if isinstance(libraries, Mapping) else ():
        if name not in record.environment:  # where a note of its own names it
            yield f"the version of {name}", str(version)
    files = record.provenance.get("sources")
    for name, digest in files.items() if isinstance(files, Mapping) else ():
        yield f"{FILE}{clean_line(str(name))}", str(digest)
    yield "the commit", str(record.environment.get("commit") or "unknown")


def _iterate_lineage(trial: Trial) -> Iterator[Trial]:
    yield trial
    if trial.base is not None:
        yield from _iterate_lineage(trial.base)


def _describe_versions(words: str, by_value: Mapping[str, object]) -> str:
    """Versions and commits, which a person knows; digests tell nobody anything."""
    if words != "the commit" and not words.startswith("the version"):
        return ""
    return f" ({' and '.join(cap_texts(_brief(value.strip(chr(34))) for value in by_value))})"


def _note_environments(records: Sequence[Record]) -> Iterator[str]:
    """Note the differences between the machines or versions that numbers were taken with.

    Floating-point entries, such as the load, differ from trial to trial and are left out.
    """
    whole = index_seeds(records)
    flat = [{key: text for key, text in _leaves(record.environment) if key not in TOLD_APART} for record in records]
    for key in dict.fromkeys(key for entries in flat for key in entries):
        values = _group_by_value(
            [(entries.get(key, "unknown"), record) for record, entries in zip(records, flat, strict=True)]
        )
        if len(values) > 1:
            listed = "; ".join(cap_texts(f"{_brief(value)} ({name_rows(own, whole)})" for value, own in values.items()))
            what = "times" if key in OF_TIMES else "scores and times"
            yield f"{what} are of different environments: {key} {listed}"


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, entry in values.items():
        if isinstance(entry, Mapping):
            yield from _leaves(entry, f"{prefix}{key}.")
        elif isinstance(entry, (str, bool, int)):
            yield f"{prefix}{key}", str(entry)


def _note_measuring(records: Sequence[Record]) -> Iterator[str]:
    """Metrics and instruments of a plugin whose source was not the same for all records."""
    whole = index_seeds(records)
    sources: dict[str, list[tuple[str, Record]]] = {}
    for record in records:
        found = record.provenance.get("measured_by")
        for plugin, source in found.items() if isinstance(found, Mapping) else ():
            sources.setdefault(str(plugin), []).append((str(source), record))
    for plugin, stated in sources.items():
        by = _group_by_value(stated)
        if len(by) > 1:
            listed = "; ".join(cap_texts(name_rows(own, whole) for own in by.values()))
            yield f"what {plugin} measures is of different versions of its source: {listed}"


def _note_defaults(records: Sequence[Record]) -> Iterator[str]:
    """Note labels with different options: a default or a data set's recipe has changed between the records."""
    whole = index_seeds(records)
    found: dict[tuple[str, str], list[tuple[str, Record]]] = {}
    choices = [(choice, record) for record in records for choice in (record.trial.method, record.trial.dataset)]
    given = {(choice.label, option) for choice, _ in choices for option in choice.given}  # of a row that was chosen
    for choice, record in choices:
        for option, chosen in choice.options.items():
            if (choice.label, option) not in given:
                found.setdefault((choice.label, option), []).append((str(chosen), record))
    for (label, option), chosen_by in found.items():
        values = _group_by_value(chosen_by)
        if len(values) > 1:
            listed = " and ".join(
                cap_texts(f"{_brief(value)} ({name_rows(own, whole)})" for value, own in sorted(values.items()))
            )
            yield f"{label}: records with different defaults, {option} = {listed}"


def _group_by_value(found: Iterable[tuple[str, Record]]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for value, record in found:
        groups.setdefault(value, []).append(record)
    return groups


def _join_words(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else words[0]


def _brief(value: str) -> str:
    return clean_line(value, WORD)
