"""Values that plugins say, made fit for a record: plain, of bounded depth and size, or refused with the reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from harness.types import Reading
from harness.words import clean_line

SHOWN = ("_warning", "_at_least")  # how the names of texts end that stand below tables
DEEPEST = 20
LARGEST = 2**20  # bytes of JSON, roughly
_NUMBER = 8
_HIGHEST_BIT = 1024  # of an integer: beyond it no float holds its size


class Unfit(Exception):
    """A value that no record can hold, for this reason."""


def fit_value(name: str, value: object) -> tuple[Any, int]:
    """The value as plain JSON values, nan and inf within it as None, and its size; what tables show, in a clean line.

    Raises Unfit. A value that is itself nan or infinite is unfit: it is no measurement.
    """
    walk = _Walk()
    try:
        plain = walk.make_plain(value, 0)
    except Unfit:
        raise
    except Exception as error:
        raise Unfit(f"cannot be written as JSON: {type(error).__name__}: {error}") from error
    if plain is None and value is not None:
        raise Unfit(f"is {clean_line(str(value), 20)}; expected a finite number")
    plain = clean_line(plain) if name.endswith(SHOWN) and isinstance(plain, str) else plain
    return plain, LARGEST - walk.room


class _Walk:
    """One way through a value, as far as there is room for what it holds."""

    def __init__(self) -> None:
        self.room = LARGEST

    def make_plain(self, value: Any, depth: int) -> Any:
        if depth > DEEPEST:
            raise Unfit(f"is nested deeper than {DEEPEST} levels")
        if isinstance(value, Mapping):
            return {self._plain_text(str(key)): self.make_plain(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            self._take_room(2)
            return [self.make_plain(item, depth + 1) for item in value]
        if hasattr(value, "tolist"):
            self._take_room(_NUMBER * math.prod(getattr(value, "shape", ())), keep=True)
            return self.make_plain(value.tolist(), depth)
        return self._plain_scalar(value)

    def _plain_scalar(self, value: Any) -> Any:
        self._take_room(_NUMBER)
        if isinstance(value, Reading):  # its text would hide its warning
            raise Unfit("holds a harness.Reading; expected a plain value, and a Reading around all of it at most")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            if value.bit_length() > _HIGHEST_BIT:
                raise Unfit("is an integer beyond the range of floats")
            return int(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else None
        return self._plain_text(value if isinstance(value, str) else _spell_object(value))

    def _plain_text(self, text: str) -> str:
        """A lone surrogate, as in the name of a file that is not UTF-8, has no encoding: it is spelt out."""
        self._take_room(len(text))
        return str(text).encode(errors="backslashreplace").decode()

    def _take_room(self, size: int, keep: bool = False) -> None:
        """Raises Unfit where there is no room for so much more. keep: it is counted when it is walked through."""
        if size > self.room:
            raise Unfit(f"is larger than {LARGEST // 2**20} MB")
        self.room -= 0 if keep else size


def _spell_object(value: object) -> str:
    """Spell an object that is no JSON, such as a path. Raises Unfit for one that says nothing of itself."""
    text = str(value)
    if text.startswith("<") and " at 0x" in text:
        raise Unfit(f"is a {type(value).__name__}, which JSON does not hold")
    return text


def fit_number(value: Any) -> float:
    """The number that a metric returned, as a float, nan and inf included. Raises Unfit for any other, or too large."""
    if isinstance(value, (str, bytes)):
        raise Unfit(f"is {type(value).__name__}; expected a number or None")
    try:
        return float(value)
    except TypeError as error:
        raise Unfit(f"is {type(value).__name__}; expected a number or None") from error
    except (OverflowError, ValueError, RuntimeError) as error:
        raise Unfit(f"is no number: {error}") from error
