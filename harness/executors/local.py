"""Runs each trial in a fresh process of this machine: a crash, a hang or lack of memory costs one record, no more.

Trials that may be trained as one share a process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.executors.pool import Pool
from harness.executors.trial_queue import Queue
from harness.executors.worker import TASK
from harness.types import Progress, Record, RunContext, Trial


@dataclass(frozen=True)
class LocalExecutor:
    """task: "module:function", called in the trial's process with (trial, context, report) and returning the record."""

    task: str = TASK

    def run(
        self, trials: Sequence[Trial], context: RunContext, progress: Callable[[Trial, Progress], None]
    ) -> Iterator[Record]:
        """Up to `context.workers` at a time; closing the iterator, or an interrupt, ends those that run.

        What a trial prints is in `logs/<key>.log` of the results folder. Raises HarnessError if no process can be
        started at all.
        """
        queue = Queue(trials)
        # A plugin may change its working directory.
        absolute = replace(context, results=context.results.absolute(), data=context.data and context.data.absolute())
        cohorts = {key: group for group in context.cohorts for key in group}
        with Pool(self.task, absolute, progress) as pool:
            while queue or pool.running or pool.suspects or pool.again:
                for record in _start_and_wait(queue, pool, cohorts):
                    queue.ended(record)
                    yield record


def _start_and_wait(queue: Queue, pool: Pool, cohorts: Mapping[str, Sequence[str]]) -> Iterator[Record]:
    """Fill the free slots, then wait until something ends. cohorts: by key, what a trial is trained with as one."""
    if pool.suspects and not pool.running:
        pool.start_process([pool.suspects.pop(0)])
    while pool.has_room and pool.again and not pool.suspects:
        pool.start_process(pool.again.pop(0))
    while pool.has_room and not pool.suspects and (trial := queue.take()):
        if obstacle := queue.obstacle(trial):
            yield obstacle
        else:
            pool.start_process([trial, *queue.join(cohorts.get(trial.key, ()))])
    yield from pool.wait_for_records()
