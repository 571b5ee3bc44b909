"""Machines and versions that records were taken on, those that agree together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from harness.report.rows.values import as_number
from harness.types import Record
from harness.words import clean_line

MACHINE = ("cpu", "instruction_set", "cores", "usable_cores", "memory_bytes", "gpu", "device", "system")
OWN = ("load", "load_at_end", "train_wall_seconds", "train_cpu_seconds", "memory_limit")  # of each trial


class Machine(NamedTuple):
    """An environment by name and value, the trials that were taken in it, and the range of its load."""

    facts: Mapping[str, str]
    trials: int
    load: tuple[float, float] | None
    first: str
    last: str


def list_machines(records: Iterable[Record]) -> list[Machine]:
    """List the environments of records, most trials first."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.environment:
            groups.setdefault(repr(_read_facts(record)), []).append(record)
    found = [_describe(own) for own in groups.values()]
    return sorted(found, key=lambda machine: -machine.trials)


def _describe(records: list[Record]) -> Machine:
    loads = [load for record in records for name in ("load", "load_at_end") if (load := _read_load(record, name))]
    times = sorted(clean_line(record.finished) for record in records)
    span = (min(loads), max(loads)) if loads else None
    return Machine(_read_facts(records[0]), len(records), span, times[0], times[-1])


def _read_facts(record: Record) -> dict[str, str]:
    """The environment without what is each trial's own; the machine first."""
    found = {name: value for name, value in record.environment.items() if name not in OWN}
    order = sorted(found, key=lambda name: (name not in MACHINE, MACHINE.index(name) if name in MACHINE else 0))
    return {
        clean_line(name): _show_field(name, found[name]) for name in order if found[name] not in (None, "", False, [])
    }


def _show_field(name: str, value: Any) -> str:
    number = as_number(value)
    return f"{number / 1e9:.3g} GB" if name.endswith("_bytes") and number is not None else clean_line(str(value))


def _read_load(record: Record, name: str) -> float | None:
    value = record.environment.get(name)
    return as_number(value[0]) if isinstance(value, (list, tuple)) and value else as_number(value)
