"""`harness run`: methods head to head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.catalog import Catalog, resolve
from harness.catalog.discovery import make_absolute
from harness.cli import refitting, reusing, select_options, stage, streams
from harness.cli.amounts import Amount, Count, Size
from harness.cli.places import Folder
from harness.cli.report import print_summary
from harness.cli.reusing import Reuse
from harness.cli.session import Session
from harness.cli.wanted import Shown, parse_columns, summarise_records
from harness.data import files
from harness.errors import UsageError
from harness.planning.fingerprints import Fingerprints
from harness.planning.plan import named
from harness.planning.refit import insert_bases
from harness.records import plans
from harness.records.store import Store
from harness.running.runner import Origins
from harness.selections import expansion
from harness.suites import references, suite
from harness.types import Budget, Executor, ExecutorOffer, Record, RunContext, Trial, Unit
from harness.words import clean_line

if TYPE_CHECKING:
    from harness.report.rows.selecting import Choosing

RESULTS = "results"

EXAMPLES = """\b
Examples:
  harness run --methods saf,ottt
  harness run --methods "saf[steps=[4,8]],bptt" --datasets mnist --epochs 3
  harness run --methods "My Drive/mymethod.py,bptt" --dry-run
  harness run --suite comparison.toml --device cuda
"""


@dataclass(frozen=True)
class Asked:
    """The options of `harness run`, as click hands them over."""

    methods: str | None
    datasets: str | None
    suite_name: str | None
    seeds: str | None
    epochs: float | None
    updates: int | None
    seconds: float | None
    batch_size: int | None
    device: str | None
    precision: str | None
    threads: int | None
    deterministic: bool | None
    data_dir: Path | None
    results: Path
    workers: int
    timeout: float | None
    memory: int | None
    executor_name: str
    here: bool
    one_by_one: bool
    lanes: int
    metrics: str | None
    target: float | None
    patience: int | None
    headline: str | None
    select: str | None
    select_jointly: bool | None
    refit: bool | None
    rerun: str | None
    keep_outdated: bool
    keep_predictions: bool
    keep_weights: bool
    dry_run: bool


@click.command(epilog=EXAMPLES)
@click.option("--methods", metavar="LIST", help="Methods with parameters; lists are sweeps; a .py file offers its own.")
@click.option("--datasets", metavar="LIST", help="Data sets, likewise.  [default: that of the methods' kind]")
@click.option("--suite", "suite_name", metavar="NAME|FILE", help="A named comparison; flags override its values.")
@click.option("--seeds", metavar="N|[A,B]|all", help="How many (3: 0, 1, 2), which, or all splits.  [default: 3]")
@click.option("--epochs", type=Amount(min=0), metavar="N", help="Budget: passes over the training data.")
@click.option("--updates", type=Count(min=0), metavar="N", help="Budget: mini-batches.")
@click.option("--seconds", type=Amount(min=0), metavar="N", help="Budget: seconds of training.")
@click.option("--batch-size", type=Count(min=1), metavar="N", help="Rows in a mini-batch.  [default: the data set's]")
@click.option("--patience", type=Count(min=1), metavar="N", help="Stop after N validation points without improvement.")
@click.option(
    "--headline",
    metavar="METRIC",
    help="Decides the best point, and patience.  [default: the data set's]",
)
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", help="Where to train.  [default: auto]")
@click.option("--precision", metavar="fp32|tf32|bf16", help="Arithmetic of the large operations.  [default: fp32]")
@click.option("--threads", type=Count(min=1), metavar="N", help="Threads of a trial.  [default: cores / workers]")
@click.option("--deterministic", is_flag=True, default=None, help="Deterministic kernels only; slower on a GPU.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder with data sets.  [env: HARNESS_DATA_DIR]")
@click.option("--results", type=Folder(), default=Path(RESULTS), show_default=True, help="Where records go.")
@click.option(
    "--workers", type=Count(min=1), metavar="N", default=1, show_default=True, help="Trials at once; spoils times."
)
@click.option("--timeout", type=Amount(min=0, min_open=True), metavar="SECONDS", help="Hard limit of a trial.")
@click.option("--memory", type=Size(), metavar="SIZE", help="Host memory of a trial.  [default: 80 % of what is free]")
@click.option(
    "--executor", "executor_name", metavar="NAME", default="local", show_default=True, help="Who runs the trials."
)
@click.option(
    "--here",
    is_flag=True,
    help="Run in this process, for a debugger: no limits; what ends the process ends the run, what hangs hangs it.",
)
@click.option("--one-by-one", is_flag=True, help="Train each trial alone, also where a method trains several as one.")
@click.option(
    "--lanes",
    type=Count(min=1),
    metavar="N",
    default=256,
    show_default=True,
    help="Trials trained as one at most, where a method offers it.",
)
@click.option("--metrics", metavar="LIST", help="Columns of the table.")
@click.option(
    "--target", type=Amount(), metavar="SCORE", help="Report the training time until validation reaches this score."
)
@select_options.add_choosing_options
@click.option("--rerun", metavar="LIST|*", help="Run these methods again; a record stays until its new one is ok.")
@click.option(
    "--keep-outdated", is_flag=True, help="Use the newest ok record where nothing but code has changed since."
)
@click.option("--keep-predictions", is_flag=True, help="Keep the test prediction of every trial that runs.")
@click.option("--keep-weights", is_flag=True, help="Keep trained arrays and test prediction of every trial that runs.")
@click.option("--dry-run", is_flag=True, help="Print the plan, run nothing.")
@click.pass_obj
def run(session: Session, /, **options: Any) -> int:  # click hands options over by name
    """Run methods head to head: same data, same seeds, same budget, each trial in a process of its own.

    Trials that have a record are not run again; what is interrupted goes on where it stopped.
    """
    asked = Asked(**options)
    store = Store(asked.results)
    catalog = session.catalog
    comparison = references.find_suite(catalog, asked.suite_name) if asked.suite_name is not None else None
    request = _make_request(asked, comparison)
    names = parse_columns(catalog, request.metrics)
    name = "here" if asked.here else asked.executor_name
    offer = catalog.executors.get(name)
    executor: Executor = resolve(offer.factory)()
    prints = Fingerprints()
    wanted = named(catalog, request, stage.print_line, prints)
    trials = insert_bases(wanted)
    origins = Origins(catalog, prints)
    how = _make_choosing(catalog, request, trials)
    shown = Shown(names, request.target, how, comparison, refit=bool(request.refit))
    context = _make_context(catalog, request, asked, trials, names or (), offer)
    reuse = reusing.choose_reuse(catalog, trials, store, context, asked.rerun, asked.keep_outdated, asked.here)
    if asked.dry_run:
        stage.print_plan(origins, trials, store, context, reuse)
        if request.refit:
            _print_second_stage(origins, trials, wanted, store, asked, how, context, reuse)
        return 0
    store.prepare()
    lacking = False
    attempts = stage.run_stage(origins, trials, store, executor, context, reuse, session.arguments)
    if request.refit:
        second = refitting.plan_second(trials, wanted, _collect_records(trials, store, reuse), how)
        for line in second.announce():
            stage.print_line(line)
        reuse = reuse.go_on(catalog, trials, second.trials, store, context, asked.keep_outdated, asked.here)
        attempts += stage.run_stage(origins, second.trials, store, executor, context, reuse, session.arguments)
        trials, lacking = [*trials, *second.trials], bool(second.unchosen)
    return _report_trials(catalog, trials, store, shown, reuse, attempts) or int(lacking)


def _make_request(asked: Asked, comparison: suite.Comparison | None) -> suite.Request:
    """Make the request from the options, over the values of the suite."""
    amounts: list[tuple[Unit, float | None]] = [
        ("epochs", asked.epochs),
        ("updates", asked.updates),
        ("seconds", asked.seconds),
    ]
    budgets = [Budget(unit, amount) for unit, amount in amounts if amount is not None]
    if len(budgets) > 1:
        raise UsageError(f"give one budget, not --{' and --'.join(budget.unit for budget in budgets)}")
    request = suite.Request(
        methods=asked.methods,
        datasets=asked.datasets,
        seeds=asked.seeds,
        budget=budgets[0] if budgets else None,
        batch_size=asked.batch_size,
        device=asked.device,
        precision=asked.precision,
        threads=asked.threads,
        deterministic=asked.deterministic,
        target=asked.target,
        patience=asked.patience,
        headline=asked.headline,
        select=asked.select,
        metrics=asked.metrics,
        select_jointly=asked.select_jointly,
        refit=asked.refit,
        data=asked.data_dir,
        workers=asked.workers,
    )
    return request if comparison is None else request.over(comparison.request)


def _make_context(
    catalog: Catalog,
    request: suite.Request,
    asked: Asked,
    trials: Sequence[Trial],
    names: Sequence[str],
    executor: ExecutorOffer,
) -> RunContext:
    """Make the context of the trials; the plan may have added files to the plugins, and a plugin may go elsewhere."""
    return RunContext(
        results=asked.results.absolute(),
        data=files.resolve_folder(request.data).absolute(),
        plugins=tuple(map(make_absolute, catalog.settings.plugins)),
        disabled=catalog.settings.disabled,
        preload=_list_preloads(catalog, trials),
        workers=asked.workers,
        timeout=asked.timeout,
        memory=asked.memory,
        keep_predictions=asked.keep_predictions,
        keep_weights=asked.keep_weights,
        columns=tuple(names),
        lanes=1 if asked.one_by_one or not executor.cohorts else asked.lanes,
    )


def _list_preloads(catalog: Catalog, trials: Sequence[Trial]) -> tuple[str, ...]:
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
    how = select_options.parse_choosing(catalog, request.select, request.select_jointly, request.refit, items, datasets)
    for name, provider in dict.fromkeys((each.name, each.provider) for each in datasets):
        kind = catalog.datasets.get(name, provider).kind
        if how.by is not None and kind not in how.by.metric.kinds:
            takes = " and ".join(how.by.metric.kinds)
            what = f"{how.by.metric.name} is a metric for {takes}"
            raise UsageError(f"--select {request.select}: {what}, and {name} is {kind}")
    if request.refit:
        refitting.require_budget(trials)
    return how


def _collect_records(trials: Sequence[Trial], store: Store, reuse: Reuse) -> list[Record]:
    return [record for trial in trials if (record := reuse.pick_record(trial, store))]


def _report_trials(
    catalog: Catalog,
    trials: Sequence[Trial],
    store: Store,
    shown: Shown,
    reuse: Reuse,
    attempts: Sequence[Record],
) -> int:
    """Print the table of these trials from the files; the exit code says whether all of them ended ok."""
    records = _collect_records(trials, store, reuse)
    shown = replace(shown, sources=(*reuse.note_kept(trials, store), *reusing.describe_attempts(attempts, store)))
    try:
        print_summary(summarise_records(catalog, records, shown, plans.group_planned(trials)))
    except BrokenPipeError:
        raise
    except OSError as error:  # of stdout: the trials have ended as they have, and their records are there
        streams.drop_output()
        click.echo(f"harness: output: {error.strerror}; harness report prints the table", err=True)
    broken = [record for record in records if record.traceback and record.status != "ok"]
    if broken:
        results = "" if store.folder == Path(RESULTS) else f" --results {store.folder}"
        click.echo(f"harness show {broken[0].trial.key}{results} shows where the first of these failed", err=True)
    return 0 if sum(record.status == "ok" for record in records) == len(trials) and not attempts else 1


def _print_second_stage(
    origins: Origins,
    trials: Sequence[Trial],
    wanted: Sequence[Trial],
    store: Store,
    asked: Asked,
    how: Choosing,
    context: RunContext,
    reuse: Reuse,
) -> None:
    """Print the second stage as lines where the first one has ended, else its outlook."""
    if reuse.split_todo(trials, store).todo:
        click.echo(refitting.describe_outlook(trials, how))
        return
    second = refitting.plan_second(trials, wanted, _collect_records(trials, store, reuse), how)
    for line in second.announce():
        click.echo(clean_line(line, stage.LONGEST_LINE))
    if second.trials:
        reuse = reuse.go_on(origins.catalog, trials, second.trials, store, context, asked.keep_outdated, asked.here)
        stage.print_plan(origins, second.trials, store, context, reuse)
