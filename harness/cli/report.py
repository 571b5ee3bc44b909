"""`harness report` and `harness show`: the records of a results folder, from the files alone."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.catalog import Catalog
from harness.cli import select_options
from harness.cli.amounts import Amount
from harness.cli.gathering import gather_plans, gather_records
from harness.cli.picking import check_views, keep_plans, resolve_suite, select_of_suite, select_records
from harness.cli.places import Folder
from harness.cli.streams import wants_colour
from harness.errors import UsageError
from harness.records.finding import find_record
from harness.types import Record
from harness.words import clean_line, escape_controls, suggest

if TYPE_CHECKING:
    from harness.cli.session import Session
    from harness.records.plans import Planned
    from harness.report.rows.selecting import Choosing
    from harness.suites.suite import Comparison

EXAMPLES = """\b
Examples:
  harness report
  harness report --methods saf,ottt --metrics accuracy,train_seconds
  harness report --methods "saf[*],ottt"
  harness report --results results --results other/results
  harness report --target 0.95
  harness report --select nll@valid
  harness report --suite comparison.toml --format markdown
  harness report --format latex --output table.tex
"""

SHOW_EXAMPLES = """\b
Examples:
  harness show 3f9a
  harness show saf/digits/0
  harness show "saf[steps=4]/digits/0" --format json
"""

TARGET = "Report the training time until validation reaches this score."
FORMAT = "How to print it."
METHODS = 'Only these, written as for `harness run`: saf is the plain one, "saf[*]" every variant, "*" everything.'
PLAIN_WIDTH = 100

RESULTS = click.option(
    "--results",
    "folders",
    type=Folder(),
    multiple=True,
    default=[Path("results")],
    help="Where the records are; of several folders the newest record of a trial counts.  [default: results]",
)


@dataclass(frozen=True)
class Shown:
    """Settings of a printed report. columns: None for the usual ones. choosing: how one configuration of each sweep is
    chosen, if at all. suite: whose published values and claims stand beside what was measured. sources: notes on where
    the records are from. refit: only what was trained anew on training and validation rows.
    """

    columns: Sequence[str] | None
    target: float | None = None
    choosing: Choosing | None = None
    suite: Comparison | None = None
    sources: tuple[str, ...] = ()
    refit: bool = False


@click.command(epilog=EXAMPLES)
@RESULTS
@click.option("--suite", "suite_name", metavar="NAME|FILE", help="Only its trials, with its claims; flags override.")
@click.option("--methods", metavar="LIST", help=METHODS)
@click.option("--datasets", metavar="LIST", help="Only these, likewise.")
@click.option("--metrics", metavar="LIST", help="Columns; a suffix names a view: accuracy@best, accuracy@valid.")
@click.option("--target", type=Amount(), metavar="SCORE", help=TARGET)
@select_options.add_choosing_options
@click.option(
    "--format", "format_", metavar="text|markdown|latex|csv|json", default="text", help=FORMAT, show_default=True
)
@click.option("--output", metavar="FILE|-", default="-", help="Where to write it.  [default: standard output]")
@click.pass_obj
def report(
    session: Session,
    folders: Sequence[Path],
    suite_name: str | None,
    methods: str | None,
    datasets: str | None,
    metrics: str | None,
    target: float | None,
    select: str | None,
    select_jointly: bool | None,
    refit: bool | None,
    format_: str,
    output: str,
) -> None:
    """Print the comparison from the records of a results folder: mean and deviation over seeds, costs, failures."""
    check_format(format_)
    suite = resolve_suite(session.catalog, suite_name)
    names = parse_columns(session.catalog, metrics or (suite.request.metrics if suite else None))
    records, sources = gather_records(folders)
    planned = gather_plans(folders)
    if suite is not None:
        records = select_of_suite(session.catalog, suite, records, methods, datasets)
    records = select_records(records, methods, "--methods")
    records = select_records(records, datasets, "--datasets")
    if suite is not None:
        target = suite.request.target if target is None else target
        select = select or suite.request.select
        select_jointly = suite.request.select_jointly if select_jointly is None else select_jointly
        refit = suite.request.refit if refit is None else refit
    check_views(names, records, "--metrics")
    methods = methods or (suite.request.methods if suite else None)
    items, datasets_ = (methods,) if methods else (), [record.trial.dataset for record in records]
    how = select_options.parse_choosing(session.catalog, select, select_jointly, refit, items, datasets_)
    check_views([select] if select else [], [record for record in records if record.status == "ok"], "--select")
    asked = Shown(names, target, how, suite, tuple(sources), bool(refit))
    if methods or datasets or suite is not None:
        planned = keep_plans(planned, records)
    print_summary(session.catalog, records, asked, format_, output, planned)


@click.command(epilog=SHOW_EXAMPLES)
@click.argument("trial")
@RESULTS
@click.option("--format", "format_", metavar="text|json", default="text", help=FORMAT, show_default=True)
@click.pass_obj
def show(session: Session, trial: str, folders: Sequence[Path], format_: str) -> None:
    """Show everything that is known of one trial: TRIAL is the beginning of its key, or METHOD/DATASET/SEED."""
    check_format(format_, ("text", "json"))
    records, sources = gather_records(folders)
    for line in sources:
        click.echo(f"harness: {clean_line(line)}", err=True)
    record = find_record(records, trial)
    if format_ == "json":
        import json

        from harness.records.format import to_json
        from harness.report.wording.cleaning import clean_trace, clean_values

        values = clean_values(to_json(record)) | {"traceback": clean_trace(record.traceback)}
        click.echo(escape_controls(json.dumps(values, indent=1, allow_nan=False, ensure_ascii=False)))
        return
    from harness.report import render_record

    click.echo(render_record(record, session.catalog.metrics.values(), _width(), _colour()), nl=False, color=True)


def print_summary(
    catalog: Catalog,
    records: Sequence[Record],
    shown: Shown,
    format_: str = "text",
    output: str = "-",
    planned: Sequence[Planned] = (),
) -> None:
    """Summarise records in the order of their methods and print them, or write them to a file. planned: by runs.

    Raises UsageError for a file that cannot be written.
    """
    from harness.report import render, summarise, with_suite

    metrics = catalog.metrics.values()
    summary = summarise(
        records,
        metrics,
        columns=shown.columns,
        target=shown.target,
        select=shown.choosing,
        planned=planned,
        refit=shown.refit,
    )
    if shown.suite is not None:
        summary = with_suite(summary, records, metrics, shown.suite, shown.target, planned)
    summary = replace(summary, notes=(*shown.sources, *summary.notes))
    if output == "-":
        click.echo(render(summary, format_, _width(), _colour()), nl=False, color=True)
        return
    try:
        _write_file(Path(output), render(summary, format_))
    except OSError as error:
        raise UsageError(
            f"--output {output}: not written ({error.strerror}); name a file in a folder that exists and has room"
        ) from error


def _write_file(path: Path, text: str) -> None:
    """Write a file whole or not at all, where it is one: on a full disk the earlier one is worth more than half."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_text(text, encoding="utf-8")
        return
    from harness.records.store import write_atomically

    write_atomically(path, text)


def parse_columns(catalog: Catalog, text: str | None) -> list[str] | None:
    """The names of a --metrics list, such as accuracy,accuracy@best. Raises UsageError for one that nobody offers."""
    if text is None:
        return None
    from harness.selections import selection

    names = selection.words(text, "--metrics")
    for name in names:
        catalog.metrics.get(name.partition("@")[0])
    return names


def check_format(name: str, known: Sequence[str] | None = None) -> None:
    """Raises UsageError for a format that is not offered."""
    from harness.report import FORMATS

    known = known or FORMATS
    if name not in known:
        raise UsageError(f"--format {name}: unknown{suggest(name, known)}; known: {', '.join(known)}")


# --- terminal -----------------------------------------------------------------------------------------------------


def _width() -> int:
    return shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns


def _colour() -> bool:
    return wants_colour(sys.stdout)
