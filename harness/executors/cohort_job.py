"""Several trials in one process, trained as one; what runs there, and tells of each as if it were alone."""

from __future__ import annotations

import os
import socket
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from harness.errors import Unsupported, is_interrupt
from harness.executors.messenger import Messenger
from harness.executors.trial_files import TrialFiles, read_siblings
from harness.executors.worker import flush_streams
from harness.types import Progress, Record, RunContext, Status, Trial

Tell = Callable[[int, Progress | Record], None]


class Collapse(NamedTuple):
    """The end of all trials that had no record by then; skipped: they cannot be trained as one."""

    status: Status
    reason: str


class CohortJob(NamedTuple):
    """A job for another process: run these trials as one. It can be pickled."""

    trials: tuple[Trial, ...]
    context: RunContext
    environment: Mapping[str, str] | None = None

    def serve(self, channel: socket.socket) -> None:
        """Run them, and tell the progress and the record of each, or what has ended all."""
        os.environ.update(self.environment or {})
        messengers = [Messenger(channel, trial, place) for place, trial in enumerate(self.trials)]

        def tell_news(place: int, news: Progress | Record) -> None:
            flush_streams()
            if isinstance(news, Record):
                messengers[place].send_record(news)
            else:
                messengers[place].send_progress(news)

        collapse = train_as_one(self.trials, self.context, tell_news)
        flush_streams()
        if collapse is not None:
            messengers[0].send_collapse(*collapse)


def train_as_one(trials: Sequence[Trial], context: RunContext, tell_news: Tell) -> Collapse | None:
    """Load the plugins that the run has loaded, and run the trials with them; only Ctrl-C passes."""
    from harness.catalog import Settings, load_catalog
    from harness.trials.code_places import trial_code
    from harness.trials.cohort import run_cohort
    from harness.words import describe_error

    catalog = load_catalog(Settings(plugins=context.plugins, disabled=context.disabled))
    seats = _Seats(trials, context, tell_news)
    try:
        run_cohort(catalog, seats.all, context.data, context.columns, context.memory)
    except BaseException as error:
        if is_interrupt(error):
            raise
        traceback.print_exc()
        status: Status = "skipped" if isinstance(error, Unsupported) else "failed"
        status = "oom" if isinstance(error, MemoryError) else status
        return Collapse(status, describe_error(error, trial_code(catalog, trials[0])))
    finally:
        seats.clear_files()
    return None


class _Seats:
    """A seat for each trial, with the files that it leaves."""

    def __init__(self, trials: Sequence[Trial], context: RunContext, tell_news: Tell) -> None:
        from harness.records.store import Store
        from harness.trials.lanes import Seat

        self._context, self._tell, self._store = context, tell_news, Store(context.results)
        self._ok: dict[str, Record] = {}
        self._files = [TrialFiles(trial, context, self._store) for trial in trials]
        self.all = [
            Seat(
                trial,
                partial(self._report_progress, place),
                partial(self._take_record, place),
                files.weights,
                files.prediction,
                partial(self._read_siblings, trial),
                files.examples,
            )
            for place, (trial, files) in enumerate(zip(trials, self._files, strict=True))
        ]

    def clear_files(self) -> None:
        for files in self._files:
            files.remove_partial()

    def _report_progress(self, place: int, progress: Progress) -> None:
        if progress.record is not None:
            self._files[place].publish_complete()
        self._tell(place, progress)

    def _take_record(self, place: int, record: Record) -> None:
        if record.status == "ok":
            self._files[place].publish_complete()
            self._ok[record.trial.key] = record
        self._tell(place, record)

    def _read_siblings(self, trial: Trial) -> list[Record]:
        """Read those of the store, and those that have ended here, which may not be there yet."""
        return read_siblings(trial, self._context, self._store, self._ok)
