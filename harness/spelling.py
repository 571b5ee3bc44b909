r"""Paths as people write them: with blanks, in quotes within the shell's own, or with the backslashes of a shell.

    My Drive/m.py      'My Drive/m.py'      My\ Drive/m.py      ~/"My Drive"/m.py

A backslash takes the meaning from the mark or blank that follows it, within quotes too. Before a letter or a digit it
parts the folders of a Windows path, which is refused.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

QUOTED: Final = r"""'(?:\\.|[^'\\])*+'|"(?:\\.|[^"\\])*+\""""
# As browsers number copies: `m (1).py`. What is no parameter, and goes on behind the bracket, means nothing else.
NUMBERED: Final = r"""[(\[][^()\[\],'"\\=]*+[)\]](?=[^\s,'"\\\[\]()])"""
PIECE: Final = rf"""(?:[^\s,'"\\\[\]()]|\\.|{QUOTED}|{NUMBERED})++"""
RUN: Final = re.compile(rf"{PIECE}(?:[^\S\r\n]++{PIECE})*+(?=\s*(?:[\[\](),]|$))", re.DOTALL)

_PART: Final = re.compile(rf"{QUOTED}|\\.|[^'\"\\]+|.", re.DOTALL)
_BLANK: Final = re.compile(rf"{PIECE}|\s+", re.DOTALL)
_ANEW: Final = re.compile(r"~|\.{0,2}/")  # how a path begins that does not go on with the one before the blank


class Backslash(ValueError):
    """A backslash that parts folders; `at` is its place in the text."""

    def __init__(self, at: int) -> None:
        super().__init__(r"paths are written with '/' here; '\' stands only before a blank or a mark")
        self.at = at


def is_path(text: str) -> bool:
    """Whether a name means a file rather than something in the catalogue."""
    return "/" in text or text.endswith(".py")


def read_path(text: str) -> Path:
    """The path that a text means: as it stands where there is such a file, else without quotes and backslashes.

    Raises ValueError, OSError or RuntimeError for a path that can be none.
    """
    path = Path(text).expanduser()
    return path if path.exists() else Path(unquote(text)).expanduser()


def find_path(run: str) -> tuple[str, int] | None:
    """The path that a run of characters between two commas begins with, and how many of them spell it; None for none.

    Blanks outside quotes belong to a path that ends in .py, unless another path seems to begin after one: there a
    comma was forgotten. Raises Backslash.
    """
    path = unquote(run)
    first, *others = (piece for piece in _BLANK.findall(run) if not piece.isspace())
    ended = any(unquote(piece).endswith(".py") for piece in (first, *others[:-1]))
    if others and (ended or any(map(_ANEW.match, others)) or not path.endswith(".py")):
        run, path = first, unquote(first)
    return (path, len(run)) if is_path(path) else None


def unquote(text: str) -> str:
    r"""The text without its quotes and without the backslashes before blanks and marks. Raises Backslash.

    >>> unquote(r"~/'My Drive'/a\ (1).py")
    '~/My Drive/a (1).py'
    """
    plain: list[str] = []
    for part in _PART.finditer(text):
        within = part[0][1:-1] if part[0][0] in "'\"" and len(part[0]) > 1 else part[0]
        plain.append(_unescape(within, part.start() + (len(part[0]) - len(within)) // 2))
    return "".join(plain)


def _unescape(text: str, start: int) -> str:
    for found in re.finditer(r"\\(\w)|\\.", text, re.DOTALL):
        if found[1]:
            raise Backslash(start + found.start())
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
