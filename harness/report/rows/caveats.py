"""Notes below a table: trials that failed, and doubts about the comparison above."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.records import trained_arrays
from harness.report.rows import mixing, timing
from harness.report.rows.values import base_name, read_claimed, read_measured
from harness.types import Metric, Record
from harness.words import cap_texts, clean_line, clean_text, list_seeds


def describe_failures(method: str, records: Iterable[Record]) -> tuple[str, ...]:
    """A line for each way in which trials of one row did not end ok: `saf seed 2: timeout after 60 s`."""
    grouped: dict[str, list[int]] = {}
    for record in records:
        if record.status != "ok":
            grouped.setdefault(_describe_ending(record), []).append(record.trial.seed)
    return tuple(f"{method} {list_seeds(numbers)}: {ending}" for ending, numbers in grouped.items())


def _describe_ending(record: Record) -> str:
    first = clean_line((clean_text(record.reason).splitlines() or [""])[0])
    if first.startswith((record.status, "after ")) or not first:
        return f"{record.status} {first.removeprefix(record.status).lstrip()}".rstrip()
    return f"{record.status}: {first}"


def gather(
    good: Sequence[Record], every: Sequence[Record], described: Mapping[str, Metric], table: str = ""
) -> tuple[str, ...]:
    """All notes on the records of a table that ended ok, most serious first. every: all records that there are. table:
    what it is called, where there are several.
    """
    making = (mixing.note_mixing(good), _note_bases(good), _note_warnings(good), timing.note_timing(good, every, table))
    rows = (_own_budgets(good), _note_eager(good), _note_seeds(good))
    said = (note(good, described) for note in (_note_counts, _note_claims, _note_undescribed, _note_holes))
    return tuple(note for notes in (*making, *rows, *said) for note in notes)


def _note_bases(records: Iterable[Record]) -> Iterator[str]:
    """Rows of one seed that started from the same method, but not from the same trained arrays of it."""
    found: dict[tuple[str, int], dict[str, list[str]]] = {}
    for record in records:
        stated = record.provenance.get(trained_arrays.BASE)
        if record.trial.base and isinstance(stated, Mapping):
            place = (record.trial.base.method.label, record.trial.seed)
            rows = found.setdefault(place, {}).setdefault(str(stated.get("sha256")), [])
            rows.append(record.trial.method.label)
    apart: dict[tuple[str, str], list[int]] = {}
    for (label, seed), digests in found.items():
        if len(digests) > 1:
            listed = "; ".join(cap_texts(", ".join(cap_texts(rows)) for rows in digests.values()))
            apart.setdefault((label, listed), []).append(seed)
    for (label, listed), numbers in apart.items():
        yield f"rows did not start from the same trained arrays of {label} in {list_seeds(numbers)}: {listed}"


def _own_budgets(records: Iterable[Record]) -> Iterator[str]:
    """Note rows that were trained on after their base, some for longer than others."""
    found: dict[str, dict[str, None]] = {}
    for record in records:
        if record.trial.own_epochs:
            found.setdefault(str(record.trial.terms.budget), {})[record.trial.method.label] = None
    if len(found) > 1:
        listed = "; ".join(f"{budget}: {', '.join(cap_texts(rows))}" for budget, rows in found.items())
        yield f"training after the trained network that rows start from is unequal: {listed}"


def _note_warnings(records: Iterable[Record]) -> Iterator[str]:
    """Note the warnings of instruments, data sets and the harness itself."""
    warned: dict[str, list[str]] = {}
    for record in records:
        for text in (*record.warnings.values(), *_iterate_older_warnings(record)):
            warned.setdefault(clean_line(text), []).append(f"{record.trial.method.label} seed {record.trial.seed}")
    for text, trials in warned.items():
        yield f"{text} ({', '.join(dict.fromkeys(trials))})"


def _iterate_older_warnings(record: Record) -> Iterator[str]:
    """Iterate warnings of older records: texts under names that end with _warning."""
    for name, text in (*record.measured.items(), *record.readings.items()):
        if name.endswith("_warning") and isinstance(text, str):
            yield text


def _note_eager(records: Iterable[Record]) -> Iterator[str]:
    """The profiled pass is eager; a method whose facts say `kernels` or `captured` trains by another step."""
    trained: dict[str, list[str]] = {}
    for record in records:
        if step := _describe_step(record.facts):
            trained.setdefault(step, []).append(record.trial.method.label)
    listed = "; ".join(f"{', '.join(dict.fromkeys(labels))} by {step}" for step, labels in trained.items())
    if listed:
        yield f"readings of memory and operations are of the eager step, times are not: {listed}"


def _describe_step(facts: Mapping[str, Any]) -> str:
    """`triton kernels, captured`; empty for the eager step."""
    kernels = facts.get("kernels")
    named = [f"{kernels} kernels"] if isinstance(kernels, str) and kernels != "eager" else []
    return ", ".join([*named, *(["a captured graph"] if facts.get("captured") is True else [])])


def _note_seeds(records: Iterable[Record]) -> Iterator[str]:
    rows = mixing.index_seeds(records)
    if len(set(map(frozenset, rows.values()))) > 1:
        listed = "; ".join(f"{method} {', '.join(map(str, sorted(numbers)))}" for method, numbers in rows.items())
        yield f"means are over different seeds: {listed}"


def _note_counts(records: Sequence[Record], described: Mapping[str, Metric]) -> Iterator[str]:
    """A count that varies over the seeds of one configuration is none."""
    for name, metric in described.items():
        values: dict[tuple[str, str], set[float | None]] = {}
        for record in records if metric.exact else ():
            method = record.trial.method
            values.setdefault((method.label, repr(method.options)), set()).add(read_measured(record, name))
        if varying := list(dict.fromkeys(label for (label, _), own in values.items() if len(own - {None}) > 1)):
            yield f"{name} is called a count, which repeats exactly over seeds, but it varies: {', '.join(varying)}"


def _note_claims(records: Sequence[Record], described: Mapping[str, Metric]) -> Iterator[str]:
    """Facts may fill a cell, but a claim is never passed off as a measurement."""
    for name in described:
        labels = dict.fromkeys(r.trial.method.label for r in records if read_claimed(r, name) is not None)
        if labels:
            yield f"{name}: stated by the method, not measured ({', '.join(labels)})"


def _note_undescribed(records: Iterable[Record], described: Mapping[str, Metric]) -> Iterator[str]:
    names = dict.fromkeys(base_name(name) for record in records for name in record.scores)
    missing = [name for name in names if name not in described]
    if missing:
        yield f"scores that no installed plugin describes are left out: {', '.join(missing)}"


def _note_holes(records: Iterable[Record], described: Mapping[str, Metric]) -> Iterator[str]:
    """Note what went unmeasured as a whole, such as an instrument; holes of single metrics stand in their cells."""
    holes: dict[tuple[str, str], list[str]] = {}
    for record in records:
        for name, reason in record.holes.items():
            if base_name(name) not in described:
                holes.setdefault((name, clean_line(reason)), []).append(record.trial.method.label)
    for (name, reason), labels in holes.items():
        yield f"{name}: {reason} ({', '.join(dict.fromkeys(labels))})"
