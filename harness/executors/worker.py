"""Work of a trial's own process, and the record that is made of whatever a trial ends with."""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import importlib
import json
import os
import pickle
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TextIO

from harness.errors import is_interrupt
from harness.executors import beside, linux
from harness.types import Point, Progress, Record, RunContext, Status, Trial
from harness.words import clean_ends, clean_line

TASK = "harness.executors.worker:run"  # of every real run
Report = Callable[[Progress], None]
Task = Callable[[Trial, RunContext, Report], Record]

LENGTH = struct.Struct("=Q")
LONGEST_MESSAGE = 64 * 2**20
SECONDS_BETWEEN_REPORTS = 0.1
LONGEST_TRACEBACK = 20_000


class Work(Protocol):
    """Work that a forked process is handed as a pickle; it tells over the channel how that ended."""

    def serve(self, channel: socket.socket) -> None: ...


class Job(NamedTuple):
    """A job for another process: run this trial. It can be pickled.

    task: "module:function", a Task. environment: variables to be set before.
    """

    trial: Trial
    context: RunContext
    task: str = TASK
    environment: Mapping[str, str] | None = None

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The one that it runs."""
        return (self.trial,)

    def serve(self, channel: socket.socket) -> None:
        """Run the trial, and tell its progress and its record."""
        messenger = Messenger(channel, self.trial)
        record = attempt(self, messenger.progress)
        flush()
        messenger.record(record)


def run(trial: Trial, context: RunContext, report: Report) -> Record:
    """The task of every real run: load the plugins that the run has loaded, and run the trial with them.

    Trained arrays appear under their name only when they are complete and the trial went well.
    """
    from harness.catalog import Settings, load_catalog
    from harness.records import arrays
    from harness.records.store import Store
    from harness.trials.trial import run_trial

    store = Store(context.results)
    base = store.weights(trial.base.key) if trial.base else None
    if trial.base and base and (fault := arrays.fault(base, store.find(trial.base.key))):
        return ended(trial, "failed", f"starts from {trial.base.method.label}, whose trained arrays {fault}: {base}")
    catalog = load_catalog(Settings(plugins=context.plugins, disabled=context.disabled))
    files = beside.Files(trial, context, store)

    def tell(progress: Progress) -> None:
        if progress.record is not None:
            files.complete()
        report(progress)

    try:
        record = run_trial(
            catalog,
            trial,
            context.data,
            base=base,
            report=tell,
            weights=files.weights,
            base_prediction=store.predictions(trial.base.key) if trial.base else None,
            prediction=files.prediction,
            earlier=beside.siblings(trial, context, store),
            columns=context.columns,
            off_curve=context.off_curve,
            memory=context.memory,
        )
        if record.status == "ok":
            files.complete()
    finally:
        files.clear()
    return record


def attempt(job: Job, report: Report = lambda _: None) -> Record:
    """The record of a trial, whatever it raises; only Ctrl-C passes, and what ends the process.

    report: called with its Progress from time to time. Once the trial has told what it was trained to, that stands, and
    what ends it leaves holes.
    """
    os.environ.update(job.environment or {})
    told = Told(report)
    try:
        record = _resolve(job.task)(job.trial, job.context, told)
    except BaseException as error:
        if is_interrupt(error):
            raise
        status, reason = _ending(error)
        if told.last is not None and told.last.record is not None:
            return rescued(told.last.record, told.last.missing, reason, _trace())
        return ended(job.trial, status, reason, traceback=_trace())
    if not isinstance(record, Record):
        return ended(job.trial, "failed", f"{job.task} returned {type(record).__name__}, not a Record")
    return record


class Told:
    """Passes progress on. last: the last that held a record."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.last: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        if progress.record is not None:
            self.last = progress
        self._report(progress)


def rescued(record: Record, missing: Sequence[str], reason: str, traceback: str = "") -> Record:
    """A trial that was trained and scored, and died over what was still to be measured: each of that is a hole.

    The first is what it died of; the others it did not reach.
    """
    holes = dict.fromkeys(missing[1:], f"not reached: {missing[0]} ended the trial")
    holes |= dict.fromkeys(missing[:1] or ("profiling",), f"profiling: {reason}")
    return dataclasses.replace(record, holes={**holes, **record.holes}, traceback=traceback)


def _trace() -> str:
    return clean_ends(traceback.format_exc(), LONGEST_TRACEBACK)


def _ending(error: BaseException) -> tuple[Status, str]:
    if isinstance(error, SystemExit):
        return "failed", clean_line(f"called sys.exit({error.code!r})")
    if isinstance(error, MemoryError):
        return "oom", clean_line(f"MemoryError: {error}")
    said = str(error).strip().partition("\n")[0]
    return "failed", clean_line(f"{type(error).__name__}: {said}" if said else type(error).__name__)


def ended(
    trial: Trial,
    status: Status,
    reason: str,
    *,
    curve: Sequence[Point] = (),
    measured: Mapping[str, Any] | None = None,
    traceback: str = "",
) -> Record:
    """A record of a trial that could not write its own, ended now."""
    from harness.records.environment import now

    return Record(
        trial, status, reason, curve=tuple(curve), measured=measured or {}, traceback=traceback, finished=now()
    )


def main(server: int, channel: socket.socket, output: int) -> None:
    """Do the work that comes over the channel, in a session of its own that ends with the fork server or the run."""
    os.setsid()
    protected = linux.die_with_parent()
    if os.getppid() != server:  # it died before we asked to die with it
        return
    _redirect(output)
    work: Work = pickle.loads(_receive(channel))  # noqa: S301 - the run's own words, over a socket that only it holds
    if not protected:
        threading.Thread(target=_die_with_run, args=[channel], daemon=True).start()
    work.serve(channel)


def flush() -> None:
    """Write out what was printed. A plugin may have closed or replaced the streams."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _redirect(output: int) -> None:
    """Send the trial's output to the run, line by line, and its place when it crashed or was stopped.

    Ctrl-C is the run's to handle.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    sys.stdout, sys.stderr = _writer(1), _writer(2)
    faulthandler.enable(2)
    faulthandler.register(signal.SIGTERM, file=2, chain=True)  # where it was when its time was up


def _writer(descriptor: int) -> TextIO:
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _receive(channel: socket.socket) -> bytes:
    with channel.makefile("rb") as stream:
        (length,) = LENGTH.unpack(stream.read(LENGTH.size))
        return stream.read(length)


def _die_with_run(channel: socket.socket) -> None:
    """Where the system kills no orphans. The run sends nothing after the job: the channel turns readable at its end."""
    channel.recv(1)
    os.killpg(0, signal.SIGKILL)


class Messenger:
    """Tells the run of progress and, at last, the record: one line of JSON each.

    place: of the trial among those of the process, where there are several.
    """

    def __init__(self, channel: socket.socket, trial: Trial, place: int | None = None) -> None:
        os.set_inheritable(channel.fileno(), False)
        self._channel = channel
        self._trial = trial
        self._of = {} if place is None else {"of": place}
        self._owner = os.getpid()
        self._told: Record | None = None
        self._point: Point | None = None
        self._due = 0.0

    def progress(self, progress: Progress) -> None:
        """Every point of the curve is told, every record so far and whose code runs; the rest is, at most ten times a
        second.
        """
        if progress.part is not None:
            self._send({"part": progress.part})
            return
        if progress.record is not None:
            self._so_far(progress.record, progress.missing)
        now = time.monotonic()
        if progress.point == self._point and now < self._due:
            return
        self._point, self._due = progress.point, now + SECONDS_BETWEEN_REPORTS
        point = progress.point and progress.point._asdict()
        self._send({"progress": [progress.phase, progress.fraction, point]})

    def _so_far(self, record: Record, missing: Sequence[str]) -> None:
        """Tell the record so far; one that cannot be told now may be when it is complete."""
        from harness.records.format import to_json

        with contextlib.suppress(TypeError, ValueError, RecursionError):
            self._send({"so_far": to_json(record), "missing": list(missing)})
            self._told = record

    def record(self, record: Record) -> None:
        """The last word. What cannot be told in JSON, or is beyond all measure, becomes a failure that says so."""
        from harness.records.format import to_json

        try:
            self._send({"record": to_json(record)})
        except Exception as error:
            reason = f"its record cannot be handed over: {type(error).__name__}: {error}"
            left = _trace()
            known = rescued(self._told, (), reason, left) if self._told else None
            self._send({"record": to_json(known or ended(self._trial, "failed", reason, traceback=left))})

    def collapse(self, status: Status, reason: str) -> None:
        """Tell the end of all trials of the process that have no record yet."""
        self._send({"collapsed": [status, reason]})

    def _send(self, message: Mapping[str, Any]) -> None:
        if os.getpid() != self._owner:  # a plugin has forked and its child has come back here: that is not the trial
            os._exit(1)
        line = json.dumps({**message, **self._of}, default=float).encode()
        if len(line) > LONGEST_MESSAGE:
            raise ValueError(f"{len(line)} bytes of JSON, more than {LONGEST_MESSAGE}")
        self._channel.sendall(line + b"\n")


def _resolve(task: str) -> Task:
    module, _, attribute = task.partition(":")
    found: Task = getattr(importlib.import_module(module), attribute)
    return found
