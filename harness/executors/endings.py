"""Records of trials that could not write their own: what ended them, and what is kept of those that were scored."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from traceback import format_exc
from typing import Any

from harness.types import Point, Record, Status, Trial
from harness.words import clean_ends, clean_line


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
    from harness.records.environment import current_time

    return Record(
        trial, status, reason, curve=tuple(curve), measured=measured or {}, traceback=traceback, finished=current_time()
    )


def rescue_record(record: Record, missing: Sequence[str], reason: str, traceback: str = "") -> Record:
    """A trial that was trained and scored, and died over what was still to be measured: each of that is a hole.

    The first is what it died of; the others it did not reach.
    """
    holes = dict.fromkeys(missing[1:], f"not reached: {missing[0]} ended the trial")
    holes |= dict.fromkeys(missing[:1] or ("profiling",), f"profiling: {reason}")
    return dataclasses.replace(record, holes={**holes, **record.holes}, traceback=traceback)


def format_traceback() -> str:
    """Format the error that is handled, both ends of it where it is long."""
    return clean_ends(format_exc())


def classify_error(error: BaseException) -> tuple[Status, str]:
    """Status and reason of a trial that has raised."""
    if isinstance(error, SystemExit):
        return "failed", clean_line(f"called sys.exit({error.code!r})")
    if isinstance(error, MemoryError):
        return "oom", clean_line(f"MemoryError: {error}")
    message = str(error).strip().partition("\n")[0]
    return "failed", clean_line(f"{type(error).__name__}: {message}" if message else type(error).__name__)
