"""`harness agree METHOD METHOD`: whether two methods compute the same. Torch is imported when it is called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness import UsageError
from harness_torch import terminal

if TYPE_CHECKING:
    from harness import Rehearsal
    from harness_torch.agreement.agree_report import Comparison

FORMATS = ("text", "json")

EXAMPLES = """\b
Examples:
  harness agree saf ottt
  harness agree "saf[variant=final]" --reference
  harness agree "ottt[convention=theory]" bptt --datasets mnist --batch-size 8
  harness agree "saf[variant=final]" ottt --format json --output saf.json
"""


@click.command(epilog=EXAMPLES)
@click.argument("method")
@click.argument("other", metavar="[METHOD]", required=False)
@click.option("--reference", is_flag=True, help="Compare with the method as its paper writes it, in plain float64.")
@click.option("--datasets", metavar="NAME", help="The data set.  [default: as in `harness run`]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of data, weights and order.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Rows in the mini-batch.  [default: the data set's]")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", help="Where to compute.  [default: auto]")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of the update.  [default: cores]")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder with data sets.  [env: HARNESS_DATA_DIR]")
@click.option("--format", "format_", metavar="text|json", default="text", help="How to print it.  [default: text]")
@click.option("--output", metavar="FILE|-", default="-", help="Where to write it.  [default: standard output]")
@click.pass_obj
def agree(
    session: Any,
    method: str,
    other: str | None,
    reference: bool,
    datasets: str | None,
    seed: int,
    batch_size: int | None,
    device: str | None,
    threads: int | None,
    data_dir: Path | None,
    format_: str,
    output: str,
) -> None:
    """Compare the gradients of two methods on one mini-batch, or those of METHOD with its own --reference.

    Both start from the same weights, which stay as they are. By layer, in float64 and in float32: the gradients'
    difference relative to those of the second METHOD, their cosine, and what the methods' family compares besides, as
    the share of neurons and time steps at which one fired and the other did not. Of two methods that take several
    optimiser steps in one update also: how far one update with weights that move leads them apart.
    """
    if format_ not in FORMATS:
        raise UsageError(f"--format {format_}: unknown; known: {', '.join(FORMATS)}")
    names = _list_selections(method, other, reference)
    from harness import rehearse

    rehearsals = [
        rehearse(
            session.catalog,
            name,
            datasets,
            seed=seed,
            batch_size=batch_size,
            device=device,
            threads=threads,
            data=data_dir,
        )
        for name in names
    ]
    found = _compare_sides(session, rehearsals, output)
    from harness_torch.agreement.agree_report import as_json, as_text

    if output != "-":
        rendered = as_json(found) if format_ == "json" else as_text(found, terminal.PLAIN_WIDTH, False)
        Path(output).write_text(rendered, encoding="utf-8")
        return
    rendered = as_json(found) if format_ == "json" else as_text(found, terminal.width(), terminal.colour())
    click.echo(rendered, nl=False, color=True)


def _list_selections(method: str, other: str | None, reference: bool) -> tuple[str, ...]:
    """List the selections that are compared: one, with its reference, or two."""
    if reference and other is not None:
        raise UsageError(f"--reference compares {method} with its own reference; leave out {other}, or --reference")
    if not reference and other is None:
        raise UsageError(
            f"Missing argument 'METHOD': name a second method to compare {method} with, or compare it with its own "
            "reference by --reference"
        )
    return (method,) if other is None else (method, other)


def _compare_sides(session: Any, rehearsals: Sequence[Rehearsal], output: str) -> Comparison:
    from harness_torch.agreement.agree_report import Comparison
    from harness_torch.agreement.comparison import compare, train_apart
    from harness_torch.agreement.sides import Side, find_reference, find_shared_column, refuse_incomparable

    mine, *others = rehearsals
    one = Side(mine)
    two = Side(others[0]) if others else find_reference(mine, session.catalog.methods.values())
    refuse_incomparable(one, two)
    terminal.refuse_unwritable(output)
    batch = next(two.rehearsal.batches)
    found = compare(one, two, batch)
    apart = train_apart(one, two, batch) if found["float64"].stepwise else None
    return Comparison(one, two, len(batch.targets), found, find_shared_column(one, two), apart)
