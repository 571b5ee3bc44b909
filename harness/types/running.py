"""Parts and results of a run: trials, their records, and the executors between the two."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from harness.types.learning import Facts
from harness.types.terms import TrainingTerms

Status = Literal["ok", "failed", "oom", "timeout", "killed", "diverged", "skipped"]
STATUSES: tuple[Status, ...] = ("ok", "failed", "oom", "timeout", "killed", "diverged", "skipped")

Sweep: TypeAlias = tuple[tuple[tuple[str, ...], tuple[tuple[Any, ...], ...]], ...]
"""Of each group of options that vary together, their names and the rows of their values."""


@dataclass(frozen=True)
class Choice:
    """A method or data set with its parameters: those `given` by the user, all `options` resolved, the normal form.

    provider: who offers it, where two do. sweep: what the whole item gave that it was selected by, as in
    `saf[rate=[0.1,0.3],steps=8]`, of which this is one combination; empty where the item gave this one alone.
    """

    name: str
    given: Mapping[str, Any]
    options: Mapping[str, Any]
    label: str
    provider: str | None = None
    sweep: Sweep = ()


@dataclass(frozen=True)
class Trial:
    """Everything that decides one result; hashes to its key. `base` is the trial whose weights this one starts from.

    parts: what was hashed. skip: why it cannot be run. keep: whether its trained arrays are kept. refit: whether it
    trains on training and validation rows together, with the configuration that validation chose. own_epochs: whether
    its budget is an option of its method; the terms that its run was given are then those of its base.
    """

    method: Choice
    dataset: Choice
    seed: int
    terms: TrainingTerms
    base: Trial | None = None
    key: str = ""
    parts: Mapping[str, Any] = field(default_factory=dict)
    skip: str | None = None
    keep: bool = False
    refit: bool = False
    own_epochs: bool = False


class Point(NamedTuple):
    """A point of a training curve: training seconds so far (evaluation excluded), means of the learner's scalars since
    the last point, scores on the validation split.
    """

    update: int
    epoch: float
    seconds: float
    scalars: Mapping[str, float]
    valid: Mapping[str, float]


@dataclass(frozen=True)
class Record:
    """Record of one trial after it ended. Scores are measured, facts are claimed by the method.

    scores: "accuracy" (test, final), "accuracy@best" (test, at the best validation point), "accuracy@valid" (final
    validation), "accuracy@valid-best" (validation, at its best point), "accuracy@VIEW" (test, further predictions). The
    best point is the first with the best headline score. measured: what the harness itself measured, such as
    update_seconds; no plugin writes there. readings: what instruments and data sets say. warnings: what stands below
    tables, by reading, by `describe.` and a fact, or by what the harness itself warns of (finish, predict, cohort).
    at_least: by reading, why the truth may be more than the number. seconds: by phase.
    """

    trial: Trial
    status: Status
    reason: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    readings: Mapping[str, Any] = field(default_factory=dict)
    warnings: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    at_least: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    facts: Facts = field(default_factory=dict)
    curve: Sequence[Point] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    holes: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    traceback: str = ""
    finished: str = ""


class Progress(NamedTuple):
    """Sent by a running trial: what it does, how far it is in [0, 1], the last point of its curve.

    record: of a trial that is trained and scored, all that is known by then; `missing` names what is still to be
    measured. If the trial dies over that, the record stands and these are holes. part: where it is not None, this tells
    alone whose code runs now, such as "metric sharpness" of a plugin, or "" after that: what ends the trial is named.
    cohort: the place of the trial among those that start with it to be trained as one, and how many they are.
    """

    phase: str
    fraction: float
    point: Point | None = None
    record: Record | None = None
    missing: tuple[str, ...] = ()
    part: str | None = None
    cohort: tuple[int, int] = (0, 1)


class Executor(Protocol):
    """Runs trials, yields each one's record as it ends. `progress(trial, Progress)` may be called from time to time."""

    def run(
        self, trials: Sequence[Trial], context: RunContext, progress: Callable[[Trial, Progress], None]
    ) -> Iterator[Record]: ...


@dataclass(frozen=True)
class RunContext:
    """Context of an executor besides the trials: folders, limits, and how to load the same plugins elsewhere.

    keep_predictions, keep_weights: whether every trial keeps its test prediction, or its trained arrays and its test
    prediction, not only those that others start from.
    siblings: keys of trials that differ in nothing but their seed, a group for each configuration. What instruments
    have read in those of them whose records lie in `results` by then, a trial may take over (`Instrument.repeats`).
    columns: metrics that the run asks for, for the sake of which an instrument measures that else would not
    (`Instrument.on_request`).
    off_curve: metrics that are computed at the end of training alone, and why: each has ended the trial on the curve.
    lanes: how many trials may be trained as one at most. cohorts: keys of trials that may be (`Method.cohort`), a group
    for each process; an executor may run them one by one all the same. memory: the most bytes that a trial may hold
    of the host's; in its own process the limit that this runs under, whether it was asked for or not.
    """

    results: Path
    data: Path | None
    plugins: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()
    workers: int = 1
    timeout: float | None = None
    memory: int | None = None
    keep_predictions: bool = False
    keep_weights: bool = False
    siblings: tuple[tuple[str, ...], ...] = ()
    columns: tuple[str, ...] = ()
    off_curve: Mapping[str, str] = field(default_factory=dict)
    lanes: int = 1
    cohorts: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class ExecutorOffer:
    """How the core finds an executor. cohorts: it trains those of `RunContext.cohorts` as one."""

    name: str
    summary: str
    factory: str | Callable[[], Executor]
    cohorts: bool = False
