"""Work of a trial's own process: what it is handed, and how it is done."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import pkgutil
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, TextIO

from harness.errors import is_interrupt
from harness.executors import linux, trial_files
from harness.executors.endings import classify_error, ended, format_traceback, rescue_record
from harness.executors.messenger import Messenger
from harness.types import Progress, Record, RunContext, Trial

TASK = "harness.executors.worker:run_task"  # of every real run
Report = Callable[[Progress], None]
Task = Callable[[Trial, RunContext, Report], Record]


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
        record = attempt(self, messenger.send_progress)
        flush_streams()
        messenger.send_record(record)


def run_task(trial: Trial, context: RunContext, report: Report) -> Record:
    """The task of every real run: load the plugins that the run has loaded, and run the trial with them.

    Trained arrays appear under their name only when they are complete and the trial went well.
    """
    from harness.catalog import Settings, load_catalog
    from harness.records import trained_arrays
    from harness.records.store import Store
    from harness.trials.trial import run_trial

    store = Store(context.results)
    base = store.locate_weights(trial.base.key) if trial.base else None
    if trial.base and base and (fault := trained_arrays.describe_fault(base, store.find_ok(trial.base.key))):
        return ended(trial, "failed", f"starts from {trial.base.method.label}, whose trained arrays {fault}: {base}")
    catalog = load_catalog(Settings(plugins=context.plugins, disabled=context.disabled))
    files = trial_files.TrialFiles(trial, context, store)

    def publish_and_report(progress: Progress) -> None:
        if progress.record is not None:
            files.publish_complete()
        report(progress)

    try:
        record = run_trial(
            catalog,
            trial,
            context.data,
            base=base,
            report=publish_and_report,
            weights=files.weights,
            base_prediction=store.locate_prediction(trial.base.key) if trial.base else None,
            prediction=files.prediction,
            examples=files.examples,
            earlier=trial_files.read_siblings(trial, context, store),
            columns=context.columns,
            off_curve=context.off_curve,
            memory=context.memory,
        )
        if record.status == "ok":
            files.publish_complete()
    finally:
        files.remove_partial()
    return record


def attempt(job: Job, report: Report = lambda _: None) -> Record:
    """The record of a trial, whatever it raises; only Ctrl-C passes, and what ends the process.

    report: called with its Progress from time to time. Once the trial has told what it was trained to, that stands, and
    what ends it leaves holes.
    """
    os.environ.update(job.environment or {})
    scored: list[Progress] = []

    def note_and_report(progress: Progress) -> None:
        if progress.record is not None:
            scored[:] = [progress]
        report(progress)

    try:
        task: Task = pkgutil.resolve_name(job.task)
        record = task(job.trial, job.context, note_and_report)
    except BaseException as error:
        if is_interrupt(error):
            raise
        status, reason = classify_error(error)
        if scored and scored[0].record is not None:
            return rescue_record(scored[0].record, scored[0].missing, reason, format_traceback())
        return ended(job.trial, status, reason, traceback=format_traceback())
    if not isinstance(record, Record):
        return ended(job.trial, "failed", f"{job.task} returned {type(record).__name__}, not a Record")
    return record


def do_work(server: int, channel: socket.socket, output: int) -> None:
    """Do the work that comes over the channel, in a session of its own that ends with the fork server or the run."""
    os.setsid()
    protected = linux.die_with_parent()
    if os.getppid() != server:  # it died before we asked to die with it
        return
    _redirect_output(output)
    with channel.makefile("rb") as stream:
        work: Work = pickle.load(stream)  # noqa: S301 - the run's own words, over a socket that only it holds
    if not protected:
        threading.Thread(target=_die_with_run, args=[channel], daemon=True).start()
    work.serve(channel)


def flush_streams() -> None:
    """Write out what was printed. A plugin may have closed or replaced the streams."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _redirect_output(output: int) -> None:
    """Send the trial's output to the run, line by line, and its place when it crashed or was stopped.

    Ctrl-C is the run's to handle.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    sys.stdout, sys.stderr = _open_writer(1), _open_writer(2)
    faulthandler.enable(2)
    faulthandler.register(signal.SIGTERM, file=2, chain=True)  # where it was when its time was up


def _open_writer(descriptor: int) -> TextIO:
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _die_with_run(channel: socket.socket) -> None:
    """Where the system kills no orphans. The run sends nothing after the job: the channel turns readable at its end."""
    channel.recv(1)
    os.killpg(0, signal.SIGKILL)
