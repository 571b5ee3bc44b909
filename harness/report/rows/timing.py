"""Notes on the worth of times: workers, a busy machine, training outside the updates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from harness.report.rows.values import as_number, base_name, read_measured
from harness.types import Record, Trial
from harness.words import cap_texts, list_seeds

CROWD = 1.1  # x cores: a load up to here may be that of the trial before
SHARE = 0.1  # of the training: what a method does outside its updates is told from here on
IDLE = 0.8  # of the wall time: with less CPU time, a process waited for something else
BUSY = 1.2  # of threads x wall time: with more CPU time, more threads ran than were asked for
SHORTEST = 0.2  # seconds: below it, times of a process and of the clock need not agree
PHASES = ("init", "prepare", "finish")
# Times that are a share where several trials are trained as one.
SHARES = frozenset(
    {
        "update_seconds",
        "epoch_seconds",
        "train_seconds",
        "warmup_seconds",
        "init_seconds",
        "prepare_seconds",
        "seconds_to_target",
        "total_seconds",
        "total_with_base_seconds",
    }
)
TOTAL = ("init", "prepare", "train", "finish")  # phases that a method spends; loading and evaluating are the harness's
SET_UP = 0.5  # seconds of `init` that imports, allocation and compilation may take: no training


def note_timing(records: Sequence[Record], every: Sequence[Record], table: str = "") -> Iterator[str]:
    """Note doubts about the times of records that ended ok. every: the records among which their bases are. table: its
    name, where there are several.
    """
    yield from _note_workers(records)
    yield from _note_cohorts(records)
    yield from _note_load(records, table)
    yield from _note_cpu_time(records)
    yield from _note_beside_updates(records, every)


def find_phases(records: Sequence[Record], every: Sequence[Record]) -> list[str]:
    """The columns of phases in which a method of the table trains beside its updates."""
    known = _index_bases(records, every)
    found = {phase for record in records if record.status == "ok" for phase in _find_phases_beyond(record, known)}
    return [f"{phase}_seconds" for phase in PHASES if phase in found]


def add_totals(records: Sequence[Record]) -> list[Record]:
    """Add total times to records: of their methods, and together with their bases, if these are here.

    What starts from nothing takes the same with and without.
    """
    by_key = {record.trial.key: record for record in records if record.status == "ok"}
    return [_add_own_totals(record, by_key) for record in records]


def _add_own_totals(record: Record, by_key: Mapping[str, Record]) -> Record:
    if not record.seconds:
        return record
    own, started = _sum_spent(record), list(_iterate_bases(record.trial))
    measured = {**record.measured, "total_seconds": own}
    for base in started:
        if base.key not in by_key:
            why = f"no record of {base.method.label}, which it starts from, that ended ok"
            return replace(record, measured=measured, holes={**record.holes, "total_with_base_seconds": why})
    measured["total_with_base_seconds"] = own + math.fsum(_sum_spent(by_key[base.key]) for base in started)
    return replace(record, measured=measured)


def _iterate_bases(trial: Trial) -> Iterator[Trial]:
    """Iterate the base of a trial, its base, and so on."""
    while trial.base is not None:
        trial = trial.base
        yield trial


def _sum_spent(record: Record) -> float:
    return math.fsum(as_number(record.seconds.get(phase)) or 0.0 for phase in TOTAL)


def _find_phases_beyond(record: Record, by_key: Mapping[str, Record]) -> dict[str, tuple[float, float]]:
    """Seconds of phases that exceed a tenth of those of the updates of the trial and its bases, and what is set-up."""
    training = _sum_training(record, by_key)
    found = {phase: seconds for phase in PHASES if (seconds := as_number(record.seconds.get(phase))) is not None}
    least = {phase: max(SHARE * training, SET_UP if phase == "init" else 0.0) for phase in found}
    return {phase: (seconds, training) for phase, seconds in found.items() if seconds > least[phase]}


def _index_bases(records: Sequence[Record], every: Sequence[Record]) -> dict[str, Record]:
    """The records by key among which those are that some of the records start from."""
    return {each.trial.key: each for each in every} if any(each.trial.base for each in records) else {}


def _sum_training(record: Record, known: Mapping[str, Record]) -> float:
    total = read_measured(record, "train_seconds") or 0.0
    base = record.trial.base
    while base is not None:
        total += (read_measured(known[base.key], "train_seconds") or 0.0) if base.key in known else 0.0
        base = base.base
    return total


def _note_beside_updates(records: Sequence[Record], every: Sequence[Record]) -> Iterator[str]:
    known = _index_bases(records, every)
    rows: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for record in records:
        base = record.trial.base
        whose = ", its base's among them" if base is not None and base.key in known else ""
        for phase, seconds in _find_phases_beyond(record, known).items():
            rows.setdefault((record.trial.method.label, phase, whose), []).append(seconds)
    for (label, phase, whose), found in rows.items():
        outside, training = (sum(each) / len(found) for each in zip(*found, strict=True))
        verb = "spends" if phase == "init" else "trains"
        yield f"{label} {verb} {_say_seconds(outside)} in {phase} beside {_say_seconds(training)} of updates{whose}"


def are_unlike_shares(name: str, records: Iterable[Record]) -> bool:
    """Whether a time is not the same thing in all of these: alone, or a share of what so many trials took as one."""
    return base_name(name) in SHARES and len({_count_lanes(record) for record in records if record.status == "ok"}) > 1


def is_share(name: str, records: Iterable[Record]) -> bool:
    """Whether a time is, of some of these, a share of what several trials took as one: one measurement for them all."""
    return base_name(name) in SHARES and any(_count_lanes(record) > 1 for record in records)


def _count_lanes(record: Record) -> float:
    """Count the trials that were trained as one, itself among them."""
    return as_number(record.measured.get("cohort")) or 1.0


def _note_cohorts(records: Sequence[Record]) -> Iterator[str]:
    """Times that are shares. Beside other ones they compare two things."""
    shared = [(record, _count_lanes(record)) for record in records if _count_lanes(record) > 1]
    if not shared:
        return
    yield f"times are shares of what several trials took that were trained as one, so many: {_list_rows(shared)}"
    if are_unlike_shares("update_seconds", records):
        yield "times of one trial alone and shares of unlike numbers are not compared: none is best, none has a ratio"


def _note_workers(records: Sequence[Record]) -> Iterator[str]:
    counts = {_count_workers(record) for record in records}
    if counts - {1}:
        numbers = " and ".join(map(str, sorted(counts)))
        yield f"timings taken with {numbers} workers at once: they disturb each other"


def _count_workers(record: Record) -> int:
    found = record.environment.get("workers", record.provenance.get("workers", 1))
    return found if isinstance(found, int) else 1


def _note_load(records: Sequence[Record], table: str) -> Iterator[str]:
    """Trials that began or ended while more processes wanted to run than the machine has cores for."""
    busy = [(record, load, cores) for record in records for load, cores in _read_loads(record) if load > CROWD * cores]
    if busy:
        loads, cores = [load for _, load, _ in busy], sorted({cores for _, _, cores in busy})
        on = f"{' or '.join(f'{each:g}' for each in cores)} core{'s' if cores != [1] else ''}"
        listed = _list_rows([(record, None) for record, _, _ in busy])
        of = f" of {table}" if table else ""
        yield f"times{of} were taken on a busy machine, with a load of {_format_range(loads)} on {on}: {listed}"


def _read_loads(record: Record) -> Iterator[tuple[float, float]]:
    """The larger of the loads at the trial's beginning and end, and the cores that it could use."""
    stated = (record.environment.get(name) for name in ("load", "load_at_end"))
    loads = [as_number(each[0] if isinstance(each, (list, tuple)) and each else each) for each in stated]
    known = [load for load in loads if load is not None]
    cores = as_number(record.environment.get("usable_cores", record.environment.get("cores")))
    if known and cores is not None:
        yield max(known), cores


def _note_cpu_time(records: Sequence[Record]) -> Iterator[str]:
    """Note trials whose CPU time in training does not fit their wall time."""
    waited, crowded = [], []
    for record in records:
        wall, cpu = (as_number(record.environment.get(f"train_{name}_seconds")) for name in ("wall", "cpu"))
        if wall is None or cpu is None or not _is_on_cpu(record.trial) or not SHORTEST <= wall < math.inf:
            continue
        if cpu < IDLE * wall:
            waited.append((record, cpu / wall))
        elif cpu > BUSY * record.trial.terms.threads * wall:
            crowded.append((record, cpu / wall / record.trial.terms.threads))
    if waited:
        yield f"training waited, for its CPU time is less than its wall time, by a factor of: {_list_rows(waited)}"
    if crowded:
        yield f"training used more threads than it was given, CPU time over threads x wall time: {_list_rows(crowded)}"


def _is_on_cpu(trial: Trial) -> bool:
    return trial.terms.device.partition(":")[0] == "cpu"


def _list_rows(found: Sequence[tuple[Record, float | None]]) -> str:
    """`saf seeds 0, 1 (0.35 to 0.4); ottt seed 2 (0.7)`."""
    by_label: dict[str, list[tuple[int, float | None]]] = {}
    for record, figure in found:
        by_label.setdefault(record.trial.method.label, []).append((record.trial.seed, figure))
    return "; ".join(cap_texts(_describe_one(label, sorted(own)) for label, own in by_label.items()))


def _describe_one(label: str, found: Sequence[tuple[int, float | None]]) -> str:
    figures = [figure for _, figure in found if figure is not None]
    return f"{label} {list_seeds([seed for seed, _ in found])}" + (f" ({_format_range(figures)})" if figures else "")


def _format_range(values: Sequence[float]) -> str:
    low, high = f"{min(values):.2g}", f"{max(values):.2g}"
    return low if low == high else f"{low} to {high}"


def _say_seconds(value: float) -> str:
    return f"{value:.2g} s" if value < 10 else f"{value:.0f} s"
