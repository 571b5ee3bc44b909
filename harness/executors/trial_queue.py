"""The queue of trials: in the order given, but none before the trial that it starts from has ended."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from harness.executors.endings import ended
from harness.types import Record, Status, Trial
from harness.words import clean_line

ENDED: dict[Status, str] = {
    "failed": "failed",
    "oom": "ran out of memory",
    "timeout": "was stopped at its time limit",
    "killed": "was killed",
    "diverged": "diverged",
    "skipped": "was skipped",
}


class Queue:
    """Trials that wait for their turn, and how those before them have ended."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        self._waiting = list(trials)
        self._ahead = {trial.key for trial in trials}
        self._bad: dict[str, Record] = {}
        self._unsaved: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> Trial | None:
        """The next trial that need not wait for another one."""
        for index, trial in enumerate(self._waiting):
            if trial.base is None or trial.base.key not in self._ahead - {trial.key}:
                return self._waiting.pop(index)
        return None

    def join(self, keys: Collection[str]) -> list[Trial]:
        """Take the trials among these that still wait, and need not wait for another one, too."""
        wanted = set(keys)
        found = [trial for trial in self._waiting if trial.key in wanted and trial.base is None and not trial.skip]
        taken = {trial.key for trial in found}
        self._waiting = [trial for trial in self._waiting if trial.key not in taken]
        return found

    def obstacle(self, trial: Trial) -> Record | None:
        """The record of a trial that need not be tried."""
        if trial.skip:
            return ended(trial, "skipped", trial.skip)
        if trial.base and (hole := self._unsaved.get(trial.base.key)):
            reason = f"starts from {trial.base.method.label}, whose trained arrays were not saved: {hole}"
            return ended(trial, "skipped", reason)
        base = self._bad.get(trial.base.key) if trial.base else None
        if base is None:
            return None
        why = f": {base.reason}" if base.reason else ""
        reason = f"starts from {base.trial.method.label}, which {ENDED[base.status]}{why}"
        return ended(trial, "skipped", clean_line(reason))

    def ended(self, record: Record) -> None:
        """Let those go on that wait for this trial."""
        self._ahead.discard(record.trial.key)
        if record.status != "ok":
            self._bad[record.trial.key] = record
        elif "save" in record.holes:
            self._unsaved[record.trial.key] = record.holes["save"]
