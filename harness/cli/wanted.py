"""Options by which a command is told of which records it tells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.cli import select_options
from harness.cli.amounts import Amount
from harness.cli.places import Folder

TARGET = "Report the training time until validation reaches this score."
METHODS = 'Only these, written as for `harness run`: saf is the plain one, "saf[*]" every variant, "*" everything.'

RESULTS = click.option(
    "--results",
    "folders",
    type=Folder(),
    multiple=True,
    default=[Path("results")],
    help="Where the records are; of several folders the newest record of a trial counts.  [default: results]",
)


def add_record_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which records a command is of."""
    for decorate in (
        select_options.add_choosing_options,
        click.option("--target", type=Amount(), metavar="SCORE", help=TARGET),
        click.option("--datasets", metavar="LIST", help="Only these, likewise."),
        click.option("--methods", metavar="LIST", help=METHODS),
        click.option(
            "--suite", "suite_name", metavar="NAME|FILE", help="Only its trials, with its claims; flags override."
        ),
        RESULTS,
    ):
        command = decorate(command)
    return command
