"""A run, from what was asked for to the records of its trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.catalog import Catalog, resolve
from harness.catalog.discovery import make_absolute
from harness.data import files
from harness.errors import UsageError
from harness.planning.fingerprints import Fingerprints
from harness.planning.plan import named
from harness.planning.refit import insert_bases
from harness.records import plans
from harness.records.store import Store
from harness.results import refitting, reusing, stage
from harness.results.choosing import parse_choosing
from harness.results.reusing import Reuse
from harness.results.summaries import Gathered, Shown, parse_columns
from harness.running.runner import Origins
from harness.selections import expansion
from harness.suites import suite
from harness.types import Executor, ExecutorOffer, Record, RunContext, Trial

if TYPE_CHECKING:
    from harness.report.rows.selecting import Choosing


@dataclass(frozen=True)
class Execution:
    """How a run is executed, which changes no result: where its records go, who runs it, limits, what runs again."""

    results: Path
    timeout: float | None = None
    memory: int | None = None
    executor: str = "local"
    here: bool = False
    one_by_one: bool = False
    lanes: int = 256
    rerun: str | None = None
    keep_outdated: bool = False
    keep_predictions: bool = False
    keep_weights: bool = False


@dataclass(frozen=True)
class PlannedRun:
    """A run before its first trial. wanted: the trials that were asked for; trials: these, and what they start from."""

    catalog: Catalog
    request: suite.Request
    execution: Execution
    store: Store
    executor: Executor
    wanted: Sequence[Trial]
    trials: Sequence[Trial]
    origins: Origins
    shown: Shown
    context: RunContext
    reuse: Reuse

    def plan_second(self) -> refitting.Second:
        """Plan the second stage of --refit, where the first has ended."""
        records = collect_records(self.trials, self.store, self.reuse)
        return refitting.plan_second(self.trials, self.wanted, records, self.choosing)

    def reuse_for(self, second: Sequence[Trial]) -> Reuse:
        """Find out what is used again in a second stage."""
        asked = self.execution
        return self.reuse.go_on(
            self.catalog, self.trials, second, self.store, self.context, asked.keep_outdated, asked.here
        )

    @property
    def choosing(self) -> Choosing:
        assert self.shown.choosing is not None
        return self.shown.choosing


@dataclass(frozen=True)
class EndedRun:
    """A run after its last trial. attempts: how trials ended that ran again, whose earlier ok record stays. lacking:
    whether a second stage could not be planned whole.
    """

    trials: Sequence[Trial]
    records: Sequence[Record]
    attempts: Sequence[Record]
    lacking: bool
    gathered: Gathered

    @property
    def is_whole(self) -> bool:
        """Whether all that was asked for ended ok."""
        ended = sum(record.status == "ok" for record in self.records)
        return ended == len(self.trials) and not self.attempts and not self.lacking


def plan_run(
    catalog: Catalog, request: suite.Request, comparison: suite.Comparison | None, execution: Execution
) -> PlannedRun:
    """Plan a run. Raises UsageError for every mistake in what was asked for."""
    store = Store(execution.results)
    names = parse_columns(catalog, request.metrics)
    offer = catalog.executors.get("here" if execution.here else execution.executor)
    executor: Executor = resolve(offer.factory)()
    prints = Fingerprints()
    wanted = named(catalog, request, stage.print_line, prints)
    trials = insert_bases(wanted)
    origins = Origins(catalog, prints)
    how = _make_choosing(catalog, request, trials)
    shown = Shown(names, request.target, how, comparison, refit=bool(request.refit))
    context = make_context(catalog, request, execution, trials, names or (), offer)
    reuse = reusing.choose_reuse(
        catalog, trials, store, context, execution.rerun, execution.keep_outdated, execution.here
    )
    return PlannedRun(catalog, request, execution, store, executor, wanted, trials, origins, shown, context, reuse)


def execute_run(run: PlannedRun, command: Sequence[str], lively: bool = False) -> EndedRun:
    """Run what has no record yet; a trial that fails is a record as any other. command: what the plan says it was.

    lively: whether stderr takes bars that move. An interrupt passes, and says what is kept.
    """
    run.store.prepare()
    trials, reuse, lacking = run.trials, run.reuse, False
    attempts = _run_stage(run, trials, reuse, command, lively)
    if run.request.refit:
        second = run.plan_second()
        for line in second.announce():
            stage.print_line(line)
        reuse = run.reuse_for(second.trials)
        attempts += _run_stage(run, second.trials, reuse, command, lively)
        trials, lacking = [*trials, *second.trials], bool(second.unchosen)
    return _end_run(run, trials, reuse, attempts, lacking)


def _run_stage(
    run: PlannedRun, trials: Sequence[Trial], reuse: Reuse, command: Sequence[str], lively: bool
) -> list[Record]:
    return stage.run_stage(run.origins, trials, run.store, run.executor, run.context, reuse, command, lively)


def _end_run(
    run: PlannedRun, trials: Sequence[Trial], reuse: Reuse, attempts: Sequence[Record], lacking: bool
) -> EndedRun:
    """Read the records of a run, from the files."""
    records = collect_records(trials, run.store, reuse)
    sources = (*reuse.note_kept(trials, run.store), *reusing.describe_attempts(attempts, run.store))
    gathered = Gathered(records, replace(run.shown, sources=sources), plans.group_planned(trials), (run.store.folder,))
    return EndedRun(trials, records, attempts, lacking, gathered)


def collect_records(trials: Sequence[Trial], store: Store, reuse: Reuse) -> list[Record]:
    """Collect the records of trials that have one, for a table."""
    return [record for trial in trials if (record := reuse.pick_record(trial, store))]


def make_context(
    catalog: Catalog,
    request: suite.Request,
    execution: Execution,
    trials: Sequence[Trial],
    names: Sequence[str],
    executor: ExecutorOffer,
) -> RunContext:
    """Make the context of the trials; the plan may have added files to the plugins, and a plugin may go elsewhere."""
    return RunContext(
        results=execution.results.absolute(),
        data=files.resolve_folder(request.data).absolute(),
        plugins=tuple(map(make_absolute, catalog.settings.plugins)),
        disabled=catalog.settings.disabled,
        preload=list_preloads(catalog, trials),
        workers=request.workers,
        timeout=execution.timeout,
        memory=execution.memory,
        keep_predictions=execution.keep_predictions,
        keep_weights=execution.keep_weights,
        columns=tuple(names),
        lanes=1 if execution.one_by_one or not executor.cohorts else execution.lanes,
    )


def list_preloads(catalog: Catalog, trials: Sequence[Trial]) -> tuple[str, ...]:
    """List the modules that every trial imports: of the backend, for reading its data and for its scores."""
    datasets = [catalog.datasets.get(trial.dataset.name, trial.dataset.provider) for trial in trials]
    kinds = {dataset.kind for dataset in datasets}
    scores = [metric for metric in catalog.metrics.values() if metric.compute is not None and kinds & {*metric.kinds}]
    needed = [module for each in datasets for module in each.requires]
    needed += [module for each in scores for module in each.requires]
    return tuple(dict.fromkeys((*catalog.backends.values()[0].preload, *needed)))


def _make_choosing(catalog: Catalog, request: suite.Request, trials: Sequence[Trial]) -> Choosing:
    """Read --select. Raises UsageError for a score that the validation of some data set will not have."""
    items = dict.fromkeys(expansion.format_item(trial.method) for trial in trials)
    datasets = [trial.dataset for trial in trials]
    how = parse_choosing(catalog, request.select, request.select_jointly, request.refit, items, datasets)
    for name, provider in dict.fromkeys((each.name, each.provider) for each in datasets):
        kind = catalog.datasets.get(name, provider).kind
        if how.by is not None and kind not in how.by.metric.kinds:
            takes = " and ".join(how.by.metric.kinds)
            what = f"{how.by.metric.name} is a metric for {takes}"
            raise UsageError(f"--select {request.select}: {what}, and {name} is {kind}")
    if request.refit:
        refitting.require_budget(trials)
    return how
