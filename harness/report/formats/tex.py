r"""LaTeX as it is written for papers: texts escaped, and tables in booktabs that are no wider than they may be.

What does not fit side by side stands below, as further panels of the same table. Widths are estimated from characters
at \small, or at \footnotesize where panels are needed; compiled tables are narrower.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

COLUMN, PAGE = 226.0, 340.0  # points: the columns of article, and the page of article in one column
TYPEWRITER = 4.8  # points of a character at \small in \texttt; others have their own
WIDTHS = dict.fromkeys(" .,:;()[]il|!'", 3.4) | dict.fromkeys("0123456789-+", 4.7) | dict.fromkeys("mwMW±≥≤×@_", 7.4)
OTHER = 5.4
BOLD = 1.14  # so much wider than plain ones may characters of a cell be
FOOTNOTE = 8 / 9
HEAD_LINES = 4  # of a panel, with its rules and the space above it
SEPARATION = 3.0
MOST_LINES = 40  # of a table, before it goes on in another
NAME_SHARE = 0.31  # of the width, that names of rows may take
HEAD = 13  # characters of a line of a head
LONG = 14  # characters of a word without a place to break it

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    '"': "''",
    "±": r"$\pm$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "×": r"$\times$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "µ": r"$\mu$",
    "…": r"\dots{}",
    "–": "--",
} | {mark: f"\\{mark}" for mark in "&%$#_{}"}


@dataclass(frozen=True)
class Column:
    """A column: the lines of its head and its cells, in LaTeX, and its width in points. left: how it is aligned.
    heights: lines of each cell, of a column of names.
    """

    head: tuple[str, ...]
    cells: tuple[str, ...]
    width: float
    left: bool = False
    heights: tuple[int, ...] = ()


@dataclass(frozen=True)
class Float:
    """A table with its caption, its label and notes below it, in LaTeX. key: the first column of every panel."""

    key: Column
    columns: tuple[Column, ...]
    caption: str
    label: str
    notes: tuple[str, ...] = ()


def escape(text: str) -> str:
    r"""Escape a text: nothing in it is a command, and every character is one that pdflatex has.

    >>> print(escape("a_b & 5 % é 中"))
    a\_b \& 5 \% é [U+4E2D]
    """
    return "".join(map(_escape_character, text))


def escape_name(text: str) -> str:
    r"""A name in \texttt, which may be broken after its punctuation, and within what has none."""
    words = re.findall(rf"\w{{1,{LONG}}}|\W", text)
    return rf"\texttt{{{_join_breakable(words)}}}"


def escape_note(text: str) -> str:
    """A text of which long words, such as paths, may be broken."""
    words = (re.findall(rf"\w{{1,{LONG}}}|\W", word) if len(word) > LONG else [word] for word in text.split())
    return " ".join(map(_join_breakable, words))


def make_names(head: str, names: Sequence[str], width: float) -> Column:
    """Make the column of the names of rows, folded where they would take too much of the width."""
    most = NAME_SHARE * width
    widths = [len(name) * TYPEWRITER for name in names]
    cells = [
        escape_name(name)
        if own <= most
        else rf"\parbox[t]{{{most:.0f}pt}}{{\raggedright\hangindent=.5em {escape_name(name)}\strut}}"
        for name, own in zip(names, widths, strict=True)
    ]
    heights = tuple(1 if own <= most else math.ceil(1.1 * own / most) for own in widths)
    return Column((escape(head),), tuple(cells), min(max([measure(head), *widths]), most), True, heights)


def measure(text: str) -> float:
    r"""Estimate the width of a text at \small, in points."""
    return sum(WIDTHS.get(character, OTHER) for character in text)


def make_column(head: Sequence[str], cells: Sequence[str], shown: Sequence[str]) -> Column:
    """Make a column of numbers. head: its lines, as texts; cells: in LaTeX; shown: the same as one sees them."""
    lines = [line for text in head for line in fold_head(text)]
    width = max([*map(measure, lines), *(BOLD * measure(text) for text in shown)])
    return Column(tuple(map(escape, lines)), tuple(cells), width)


def fold_head(name: str) -> list[str]:
    """Fold the name of a metric after its underscores.

    >>> fold_head("total_with_base_seconds"), fold_head("accuracy@valid-best"), fold_head("nll")
    (['total_with_', 'base_seconds'], ['accuracy@', 'valid-best'], ['nll'])
    """
    lines = [""]
    for piece in re.findall(r"[^_@ ]*[_@ ]?", name):
        if lines[-1] and len(lines[-1] + piece) > HEAD:
            lines.append("")
        lines[-1] += piece
    return [line.strip() for line in lines]


def write_float(table: Float, page: bool) -> Iterator[str]:
    """Write a table, in several floats where it would be longer than a page."""
    width, size = PAGE if page else COLUMN, "small"
    panels = list(_part_columns(table, width, 1.0))
    if len(panels) > 1:
        size, panels = "footnotesize", list(_part_columns(table, width, FOOTNOTE))
    star = "*" if page else ""
    parts = list(_part_table(table.key.heights, panels))
    for place, (rows, several) in enumerate(parts):
        yield rf"\begin{{table{star}}}"
        yield rf"\centering\{size}\setlength{{\tabcolsep}}{{{SEPARATION:g}pt}}"
        yield rf"\caption{{Table~\ref{{{table.label}}}, continued.}}" if place else rf"\caption{{{table.caption}}}"
        yield from [] if place else [rf"\label{{{table.label}}}"]
        for number, panel in enumerate(several):
            yield from [r"\par\medskip"] if number else []
            yield from _write_tabular([table.key, *panel], rows)
        if place == len(parts) - 1:
            yield from _write_notes(table.notes)
        yield rf"\end{{table{star}}}"
        yield ""


def _part_columns(table: Float, width: float, size: float) -> Iterator[list[Column]]:
    """The columns of each panel. size: of characters, against those of a small text."""
    panel: list[Column] = []
    for column in table.columns:
        others = sum(each.width * size + 2 * SEPARATION for each in [*panel, column])
        if panel and table.key.width + others > width:
            yield panel
            panel = []
        panel.append(column)
    yield panel


def _part_table(heights: Sequence[int], panels: Sequence[list[Column]]) -> Iterator[tuple[slice, list[list[Column]]]]:
    """The rows and panels of each float: as many as a page has room for, and one at least."""
    for rows in _part_rows(heights):
        most = max(1, MOST_LINES // (sum(heights[rows]) + HEAD_LINES))
        for start in range(0, len(panels), most):
            yield rows, list(panels[start : start + most])


def _part_rows(heights: Sequence[int]) -> Iterator[slice]:
    start, lines = 0, HEAD_LINES
    for place, height in enumerate(heights):
        if place > start and lines + height > MOST_LINES:
            yield slice(start, place)
            start, lines = place, HEAD_LINES
        lines += height
    yield slice(start, len(heights))


def _write_tabular(columns: Sequence[Column], part: slice) -> Iterator[str]:
    aligned = "".join("l" if column.left else "r" for column in columns)
    yield rf"\begin{{tabular}}{{@{{}}{aligned}@{{}}}}"
    yield r"\toprule"
    yield " & ".join(map(_stack_head, columns)) + r" \\"
    yield r"\midrule"
    for cells in zip(*(column.cells[part] for column in columns), strict=True):
        yield " & ".join(cells) + r" \\"
    yield r"\bottomrule"
    yield r"\end{tabular}"


def _stack_head(column: Column) -> str:
    if len(column.head) == 1:
        return column.head[0]
    lines = r"\\{}".join(column.head)
    return rf"\begin{{tabular}}[b]{{@{{}}r@{{}}}}{lines}\end{{tabular}}"


def _write_notes(notes: Sequence[str]) -> Iterator[str]:
    if notes:
        yield r"\par\smallskip\begin{minipage}{\linewidth}\footnotesize\raggedright"
        yield from (rf"{note}\par" for note in notes)
        yield r"\end{minipage}"


def _join_breakable(pieces: Sequence[str]) -> str:
    """Pieces joined so that a line may end after each, but before no comma or closing bracket."""
    if not pieces:
        return ""
    ends = [*(piece in ",)]=:;" for piece in pieces[1:]), True]
    return "".join(escape(piece) + ("" if last else r"\allowbreak{}") for piece, last in zip(pieces, ends, strict=True))


def _escape_character(character: str) -> str:
    if character in SPECIAL:
        return SPECIAL[character]
    if " " <= character <= "~" or _is_accented(character):
        return character
    return f"[U+{ord(character):04X}]"


def _is_accented(character: str) -> bool:
    """Whether it is a letter of Latin-1 that any encoding of fonts can make up."""
    letter = unicodedata.normalize("NFD", character)[0]
    return character <= "\xff" and letter.isascii() and letter.isalpha()
