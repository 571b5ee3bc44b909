"""The log of a trial in a file of bounded size: its beginning and its end are kept, the middle is cut."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

HEAD_BYTES = TAIL_BYTES = 512 * 1024
LAST_WORDS = 8 * 1024


class Log:
    """Takes bytes as they come. No file without output; a file that cannot be written costs the log, not the trial.

    others: further names of the same file, for trials that are trained as one.
    """

    def __init__(self, path: Path, others: Sequence[Path] = ()) -> None:
        self._path = path
        self._others = tuple(others)
        self._room = HEAD_BYTES
        self._tail = bytearray()
        self._recent = b""
        self._cut = 0
        for each in (path, *others):
            with contextlib.suppress(OSError):
                each.unlink(missing_ok=True)  # an earlier attempt's

    def write(self, data: bytes) -> None:
        """The beginning goes to the file at once, so that it can be watched; the end is held back until `close`."""
        self._recent = (self._recent + data)[-LAST_WORDS:]
        head, rest = data[: self._room], data[self._room :]
        self._room -= len(head)
        self._append_bytes(head)
        self._tail += rest
        if len(self._tail) > 2 * TAIL_BYTES:
            self._trim_tail()

    def last_words(self) -> str:
        """The end of what was printed: a crash explains itself there."""
        return self._recent.decode("utf-8", errors="replace")

    def close(self) -> None:
        """Write what was held back, and how much was cut before it."""
        self._trim_tail()
        notice = f"\n[{self._cut} bytes cut here]\n".encode() if self._cut else b""
        self._append_bytes(notice + self._tail)
        self._tail.clear()
        for other in self._others if self._path.exists() else ():
            with contextlib.suppress(OSError):
                _link_log(self._path, other)

    def _trim_tail(self) -> None:
        excess = max(0, len(self._tail) - TAIL_BYTES)
        del self._tail[:excess]
        self._cut += excess

    def _append_bytes(self, data: bytes) -> None:
        if not data:
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(data)


def _link_log(path: Path, other: Path) -> None:
    """The same file under another name; a copy where the file system has no such thing."""
    try:
        os.link(path, other)
    except FileExistsError:
        return
    except OSError:
        shutil.copyfile(path, other)
