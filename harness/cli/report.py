"""`harness report` and `harness show`: the records of a results folder, from the files alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import pages
from harness.cli.streams import wants_colour
from harness.cli.tables import output_width
from harness.cli.wanted import RESULTS, add_record_options
from harness.errors import UsageError
from harness.records.lookup import find_record
from harness.results.gathering import gather_records
from harness.results.summaries import Wanted, summarise_wanted
from harness.words import clean_line, escape_controls, suggest

if TYPE_CHECKING:
    from harness.cli.session import Session
    from harness.report import Summary

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
  harness report --format csv --per trial --output trials.csv
  harness report --format html --output report.html --open
"""

SHOW_EXAMPLES = """\b
Examples:
  harness show 3f9a
  harness show saf/digits/0
  harness show "saf[steps=4]/digits/0" --format json
"""

FORMAT = "How to print it."
PER = "One line per method, over its seeds, or (csv, json) one per trial, with its options and every value."
CURVES = "With --per trial: the learning curves, in csv instead of the other values."
WIDTH = "Of latex: tables for a column of a paper, or for its page."
PERS = ("row", "trial")
WIDTHS = ("column", "page")


@click.command(epilog=EXAMPLES)
@add_record_options
@click.option("--metrics", metavar="LIST", help="Columns; a suffix names a view: accuracy@best, accuracy@valid.")
@click.option(
    "--format", "format_", metavar="text|markdown|latex|csv|json|html", default="text", help=FORMAT, show_default=True
)
@click.option("--per", metavar="row|trial", default="row", help=PER, show_default=True)
@click.option("--curves", is_flag=True, help=CURVES)
@click.option("--width", metavar="column|page", default="column", help=WIDTH, show_default=True)
@click.option("--output", metavar="FILE|-", default="-", help="Where to write it.  [default: standard output]")
@click.option("--open", "opened", is_flag=True, help="Write an HTML page and open it in the browser.")
@click.pass_obj
def report(
    session: Session, /, format_: str, per: str, curves: bool, width: str, output: str, opened: bool, **wanted: Any
) -> None:
    """Print the comparison from the records of a results folder: mean and deviation over seeds, costs, failures."""
    check_format(format_)
    if opened:
        format_, output = pages.choose_page(format_, output)
    _check_per(per, curves)
    check_width(width)
    summary = summarise_wanted(session.catalog, Wanted(**wanted))
    if format_ == "html":
        citations, logs = (
            pages.gather_citations(session.catalog, summary),
            pages.gather_logs(wanted["folders"], summary),
        )
        summary = replace(summary, citations=citations, logs=logs)
    if per == "trial":
        from harness.report import render_trials

        write(output, render_trials(summary, format_, curves))
    else:
        print_summary(summary, format_, output, page=width == "page")
    if opened:
        pages.open_page(Path(output))


@click.command("show", epilog=SHOW_EXAMPLES)
@click.argument("trial")
@RESULTS
@click.option("--format", "format_", metavar="text|json", default="text", help=FORMAT, show_default=True)
@click.pass_obj
def show_record(session: Session, trial: str, folders: Sequence[Path], format_: str) -> None:
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

    text = render_record(record, session.catalog.metrics.values(), output_width(), wants_colour(sys.stdout))
    click.echo(text, nl=False, color=True)


def print_summary(summary: Summary, format_: str = "text", output: str = "-", page: bool = False) -> None:
    """Print a summary, or write it to a file. Raises UsageError for a file that cannot be written."""
    from harness.report import render

    if output == "-":
        click.echo(render(summary, format_, output_width(), wants_colour(sys.stdout), page), nl=False, color=True)
    else:
        write(output, render(summary, format_, page=page))


def write(output: str, content: str | bytes, option: str = "--output") -> None:
    """Write a text or bytes to a file, or print them for `-`. Raises UsageError for a file that cannot be written."""
    if output == "-":
        click.echo(content, nl=False)
        return
    try:
        _write_file(Path(output), content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise UsageError(
            f"{option} {output}: not written ({error.strerror}); name a file in a folder that exists and has room"
        ) from error


def _write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, where it is one: on a full disk the earlier one is worth more than half."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_bytes(content)
        return
    from harness.records.store import write_atomically

    write_atomically(path, content)


def check_width(width: str) -> None:
    """Raises UsageError for a width that no paper has."""
    if width not in WIDTHS:
        raise UsageError(f"--width {width}: unknown{suggest(width, WIDTHS)}; known: {', '.join(WIDTHS)}")


def _check_per(per: str, curves: bool) -> None:
    """Raises UsageError for options that do not go together."""
    if per not in PERS:
        raise UsageError(f"--per {per}: unknown{suggest(per, PERS)}; known: {', '.join(PERS)}")
    if curves and per != "trial":
        raise UsageError("--curves: a curve is of one trial; add --per trial and --format csv or json")


def check_format(name: str, known: Sequence[str] | None = None) -> None:
    """Raises UsageError for a format that is not offered."""
    from harness.report import FORMATS

    known = known or FORMATS
    if name not in known:
        raise UsageError(f"--format {name}: unknown{suggest(name, known)}; known: {', '.join(known)}")
