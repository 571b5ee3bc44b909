"""`harness run`: methods head to head."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from harness.catalog import Catalog
from harness.cli import select_options, streams
from harness.cli.amounts import Amount, Count, Size
from harness.cli.places import Folder
from harness.cli.report import print_summary
from harness.cli.session import Session
from harness.errors import UsageError
from harness.records.store import Store
from harness.results import refitting, runs, stage
from harness.results.runs import EndedRun, Execution, PlannedRun
from harness.results.summaries import summarise_records
from harness.suites import references
from harness.suites.suite import Request
from harness.types import UNITS, Budget
from harness.words import clean_line

RESULTS = "results"

EXAMPLES = """\b
Examples:
  harness run --methods saf,ottt
  harness run --methods "saf[steps=[4,8]],bptt" --datasets mnist --epochs 3
  harness run --methods "My Drive/mymethod.py,bptt" --dry-run
  harness run --suite comparison.toml --device cuda
"""


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
@click.option(
    "--data-dir", "data", type=click.Path(path_type=Path), help="Folder with data sets.  [env: HARNESS_DATA_DIR]"
)
@click.option("--results", type=Folder(), default=Path(RESULTS), show_default=True, help="Where records go.")
@click.option(
    "--workers", type=Count(min=1), metavar="N", default=1, show_default=True, help="Trials at once; spoils times."
)
@click.option("--timeout", type=Amount(min=0, min_open=True), metavar="SECONDS", help="Hard limit of a trial.")
@click.option("--memory", type=Size(), metavar="SIZE", help="Host memory of a trial.  [default: 80 % of what is free]")
@click.option("--executor", metavar="NAME", default="local", show_default=True, help="Who runs the trials.")
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
def run(session: Session, /, suite_name: str | None, dry_run: bool, **options: Any) -> int:
    """Run methods head to head: same data, same seeds, same budget, each trial in a process of its own.

    Trials that have a record are not run again; what is interrupted goes on where it stopped.
    """
    request, execution = _split_options(options)
    comparison = references.find_suite(session.catalog, suite_name) if suite_name is not None else None
    if comparison is not None:
        request = request.over(comparison.request)
    planned = runs.plan_run(session.catalog, request, comparison, execution)
    if dry_run:
        _print_plan(planned)
        return 0
    ended = runs.execute_run(planned, session.arguments, streams.is_lively(sys.stderr))
    _report_run(session.catalog, ended, planned.store)
    return 0 if ended.is_whole else 1


def _split_options(options: dict[str, Any]) -> tuple[Request, Execution]:
    """Split the options into what decides results, and how that is executed."""
    execution = Execution(**{each.name: options.pop(each.name) for each in fields(Execution)})
    budgets = [Budget(unit, amount) for unit in UNITS if (amount := options.pop(unit)) is not None]
    if len(budgets) > 1:
        raise UsageError(f"give one budget, not --{' and --'.join(budget.unit for budget in budgets)}")
    return Request(**options, budget=budgets[0] if budgets else None), execution


def _report_run(catalog: Catalog, ended: EndedRun, store: Store) -> None:
    """Print the table of these trials from the files."""
    found = ended.gathered
    try:
        print_summary(summarise_records(catalog, found.records, found.shown, found.planned))
    except BrokenPipeError:
        raise
    except OSError as error:  # of stdout: the trials have ended as they have, and their records are there
        streams.drop_output()
        click.echo(f"harness: output: {error.strerror}; harness report prints the table", err=True)
    broken = [record for record in ended.records if record.traceback and record.status != "ok"]
    if broken:
        results = "" if store.folder == Path(RESULTS) else f" --results {store.folder}"
        click.echo(f"harness show {broken[0].trial.key}{results} shows where the first of these failed", err=True)


def _print_plan(run: PlannedRun) -> None:
    """Print a plan as lines; the second stage, too, where the first one has ended, else its outlook."""
    stage.print_plan(run.origins, run.trials, run.store, run.context, run.reuse)
    if not run.request.refit:
        return
    if run.reuse.split_todo(run.trials, run.store).todo:
        click.echo(refitting.describe_outlook(run.trials, run.choosing))
        return
    second = run.plan_second()
    for line in second.announce():
        click.echo(clean_line(line, stage.LONGEST_LINE))
    if second.trials:
        stage.print_plan(run.origins, second.trials, run.store, run.context, run.reuse_for(second.trials))
