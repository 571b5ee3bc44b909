"""`harness compare`: methods held against each other by seed, with p-values, from the records of a results folder."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from harness.cli.amounts import Amount
from harness.cli.report import FORMAT, check_format, write
from harness.cli.streams import wants_colour
from harness.cli.tables import output_width
from harness.cli.wanted import Wanted, add_record_options, gather_wanted, summarise_records
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.cli.session import Session

EXAMPLES = """\b
Examples:
  harness compare saf ottt
  harness compare saf ottt bptt --all-pairs
  harness compare "saf,ottt[forward=fused]" --detect 0.005
  harness compare "saf[*],ottt[*]" --select nll@valid --tuning
  harness compare --suite saf-digits --results results/saf-digits
"""

TUNING = "With --select: what validation expects of the best of so many configurations, and what trying them cost."
DETECT = "A difference of the score that decides: how many seeds would show it."


@click.command(epilog=EXAMPLES)
@click.argument("rivals", nargs=-1, metavar="[METHOD]...")
@add_record_options
@click.option("--metrics", metavar="LIST", help="Only these; the data set's headline score decides, if it is there.")
@click.option("--all-pairs", is_flag=True, help="All pairs instead of all against the first.")
@click.option("--detect", type=Amount(), metavar="DIFFERENCE", help=DETECT)
@click.option("--tuning", is_flag=True, help=TUNING)
@click.option("--format", "format_", metavar="text|json", default="text", help=FORMAT, show_default=True)
@click.option("--output", metavar="FILE|-", default="-", help="Where to write it.  [default: standard output]")
@click.pass_obj
def compare(
    session: Session,
    /,
    rivals: tuple[str, ...],
    all_pairs: bool,
    detect: float | None,
    tuning: bool,
    format_: str,
    output: str,
    **wanted: Any,
) -> None:
    """Hold methods against the first of them, seed by seed: every score, every cost, how sure, what it would take."""
    check_format(format_, ("text", "json"))
    if rivals:
        if wanted["methods"]:
            raise UsageError("methods stand as arguments or in --methods, not in both")
        wanted["methods"] = ",".join(rivals)
    from harness.records.example_files import find_examples
    from harness.report.formats import versus_table
    from harness.report.rows.over_datasets import compare_over_datasets
    from harness.report.rows.tuning import weigh_sweeps
    from harness.report.rows.versus import compare_table
    from harness.report.wording.cleaning import clean_summary

    records, shown, planned = gather_wanted(session.catalog, Wanted(**wanted))
    weighed = weigh_sweeps(records, shown.choosing) if tuning and shown.choosing else []
    if tuning and not weighed:
        raise UsageError("--tuning: say which validation score chooses, as in --select nll@valid")
    summary = clean_summary(summarise_records(session.catalog, records, shown, planned))
    tables = [table for table in summary.tables if sum(bool(row.n) for row in table.rows) > 1]
    if not tables and not weighed:
        raise UsageError(
            "nothing to compare: no table has two methods with trials that ended ok; harness report shows them"
        )
    ended = [record for table in tables for row in table.rows for record in row.records if record.status == "ok"]
    known = {record.trial.key: find_examples(wanted["folders"], record) for record in ended}
    found = versus_table.Found(
        [compare_table(table, summary.metrics, all_pairs, detect, known) for table in tables],
        compare_over_datasets(tables, summary.metrics, all_pairs),
        weighed,
    )
    if format_ == "json":
        write(output, versus_table.render_json(found))
    elif output == "-":
        text = versus_table.render_comparisons(found, output_width(), wants_colour(sys.stdout))
        click.echo(text, nl=False, color=True)
    else:
        write(output, versus_table.render_comparisons(found, None, False))
