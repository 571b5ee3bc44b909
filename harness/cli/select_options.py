"""Options of choosing by validation: --select, --select-jointly, --refit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

SELECT = "Of each sweep, report for each seed the choice that validation finds best: at the end, or at its best point."
JOINTLY = "One choice for all seeds together; for data sets whose test rows are the same for every seed."
REFIT = "Train what was chosen anew on training and validation rows together, and report that."


def add_choosing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the three options to a command."""
    for decorate in (
        click.option("--refit", is_flag=True, default=None, help=REFIT),
        click.option("--select-jointly", is_flag=True, default=None, help=JOINTLY),
        click.option("--select", metavar="METRIC@valid[-best]", help=SELECT),
    ):
        command = decorate(command)
    return command
