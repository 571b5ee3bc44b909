"""Messages of a trial's process to the run: its progress, its record so far, and its record."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from harness.executors.endings import ended, format_traceback, rescue_record
from harness.types import Point, Progress, Record, Status, Trial

LONGEST_MESSAGE = 64 * 2**20
SECONDS_BETWEEN_REPORTS = 0.1


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

    def send_progress(self, progress: Progress) -> None:
        """Every point of the curve is told, every record so far and whose code runs; the rest is, at most ten times a
        second.
        """
        if progress.part is not None:
            self._send_line({"part": progress.part})
            return
        if progress.record is not None:
            self._send_so_far(progress.record, progress.missing)
        now = time.monotonic()
        if progress.point == self._point and now < self._due:
            return
        self._point, self._due = progress.point, now + SECONDS_BETWEEN_REPORTS
        point = progress.point and progress.point._asdict()
        self._send_line({"progress": [progress.phase, progress.fraction, point]})

    def _send_so_far(self, record: Record, missing: Sequence[str]) -> None:
        """Tell the record so far; one that cannot be told now may be when it is complete."""
        from harness.records.format import to_json

        with contextlib.suppress(TypeError, ValueError, RecursionError):
            self._send_line({"so_far": to_json(record), "missing": list(missing)})
            self._told = record

    def send_record(self, record: Record) -> None:
        """The last word. What cannot be told in JSON, or is beyond all measure, becomes a failure that says so."""
        from harness.records.format import to_json

        try:
            self._send_line({"record": to_json(record)})
        except Exception as error:
            reason = f"its record cannot be handed over: {type(error).__name__}: {error}"
            left = format_traceback()
            known = rescue_record(self._told, (), reason, left) if self._told else None
            self._send_line({"record": to_json(known or ended(self._trial, "failed", reason, traceback=left))})

    def send_collapse(self, status: Status, reason: str) -> None:
        """Tell the end of all trials of the process that have no record yet."""
        self._send_line({"collapsed": [status, reason]})

    def _send_line(self, message: Mapping[str, Any]) -> None:
        if os.getpid() != self._owner:  # a plugin has forked and its child has come back here: that is not the trial
            os._exit(1)
        line = json.dumps({**message, **self._of}, default=float).encode()
        if len(line) > LONGEST_MESSAGE:
            raise ValueError(f"{len(line)} bytes of JSON, more than {LONGEST_MESSAGE}")
        self._channel.sendall(line + b"\n")
