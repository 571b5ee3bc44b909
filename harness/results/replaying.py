"""Records run again under their own terms, and held against what they say."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev
from typing import Any, Literal

from harness.catalog import Catalog, resolve
from harness.errors import HarnessError
from harness.planning.fingerprints import Fingerprints
from harness.planning.refit import insert_bases
from harness.records import environment
from harness.records.store import Store
from harness.results import stage
from harness.results.changes import name_changes, plan_again
from harness.results.reusing import Reuse
from harness.results.runs import Execution, make_context
from harness.running.runner import Origins
from harness.running.surroundings import describe_versions
from harness.suites.suite import Request
from harness.types import Point, Record, Trial

Verdict = Literal["to the digit", "within noise", "different"]
NARROWER = {  # variables by which libraries take narrower instructions than the processor has
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "OPENBLAS_CORETYPE": "Haswell"},
}
WIDER = ("AVX-512",)
MOST = 6  # differences of a trial that are listed


@dataclass(frozen=True)
class Replay:
    """A record held against its trial of today. differences: where they are, largest first in order of the record;
    remarks: what else is not the same. noise: the largest difference of a score in deviations over seeds.
    """

    record: Record
    again: Record | None
    differences: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    noise: float | None = None

    @property
    def verdict(self) -> Verdict:
        if self.again is None:
            return "different"
        if not self.differences:
            return "to the digit"
        return "within noise" if self.noise is not None and self.noise <= 1 else "different"

    def describe(self) -> Iterator[str]:
        trial = self.record.trial
        said = f", {self.noise:.2g} standard deviations over seeds" if self.noise is not None else ""
        yield f"{trial.key}  {trial.method.label} on {trial.dataset.label}, seed {trial.seed}: {self.verdict}{said}"
        yield from (f"  {line}" for line in self.differences[:MOST])
        if len(self.differences) > MOST:
            yield f"  and {len(self.differences) - MOST} more differences"
        yield from (f"  {line}" for line in self.remarks)


def replay_records(
    catalog: Catalog, records: Sequence[Record], siblings: Sequence[Record], data: Path, here: bool = False
) -> list[Replay]:
    """Run records again that ended ok, each under its own threads and terms, and compare them with what they say.

    siblings: records whose seeds say what noise is. Nothing is written where the records are.
    """
    prints = Fingerprints()
    today: dict[str, Trial | str] = {}
    for record in records:
        try:
            today[record.trial.key] = plan_again(catalog, record.trial, data, prints)
        except HarnessError as error:
            today[record.trial.key] = str(error)
    planned = [trial for trial in today.values() if isinstance(trial, Trial)]
    with tempfile.TemporaryDirectory() as folder, _narrow_instructions(records):
        store = Store(Path(folder))
        if planned:
            _run_trials(catalog, insert_bases(planned), store, data, here, prints)
        return [_compare(catalog, record, today[record.trial.key], store, siblings) for record in records]


def _run_trials(
    catalog: Catalog, trials: Sequence[Trial], store: Store, data: Path, here: bool, prints: Fingerprints
) -> None:
    execution = Execution(store.folder, here=here)
    offer = catalog.executors.get("here" if here else execution.executor)
    context = make_context(catalog, Request(data=data), execution, trials, (), offer)
    store.prepare()
    executor = resolve(offer.factory)()
    try:
        stage.run_stage(Origins(catalog, prints), trials, store, executor, context, Reuse(), ["harness replay"], False)
    except KeyboardInterrupt as stop:
        stop.args = ("nothing of the replay is kept",)
        raise


def _compare(catalog: Catalog, record: Record, today: Trial | str, store: Store, siblings: Sequence[Record]) -> Replay:
    if isinstance(today, str):
        return Replay(record, None, (f"cannot be planned today: {today}",))
    changed = name_changes(record.trial, today)
    remarks = [f"changed since, compared all the same: {', '.join(changed)}"] if changed else []
    remarks += describe_versions(catalog, [record], [today])
    again = store.find_any(today.key)
    if again is None or again.status != "ok":
        how = f"{again.status}: {again.reason}" if again else today.skip or "it did not end"
        return Replay(record, None, (f"did not end ok: {how}",), tuple(remarks))
    return compare_records(catalog, record, again, siblings, remarks)


def compare_records(
    catalog: Catalog, record: Record, again: Record, siblings: Sequence[Record] = (), remarks: Iterable[str] = ()
) -> Replay:
    """Compare scores, points of the curve, counts and digests of the data of two records of a trial."""
    counts = {metric.name for metric in catalog.metrics.values() if metric.exact}
    data = [
        f"data {name}: other rows"
        for name, digest in _read_digests(record).items()
        if _read_digests(again).get(name, digest) != digest
    ]
    scores = list(_list_differing("", record.scores, again.scores))
    readings = [{name: value for name, value in each.readings.items() if name in counts} for each in (record, again)]
    shared = readings[0].keys() & readings[1].keys()  # what could not be counted there, or here, is a hole
    counted = list(_list_differing("", *({name: each[name] for name in each if name in shared} for each in readings)))
    differences = [*data, *scores, *_compare_curves(record.curve, again.curve), *counted]
    noise = None if data or counted or not differences else _measure_noise(record, again, siblings)
    return Replay(record, again, tuple(differences), tuple(remarks), noise)


def _compare_curves(before: Sequence[Point], now: Sequence[Point]) -> Iterator[str]:
    """The first point of the curve at which the two differ; what follows from it differs, too."""
    for old, new in zip(before, now, strict=False):
        if old.update != new.update:
            yield f"curve: a point at update {old.update} there, {new.update} here"
            return
        at = f"curve from update {old.update} on, "
        found = [*_list_differing(at, old.valid, new.valid), *_list_differing(at, old.scalars, new.scalars)]
        if found:
            yield found[0]
            return
    if len(before) != len(now):
        yield f"curve: {len(before)} points there, {len(now)} here"


def _list_differing(at: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """A line for each value of the record that is another now; a metric that came later is no difference."""
    for name, old in before.items():
        new = now.get(name)
        if repr(old) != repr(new) and old != new:
            less = f" ({new - old:+.3g})" if isinstance(old, (int, float)) and isinstance(new, (int, float)) else ""
            yield f"{at}{name}: {old!r} there, {new!r} here{less}"


def _measure_noise(record: Record, again: Record, siblings: Sequence[Record]) -> float | None:
    """The largest difference of a score in standard deviations over the seeds of this configuration."""
    alike = [each for each in siblings if each.status == "ok" and _identify(each) == _identify(record)]
    found = []
    for name in record.scores.keys() & again.scores.keys():
        difference = abs(again.scores[name] - record.scores[name])
        values = [each.scores[name] for each in alike if math.isfinite(each.scores.get(name, math.nan))]
        if difference and (len(values) < 2 or not stdev(values)):
            return None
        found.append(difference / stdev(values) if difference else 0.0)
    return max(found) if found and record.scores.keys() <= again.scores.keys() else None


def _identify(record: Record) -> tuple[Any, ...]:
    trial = record.trial
    return trial.method.label, trial.dataset.label, trial.terms, trial.refit


def _read_digests(record: Record) -> Mapping[str, Any]:
    found = record.provenance.get("data")
    return found if isinstance(found, Mapping) else {}


class _narrow_instructions:  # noqa: N801 (used as a function)
    """Within, libraries of processes yet to start take the instructions of the records, where these are narrower."""

    def __init__(self, records: Sequence[Record]) -> None:
        named = {str(record.environment.get("instruction_set")) for record in records}
        narrower = len(named) == 1 and environment.instruction_set() in WIDER
        self._asked = NARROWER.get(next(iter(named)), {}) if narrower else {}
        self._set: list[str] = []

    def __enter__(self) -> None:
        self._set = [name for name in self._asked if name not in os.environ]
        os.environ.update({name: self._asked[name] for name in self._set})

    def __exit__(self, *details: object) -> None:
        for name in self._set:
            del os.environ[name]
