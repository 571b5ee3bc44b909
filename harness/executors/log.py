"""What a trial prints, in a file of bounded size: its beginning and its end are kept, the middle is cut."""

from __future__ import annotations

import contextlib
from pathlib import Path

HEAD_BYTES = TAIL_BYTES = 512 * 1024
LAST_WORDS = 8 * 1024


class Log:
    """Takes bytes as they come. No file without output; a file that cannot be written costs the log, not the trial."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._room = HEAD_BYTES
        self._tail = bytearray()
        self._recent = b""
        self._cut = 0
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)  # an earlier attempt's

    def write(self, data: bytes) -> None:
        """The beginning goes to the file at once, so that it can be watched; the end is held back until `close`."""
        self._recent = (self._recent + data)[-LAST_WORDS:]
        head, rest = data[: self._room], data[self._room :]
        self._room -= len(head)
        self._save(head)
        self._tail += rest
        if len(self._tail) > 2 * TAIL_BYTES:
            self._trim()

    def last_words(self) -> str:
        """The end of what was printed: a crash explains itself there."""
        return self._recent.decode("utf-8", errors="replace")

    def close(self) -> None:
        """Write what was held back, and how much was cut before it."""
        self._trim()
        notice = f"\n[{self._cut} bytes cut here]\n".encode() if self._cut else b""
        self._save(notice + self._tail)
        self._tail.clear()

    def _trim(self) -> None:
        excess = max(0, len(self._tail) - TAIL_BYTES)
        del self._tail[:excess]
        self._cut += excess

    def _save(self, data: bytes) -> None:
        if not data:
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(data)
