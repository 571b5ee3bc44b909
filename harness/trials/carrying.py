"""Readings that repeat exactly: after two seeds that agree to the digit, the others take them over.

A record names under `read_by` (in its provenance) what each instrument that repeats has read in it, and under
`carried_over` what it took over, and from which seeds and records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from harness.catalog import Catalog
from harness.records.format import to_plain
from harness.trials.record_notes import Notes
from harness.types import Instrument, Reading, Record

READ_BY, CARRIED_OVER = "read_by", "carried_over"
ENOUGH = 2  # seeds whose readings agree


class Carried(NamedTuple):
    """Readings of an instrument in other seeds, and the records that they stand in."""

    readings: Mapping[str, Reading]
    seeds: tuple[int, ...]
    keys: tuple[str, ...]


def find_carried(catalog: Catalog, earlier: Sequence[Record], machine: Mapping[str, Any]) -> dict[str, Carried]:
    """Find the readings that need not be measured again, by instrument.

    earlier: records that ended ok of the same configuration with other seeds. machine: the versions and settings that
    they must have been measured under.
    """
    wanted = to_plain(machine)
    alike = [record for record in earlier if {name: record.environment.get(name) for name in wanted} == wanted]
    found = {each.name: _find_agreed(each, alike) for each in catalog.instruments.values() if each.repeats}
    return {name: agreed for name, agreed in found.items() if agreed is not None}


def _find_agreed(instrument: Instrument, records: Sequence[Record]) -> Carried | None:
    """The readings of those records in which this instrument measured, where there are enough and all agree."""
    said = [(record, readings) for record in records if (readings := _find_readings(instrument, record)) is not None]
    if len(said) < ENOUGH or any(readings != said[0][1] for _, readings in said):
        return None
    ordered = sorted((record.trial.seed, record.trial.key) for record, _ in said)
    return Carried(said[0][1], tuple(seed for seed, _ in ordered), tuple(key for _, key in ordered))


def _find_readings(instrument: Instrument, record: Record) -> dict[str, Reading] | None:
    names = record.provenance.get(READ_BY, {}).get(instrument.name)
    if not names or not all(name in record.readings for name in names):
        return None
    return {
        name: Reading(record.readings[name], record.warnings.get(name, ""), record.at_least.get(name, ""))
        for name in names
    }


def note_read_by(notes: Notes, instrument: Instrument) -> None:
    """Remember what an instrument that repeats has read, unless something of it is missing."""
    name = instrument.name
    if instrument.repeats and not any(hole == name or hole.startswith(f"{name}.") for hole in notes.holes):
        said = [reading for reading, owner in notes.said_by.items() if owner == name]
        notes.provenance.setdefault(READ_BY, {})[name] = said


def carry_over(notes: Notes, over: Mapping[str, Carried], read: Callable[[str, object], None]) -> None:
    """Put down what is taken over. read: called with an instrument and its readings, as where it has measured."""
    for name, (readings, seeds, keys) in over.items():
        read(name, readings)
        source = {"seeds": list(seeds), "keys": list(keys), "readings": list(readings)}
        notes.provenance.setdefault(CARRIED_OVER, {})[name] = source
