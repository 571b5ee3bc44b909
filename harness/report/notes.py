"""What stands below a table: trials that failed, and what may spoil the comparison above."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.report.values import base_name, claimed
from harness.types import Metric, Record

# workers have a note of their own; what of the source matters is in a trial's key
TOLD_APART = ("workers", "commit")


def seeds(numbers: Sequence[int]) -> str:
    """`seed 2`, `seeds 0, 1`."""
    return f"seed{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def failures(method: str, records: Iterable[Record]) -> tuple[str, ...]:
    """A line for each way in which trials of one row did not end ok: `saf seed 2: timeout after 60 s`."""
    grouped: dict[str, list[int]] = {}
    for record in records:
        if record.status != "ok":
            grouped.setdefault(_ending(record), []).append(record.trial.seed)
    return tuple(f"{method} {seeds(numbers)}: {ending}" for ending, numbers in grouped.items())


def _ending(record: Record) -> str:
    first = (record.reason.strip().splitlines() or [""])[0]
    if first.startswith((record.status, "after ")) or not first:
        return f"{record.status} {first.removeprefix(record.status).lstrip()}".rstrip()
    return f"{record.status}: {first}"


def collect(records: Sequence[Record], described: Mapping[str, Metric]) -> tuple[str, ...]:
    """All notes on records that ended ok, most serious first."""
    good = [record for record in records if record.status == "ok"]
    settings = (_environments(good), _measuring(good), _eager(good), _options(good), _seeds(good))
    every = (_warnings(good), _workers(good), *settings)
    described_only = (_claims(good, described), _unknown(good, described), _holes(good, described))
    return tuple(note for notes in (*every, *described_only) for note in notes)


def _warnings(records: Iterable[Record]) -> Iterator[str]:
    """What instruments and the harness itself warn of, under names that end with _warning."""
    warned: dict[str, list[str]] = {}
    for record in records:
        for name, text in (*record.measured.items(), *record.readings.items()):
            if name.endswith("_warning") and isinstance(text, str):
                warned.setdefault(text, []).append(f"{record.trial.method.label} seed {record.trial.seed}")
    for text, trials in warned.items():
        yield f"{text} ({', '.join(dict.fromkeys(trials))})"


def _workers(records: Iterable[Record]) -> Iterator[str]:
    counts = {_workers_of(record) for record in records}
    if counts - {1}:
        numbers = " and ".join(map(str, sorted(counts)))
        yield f"timings taken with {numbers} workers at once: they disturb each other"


def _workers_of(record: Record) -> int:
    found = record.environment.get("workers", record.provenance.get("workers", 1))
    return found if isinstance(found, int) else 1


def _environments(records: Sequence[Record]) -> Iterator[str]:
    """Names what differs between the machines or versions that times were taken with.

    Floating-point entries, such as the load, differ from trial to trial and are left out.
    """
    flat = [{key: text for key, text in _flat(record.environment) if key not in TOLD_APART} for record in records]
    for key in dict.fromkeys(key for entries in flat for key in entries):
        values: dict[str, list[str]] = {}
        for record, entries in zip(records, flat, strict=True):
            values.setdefault(entries.get(key, "unknown"), []).append(record.trial.method.label)
        if len(values) > 1:
            listed = "; ".join(f"{text} ({', '.join(dict.fromkeys(labels))})" for text, labels in values.items())
            yield f"times are of different environments: {key} {listed}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, entry in values.items():
        if isinstance(entry, Mapping):
            yield from _flat(entry, f"{prefix}{key}.")
        elif isinstance(entry, (str, bool, int)):
            yield f"{prefix}{key}", str(entry)


def _measuring(records: Iterable[Record]) -> Iterator[str]:
    """Metrics and instruments of a plugin whose source was not the same for all records."""
    sources: dict[str, dict[str, list[str]]] = {}
    for record in records:
        found = record.provenance.get("measured_by")
        for plugin, source in found.items() if isinstance(found, Mapping) else ():
            sources.setdefault(str(plugin), {}).setdefault(str(source), []).append(record.trial.method.label)
    for plugin, by in sources.items():
        if len(by) > 1:
            listed = "; ".join(", ".join(dict.fromkeys(labels)) for labels in by.values())
            yield f"what {plugin} measures is of different versions of its source: {listed}"


def _eager(records: Iterable[Record]) -> Iterator[str]:
    """The profiled pass is eager; a method whose facts say `kernels` or `captured` trains by another step."""
    trained: dict[str, list[str]] = {}
    for record in records:
        if step := _step(record.facts):
            trained.setdefault(step, []).append(record.trial.method.label)
    listed = "; ".join(f"{', '.join(dict.fromkeys(labels))} by {step}" for step, labels in trained.items())
    if listed:
        yield f"readings of memory and operations are of the eager step, times are not: {listed}"


def _step(facts: Mapping[str, Any]) -> str:
    """`triton kernels, captured`; empty for the eager step."""
    kernels = facts.get("kernels")
    named = [f"{kernels} kernels"] if isinstance(kernels, str) and kernels != "eager" else []
    return ", ".join([*named, *(["a captured graph"] if facts.get("captured") is True else [])])


def _options(records: Iterable[Record]) -> Iterator[str]:
    """One label, different options: a default or a data set's recipe has changed between the records."""
    found: dict[tuple[str, str], set[str]] = {}
    for record in records:
        for choice in (record.trial.method, record.trial.dataset):
            for option, chosen in choice.options.items():
                found.setdefault((choice.label, option), set()).add(str(chosen))
    for (label, option), values in found.items():
        if len(values) > 1:
            yield f"{label}: records with different defaults, {option} = {' and '.join(sorted(values))}"


def _seeds(records: Iterable[Record]) -> Iterator[str]:
    rows: dict[str, set[int]] = {}
    for record in records:
        rows.setdefault(record.trial.method.label, set()).add(record.trial.seed)
    if len(set(map(frozenset, rows.values()))) > 1:
        listed = "; ".join(f"{method} {', '.join(map(str, sorted(numbers)))}" for method, numbers in rows.items())
        yield f"means are over different seeds: {listed}"


def _claims(records: Sequence[Record], described: Mapping[str, Metric]) -> Iterator[str]:
    """Facts may fill a cell, but a claim is never passed off as a measurement."""
    for name in described:
        labels = dict.fromkeys(r.trial.method.label for r in records if claimed(r, name) is not None)
        if labels:
            yield f"{name}: stated by the method, not measured ({', '.join(labels)})"


def _unknown(records: Iterable[Record], described: Mapping[str, Metric]) -> Iterator[str]:
    names = dict.fromkeys(base_name(name) for record in records for name in record.scores)
    missing = [name for name in names if name not in described]
    if missing:
        yield f"scores that no installed plugin describes are left out: {', '.join(missing)}"


def _holes(records: Iterable[Record], described: Mapping[str, Metric]) -> Iterator[str]:
    """What went unmeasured as a whole, such as an instrument; holes of single metrics stand in their cells."""
    holes: dict[tuple[str, str], list[str]] = {}
    for record in records:
        for name, reason in record.holes.items():
            if base_name(name) not in described:
                holes.setdefault((name, reason), []).append(record.trial.method.label)
    for (name, reason), labels in holes.items():
        yield f"{name}: {reason} ({', '.join(dict.fromkeys(labels))})"
