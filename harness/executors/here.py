"""Runs trials in the process of the command, so that a debugger can step into them. No isolation, no limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from harness.executors.server import import_ahead
from harness.executors.trial_queue import Queue
from harness.executors.worker import TASK, Job, attempt
from harness.types import Progress, Record, RunContext, Trial


@dataclass(frozen=True)
class HereExecutor:
    """task: "module:function", called with (trial, context, report) and returning the record."""

    task: str = TASK

    def run(
        self, trials: Sequence[Trial], context: RunContext, progress: Callable[[Trial, Progress], None]
    ) -> Iterator[Record]:
        """One after the other. What a trial raises becomes its record; an interrupt ends the run."""
        import_ahead(context.preload)  # else the first trial would be of another environment than those after it
        queue = Queue(trials)
        while trial := queue.take():
            record = queue.obstacle(trial)
            if record is None:
                progress(trial, Progress("start", 0.0))
                record = attempt(Job(trial, context, self.task), partial(progress, trial))
            queue.ended(record)
            yield record
