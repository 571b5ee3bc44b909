"""The run's side of the fork server: started when the first trial needs it, and again if it dies."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness.errors import HarnessError
from harness.executors.server import NUMBER

SECONDS_TO_END = 5.0


class Child(NamedTuple):
    """A forked process as the run holds it: its id, its channel, and what can be read of its output and its fate."""

    pid: int
    channel: socket.socket
    output: int
    fate: int


class ForkServer:
    """Hands out fresh processes that have the modules `preload` imported."""

    def __init__(self, preload: Sequence[str]) -> None:
        self._preload = tuple(preload)
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ready = False

    def fork(self) -> Child:
        """A fresh process that waits for its job. Raises HarnessError if the server cannot be kept alive."""
        for _ in range(2):  # something may have killed the server since the last trial
            child = self._ask()
            if child:
                return child
            code = self.close()
        raise HarnessError(
            f"the process that trials are forked from ended with code {code} before it started one; what it wrote is "
            "above; try --here, which does without"
        )

    def close(self) -> int | None:
        """End the server and every trial with it; return the server's exit code."""
        process, control = self._process, self._control
        self._process = self._control = None
        if control:
            control.close()
        if process is None:
            return None
        if not self._ready:  # still importing, with no trial to look after
            process.kill()
        try:
            return process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def _ask(self) -> Child | None:
        """None if the server has died."""
        control = self._control or self._start()
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            channel, their_channel = map(ours.enter_context, socket.socketpair())
            theirs.enter_context(their_channel)
            output, their_output = _pipe(ours, theirs)
            fate, their_fate = _pipe(ours, theirs)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                socket.send_fds(control, [b"+"], [their_channel.fileno(), their_output, their_fate])
            theirs.close()
            pid = read_number(fate)
            if pid is None:
                return None
            self._ready = True
            ours.pop_all()
            return Child(pid, channel, output, fate)

    def _start(self) -> socket.socket:
        """In a session of its own, away from the terminal's signals. Not by -m: a trial that spawns would import it."""
        path = [entry or str(Path.cwd()) for entry in map(str, sys.path)]
        control, theirs = socket.socketpair()
        with theirs:
            code = (
                f"import sys; sys.path[:] = {path!r}; "
                f"from harness.executors.server import main; main({theirs.fileno()}, {self._preload!r})"
            )
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._control, self._ready = control, False
        return control


def read_number(fate: int) -> int | None:
    """The next number on the pipe of fate; None if the server has died."""
    data = b""
    while len(data) < NUMBER.size:
        more = os.read(fate, NUMBER.size - len(data))
        if not more:
            return None
        data += more
    number: int = NUMBER.unpack(data)[0]
    return number


def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe whose ends are closed with the stacks: we read, they write."""
    reader, writer = os.pipe()
    ours.callback(os.close, reader)
    theirs.callback(os.close, writer)
    return reader, writer
