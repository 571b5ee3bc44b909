"""Processes of trials that run at a time, within their limits, and what becomes of a trial whose process has ended.

What ends a process of several trials that are trained as one costs none of them: those without a record run again, one
by one, or in two halves where memory was short.
"""

from __future__ import annotations

import itertools
import os
import selectors
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from harness.executors import cgroup, linux
from harness.executors.cohort_job import CohortJob, Collapse
from harness.executors.endings import ended
from harness.executors.forkserver import ForkServer
from harness.executors.log import Log
from harness.executors.process import TrialProcess
from harness.executors.worker import Job
from harness.types import Progress, Record, RunContext, Trial

PRELOAD = ("harness.records.store", "harness.trials.trial")
SECONDS_BETWEEN_WEIGHINGS = 0.2
SHARE_OF_FREE_MEMORY = 0.8
LONGEST_SLEEP = 3600.0  # seconds; the system refuses to wait for a time limit of ages


class Pool:
    """The processes that run now, one in each slot, and the loop that waits for them.

    suspects: trials that died with the fork server while others ran. One of them may have killed it: each runs once
    more, alone, so that it costs nobody but itself. again: trials that run once more, those of a list in one process:
    what a plugin's metric has ended on the curve, with that metric at the end of training alone, where it costs no more
    than itself; and what several lacked that were trained as one.
    """

    def __init__(self, task: str, context: RunContext, progress: Callable[[Trial, Progress], None]) -> None:
        self.running: dict[int, TrialProcess] = {}
        self.suspects: list[Trial] = []
        self._suspected: set[str] = set()
        self.again: list[list[Trial]] = []
        self._off_curve: dict[str, dict[str, str]] = {}
        self._apart: dict[str, Collapse] = {}  # what has ended the process that a trial shared with others
        self._task = task
        self._context = context
        self._progress = progress
        free = linux.available_bytes()
        self._share = None if free is None else int(SHARE_OF_FREE_MEMORY * free / context.workers)
        self._memory = context.memory or self._share
        self._groups = cgroup.find_delegated()
        self._server = ForkServer((*context.preload, *PRELOAD))
        self._weighing = time.monotonic()
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self.running.values():
            process.kill()
        self._server.close()
        for process in self.running.values():
            process.close()
        self._selector.close()

    @property
    def has_room(self) -> bool:
        return len(self.running) < self._context.workers

    def start_process(self, trials: Sequence[Trial]) -> None:
        """One trial, or several as one."""
        slot = next(number for number in itertools.count() if number not in self.running)
        for place, trial in enumerate(trials):
            self._progress(trial, Progress("start", 0.0, cohort=(place, len(trials))))
        memory = self.limit_memory(len(trials))
        path, *others = [self._context.results / "logs" / f"{trial.key}.log" for trial in trials]
        child = self._server.fork()
        group = cgroup.enclose_process(self._groups, child.pid, trials[0].key, memory)
        process = TrialProcess(self._make_job(trials, slot), child, Log(path, others), memory, group, self._progress)
        self.running[slot] = process
        self._selector.register(child.channel, selectors.EVENT_READ, process.read_messages)
        self._selector.register(child.output, selectors.EVENT_READ, process.read_output)
        self._selector.register(child.fate, selectors.EVENT_READ, process.learn_fate)

    def _make_job(self, trials: Sequence[Trial], slot: int) -> Job | CohortJob:
        variables = _choose_gpu(trials[0], slot, self._context.workers)
        context = replace(self._context, memory=self.limit_memory(len(trials)))
        if len(trials) > 1:
            return CohortJob(tuple(trials), context, variables)
        context = replace(context, off_curve=self._off_curve.get(trials[0].key, {}))
        return Job(trials[0], context, self._task, variables)

    def limit_memory(self, trials: int) -> int | None:
        """Most bytes of a process of so many trials: as many times those of one, but no more than is its worker's."""
        if self._context.memory is None or trials == 1:
            return self._memory
        most = trials * self._context.memory
        return most if self._share is None else max(self._context.memory, min(most, self._share))

    def wait_for_records(self) -> Iterator[Record]:
        """Sleep until something happens; yield the records of those that have ended by then."""
        if not self.running:
            return
        for key, _ in self._selector.select(self._seconds_to_sleep()):
            if not key.data():
                self._selector.unregister(key.fileobj)
        self._enforce_limits()
        for slot, process in list(self.running.items()):
            if process.over:
                del self.running[slot]
                yield from self._bury_process(process)
            else:
                yield from (self._annotate_record(process, record) for record in process.take_records())

    def _bury_process(self, process: TrialProcess) -> Iterator[Record]:
        """Yield the records that are due of a process that is over."""
        for source in (process.child.channel, process.child.output, process.child.fate):
            if source in self._selector.get_map():
                self._selector.unregister(source)
        if process.is_orphaned:
            self._server.sweep_orphans(process.child.server)
        records = process.take_records()
        process.close()
        alone = len(process.trials) == 1
        again = alone and (self._suspect_trial(process, records[0]) or self._drop_metric(process, records[0]))
        yield from (self._annotate_record(process, record) for record in records if not again)
        yield from (self._annotate_record(process, record) for record in self._disband_cohort(process))

    def _disband_cohort(self, process: TrialProcess) -> list[Record]:
        """See to what has no record of several that were trained as one: its time is up, or it runs again."""
        left, (status, reason) = process.left_trials, process.cause if process.left_trials else ("ok", "")
        size = len(process.trials)
        if status == "timeout" and not process.ended_in_metric:
            return [ended(trial, status, f"its cohort of {size} was {reason}") for trial in left]
        half = (len(left) + 1) // 2
        if process.is_orphaned:
            self.suspects += left
            self._suspected.update(trial.key for trial in left)
        elif status == "oom" and left:
            self.again += [part for part in (left[:half], left[half:]) if part]
        else:
            self.again += [[trial] for trial in left]
        self._apart.update(dict.fromkeys((trial.key for trial in left), Collapse(status, f"{size}: {reason}")))
        return []

    def _annotate_record(self, process: TrialProcess, record: Record) -> Record:
        """A record with what kept its trial within its memory, and why it did not share a process to the end."""
        environment = {**record.environment, "memory_limit": self._name_limiter(process)}
        apart = self._apart.get(record.trial.key)
        if apart is None or len(process.trials) > 1:
            return replace(record, environment=environment)
        note = f"trained alone, after a cohort of {apart.reason}"
        if apart.status == "skipped":  # such trials cannot be trained as one
            return replace(record, environment=environment, provenance={**record.provenance, "alone": note})
        return replace(record, environment=environment, warnings={**record.warnings, "cohort": note})

    def _suspect_trial(self, process: TrialProcess, record: Record) -> bool:
        """Whether a trial is to run again, since the server's death may have been another's doing."""
        trial = record.trial
        if not process.is_orphaned or record.status != "killed" or self._context.workers == 1:
            return False
        if trial.key in self._suspected:
            return False
        self._suspected.add(trial.key)
        self.suspects.append(trial)
        return True

    def _drop_metric(self, process: TrialProcess, record: Record) -> bool:
        """Whether a trial is to run again, without the metric on its curve that has ended it."""
        trial, name = record.trial, process.ended_in_metric
        off_curve = self._off_curve.setdefault(trial.key, {})
        if process.is_orphaned or not name or name in off_curve:
            return False
        off_curve[name] = record.reason
        self.again.append([trial])
        return True

    def _enforce_limits(self) -> None:
        """Limits of memory and time. What has arrived by now counts as in time."""
        self._server.wake()
        now = time.monotonic()
        if self._memory is not None and now >= self._weighing:
            self._weighing = now + SECONDS_BETWEEN_WEIGHINGS
            for process in self.running.values():
                process.check_memory()
        for process in self.running.values():
            if now >= process.alarm:
                process.ring()

    def _seconds_to_sleep(self) -> float | None:
        alarms = [process.alarm for process in self.running.values()]
        alarm = min(alarms if self._memory is None else [*alarms, self._weighing])
        return None if alarm == float("inf") else min(LONGEST_SLEEP, max(0.0, alarm - time.monotonic()))

    def _name_limiter(self, process: TrialProcess) -> str:
        """Name the keeper of a trial's memory limit."""
        if process.group is not None:
            return "cgroup"
        return "none" if self._memory is None or not linux.can_weigh() else "watched"


def _choose_gpu(trial: Trial, slot: int, workers: int) -> Mapping[str, str]:
    """With several workers each has a GPU of its own."""
    if workers == 1 or trial.terms.device != "cuda":
        return {}
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return {"CUDA_VISIBLE_DEVICES": visible[slot % len(visible)] if visible else str(slot)}
