"""What an executor of your own is made of: one that runs trials elsewhere, such as in a queue of a cluster.

    queue = Queue(trials)
    while trial := queue.take():
        record = queue.obstacle(trial) or ...   # run Job(trial, context) wherever you like
        queue.ended(record)
        yield record

`attempt(job, report)` runs a job in this process and returns its record whatever the trial does, short of what ends the
process. Elsewhere `python -m harness.executing JOB` does so: it reads a job that `write` has left in the file JOB, and
leaves the record for `outcome`. Where there is none, `ended(trial, status, reason)` is the record.
"""

from __future__ import annotations

import json
import pickle
import signal
import sys
from dataclasses import replace
from pathlib import Path

from harness.executors.order import Queue
from harness.executors.worker import Job, attempt, ended
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
    """Run the job in the file, and leave its record beside it."""
    job: Job = pickle.loads(path.read_bytes())  # noqa: S301 - written by `write`
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(to_json(attempt(job)), default=float), "utf-8")
    part.replace(path.with_name(f"{path.name}.record"))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who has started this process handles Ctrl-C, and ends it
    main(Path(sys.argv[1]))
