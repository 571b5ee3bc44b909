"""From a plan to records on disk: what has an ok record is not run again, what ends is written at once."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Protocol

from harness.catalog import Catalog
from harness.errors import HarnessError
from harness.planning import fingerprints
from harness.planning.plan import describe_changes
from harness.records import environment, trained_arrays
from harness.records.store import Store, trial_identity
from harness.running.cohort_groups import group_cohorts
from harness.running.seed_siblings import group_siblings
from harness.types import Executor, Progress, Record, RunContext, Trial
from harness.words import clean_line


class Listener(Protocol):
    """Listener to a run: it is told how the run goes on."""

    def started(self, trial: Trial, cohort: tuple[int, int] = (0, 1)) -> None:
        """cohort: its place among the trials that are trained with it as one, and how many they are."""
        ...

    def progressed(self, trial: Trial, progress: Progress) -> None: ...
    def finished(self, trial: Trial, record: Record) -> None: ...


@dataclass(frozen=True)
class Split:
    """A plan against a results folder. lost: a line for each file of trained arrays that its trial is run again for."""

    done: tuple[Record, ...]
    todo: tuple[Trial, ...]
    lost: tuple[str, ...] = ()


def split_plan(
    trials: Sequence[Trial],
    store: Store,
    rerun: Collection[str] = (),
    kept: Mapping[str, Record] = MappingProxyType({}),
) -> Split:
    """Split a plan by its ok records. A base whose trained arrays are not those that its record states runs
    again only if a trial needs them.

    rerun: keys of trials that run all the same. kept: records that stand for trials without one of their own.
    """
    found = {
        trial.key: None if trial.key in rerun else store.find_ok(trial.key) or kept.get(trial.key) for trial in trials
    }
    again = {key for key, record in found.items() if record is None}
    lost: list[str] = []
    for trial in reversed(trials):  # a base stands before what starts from it, and may have a base itself
        base = trial.base
        if base and trial.key in again and base.key not in again:
            path = store.locate_weights(base.key)
            if fault := trained_arrays.describe_fault(path, found.get(base.key)):
                again.add(base.key)
                title = f"{base.method.label} on {base.dataset.label}, seed {base.seed}"
                lost.insert(0, f"{title} runs again: its trained arrays, {path}, {fault}")
    done = tuple(record for key, record in found.items() if record is not None and key not in again)
    return Split(done, tuple(trial for trial in trials if trial.key in again), tuple(lost))


def explain_reruns(trials: Sequence[Trial], store: Store) -> list[str]:
    """Why trials run that a user has run before: a line each for a record that cannot be read, for what has changed
    since, and for how they ended.
    """
    try:
        earlier = {trial_identity(record.trial): record for record in store.read_newest()[0]}
    except HarnessError:
        return []
    damaged = [fault for trial in trials if (fault := store.explain_fault(trial.key))]
    found = [(trial, earlier.get(trial_identity(trial))) for trial in trials if not trial.skip]
    known = [(trial, record) for trial, record in found if record is not None]
    bad = [record.status for _, record in known if record.status != "ok"]
    moved = [describe_changes(record.trial, trial) for trial, record in known if record.status == "ok"]
    moved = [words for words in moved if words]
    ended = [f"{_run_again(len(bad))}: {', '.join(dict.fromkeys(bad))} before"] if bad else []
    changed = dict.fromkeys(each for words in moved for each in words)
    return [*damaged, *ended, *([f"{_run_again(len(moved))}, changed since: {', '.join(changed)}"] if moved else [])]


def describe_outdated(origins: Origins, records: Sequence[Record], store: Store) -> list[str]:
    """A line if records hold what a metric or an instrument measured that has changed since: no key tells of those."""
    present = origins.measured_by
    found: dict[str, list[str]] = {}
    for record in records:
        before = record.provenance.get("measured_by")
        for plugin, source in before.items() if isinstance(before, Mapping) else ():
            if plugin in present and present[plugin] != source:
                found.setdefault(record.trial.key, []).append(plugin)
    if not found:
        return []
    plugins = ", ".join(dict.fromkeys(plugin for each in found.values() for plugin in each))
    kept = f"{len(found)} of the records were measured before the source of {plugins} changed"
    return [f"{kept}; without {store.locate_record(next(iter(found)))} and the like their trials run again"]


class Origins:
    """Origins of records: the code behind them, besides their keys, found out once for all trials of a run.

    prints: those of the plan, where there is one.
    """

    def __init__(self, catalog: Catalog, prints: fingerprints.Fingerprints | None = None) -> None:
        self.catalog = catalog
        self._prints = prints or fingerprints.Fingerprints()

    @cached_property
    def measured_by(self) -> Mapping[str, str]:
        return self._prints.digest_measures(self.catalog)

    def describe_trial(self, trial: Trial) -> dict[str, Any]:
        """measured_by: the source of metrics and instruments. libraries: other distributions that method and data set
        import, with versions. sources: a digest of each file of theirs. not_followed: what of it no key follows.
        """
        followed = self._follow_sources(trial)
        libraries = {name: version for each in followed for name, version in each.libraries.items()}
        origins: dict[str, Any] = {"measured_by": self.measured_by, "libraries": dict(sorted(libraries.items()))}
        origins["sources"] = {name: digest for each in followed for name, digest in sorted(each.files.items())}
        gaps = self.list_gaps([trial])
        return origins | ({"not_followed": gaps} if gaps else {})

    def list_gaps(self, trials: Sequence[Trial]) -> list[str]:
        """Gaps in the sources of these trials' methods and data sets, which no key follows."""
        followed = (each for trial in trials for each in self._follow_sources(trial))
        return list(dict.fromkeys(gap for each in followed for gap in each.gaps))

    def _follow_sources(self, trial: Trial) -> list[fingerprints.Followed]:
        method = self.catalog.methods.offer(trial.method.name, trial.method.provider)
        dataset = self.catalog.datasets.offer(trial.dataset.name, trial.dataset.provider)
        return [self._prints.follow_once(method), self._prints.follow_once(dataset)]


def describe_unfollowed(origins: Origins, trials: Sequence[Trial]) -> list[str]:
    """A line for each thing that a method or data set imports and no key follows."""
    return [f"no key follows {gap}: after a change there, use --rerun" for gap in origins.list_gaps(trials)]


def _run_again(count: int) -> str:
    return "1 trial runs again" if count == 1 else f"{count} trials run again"


def run_trials(
    catalog: Catalog,
    trials: Sequence[Trial],
    store: Store,
    executor: Executor,
    context: RunContext,
    listener: Listener,
    origins: Origins | None = None,
) -> Generator[Record]:
    """Run trials and yield each one's record after it has been written. origins: of the plan, where that knows them.

    Closing the iterator, or an interrupt, stops the trial that runs; everything finished is on disk.
    """
    catalog.notify("harness_run_started", {"trials": tuple(trials)})
    records: list[Record] = []
    origins = origins or Origins(catalog)
    alike = group_siblings(catalog, trials, store, origins.measured_by)
    cohorts = group_cohorts(catalog, trials, context.lanes, context.workers).cohorts
    context = dataclasses.replace(context, siblings=alike, cohorts=cohorts)
    try:
        for record in _run_or_skip(trials, executor, context, _Relay(catalog, listener)):
            # Trials that run at once spoil each other's times: the report must know.
            record = dataclasses.replace(
                record,
                environment={"memory_limit": "none", **record.environment, "workers": context.workers},
                provenance={**record.provenance, **origins.describe_trial(record.trial)},
            )
            record, told = _write_record(store, record)
            records.append(told)
            listener.finished(record.trial, record)
            catalog.notify("harness_trial_finished", {"trial": record.trial, "record": told})
            yield record
    finally:
        catalog.notify("harness_run_finished", {"records": records})


def _write_record(store: Store, record: Record) -> tuple[Record, Record]:
    """Write a record as disks can hold it, or a failed one where no file can hold it, so that it costs no other trial.

    Besides, a copy for plugins: what they do to it is not what was measured.

    Raises HarnessError when the disk is full or the folder has gone.
    """
    try:
        written = store.write(record)
    except HarnessError:
        raise
    except Exception as error:
        reason = clean_line(f"its record cannot be written: {type(error).__name__}: {error}")
        written = store.write(Record(record.trial, "failed", reason, finished=environment.current_time()))
    return written, copy.deepcopy(written)


def _run_or_skip(
    trials: Sequence[Trial], executor: Executor, context: RunContext, progress: Callable[[Trial, Progress], None]
) -> Iterator[Record]:
    for trial in trials:
        if trial.skip:
            yield Record(trial, "skipped", trial.skip, finished=environment.current_time())
    runnable = [trial for trial in trials if not trial.skip]
    if runnable:
        yield from executor.run(runnable, context, progress)


class _Relay:
    """Turns the executor's progress into the listener's events: the first word of a trial says that it started."""

    def __init__(self, catalog: Catalog, listener: Listener) -> None:
        self._catalog = catalog
        self._listener = listener
        self._started: set[str] = set()

    def __call__(self, trial: Trial, progress: Progress) -> None:
        if trial.key not in self._started:
            self._started.add(trial.key)
            self._listener.started(trial, progress.cohort)
            self._catalog.notify("harness_trial_started", {"trial": trial})
        if progress.part is None:
            self._listener.progressed(trial, progress)
