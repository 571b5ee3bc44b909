"""Pace of training: when to look at the validation split and when to stop, and what the laps come to."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from harness import names
from harness.trials import answers
from harness.trials.record_notes import Notes

WARMUP_UPDATES = 5
MOST_POINTS = 20
FEWEST_POINTS = 5


class Stops:
    """When to look at the validation split, and when to stop, in updates or in seconds of training.

    spent: seconds of the budget that are gone before the first update.
    """

    def __init__(self, seconds: float, updates: int | None, per_epoch: float, spent: float) -> None:
        self._updates = updates
        self._seconds = seconds
        self._started = time.perf_counter() - spent
        if updates is None:
            self._points = FEWEST_POINTS * 2
            self._due_seconds = self._seconds / self._points
        else:
            self._points = min(MOST_POINTS, max(FEWEST_POINTS, round(updates / per_epoch)))
            self._due_updates = {round(updates * i / self._points) for i in range(1, self._points + 1)}

    def is_spent(self, done: int) -> bool:
        return self._elapsed_seconds() >= self._seconds if self._updates is None else done >= self._updates

    def is_due(self, done: int) -> bool:
        if self._updates is not None:
            return done in self._due_updates
        if self._elapsed_seconds() < self._due_seconds:
            return False
        # One update may have taken longer than is between two points.
        self._due_seconds = max(self._due_seconds + self._seconds / self._points, self._elapsed_seconds())
        return True

    def spent_fraction(self, done: int) -> float:
        return min(1.0, self._elapsed_seconds() / self._seconds if self._updates is None else done / self._updates)

    @contextmanager
    def pause_clock(self) -> Iterator[None]:
        """Time inside does not count."""
        began = time.perf_counter()
        yield
        self._started += time.perf_counter() - began

    def _elapsed_seconds(self) -> float:
        return time.perf_counter() - self._started


def keep_scalars(notes: Notes, scalars: Mapping[str, float]) -> Mapping[str, float]:
    """The scalars that a record can hold; the others leave a hole."""
    found: dict[str, float] = {}
    for name, value in scalars.items():
        if flaw := names.find_name_flaw(name):
            notes.add_hole(f"update.{names.show_name(name)}", f"the name of the scalar {flaw}")
        elif len(found) < answers.MOST_SCALARS:
            found[name] = value
        else:
            notes.add_hole("update", f"returned {len(scalars)} scalars; {answers.MOST_SCALARS} of them are kept")
    return found


def note_times(notes: Notes, laps: Sequence[float], per_epoch: float) -> None:
    """The median of the steady updates; those that compile, tune and allocate are told apart."""
    notes.seconds["train"] = math.fsum(laps)
    notes.measured["train_seconds"] = math.fsum(laps)
    if not laps:
        del notes.measured["train_seconds"]  # nothing was trained in no time
        notes.holes |= dict.fromkeys(("update_seconds", "train_seconds"), "no updates")
        return
    warm = min(WARMUP_UPDATES, len(laps) // 2)
    notes.measured["update_seconds"] = statistics.median(laps[warm:])
    notes.measured["epoch_seconds"] = notes.measured["update_seconds"] * per_epoch
    notes.measured["warmup_seconds"] = math.fsum(laps[:warm])
