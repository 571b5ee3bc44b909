"""The output of a command: whether a file can be written, the width of a terminal, its colours."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from harness import UsageError

PLAIN_WIDTH = 100  # where there is no terminal


def refuse_unwritable(output: str) -> None:
    """Raises UsageError for a file that cannot be written, before anything is computed; `-` is standard output."""
    try:
        if output != "-":
            Path(output).touch()
    except OSError as error:
        raise UsageError(
            f"--output {output}: not written ({error.strerror}); name a file in a folder that exists"
        ) from error


def announce(text: str) -> None:
    """Say on standard error which of its slow steps a command is at."""
    click.echo(text, err=True)


def width() -> int:
    """Columns of the terminal."""
    return shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns


def colour() -> bool:
    """Colours on a terminal that wants them (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
