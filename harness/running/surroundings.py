"""Changes around a run since its earlier records were taken, and demands of its setting on the machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from harness.catalog import Catalog, resolve
from harness.planning import cores
from harness.records import environment
from harness.types import Backend, Record, Trial

PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
LOADED = 1.5  # times as many processes as cores; a run that has just ended leaves a load of one
CHANGING = ("python", "instruction_set")  # and every library that a record names the version of


def describe_versions(catalog: Catalog, done: Sequence[Record], todo: Sequence[Trial]) -> list[str]:
    """A line if records were taken with other versions, or on another instruction set, than this run has."""
    if not done:
        return []
    now = _read_environment(catalog, todo)
    found: Counter[tuple[str, str, str]] = Counter()
    for record in done:
        for name, before in _list_versions(record):
            present = now.get(name) or (None if name in CHANGING else environment.find_version(name))
            if present and present != before:
                found[name.replace("_", " "), before, present] += 1
    lines = [
        f"{count} of {len(done)} records {'was' if count == 1 else 'were'} taken with {name} {before}, "
        f"this run has {present}"
        for (name, before, present), count in found.items()
    ]
    return ["; ".join(lines)] if lines else []


def _read_environment(catalog: Catalog, todo: Sequence[Trial]) -> Mapping[str, Any]:
    """This run's environment. The backend is asked only where there is something to run that needs it anyway."""
    if todo and todo[0].terms.device == "cpu":  # a GPU is not woken for a remark
        backend: Backend = resolve(catalog.backends.values()[0].factory)()
        return environment.describe_machine() | dict(backend.environment("cpu"))
    present = environment.describe_machine()
    del present["instruction_set"]  # of the processor; that of the kernels is the backend's to say
    return present


def _list_versions(record: Record) -> Iterator[tuple[str, str]]:
    """Name and version of Python, of libraries, and the instruction set that a record was taken with."""
    libraries = record.provenance.get("libraries")
    named = {**(libraries if isinstance(libraries, Mapping) else {}), **record.environment}
    for name, value in named.items():
        if isinstance(value, str) and name != "harness" and (name in CHANGING or environment.find_version(name)):
            yield name, value


def wait_passively(
    trials: Sequence[Trial], workers: int, variables: MutableMapping[str, str], load: float
) -> list[str]:
    """Have the threads of trials that share their cores sleep, not spin, where they wait for each other.

    Sets the variables of a process that is yet to start, unless the user has set one of them, and says so in a line. A
    thread that spins takes the core from the one that it waits for: `tests/speed/passive_waiting.py` has measured it.
    """
    threads = (
        max((trial.terms.threads for trial in trials if not trial.skip and trial.terms.device == "cpu"), default=1)
        * workers
    )
    usable = cores.usable_cores()
    shared = threads > usable or load > LOADED * usable
    if threads == 1 or not shared or not variables.keys().isdisjoint(PASSIVE):
        return []
    variables.update(PASSIVE)
    asked = f"{threads} threads on {usable} usable cores at a load of {load:.1f}"
    return [f"{asked}: they wait for each other without spinning (OMP_WAIT_POLICY=PASSIVE)"]


def describe_crowding(trials: Sequence[Trial], workers: int) -> list[str]:
    """A line if more threads are asked for than there are cores for them."""
    threads = max((trial.terms.threads for trial in trials if not trial.skip), default=0)
    usable = cores.usable_cores()
    if threads * workers <= usable:
        return []
    asked = f"{threads} threads" if threads != 1 else "1 thread"
    each = f"{asked} for each of {workers} trials at once" if workers > 1 else asked
    there = f"{usable} usable cores" if usable != 1 else "1 usable core"
    return [f"{each} on {there}: they wait for each other, and times are longer than they need be"]
