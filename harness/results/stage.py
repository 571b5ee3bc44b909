"""One stage of a run: its plan as lines, and its execution."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing

import click

from harness.catalog import Catalog
from harness.errors import HarnessError
from harness.records import plans
from harness.records.environment import recent_load
from harness.records.grouping import describe_budget
from harness.records.store import Store
from harness.results import progress
from harness.results.reusing import Reuse
from harness.running import runner, surroundings
from harness.running.cohort_groups import group_cohorts
from harness.running.lock import hold_lock
from harness.types import Executor, Record, RunContext, Trial
from harness.words import clean_line, format_count

LONGEST_LINE = 2_000


def print_line(line: str) -> None:
    """Print a line to the user on stderr, beside the output of the command."""
    click.echo(clean_line(line, LONGEST_LINE), err=True)


def run_stage(
    origins: runner.Origins,
    trials: Sequence[Trial],
    store: Store,
    executor: Executor,
    context: RunContext,
    reuse: Reuse,
    command: Sequence[str],
    lively: bool,
) -> list[Record]:
    """Run what has no ok record yet; return how trials ended whose earlier ok record stays.

    lively: whether stderr takes bars that move. An interrupt passes, and says what is kept.
    """
    attempts: list[Record] = []
    with hold_lock(store.folder):
        split = reuse.split_todo(trials, store)
        if split.done:
            click.echo(f"{len(split.done)} of {len(trials)} trials have a record; {len(split.todo)} to run", err=True)
        remarks = _collect_remarks(origins, trials, split, store, context.workers, reuse)
        late = [
            *(_note_lacking_arrays(split, store) if context.keep_weights else ()),
            *_note_unasked(origins.catalog, split, context),
        ]
        batched = group_cohorts(origins.catalog, split.todo, context.lanes, context.workers).lines
        for line in (*remarks, *late, *batched):
            print_line(line)
        if not split.todo:
            return attempts
        for line in surroundings.wait_passively(split.todo, context.workers, os.environ, recent_load()):
            click.echo(line, err=True)
        plans.write_plan(store.folder, trials, command)
        view = progress.open_view(split.todo, split.done, context.workers, lively)
        ended = 0
        try:
            run = runner.run_trials(origins.catalog, split.todo, store, executor, context, view, origins)
            with view, closing(run) as records:
                for record in records:
                    ended += 1
                    if record.status != "ok" and store.find_ok(record.trial.key):
                        attempts.append(record)
        except KeyboardInterrupt as stop:
            kept = f"{ended} of {len(split.todo)} trials ended and are kept in {store.folder}"
            stop.args = (f"{kept}; the same command goes on",)
            raise
    return attempts


def _note_lacking_arrays(split: runner.Split, store: Store) -> list[str]:
    """A line where --keep-weights comes too late for some trials."""
    count = sum(not store.locate_weights(record.trial.key).exists() for record in split.done)
    have = "has" if count == 1 else "have"
    late = f"{count} of the trials that have a record {have} no trained arrays there; --rerun trains them again"
    return [late] if count else []


def _note_unasked(catalog: Catalog, split: runner.Split, context: RunContext) -> list[str]:
    """A line for each column that is measured on request, and was not asked for when some records were made."""
    names = [each.name for each in catalog.instruments.values() if each.on_request and each.name in context.columns]
    lacking = {name: sum(name not in {**each.readings, **each.holes} for each in split.done) for name in names}
    return [
        f"{name} is measured on request, and {count} of the trials that have a record did without; --rerun measures it"
        for name, count in lacking.items()
        if count
    ]


def _collect_remarks(
    origins: runner.Origins, trials: Sequence[Trial], split: runner.Split, store: Store, workers: int, reuse: Reuse
) -> list[str]:
    """Collect remarks on records that are there and on trials that run, a line each."""
    kept = [
        *surroundings.describe_versions(origins.catalog, split.done, split.todo),
        *runner.describe_outdated(origins, split.done, store),
    ]
    run = [
        *split.lost,
        *reuse.list_remarks(split),
        *runner.explain_reruns(split.todo, store),
        *surroundings.describe_crowding(split.todo, workers),
    ]
    return [*kept, *run, *runner.describe_unfollowed(origins, trials)]


def print_plan(
    origins: runner.Origins, trials: Sequence[Trial], store: Store, context: RunContext, reuse: Reuse
) -> None:
    """The plan as lines, with an estimate from earlier records of the same methods."""
    workers = context.workers
    split = reuse.split_todo(trials, store)
    todo = {trial.key for trial in split.todo}
    for trial in trials:
        state = f"skipped: {clean_line(trial.skip)}" if trial.skip else reuse.status(trial, store, trial.key in todo)
        terms = f"{describe_budget(trial)}, batches of {trial.terms.batch_size}"
        click.echo(f"{trial.key}  {progress.name_trial(trial)}: {terms}, {state}")
    remarks = _collect_remarks(origins, trials, split, store, workers, reuse)
    batched = group_cohorts(origins.catalog, split.todo, context.lanes, workers).lines
    for line in (*remarks, *reuse.note_kept(trials, store), *batched):
        click.echo(clean_line(line, LONGEST_LINE))
    first = trials[0]
    threads = format_count(first.terms.threads, "thread")
    setting = f"{first.terms.device}, {first.terms.precision}, {threads}, {workers} at once"
    count = format_count(len(trials), "trial")
    click.echo(f"{count}, {len(todo)} to run on {setting}: {_estimate_time(split.todo, store, workers)}")


def _estimate_time(todo: Sequence[Trial], store: Store, workers: int) -> str:
    try:
        earlier = [record for record in store.read_newest()[0] if record.status == "ok"]
    except HarnessError:
        earlier = []
    left = progress.Forecast([trial for trial in todo if not trial.skip], earlier, workers).seconds_left()
    return "no earlier record to estimate from" if left is None else f"about {progress.say_duration(left)}"
