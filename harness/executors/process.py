"""One trial's process as the run sees it: what it says, how long and how large it may grow, how it ended."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

from harness.executors import linux
from harness.executors.cgroup import Group
from harness.executors.forkserver import Child, killed_by, read_number
from harness.executors.log import Log
from harness.executors.server import kill_group
from harness.executors.worker import LONGEST_MESSAGE, Job, ended, rescued
from harness.types import Point, Progress, Record, Status, Trial
from harness.words import clean_ends, clean_line

GRACE_SECONDS = 1.0
PATIENCE_SECONDS = 10.0
CHUNK = 2**18
CHUNKS_LEFT = 16
LONGEST_CURVE = 100_000
LONGEST_PHASE = 40
LONGEST_PART = 100
LONGEST_TRACEBACK = 20_000


class TrialProcess:
    """From the fork to the record. Nothing here blocks.

    over: the record is due. alarm: when to call `ring`, on the monotonic clock. memory: the most bytes it may hold.
    group: where the system keeps it within these.
    """

    def __init__(
        self,
        job: Job,
        child: Child,
        log: Log,
        memory: int | None,
        group: Group | None,
        progress: Callable[[Trial, Progress], None],
    ) -> None:
        self.trial = job.trial
        self.group = group
        self.child = child
        self.over = False
        self.alarm = time.monotonic() + (job.context.timeout or float("inf"))
        self.ring: Callable[[], None] = self._time_out
        self._timeout = job.context.timeout
        self._log = log
        self._memory = memory
        self._progress = progress
        self._heard = bytearray()
        self._curve: list[Point] = []
        self._message: Mapping[str, Any] | None = None
        self._so_far: tuple[Mapping[str, Any], list[str]] | None = None
        self._part = ""
        self._verdict: tuple[Status, str] | None = None
        self._exit: int | None = None
        self._given_up = False
        self._bytes = 0
        self._struck = linux.oom_kills()
        child.hand_over(job)

    # --- what it says; each tells whether there can be more -----------------------------------------------------------

    def hear(self) -> bool:
        """Take in messages."""
        try:
            data = self.child.channel.recv(CHUNK)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            data = b""
        if not data:
            self._lose()
            return False
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._understand(bytes(self._heard + line))
            self._heard.clear()
        self._heard += rest
        if len(self._heard) > LONGEST_MESSAGE:
            self._heard.clear()
            self._condemn("failed", f"sent a message of more than {LONGEST_MESSAGE} bytes")
        return True

    def _understand(self, line: bytes) -> None:
        if self._verdict:
            return
        try:
            message = json.loads(line)
            if self._message is not None:
                self._verdict = ("failed", "sent two records") if "record" in message else None
                return
            if "part" in message:
                self._part = clean_line(str(message["part"]), LONGEST_PART)
                return
            if "so_far" in message:
                self._so_far = dict(message["so_far"]), [str(name) for name in message["missing"]]
                return
            record = dict(message["record"]) if "record" in message else None
            news = None if record else _news(*message["progress"])
        except Exception as error:
            self._condemn("failed", f"sent a message that cannot be read: {type(error).__name__}: {error}")
            return
        if news:
            self._follow(news)
        else:
            self._message = record
            self.alarm, self.ring = time.monotonic() + GRACE_SECONDS, self._kill

    def _follow(self, news: Progress) -> None:
        last = news.point
        if last and (not self._curve or last.update > self._curve[-1].update):
            self._curve.append(last)
        if len(self._curve) > LONGEST_CURVE:
            self._condemn("failed", f"sent a curve of more than {LONGEST_CURVE} points")
        self._progress(self.trial, news)

    def listen(self) -> bool:
        """Take in what it prints."""
        try:
            data = os.read(self.child.output, CHUNK)
        except BlockingIOError:
            return True
        self._log.write(data)
        return bool(data)

    def learn_fate(self) -> bool:
        """Take in how it ended. If the server died instead, its orphans end here."""
        self._exit = read_number(self.child.fate)
        if self._exit is None:
            self.kill()
        self.over = True
        return False

    # --- what ends it -------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Weigh it, and end it before it takes the machine down. Exact weighing is slow, so only a heavy one is."""
        self._bytes = linux.resident_bytes(self.child.pid) or self._bytes
        if self._memory is None or self._bytes <= self._memory:
            return
        exact = linux.held_bytes(self.child.pid) or self._bytes
        if exact > self._memory:
            self._bytes = exact
            self._condemn("oom", f"held {_size(exact)} of memory, the limit is {_size(self._memory)} (--memory)")

    def kill(self) -> None:
        """All of its process group."""
        kill_group(self.child.pid)

    def close(self) -> None:
        """Give back what the run holds of it, its last output read."""
        for _ in range(CHUNKS_LEFT):
            self.listen()
        self._log.close()
        if self.group:
            self.group.close()
        self.child.channel.close()
        os.close(self.child.output)
        os.close(self.child.fate)

    def _time_out(self) -> None:
        self._verdict = "timeout", f"stopped at its time limit of {self._timeout:g} s (--timeout)"
        kill_group(self.child.pid, signal.SIGTERM)
        self.alarm, self.ring = time.monotonic() + GRACE_SECONDS, self._kill

    def _lose(self) -> None:
        """The channel has ended: so has the process, as a rule. If not, nothing will come of it any more."""
        if self._message is None and not self._verdict:
            self.alarm = time.monotonic() + GRACE_SECONDS
            self.ring = lambda: self._condemn("failed", "closed its connection to this run and went on")

    def _condemn(self, status: Status, reason: str) -> None:
        if self._message is None:
            self._verdict = self._verdict or (status, reason)
        self._kill()

    def _kill(self) -> None:
        self.kill()
        self.alarm, self.ring = time.monotonic() + PATIENCE_SECONDS, self._give_up

    def _give_up(self) -> None:
        """Even SIGKILL waits for a driver that hangs, and the server may be stopped for good; the run does not wait."""
        self.alarm, self.over, self._given_up = float("inf"), True, True
        self._log.write(f"\nprocess {self.child.pid} was killed, but of its end nothing was heard\n".encode())

    @property
    def ended_in_metric(self) -> str:
        """The plugin's metric that was computed when it ended, before it was trained and scored; empty for none."""
        on_the_way = self._message is None and self._so_far is None
        return self._part.removeprefix("metric ") if on_the_way and self._part.startswith("metric ") else ""

    @property
    def orphaned(self) -> bool:
        """Whether it ended because the fork server did."""
        return self.over and self._exit is None and not self._given_up

    # --- how it ended -------------------------------------------------------------------------------------------------

    def record(self) -> Record:
        """Its own record if it sent one in time, else one that says what became of it."""
        for _ in range(CHUNKS_LEFT):
            self.hear()
            self.listen()
        if self._message is None or self._verdict:
            return self._obituary(*(self._verdict or self._cause()))
        try:
            return self._read(self._message)
        except Exception as error:
            return self._obituary("failed", f"its record cannot be read: {type(error).__name__}: {error}")

    def _read(self, message: Mapping[str, Any]) -> Record:
        from harness.records.format import from_json

        record = from_json(message)
        if record.trial.key != self.trial.key:
            raise ValueError(f"it is of another trial, {record.trial.key!r}")
        return dataclasses.replace(record, trial=self.trial, curve=record.curve or tuple(self._curve))

    def _obituary(self, status: Status, reason: str) -> Record:
        """What it was trained to, if it had told that by then: what ended it is a hole. Else what became of it."""
        measured = {"bytes_at_death": self._bytes} if self._bytes else {}
        words = clean_ends(self._log.last_words(), LONGEST_TRACEBACK)
        reason = clean_line(f"{reason}, in {self._part}" if self._part else reason)
        if self._so_far is not None:
            with contextlib.suppress(Exception):
                record = rescued(self._read(self._so_far[0]), self._so_far[1], reason, words)
                return dataclasses.replace(record, measured={**record.measured, **measured})
        return ended(self.trial, status, reason, curve=self._curve, measured=measured, traceback=words)

    def _cause(self) -> tuple[Status, str]:
        if self._given_up:
            return "killed", "killed by this run, but of its end nothing was heard"
        if self._exit is None:
            return "killed", "the process that trials are forked from died, and the trial with it"
        if self._exit >= 0:
            return "failed", f"exited with code {self._exit} before it returned a record"
        if -self._exit != signal.SIGKILL:
            return "killed", killed_by(-self._exit)
        if self.group and self.group.struck() and self._memory:
            self._bytes = self.group.peak() or self._bytes
            return "oom", f"killed by the system at the limit of {_size(self._memory)} (--memory)"
        if linux.oom_kills() > self._struck:
            return "oom", f"killed by the system's out-of-memory killer; last seen with {_size(self._bytes)}"
        if self._memory and self._bytes > self._memory / 2:
            return "killed", f"killed by SIGKILL, last seen with {_size(self._bytes)}: perhaps for want of memory"
        return "killed", "killed by SIGKILL, not by this run"


def _news(phase: str, fraction: float, point: Mapping[str, Any] | None) -> Progress:
    """Progress as a trial tells it. Raises ValueError and the like for anything else."""
    from harness.records.format import point_from_json

    share = min(1.0, max(0.0, float(fraction)))  # of nan: 0
    return Progress(clean_line(str(phase), LONGEST_PHASE), share, point_from_json(point) if point else None)


def _size(size: int) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**27 else f"{size / 2**20:.1f} MiB"
