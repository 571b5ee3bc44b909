"""News of one trial over the channel of its process, and the record that they come to."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any

from harness.executors.endings import ended, rescue_record
from harness.types import Point, Progress, Record, Status, Trial
from harness.words import clean_ends, clean_line

LONGEST_CURVE = 100_000
LONGEST_PHASE = 40
LONGEST_PART = 100


class TrialNews:
    """One trial as its process tells of it. part: whose code runs now; done: its record is there, whatever it says."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.part = ""
        self._curve: list[Point] = []
        self._record: Mapping[str, Any] | None = None
        self._so_far: tuple[Mapping[str, Any], list[str]] | None = None

    @property
    def done(self) -> bool:
        return self._record is not None

    @property
    def scored(self) -> bool:
        """Whether it has told that it is trained and scored."""
        return self._so_far is not None

    def take_message(self, message: Mapping[str, Any]) -> Progress | None:
        """Take in a message; what is to be passed on of it. Raises whatever cannot be read raises."""
        if "part" in message:
            self.part = clean_line(str(message["part"]), LONGEST_PART)
        elif "so_far" in message:
            self._so_far = dict(message["so_far"]), [str(name) for name in message["missing"]]
        elif "record" in message:
            self._record = dict(message["record"])
        else:
            return self._follow_progress(*message["progress"])
        return None

    def read_final_record(self) -> Record:
        """Read the record that it told last. Raises what cannot be read raises."""
        assert self._record is not None
        return self._parse_record(self._record)

    def make_obituary(self, status: Status, reason: str, words: str, measured: Mapping[str, Any]) -> Record:
        """The record so far, if it had told that: its end is a hole. Else a record of its end."""
        reason = clean_line(f"{reason}, in {self.part}" if self.part else reason)
        words = clean_ends(words)
        if self._so_far is not None:
            with contextlib.suppress(Exception):
                record = rescue_record(self._parse_record(self._so_far[0]), self._so_far[1], reason, words)
                return dataclasses.replace(record, measured={**record.measured, **measured})
        return ended(self.trial, status, reason, curve=self._curve, measured=measured, traceback=words)

    @property
    def excess(self) -> str:
        """Why it has told too much; empty where it has not."""
        return f"sent a curve of more than {LONGEST_CURVE} points" if len(self._curve) > LONGEST_CURVE else ""

    def _follow_progress(self, phase: str, fraction: float, point: Mapping[str, Any] | None) -> Progress:
        from harness.records.format import point_from_json

        share = min(1.0, max(0.0, float(fraction)))  # of nan: 0
        last = point_from_json(point) if point else None
        if last and (not self._curve or last.update > self._curve[-1].update):
            self._curve.append(last)
        return Progress(clean_line(str(phase), LONGEST_PHASE), share, last)

    def _parse_record(self, message: Mapping[str, Any]) -> Record:
        from harness.records.format import from_json

        record = from_json(message)
        if record.trial.key != self.trial.key:
            raise ValueError(f"it is of another trial, {record.trial.key!r}")
        return dataclasses.replace(record, trial=self.trial, curve=record.curve or tuple(self._curve))
