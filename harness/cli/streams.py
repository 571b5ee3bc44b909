"""Standard streams that cost no command its work: closed, full, hung up, or lacking a character to be written."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import Any, TextIO

ERRORS = "harness.spelt"
SPELT = dict(
    zip("±…×µ≥≤√–—─━↑↓·’│", ("+-", "...", "x", "u", ">=", "<=", "sqrt", *"----^v.'|"), strict=True),
)


@contextlib.contextmanager
def tolerate_failures() -> Iterator[None]:
    """Within, writing to stderr never fails, and both streams spell out what their encoding lacks."""
    _open_closed()
    before = sys.stdout, sys.stderr
    for stream in before:
        _flush_quietly(stream)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _Text(
            _Lasting(_unbuffer(sys.stdout)), sys.stdout.encoding, ERRORS, line_buffering=sys.stdout.isatty()
        )
    if isinstance(sys.stderr, io.TextIOWrapper):
        sink = _Tolerant(_unbuffer(sys.stderr))
        sys.stderr = _Text(sink, sys.stderr.encoding, ERRORS, line_buffering=True, write_through=True)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            _flush_quietly(stream)
        sys.stdout, sys.stderr = before


@contextlib.contextmanager
def keep_streams() -> Iterator[None]:
    """Within, a plugin's command may put other streams in the place of these, or none; not beyond."""
    before = sys.stdin, sys.stdout, sys.stderr
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            _flush_quietly(stream)
        sys.stdin, sys.stdout, sys.stderr = before


def flush_or_drop() -> None:
    """Flush stdout, or drop its output where that fails."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        drop_output()


def drop_output() -> None:
    """Drop the output not yet written to stdout, so that it does not fail again when Python exits."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def wants_colour(stream: TextIO) -> bool:
    """Whether colours may be written: to a terminal, unless NO_COLOR or TERM=dumb; elsewhere if FORCE_COLOR."""
    if os.environ.get("NO_COLOR"):
        return False
    forced = os.environ.get("FORCE_COLOR")
    return forced != "0" if forced else is_lively(stream)


def is_lively(stream: TextIO) -> bool:
    """Whether lines that were written can be written anew: a terminal that is not dumb."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _unbuffer(stream: io.TextIOWrapper) -> Any:
    """The stream without Python's buffer, which keeps what it could not write and fails again at the end."""
    return getattr(stream.buffer, "raw", stream.buffer)


class _Text(io.TextIOWrapper):
    """Text that whoever prints may not close: it is not theirs."""

    def close(self) -> None:
        _flush_quietly(self)


class _Lasting(io.BufferedIOBase):
    """Bytes that go to another stream, and do not close it."""

    def __init__(self, sink: Any) -> None:
        self._sink = sink

    @property
    def name(self) -> Any:
        return getattr(self._sink, "name", "")

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        while left:
            left = left[self._sink.write(left) or self._wait_for_reader() :]
        return size

    def _wait_for_reader(self) -> int:
        """Wait until somebody reads: another program has put this pipe or terminal in a mode in which it refuses."""
        poll = select.poll()
        poll.register(self.fileno(), select.POLLOUT)
        poll.poll()
        return 0

    def flush(self) -> None:
        self._sink.flush()

    def isatty(self) -> bool:
        return bool(self._sink.isatty())

    def fileno(self) -> int:
        return int(self._sink.fileno())

    def close(self) -> None:
        """Not ours to close."""


class _Tolerant(_Lasting):
    """Bytes that go to another stream where that takes them, and nowhere where it does not."""

    def write(self, data: Any) -> int:
        with contextlib.suppress(OSError, ValueError):
            super().write(data)
        return len(memoryview(data).cast("B"))

    def flush(self) -> None:
        _flush_quietly(self._sink)


def _flush_quietly(stream: Any) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):  # the last: a plugin has put something else there
        stream.flush()


def _open_closed() -> None:
    """Open closed streams on the null device: else the next file opened would take a number, and its output."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number, inheritable=True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def _spell_out(error: UnicodeError) -> tuple[str | bytes, int]:
    """An error handler for `codecs`: signs in words of ASCII, all else as Python escapes it."""
    if isinstance(error, UnicodeEncodeError) and error.object[error.start] in SPELT:
        return SPELT[error.object[error.start]], error.start + 1
    return codecs.backslashreplace_errors(error)


codecs.register_error(ERRORS, _spell_out)
