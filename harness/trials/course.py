"""A trial on its way to a record, whatever ends it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import cached_property
from typing import Any

from harness.catalog import Catalog
from harness.errors import Diverged, Unsupported
from harness.records import environment
from harness.trials.code_places import trial_code
from harness.trials.record_notes import Notes
from harness.types import Backend, Progress, Record, Status, Trial
from harness.words import describe_error


class Course:
    """One trial under way: its notes, and the record that they become.

    Once it has told that it is trained and scored, that stands, and what ends it is a hole.
    """

    def __init__(self, catalog: Catalog, trial: Trial, backend: Backend, report: Callable[[Progress], None]) -> None:
        self.notes = Notes()
        self.trial = trial
        self.report = report
        self._catalog = catalog
        self._backend = backend
        self._told = False

    def tell_trained(self, missing: tuple[str, ...]) -> None:
        """Report the record so far; missing: names of what is still to be measured."""
        self._told = True
        record = self.notes.make_record(self.trial, self._trial_provenance)
        self.report(Progress("profile", 1.0, record=record, missing=missing))

    def end_record(self, error: BaseException | None = None) -> Record:
        """The record of a trial that ended now, with this error or well."""
        if error is None:
            return self.notes.make_record(self.trial, self._trial_provenance)
        status, reason = self._judge_error(error)
        trace = "" if status in ("skipped", "diverged") else "".join(traceback.format_exception(error))
        if self._told:  # it was trained and scored by then: that stands
            self.notes.add_hole("profiling", reason)
            status, reason = "ok", ""
        return self.notes.make_record(self.trial, self._trial_provenance, status, reason, trace)

    def _judge_error(self, error: BaseException) -> tuple[Status, str]:
        if isinstance(error, Unsupported):
            return "skipped", describe_error(error)
        if isinstance(error, Diverged):
            return "diverged", describe_error(error)
        status: Status = "oom" if self._backend.out_of_memory(error) else "failed"
        return status, describe_error(error, trial_code(self._catalog, self.trial))

    @cached_property
    def _trial_provenance(self) -> dict[str, Any]:
        return environment.name_providers(self._catalog, self.trial)
