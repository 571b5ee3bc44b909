"""A process of a trial, or of several that are trained as one, as the run sees it: what it says, how long and how large
it may grow, how it ended.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable

from harness.executors import linux
from harness.executors.cgroup import Group
from harness.executors.cohort import CohortJob, Collapse
from harness.executors.forkserver import Child, killed_by, read_number
from harness.executors.heard import Heard
from harness.executors.log import Log
from harness.executors.server import kill_group
from harness.executors.worker import LONGEST_MESSAGE, Job
from harness.types import Progress, Record, Status, Trial
from harness.words import clean_line

GRACE_SECONDS = 1.0
PATIENCE_SECONDS = 10.0
CHUNK = 2**18
CHUNKS_LEFT = 16


class TrialProcess:
    """From the fork to the records. Nothing here blocks.

    over: all records are due. alarm: when to call `ring`, on the monotonic clock. memory: the most bytes it may hold.
    group: where the system keeps it within these. A time limit is of each trial, and several have as many times that.
    """

    def __init__(
        self,
        job: Job | CohortJob,
        child: Child,
        log: Log,
        memory: int | None,
        group: Group | None,
        progress: Callable[[Trial, Progress], None],
    ) -> None:
        self.trials = job.trials
        self.group = group
        self.child = child
        self.over = False
        self.alarm = time.monotonic() + len(job.trials) * (job.context.timeout or float("inf"))
        self.ring: Callable[[], None] = self._time_out
        self._timeout = job.context.timeout
        self._log = log
        self._memory = memory
        self._progress = progress
        self._heard = bytearray()
        self._told = [Heard(trial) for trial in job.trials]
        self._handed: set[str] = set()  # keys of those of several whose records were given out
        self._collapse: Collapse | None = None
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
            if "collapsed" in message:
                self._collapse = Collapse(*message["collapsed"])
                self._expect_end()
                return
            told = self._told[int(message.get("of", 0))]
            if told.done:
                self._verdict = ("failed", "sent two records") if "record" in message else None
                return
            news = told.take(message)
        except Exception as error:
            self._condemn("failed", f"sent a message that cannot be read: {type(error).__name__}: {error}")
            return
        if told.overlong:
            self._condemn("failed", told.overlong)
        if news:
            self._progress(told.trial, news)
        if self._done:
            self._expect_end()

    @property
    def _done(self) -> bool:
        return all(told.done for told in self._told)

    def _expect_end(self) -> None:
        """It has nothing more to say."""
        self.alarm, self.ring = time.monotonic() + GRACE_SECONDS, self._kill

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
        several = f"{len(self.trials)} x " if len(self.trials) > 1 else ""
        self._verdict = "timeout", f"stopped at its time limit of {several}{self._timeout:g} s (--timeout)"
        kill_group(self.child.pid, signal.SIGTERM)
        self.alarm, self.ring = time.monotonic() + GRACE_SECONDS, self._kill

    def _lose(self) -> None:
        """The channel has ended: so has the process, as a rule. If not, nothing will come of it any more."""
        if not (self._done or self._collapse or self._verdict):
            self.alarm = time.monotonic() + GRACE_SECONDS
            self.ring = lambda: self._condemn("failed", "closed its connection to this run and went on")

    def _condemn(self, status: Status, reason: str) -> None:
        if not self._done:
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
        """The plugin's metric that was computed when it ended, of a trial that was not scored yet; empty for none."""
        parts = (told.part for told in self._told if not told.done and not told.scored)
        return next((part.removeprefix("metric ") for part in parts if part.startswith("metric ")), "")

    @property
    def orphaned(self) -> bool:
        """Whether it ended because the fork server did."""
        return self.over and self._exit is None and not self._given_up

    # --- how it ended -------------------------------------------------------------------------------------------------

    def records(self) -> list[Record]:
        """The records that are due and not given out yet: of one trial once it is over, of several as each is told."""
        if self.over:
            self._hear_all()
        if len(self._told) == 1:
            return [self._only(self._told[0])] if self.over else []
        due = [told for told in self._told if told.trial.key not in self._handed and (told.done or self._rescues(told))]
        self._handed.update(told.trial.key for told in due)
        return [self._last(told) if told.done else self._obituary(told, *self._ended_by) for told in due]

    @property
    def left(self) -> list[Trial]:
        """Trials of several that have no record, now that it is over."""
        return [told.trial for told in self._told if told.trial.key not in self._handed] if len(self._told) > 1 else []

    @property
    def cause(self) -> tuple[Status, str]:
        """The end of those of several that have no record, and the owner of the code that ran then."""
        status, reason = self._ended_by
        part = next((told.part for told in self._told if told.part and not told.done), "")
        return status, clean_line(f"{reason}, in {part}" if part else reason)

    @property
    def _ended_by(self) -> tuple[Status, str]:
        return self._verdict or self._collapse or self._cause()

    def _hear_all(self) -> None:
        for _ in range(CHUNKS_LEFT):
            self.hear()
            self.listen()

    def _rescues(self, told: Heard) -> bool:
        """Whether it stands although its process is over: it was trained and scored by then."""
        return self.over and told.scored

    def _only(self, told: Heard) -> Record:
        if not told.done or self._verdict:
            return self._obituary(told, *self._ended_by)
        return self._last(told)

    def _last(self, told: Heard) -> Record:
        try:
            return told.record()
        except Exception as error:
            return self._obituary(told, "failed", f"its record cannot be read: {type(error).__name__}: {error}")

    def _obituary(self, told: Heard, status: Status, reason: str) -> Record:
        measured = {"bytes_at_death": self._bytes} if self._bytes else {}
        return told.obituary(status, reason, self._log.last_words(), measured)

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


def _size(size: int) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**27 else f"{size / 2**20:.1f} MiB"
