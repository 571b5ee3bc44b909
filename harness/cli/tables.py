"""Tables and paragraphs of a listing, no wider than the terminal: what is too long is folded between its words.

Laid out here, not by rich, which `harness list` does not import: it breaks cells neither between alternatives nor after
commas and moves no column below the others, so that only the padding of lines would be left to it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from itertools import zip_longest

from harness.words import clean_text

PLAIN_WIDTH = 100  # where the output is no terminal
NARROWEST = 24  # of the last column, before it moves below the others
WIDEST = 24  # of another column, where the last one lacks room
ALONE = " " * 6
LONGEST_CELL = 4_000  # characters of a text that a plugin says of itself

# Before a word, after a comma that is not within a number, and between alternatives.
BREAKS = re.compile(r"(?<=\s)(?=\S)|(?<=,)(?=[^\s\d])|(?<=\|)(?=\S)")


def output_width() -> int:
    """The columns of the terminal (or of COLUMNS), and a fixed number where there is none."""
    return shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns


def fold(text: str, width: int, first: str = "", indent: str = "") -> list[str]:
    """`text` after `first`, in lines of at most `width` characters, of which the others begin with `indent`.

    A word is never broken: one that is wider, such as a path, has a line of its own.

    >>> fold("saf[steps=[2,8]],bptt", 18, "of ", "   ")
    ['of saf[steps=[2,8]],', '   bptt']
    """
    lines = [first]
    empty = True
    for piece in BREAKS.split(clean_text(text, LONGEST_CELL)):
        if not empty and len(lines[-1] + piece.rstrip()) > width:
            lines.append(indent)
        lines[-1] += piece
        empty = False
    return [line.rstrip() for line in lines]


def tabulate(heading: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Aligned columns below a heading; a column in which no row says anything is left out.

    width: where cells are folded, by default nowhere. The last column gives way first, then the others do; where too
    little room is left for it, it stands below them, on lines of its own.
    """
    if not rows:
        return "  (none)"
    cells = [[clean_text(cell, LONGEST_CELL) for cell in row] for row in rows]
    columns = [column for column in zip(heading, *cells, strict=True) if any(column[1:])]
    if width is None:
        return "\n".join(_lay_out(columns))
    *others, last = columns
    least = min(NARROWEST, _measure_width(last))
    if _measure_room(others, width) < least:
        others = [_fold_column(column, WIDEST) for column in others]
    room = _measure_room(others, width)
    if room < least:
        return _stack_last(others, last, width)
    return "\n".join(_lay_out([*others, _fold_column(last, room)]))


def _measure_room(columns: Sequence[Sequence[str]], width: int) -> int:
    """The width left beside these columns, after an indent of two and gaps of two."""
    return width - 2 - sum(_measure_width(column) + 2 for column in columns)


def _measure_width(column: Sequence[str]) -> int:
    return max(len(line) for cell in column for line in cell.split("\n"))


def _fold_column(column: Sequence[str], width: int) -> tuple[str, ...]:
    return tuple("\n".join(fold(cell, width)) for cell in column)


def _lay_out(columns: Sequence[Sequence[str]]) -> list[str]:
    """Each row as text, the lines of its cells side by side."""
    widths = [_measure_width(column) for column in columns]
    return ["\n".join(_join_lines(cells, widths)) for cells in zip(*columns, strict=True)]


def _join_lines(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    lines = zip_longest(*(cell.split("\n") for cell in cells), fillvalue="")
    return [
        f"  {'  '.join(part.ljust(width) for part, width in zip(line, widths, strict=True))}".rstrip() for line in lines
    ]


def _stack_last(columns: Sequence[Sequence[str]], last: Sequence[str], width: int) -> str:
    """Each cell of the last column below the row that it belongs to."""
    below = ["\n".join(["", *fold(cell, width, ALONE, ALONE)]) if cell else "" for cell in last]
    return "\n".join(row + lines for row, lines in zip(_lay_out(columns), below, strict=True))
