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
from harness.executors.cohort_job import CohortJob, Collapse
from harness.executors.forkserver import Child, describe_signal, read_number
from harness.executors.log import Log
from harness.executors.messenger import LONGEST_MESSAGE
from harness.executors.server import kill_group
from harness.executors.trial_news import TrialNews
from harness.executors.worker import Job
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
        self._news = [TrialNews(trial) for trial in job.trials]
        self._handed: set[str] = set()  # keys of those of several whose records were given out
        self._collapse: Collapse | None = None
        self._verdict: tuple[Status, str] | None = None
        self._exit: int | None = None
        self._given_up = False
        self._bytes = 0
        self._struck = linux.count_oom_kills()
        child.hand_over(job)

    # --- what it says; each tells whether there can be more -----------------------------------------------------------

    def read_messages(self) -> bool:
        """Take in messages."""
        try:
            data = self.child.channel.recv(CHUNK)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            data = b""
        if not data:
            self._lose_channel()
            return False
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._handle_line(bytes(self._heard + line))
            self._heard.clear()
        self._heard += rest
        if len(self._heard) > LONGEST_MESSAGE:
            self._heard.clear()
            self._end_with("failed", f"sent a message of more than {LONGEST_MESSAGE} bytes")
        return True

    def _handle_line(self, line: bytes) -> None:
        if self._verdict:
            return
        try:
            message = json.loads(line)
            if "collapsed" in message:
                self._collapse = Collapse(*message["collapsed"])
                self._expect_end()
                return
            news = self._news[int(message.get("of", 0))]
            if news.done:
                self._verdict = ("failed", "sent two records") if "record" in message else None
                return
            progress = news.take_message(message)
        except Exception as error:
            self._end_with("failed", f"sent a message that cannot be read: {type(error).__name__}: {error}")
            return
        if news.excess:
            self._end_with("failed", news.excess)
        if progress:
            self._progress(news.trial, progress)
        if self._done:
            self._expect_end()

    @property
    def _done(self) -> bool:
        return all(news.done for news in self._news)

    def _expect_end(self) -> None:
        """It has nothing more to say."""
        self.alarm, self.ring = time.monotonic() + GRACE_SECONDS, self._kill_and_wait

    def read_output(self) -> bool:
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

    def check_memory(self) -> None:
        """Weigh it, and end it before it takes the machine down. Exact weighing is slow, so only a heavy one is."""
        self._bytes = linux.resident_bytes(self.child.pid) or self._bytes
        if self._memory is None or self._bytes <= self._memory:
            return
        exact = linux.held_bytes(self.child.pid) or self._bytes
        if exact > self._memory:
            self._bytes = exact
            limit = _format_size(self._memory)
            self._end_with("oom", f"held {_format_size(exact)} of memory, the limit is {limit} (--memory)")

    def kill(self) -> None:
        """All of its process group."""
        kill_group(self.child.pid)

    def close(self) -> None:
        """Give back what the run holds of it, its last output read."""
        for _ in range(CHUNKS_LEFT):
            self.read_output()
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
        self._expect_end()

    def _lose_channel(self) -> None:
        """The channel has ended: so has the process, as a rule. If not, nothing will come of it any more."""
        if not (self._done or self._collapse or self._verdict):
            self.alarm = time.monotonic() + GRACE_SECONDS
            self.ring = lambda: self._end_with("failed", "closed its connection to this run and went on")

    def _end_with(self, status: Status, reason: str) -> None:
        if not self._done:
            self._verdict = self._verdict or (status, reason)
        self._kill_and_wait()

    def _kill_and_wait(self) -> None:
        self.kill()
        self.alarm, self.ring = time.monotonic() + PATIENCE_SECONDS, self._give_up

    def _give_up(self) -> None:
        """Even SIGKILL waits for a driver that hangs, and the server may be stopped for good; the run does not wait."""
        self.alarm, self.over, self._given_up = float("inf"), True, True
        self._log.write(f"\nprocess {self.child.pid} was killed, but of its end nothing was heard\n".encode())

    @property
    def ended_in_metric(self) -> str:
        """The plugin's metric that was computed when it ended, of a trial that was not scored yet; empty for none."""
        parts = (news.part for news in self._news if not news.done and not news.scored)
        return next((part.removeprefix("metric ") for part in parts if part.startswith("metric ")), "")

    @property
    def is_orphaned(self) -> bool:
        """Whether it ended because the fork server did."""
        return self.over and self._exit is None and not self._given_up

    # --- how it ended -------------------------------------------------------------------------------------------------

    def take_records(self) -> list[Record]:
        """The records that are due and not given out yet: of one trial once it is over, of several as each is told.

        What was trained and scored stands, although its process is over.
        """
        for _ in range(CHUNKS_LEFT if self.over else 0):
            self.read_messages()
            self.read_output()
        if len(self._news) == 1:
            return [self._make_record(self._news[0])] if self.over else []
        waiting = (news for news in self._news if news.trial.key not in self._handed)
        due = [news for news in waiting if news.done or (self.over and news.scored)]
        self._handed.update(news.trial.key for news in due)
        return [self._make_record(news) for news in due]

    @property
    def left_trials(self) -> list[Trial]:
        """Trials of several that have no record, now that it is over."""
        return [news.trial for news in self._news if news.trial.key not in self._handed] if len(self._news) > 1 else []

    @property
    def cause(self) -> tuple[Status, str]:
        """The end of those of several that have no record, and the owner of the code that ran then."""
        status, reason = self._verdict_or_exit
        part = next((news.part for news in self._news if news.part and not news.done), "")
        return status, clean_line(f"{reason}, in {part}" if part else reason)

    @property
    def _verdict_or_exit(self) -> tuple[Status, str]:
        return self._verdict or self._collapse or self._explain_exit()

    def _make_record(self, news: TrialNews) -> Record:
        if not news.done or (self._verdict and len(self._news) == 1):
            return self._make_obituary(news, *self._verdict_or_exit)
        try:
            return news.read_final_record()
        except Exception as error:
            return self._make_obituary(news, "failed", f"its record cannot be read: {type(error).__name__}: {error}")

    def _make_obituary(self, news: TrialNews, status: Status, reason: str) -> Record:
        measured = {"bytes_at_death": self._bytes} if self._bytes else {}
        return news.make_obituary(status, reason, self._log.last_words(), measured)

    def _explain_exit(self) -> tuple[Status, str]:
        if self._given_up:
            return "killed", "killed by this run, but of its end nothing was heard"
        if self._exit is None:
            return "killed", "the process that trials are forked from died, and the trial with it"
        if self._exit >= 0:
            return "failed", f"exited with code {self._exit} before it returned a record"
        if -self._exit != signal.SIGKILL:
            return "killed", describe_signal(-self._exit)
        if self.group and self.group.has_killed() and self._memory:
            self._bytes = self.group.read_peak() or self._bytes
            return "oom", f"killed by the system at the limit of {_format_size(self._memory)} (--memory)"
        if linux.count_oom_kills() > self._struck:
            return "oom", f"killed by the system's out-of-memory killer; last seen with {_format_size(self._bytes)}"
        if self._memory and self._bytes > self._memory / 2:
            size = _format_size(self._bytes)
            return "killed", f"killed by SIGKILL, last seen with {size}: perhaps for want of memory"
        return "killed", "killed by SIGKILL, not by this run"


def _format_size(size: int) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**27 else f"{size / 2**20:.1f} MiB"
