"""`harness compare`: methods held against each other by seed, with p-values, from the records of a results folder."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from harness.cli.amounts import Amount
from harness.cli.report import FORMAT, check_format, write
from harness.cli.streams import wants_colour
from harness.cli.tables import output_width
from harness.cli.wanted import add_record_options
from harness.errors import UsageError
from harness.results.summaries import Wanted, gather_wanted

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
    from harness.report.formats import versus_table
    from harness.results.comparing import compare_gathered

    gathered = gather_wanted(session.catalog, Wanted(**wanted))
    found = compare_gathered(session.catalog, gathered, all_pairs, detect, tuning)
    if format_ == "json":
        write(output, versus_table.render_json(found))
    elif output == "-":
        text = versus_table.render_comparisons(found, output_width(), wants_colour(sys.stdout))
        click.echo(text, nl=False, color=True)
    else:
        write(output, versus_table.render_comparisons(found, None, False))
