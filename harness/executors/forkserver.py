"""The run's side of the fork server: started when the first trial needs it, and again if it dies or falls silent."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness.errors import HarnessError
from harness.executors import linux
from harness.executors.server import NUMBER, kill_process
from harness.executors.worker import Work

SECONDS_TO_START = 600.0  # to import a tensor library from a slow disk
SECONDS_TO_ANSWER = 20.0
SECONDS_TO_TAKE = 10.0
SECONDS_BETWEEN_CALLS = 0.5
SECONDS_TO_END = 5.0
MARK = "HARNESS_RUN"


class Child(NamedTuple):
    """A forked process as the run holds it: its id and its server's, its channel, and what can be read of its output
    and its fate.
    """

    pid: int
    server: int
    channel: socket.socket
    output: int
    fate: int

    def hand_over(self, work: Work) -> None:
        """Send it what it is to do. From then on nothing that is read of it blocks."""
        data = pickle.dumps(work)
        self.channel.settimeout(SECONDS_TO_TAKE)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, TimeoutError):  # its fate will tell
            self.channel.sendall(data)
        self.channel.setblocking(False)
        os.set_blocking(self.output, False)


class ForkServer:
    """Hands out fresh processes that have the modules `preload` imported."""

    def __init__(self, preload: Sequence[str]) -> None:
        self._preload = tuple(preload)
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ready = False

    def fork(self) -> Child:
        """A fresh process that waits for its job. Raises HarnessError if the server cannot be kept alive."""
        for _ in range(2):  # something may have killed or stopped the server since the last trial
            child = self._request_child()
            if child:
                return child
            code = self.close()
        raise HarnessError(
            f"the process that trials are forked from ended with code {code} before it started one; what it wrote is "
            "above; try --here, which does without"
        )

    def wake(self) -> None:
        """Let it go on if something has stopped it; nothing happens to one that runs."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self._process.pid, signal.SIGCONT)

    def sweep_orphans(self, server: int) -> None:
        """End what a server that has died should have ended, unless that has been done."""
        if self._process is not None and self._process.pid == server:
            self.close()

    def close(self) -> int | None:
        """End the server and every trial with it; return the server's exit code."""
        process, control = self._process, self._control
        if control:
            control.close()
        if process is None:
            return None
        self.wake()
        if not self._ready:  # still importing, with no trial to look after
            process.kill()
        self._process = self._control = None
        code = _await_end(process)
        if code:
            _end_orphans()
        linux.adopt_orphans(False)
        return code

    def _request_child(self) -> Child | None:
        """None if the server has died, or does not answer."""
        control = self._control or self._start_server()
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            channel, their_channel = map(ours.enter_context, socket.socketpair())
            theirs.enter_context(their_channel)
            output, their_output = _open_pipe(ours, theirs)
            fate, their_fate = _open_pipe(ours, theirs)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                socket.send_fds(control, [b"+"], [their_channel.fileno(), their_output, their_fate])
            theirs.close()
            pid = read_number(fate) if self._await_answer(fate) else None
            if pid is None:
                return None
            assert self._process is not None
            self._ready = True
            ours.pop_all()
            return Child(pid, self._process.pid, channel, output, fate)

    def _await_answer(self, fate: int) -> bool:
        """Whether the server says or closes something in time; woken again and again, in case it was stopped."""
        poll = select.poll()
        poll.register(fate, select.POLLIN)
        limit = time.monotonic() + (SECONDS_TO_ANSWER if self._ready else SECONDS_TO_START)
        while time.monotonic() < limit:
            self.wake()
            if poll.poll(1000 * SECONDS_BETWEEN_CALLS):
                return True
        return False

    def _start_server(self) -> socket.socket:
        """In a session of its own, away from the terminal's signals. Not by -m: a trial that spawns would import it."""
        path = [entry or str(Path.cwd()) for entry in map(str, sys.path)]
        control, theirs = socket.socketpair()
        linux.adopt_orphans()  # of a server that is killed
        with theirs:
            code = (
                f"import sys; sys.path[:] = {path!r}; "
                f"from harness.executors.server import main; main({theirs.fileno()}, {self._preload!r})"
            )
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=os.environ | {MARK: str(os.getpid())},
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


def describe_signal(number: int) -> str:
    """Words for the end of a process by a signal."""
    try:
        name = signal.Signals(number).name
    except ValueError:  # the real-time signals between the first and the last have none
        name = f"signal {number}"
    return f"killed by {name} ({signal.strsignal(number) or 'unknown'})"


def _await_end(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _end_orphans() -> None:
    """Kill what this process has adopted from a server that died before its trials, generation by generation.

    What ends leaves its children to this process, perhaps just after its own were listed: a list that names one which
    has not been seen to the end is not the last.
    """
    mark, limit = f"{MARK}={os.getpid()}", time.monotonic() + SECONDS_TO_END
    killed: set[int] = set()
    ended_pids: set[int] = set()
    while time.monotonic() < limit and not ended_pids.issuperset(found := linux.list_children(os.getpid())):
        ours = {pid: linux.started_with(pid, mark) for pid in found}
        fresh = {pid for pid in found if ours[pid]} - killed
        for pid in fresh:
            kill_process(pid)
        killed |= fresh
        ended_pids = {pid for pid in found if ours[pid] is False or _has_ended(pid)}
        if not fresh:  # else at once: what forks on and on must not get ahead
            time.sleep(0.001)
    for pid in killed:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _has_ended(pid: int) -> bool:
    """Whether a child of this process has ended, all threads of it: its children are ours by then."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _open_pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe whose ends are closed with the stacks: we read, they write."""
    reader, writer = os.pipe()
    ours.callback(os.close, reader)
    theirs.callback(os.close, writer)
    return reader, writer
