"""Checks in processes of their own: what ends, hangs or spoils the process of one costs that check and no other.

One process runs the checks of one thing, one after the other, and tells of each as it ends. Where it dies, the check
that it was in is broken, and a fresh one goes on with the next. They are forked as trials are: by a process that
imports the tensor library, touches no device and runs no plugin's code.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import selectors
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from harness.catalog import Catalog, Settings, load_catalog
from harness.executors import worker
from harness.executors.forkserver import Child, ForkServer, describe_signal, read_number
from harness.executors.server import kill_group
from harness.testing import kit
from harness.testing.kit import SEVERITY, Case, Result
from harness.words import clean_line

SECONDS_BETWEEN_LOOKS = 1.0
CHUNK = 2**16
CHUNKS_AT_ONCE = 16
LONGEST_MESSAGE = 2**24
LAST_WORDS = 8 * 1024
OVER = b"\0check over\0"  # stands in the output between what two checks print
UNHEARD = 74  # exit code of a process that can tell no more; EX_IOERR


class Errand(NamedTuple):
    """Checks of one thing, as another process finds them again: from `first` to `stop` of those that `text` selects."""

    settings: Settings
    text: str
    device: str
    data: Path | None
    first: int
    stop: int

    def __bool__(self) -> bool:
        return self.first < self.stop

    def without_first(self) -> Errand:
        """It without its first check."""
        return self._replace(first=self.first + 1)

    def serve(self, channel: socket.socket) -> None:
        """Run them, and tell of each as it ends: one line of JSON."""
        os.set_inheritable(channel.fileno(), False)
        owner = os.getpid()
        found = kit.cases(load_catalog(self.settings), self.text, self.device, self.data)
        for case in found[self.first : self.stop]:
            result = case.run()
            if os.getpid() != owner:  # a plugin has forked, and its child has come back here
                os._exit(1)
            worker.flush_streams()
            with contextlib.suppress(OSError):
                os.write(2, OVER)
            _send_result(channel, result)


def _send_result(channel: socket.socket, result: Result) -> None:
    try:
        channel.sendall(b"\n" + json.dumps(result).encode() + b"\n")  # whatever else was written there ends before it
    except OSError:
        os._exit(UNHEARD)


class CaseGroup(NamedTuple):
    """Subject of a check, by its cases and by how another process finds them."""

    cases: Sequence[Case]
    errand: Errand


def group_cases(catalog: Catalog, settings: Settings, text: str, device: str, data: Path | None) -> Iterator[CaseGroup]:
    """The cases that a text selects, thing by thing. Raises UsageError as `cases` does."""
    first = 0
    for _, group in itertools.groupby(kit.cases(catalog, text, device, data), lambda case: (case.of, case.label)):
        found = list(group)
        yield CaseGroup(found, Errand(settings, text, device, data, first, first + len(found)))
        first += len(found)


class Isolation:
    """Runs errands. Leaving it ends whatever still runs. preload: modules that all of them need."""

    def __init__(self, preload: Sequence[str]) -> None:
        self._server = ForkServer((*preload, __name__))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.close()

    def results(self, errand: Errand) -> Iterator[Result]:
        """One for each check, as it ends. Raises HarnessError if no process can be started at all."""
        while errand:
            for result in self._run_in_one_process(errand):
                errand = errand.without_first()
                yield result

    def _run_in_one_process(self, errand: Errand) -> Iterator[Result]:
        """At least one result: if the process tells of none, that of the check in which it died."""
        with _Heard(self._server) as process:
            process.child.hand_over(errand)
            while errand and (result := process.next_result()):
                errand = errand.without_first()
                yield result
            if errand:
                yield process.describe_end()
        if process.has_lost_server:
            self._server.sweep_orphans(process.child.server)


class _Heard:
    """A process, and what it has said so far."""

    def __init__(self, server: ForkServer) -> None:
        self._server = server
        self.child: Child = server.fork()
        self._lines: list[bytes] = []
        self._rest = b""
        self._printed = b""
        self._exit: int | None = None
        self._over = False
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        for source, hear in ((self.child.channel, self._read_channel), (self.child.output, self._read_output)):
            self._selector.register(source, selectors.EVENT_READ, hear)
        self._selector.register(self.child.fate, selectors.EVENT_READ, self._learn_fate)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        kill_group(self.child.pid)
        self._selector.close()
        self.child.channel.close()
        os.close(self.child.output)
        os.close(self.child.fate)

    def next_result(self) -> Result | None:
        """None where it has died before it told of another one."""
        while True:
            while self._lines:
                if result := _parse_result(self._lines.pop(0)):
                    _drain_stream(self._read_output)
                    return result._replace(printed=self._take_last_words())
            if self._over:
                return None
            self._wait_for_event()

    @property
    def has_lost_server(self) -> bool:
        """Whether it ended because the fork server did."""
        return self._over and self._exit is None

    def describe_end(self) -> Result:
        """The result of the check that it died in."""
        return Result("broken", clean_line(self._explain_end()), traceback=self._take_last_words())

    def _explain_end(self) -> str:
        if self._exit is None:
            return "the process that checks are forked from died, and the check with it"
        if self._exit == UNHEARD:
            return "closed the socket over which results are told; close no descriptor that you have not opened"
        if self._exit < 0:
            return f"its process was {describe_signal(-self._exit)}"
        return f"its process exited with code {self._exit} before the check was over"

    def _take_last_words(self) -> str:
        words, _, self._printed = self._printed.partition(OVER)
        return words[-LAST_WORDS:].decode("utf-8", errors="replace")

    # --- events -------------------------------------------------------------------------------------------------------

    def _wait_for_event(self) -> None:
        """Until something happens. It may have stopped the server, which has to tell of its end."""
        for key, _ in self._selector.select(SECONDS_BETWEEN_LOOKS):
            if key.data() == b"":
                self._selector.unregister(key.fileobj)
        self._server.wake()

    def _read_channel(self) -> bytes | None:
        try:
            data = self.child.channel.recv(CHUNK)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return b""
        *lines, rest = (self._rest + data).split(b"\n")
        self._lines += lines
        self._rest = rest[-LONGEST_MESSAGE:]
        return data

    def _read_output(self) -> bytes | None:
        try:
            data = os.read(self.child.output, CHUNK)
        except BlockingIOError:
            return None
        self._printed = (self._printed + data)[-LONGEST_MESSAGE:]
        return data

    def _learn_fate(self) -> bytes:
        """Take in its end; words that it said before are still to be read."""
        self._exit, self._over = read_number(self.child.fate), True
        _drain_stream(self._read_channel)
        _drain_stream(self._read_output)
        return b""


def _drain_stream(read: Callable[[], bytes | None]) -> None:
    """Read the bytes that are there now; no more than a bit of a stream that never ends."""
    for _ in range(CHUNKS_AT_ONCE):
        if not read():
            return


def _parse_result(line: bytes) -> Result | None:
    """None for what a plugin has written there."""
    try:
        result = Result(*json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
    return result if result.status in SEVERITY else None
