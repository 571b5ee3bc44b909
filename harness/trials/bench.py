"""What one running trial works with, and what is known of it so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from harness.catalog import Catalog
from harness.errors import HarnessError
from harness.seeds import derive
from harness.types import Array, Backend, Data, Learner, Point, Progress, Training, Trial


class Diverged(Exception):
    """The learner's own scalars or its validation scores are no longer finite."""


@dataclass
class Notes:
    """What is known of a running trial so far: it becomes the record, however the trial ends."""

    scores: dict[str, float] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)
    readings: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    curve: list[Point] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    holes: dict[str, str] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


@dataclass(frozen=True)
class Bench:
    """All that one trial works with.

    pauses: what lets the instruments that look on know that no training goes on; settles: that it has become steady.
    """

    catalog: Catalog
    trial: Trial
    backend: Backend
    data: Data
    build: Callable[[], Learner[Any]]
    weights: Mapping[str, Array] | None
    notes: Notes
    report: Callable[[Progress], None]
    pauses: list[Callable[[], AbstractContextManager[None]]] = field(default_factory=list)
    settles: list[Callable[[], None]] = field(default_factory=list)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """What happens inside is no training: it has a time of its own, and instruments may look away."""
        with self.notes.phase("evaluate"), ExitStack() as paused:
            for pause in (*self.pauses, self.backend.evaluating):
                paused.enter_context(pause())
            yield

    def settle(self) -> None:
        """The updates to come are steady: nothing is tried out any more."""
        for settle in self.settles:
            settle()

    @property
    def base(self) -> Mapping[str, Array] | None:
        """The arrays that the trial starts from, new ones each time: a learner may train them in place."""
        return None if self.weights is None else self.backend.arrays(self.weights, self.trial.device)

    def training(self, eager: bool = False) -> Training:
        """How the learner is to train: the same for every method."""
        trial = self.trial
        seed = derive(trial.seed, trial.dataset.name, "init")
        return Training(seed, trial.device, trial.precision, trial.batch_size, self.updates(), eager)

    def updates_per_epoch(self) -> float:
        """How many mini-batches go into one pass over the training split; contiguous data count windows."""
        data, batch_size = self.data, self.trial.batch_size
        if data.problem.order == "contiguous":
            tokens: int = data.train.targets.shape[1]
            return max(1, tokens // batch_size // data.problem.window)
        rows = len(data.train.inputs)
        return rows / min(batch_size, rows)

    def updates(self) -> int | None:
        """How many updates the budget plans; None under a budget of seconds."""
        budget = self.trial.budget
        if budget.unit == "seconds":
            return None
        planned = budget.amount * self.updates_per_epoch() if budget.unit == "epochs" else budget.amount
        return max(1, round(planned)) if budget.amount else 0


def one_line(error: BaseException) -> str:
    """An error in a line: its type, unless the message stands for itself, and the first line of what it says."""
    first, _, _ = str(error).strip().partition("\n")
    if isinstance(error, HarnessError):
        return first
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
