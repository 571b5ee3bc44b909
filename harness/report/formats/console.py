"""A console of rich that collects text, as wide and as coloured as asked for."""

from __future__ import annotations

import io
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

PLAIN_WIDTH = 100


def open_console(width: int | None, colour: bool) -> Console:
    """Open a console; without a width it is as wide as where there is no terminal."""
    return Console(
        file=io.StringIO(),
        width=width or PLAIN_WIDTH,
        force_terminal=colour,
        color_system="standard" if colour else None,
        force_jupyter=False,  # in a notebook, too, the text is what is wanted
    )


def read_console(console: Console) -> str:
    """Read the lines that were printed, without blanks at their ends."""
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def print_lines(console: Console, lines: Iterable[str], style: str) -> None:
    """Print lines below a table, indented also where they are folded."""
    for line in lines:
        hanging = Grid.grid(padding=(0, 0))
        hanging.add_column(width=2)
        hanging.add_column(overflow="fold")
        hanging.add_row("", Text(line, style=style))
        console.print(hanging)
