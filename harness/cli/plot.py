"""`harness plot`: figures for papers, from the records of a results folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.report import check_width, write
from harness.cli.wanted import add_record_options
from harness.errors import UsageError
from harness.results.summaries import Wanted, parse_columns, summarise_wanted
from harness.words import suggest

if TYPE_CHECKING:
    from harness.cli.session import Session

EXAMPLES = """\b
Examples:
  harness plot tradeoff --output tradeoff.pdf
  harness plot tradeoff --cost activation_bytes --width page --output page.svg
  harness plot curves --score nll --x seconds --output curves.pdf
  harness plot sweep --over steps --cost activation_bytes --output sweep.pdf
  harness plot costs --cost update,energy --output costs.png
"""

KINDS = ("tradeoff", "curves", "sweep", "costs")
AXES = ("update", "epoch", "seconds")
SCORE = "The score; of curves, one on the validation rows.  [default: the headline]"
COST = "Costs to set it against; of costs: update, memory, prediction, nonzero, prediction-memory, energy."
OUTPUT = "Where to write it: SVG, PDF or PNG by the ending."
CAPTION = "Where to write the caption, which is printed as well."


@click.command(epilog=EXAMPLES)
@click.argument("kind", metavar="|".join(KINDS))
@click.option("--output", metavar="FILE", required=True, help=OUTPUT)
@click.option("--width", metavar="column|page", default="column", help="How wide it is.", show_default=True)
@click.option("--score", metavar="NAME", help=SCORE)
@click.option("--cost", "costs", metavar="LIST", help=COST)
@click.option("--x", metavar="|".join(AXES), default="update", help="The axis of curves.", show_default=True)
@click.option("--over", metavar="OPTION", help="The option of a sweep.  [default: the one that most rows vary in]")
@click.option("--caption", metavar="FILE", help=CAPTION)
@add_record_options
@click.pass_obj
def plot(
    session: Session,
    /,
    kind: str,
    output: str,
    width: str,
    score: str | None,
    costs: str | None,
    x: Any,
    over: str | None,
    caption: str | None,
    **wanted: Any,
) -> None:
    """Draw a figure for a paper: a score against costs, learning curves, a swept option, or costs in parts."""
    format_ = Path(output).suffix.removeprefix(".").lower()
    for option, value, known in (
        ("", kind, KINDS),
        ("--x ", x, AXES),
        (f"--output {output}, ending ", format_, ("svg", "pdf", "png")),
    ):
        if value not in known:
            raise UsageError(f"{option}{value or 'none'}: unknown{suggest(value, known)}; known: {', '.join(known)}")
    check_width(width)
    from harness.report.figures import draw
    from harness.report.figures.canvas import Asked

    names = parse_columns(session.catalog, score, "--score"), _parse_costs(session, kind, costs)
    asked = Asked(width, names[0][0] if names[0] else None, names[1], x, over)
    summary = summarise_wanted(session.catalog, Wanted(**wanted), every=True)
    content, said = draw(kind, summary, asked, format_)
    write(output, content)
    click.echo(said)
    if caption is not None:
        write(caption, said + "\n", "--caption")


def _parse_costs(session: Session, kind: str, costs: str | None) -> tuple[str, ...]:
    """The names of a --cost list: metrics, or of costs in parts what these are of."""
    if kind != "costs":
        return tuple(parse_columns(session.catalog, costs, "--cost") or ())
    from harness.selections import selection

    return tuple(selection.parse_names(costs, "--cost")) if costs else ()
