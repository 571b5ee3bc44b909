"""Parts of an executor of your own, one that runs trials elsewhere, such as in a queue of a cluster.

    queue = Queue(trials)
    while trial := queue.take():
        record = queue.obstacle(trial) or ...   # run Job(trial, context) wherever you like
        queue.ended(record)
        yield record

Elsewhere `python -m harness.executing JOB` runs the job that `write` has left in the file JOB as a run of one trial
does, in a process of its own under the limits of its context, and leaves the record for `outcome`. Where there is none,
`ended(trial, status, reason)` is the record.

`attempt(job, report)` runs a job in this very process and returns its record whatever the trial raises. What ends or
hangs the process is not answered there, so that a metric that does so on the curve costs the trial, and no limit holds.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
from dataclasses import replace
from pathlib import Path

from harness.executors.endings import ended
from harness.executors.local import LocalExecutor
from harness.executors.trial_queue import Queue
from harness.executors.worker import Job, attempt
from harness.records.format import from_json, to_json
from harness.types import Record, Trial

__all__ = ["Job", "Queue", "attempt", "ended", "outcome", "write"]


def write(job: Job, path: Path) -> None:
    """Leave a job in a file, for another process of the same code and with the same plugins to be imported."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{path.name}.record").unlink(missing_ok=True)
    path.write_bytes(pickle.dumps(job))


def outcome(path: Path, trial: Trial) -> Record | None:
    """The record of the trial whose job was left there; None while there is none, as where its process was killed.

    Raises ValueError for what is no record of this trial.
    """
    try:
        text = path.with_name(f"{path.name}.record").read_text("utf-8")
    except FileNotFoundError:
        return None
    try:
        record = from_json(json.loads(text))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: its record cannot be read: {error!r}") from error
    if record.trial.key != trial.key:
        raise ValueError(f"{path}: its record is of another trial, {record.trial.key!r}, not of {trial.key!r}")
    return replace(record, trial=trial)


def main(path: Path) -> None:
    """Run the job in the file in a process of its own, and leave its record beside it."""
    job: Job = pickle.loads(path.read_bytes())  # noqa: S301 - written by `write`
    os.environ.update(job.environment or {})
    alone = replace(job.context, workers=1)
    (record,) = LocalExecutor(job.task).run([job.trial], alone, lambda *_: None)
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(to_json(record), default=float), "utf-8")
    part.replace(path.with_name(f"{path.name}.record"))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who has started this process handles Ctrl-C, and ends it
    main(Path(sys.argv[1]))
