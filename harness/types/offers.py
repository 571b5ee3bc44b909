"""The nouns of the harness: what plugins offer, what the core asks of them, what a run leaves behind.

Everything here is plain data or a Protocol; nothing imports a numerical library. `Array` is a tensor of the
backend (torch on a device) while a learner works with it and a numpy array once the harness scores it.

Shapes: N rows, B rows of a mini-batch, S samples or mixture components, C classes, L tokens. Time first, batch
second, features last, wherever time is an axis of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from harness.options import option

Array: TypeAlias = Any
Scalar: TypeAlias = Any
Facts: TypeAlias = Mapping[str, Any]
State = TypeVar("State")

Order = Literal["shuffled", "contiguous"]
Unit = Literal["epochs", "updates", "seconds"]
UNITS: tuple[Unit, ...] = ("epochs", "updates", "seconds")
Status = Literal["ok", "failed", "oom", "timeout", "killed", "diverged", "skipped"]
STATUSES: tuple[Status, ...] = ("ok", "failed", "oom", "timeout", "killed", "diverged", "skipped")


# --- what a learner sees ------------------------------------------------------------------------------------------


class Batch(NamedTuple):
    """Rows of one split, on the trial's device.

    Classification: inputs (B, *input_shape), targets (B,) int64. Regression: targets (B,) standardised. Language:
    inputs (B, L) int64 tokens, targets (B, L), the token that follows each. `first`: a contiguous stream starts
    anew, so a learner drops the state it carries.
    """

    inputs: Array
    targets: Array
    first: bool = True


class Fit(NamedTuple):
    """All that a learner may ever see as a whole. Never test rows."""

    train: Batch
    valid: Batch


@dataclass(frozen=True)
class Problem:
    """What is to be learnt, in the terms that decide a learner's network.

    kind: "classification", "regression" or "language" (a metric or method may name others).
    input_shape: shape of one row. time_axis: its first axis is time.
    output_size: classes, target dimensions, or vocabulary. train_size: rows (language: tokens).
    order: "contiguous" data are cut into windows of `window` steps, laid out as batch_size parallel streams.
    target_mean, target_scale: original target = mean + scale * standardised target.
    """

    kind: str
    input_shape: tuple[int, ...]
    output_size: int
    train_size: int
    time_axis: bool = False
    order: Order = "shuffled"
    window: int = 0
    target_mean: float = 0.0
    target_scale: float = 1.0


@dataclass(frozen=True)
class Data:
    """One data set as loaded for one seed: numpy arrays from `Dataset.load`, tensors once placed on a device.

    shifted: further test splits by name (out of distribution, corrupted).
    transform(inputs) -> inputs runs on the device when the data are placed there, on some rows of a split at a time:
    bytes travel, and become the float32 that a learner sees. augment(inputs, generator) -> inputs runs on the device
    for training batches only, after it; it gives inputs of the same shape and never waits for the host.
    readings: what the record shall say of these data; a text under a name that ends with _warning stands below every
    table.
    Language: train.inputs (1, L), or valid and test (rows, L), with targets (rows, L - 1) = inputs[:, 1:].
    """

    problem: Problem
    train: Batch
    valid: Batch
    test: Batch
    shifted: Mapping[str, Batch] = field(default_factory=dict)
    augment: Callable[[Array, Any], Array] | None = None
    transform: Callable[[Array], Array] | None = None
    readings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """How a learner is trained. updates: total planned, for schedules; None under a budget of seconds.

    eager: no compilation, no graph capture, because the update is being profiled.
    """

    seed: int
    device: str
    precision: str
    batch_size: int
    updates: int | None
    eager: bool = False


class ClassLogProbs(NamedTuple):
    """log_probs (S, N, C), each normalised over C; log_weights (S,), normalised."""

    log_probs: Array
    log_weights: Array

    def rescaled(self, mean: float, scale: float) -> ClassLogProbs:
        """Class probabilities have no scale of their own."""
        del mean, scale
        return self


class RegressionMixture(NamedTuple):
    """A Gaussian mixture per row: means and variances (S, N) of standardised targets; log_weights (S,)."""

    means: Array
    variances: Array
    log_weights: Array

    def rescaled(self, mean: float, scale: float) -> RegressionMixture:
        """The same mixture for targets on their original scale, mean + scale * target."""
        return RegressionMixture(mean + scale * self.means, scale**2 * self.variances, self.log_weights)


class TokenLogProbs(NamedTuple):
    """log_probs (S, N, L - 1) of inputs[:, 1:], each given the tokens before it in its row; log_weights (S,)."""

    log_probs: Array
    log_weights: Array

    def rescaled(self, mean: float, scale: float) -> TokenLogProbs:
        """Tokens have no scale."""
        del mean, scale
        return self


Prediction: TypeAlias = ClassLogProbs | RegressionMixture | TokenLogProbs


class Learner(Protocol[State]):
    """One way to train. The harness owns loop, order, budget and clock; the learner owns network and optimiser.

    Optional, looked up once: `prepare(state, fit)` before the first update and `finish(state, fit)` after the last,
    each returning the state and timed apart; `views`, a mapping from a name to a further predict-like function;
    `describe(state) -> Facts`; `save(state) -> {name: array}`, flat and named, what another method may start from.
    """

    def init(self, problem: Problem, training: Training, base: Mapping[str, Array] | None) -> State:
        """A fresh state; the same seed gives the same state. `base`: named arrays saved by the method it starts from.

        Raises Unsupported, with the reason, for a problem that the method cannot take.
        """
        ...

    def update(self, state: State, batch: Batch) -> tuple[State, Mapping[str, Scalar]]:
        """Learn from one mini-batch. The scalars stay on the device: no host synchronisation."""
        ...

    def predict(self, state: State, inputs: Array) -> Prediction:
        """What would be deployed. Leaves the training state alone."""
        ...


# --- what plugins offer -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NoOptions:
    """The config of a method without parameters."""


@dataclass(frozen=True)
class DataOptions:
    """Base of every data set's config: how many rows of each split to use."""

    train: int | None = option(None, "training rows to use, a stratified subset by seed; all by default", low=1)
    valid: int | None = option(None, "validation rows to use, likewise", low=1)
    test: int | None = option(None, "test rows to use, likewise", low=1)


@dataclass(frozen=True)
class Budget:
    """How long to train: `amount` epochs, updates or seconds of training time."""

    unit: Unit
    amount: float

    def __str__(self) -> str:
        """As a person says it: 8 epochs, 1 epoch."""
        return f"{self.amount:g} {self.unit.removesuffix('s') if self.amount == 1 else self.unit}"


@dataclass(frozen=True)
class Recipe:
    """A data set's default protocol. `options`: values for method options whose default is None, such as steps=4."""

    budget: Budget = Budget("epochs", 10)
    batch_size: int = 128
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """A way to train or compress networks.

    config: a frozen dataclass whose defaults are the paper's. factory: "module:attribute" (or a callable), called
    with the config inside the trial and returning a Learner, so that listing methods imports nothing heavy.
    starts_from: a selection such as "dense-rnn", trained first; its saved arrays reach `Learner.init` as base.
    precisions: those that it honours; tf32 is a switch of the device and holds for all. requires: modules that must be
    importable.
    """

    name: str
    summary: str
    factory: str | Callable[[Any], Learner[Any]]
    kinds: tuple[str, ...]
    config: type = NoOptions
    paper: str = ""
    role: Literal["proposed", "baseline"] = "proposed"
    precisions: tuple[str, ...] = ("fp32", "tf32")
    starts_from: str | None = None
    requires: tuple[str, ...] = ()


@dataclass(frozen=True)
class File:
    """One file of a data set: `path` below the data folder, where to get it, how to know it.

    Digests are lowercase hex; give at least one. `member`: the file's path inside the archive at `urls`, if any.
    `hint`: what else a user can do where it is missing or wrong.
    """

    path: str
    urls: tuple[str, ...]
    bytes: int | None = None
    md5: str | None = None
    sha256: str | None = None
    member: str | None = None
    hint: str = ""


@dataclass(frozen=True)
class Folder:
    """A folder of many files, such as one for each example, that come in an archive and are read unpacked.

    path: below the data folder. pattern: what the files are called below it, as in `*/*.bin`; `count` of them are
    complete. urls, bytes, md5, sha256: of the archive (tar or zip, which may hold further zip files), as for a File.
    partial: any number of files will do, but none. hint: what else a user can do about a folder with another number.
    """

    path: str
    urls: tuple[str, ...]
    pattern: str
    count: int
    bytes: int | None = None
    md5: str | None = None
    sha256: str | None = None
    partial: bool = False
    hint: str = ""


@dataclass(frozen=True)
class Dataset:
    """A data set. load: "module:attribute" or a callable (config, seed, folder) -> Data with numpy arrays.

    files: checked while planning, below the data folder; a callable gets the config and returns those that it needs.
    default: used when a run names no data set. rows: of each split before any are left out, where they are known
    beforehand; a run that asks for more is then refused while planning.
    """

    name: str
    summary: str
    kind: str
    load: str | Callable[[Any, int, Path], Data]
    config: type[DataOptions] = DataOptions
    recipe: Recipe = Recipe()
    licence: str = ""
    citation: str = ""
    files: tuple[File | Folder, ...] | Callable[[Any], tuple[File | Folder, ...]] = ()
    requires: tuple[str, ...] = ()
    default: bool = False
    rows: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a metric may look at, in numpy and on the original scale of the targets."""

    prediction: Prediction
    targets: Array
    problem: Problem
    shifted: Mapping[str, tuple[Prediction, Array]] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """A number per trial. compute: (Outcome) -> float or None where it does not apply; itself None for a reading of
    the same name that an instrument takes. per: what the number counts, such as "update" or "example". headline: it
    decides which validation point is the best for its kinds.
    """

    name: str
    summary: str
    unit: str
    better: Literal["higher", "lower"]
    kinds: tuple[str, ...] = ()
    compute: str | Callable[[Outcome], float | None] | None = None
    per: str = ""
    headline: bool = False


class Gauge(Protocol):
    """What an instrument's factory returns. `session` spans the life of one fresh state; `measure` one stage in it.

    Optional, for one that is not intrusive: `pause()`, a context that spans each evaluation within the session, and
    `settle()`, called before the first update after those in which libraries try out their algorithms.
    """

    def session(self) -> AbstractContextManager[None]:
        """Spans birth to death of one fresh state."""
        ...

    def measure(self, stage: Literal["update", "predict"], examples: int) -> AbstractContextManager[None]:
        """Spans one steady update, or one prediction, of that many examples."""
        ...

    def readings(self) -> Mapping[str, Any]:
        """Numbers by metric name; other values (a coverage list) under further names.

        A text under a name that ends with _warning stands below every table with this trial. Raises Unsupported, with
        the reason, for what it cannot measure here.
        """
        ...


@dataclass(frozen=True)
class Instrument:
    """A way to measure. factory: "module:attribute" called without arguments inside the trial.

    intrusive: it disturbs what it measures, so it gets a fresh state of its own after the timed pass.
    """

    name: str
    summary: str
    factory: str | Callable[[], Gauge]
    intrusive: bool = True


@dataclass(frozen=True)
class Suite:
    """A named comparison in a TOML file: methods, data sets, seeds, budget."""

    name: str
    summary: str
    path: Path


class Clock(Protocol):
    """Times updates on the device. seconds() reads all laps at once; on CUDA that is the only synchronisation."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def seconds(self) -> Sequence[float]: ...


class Meter(Protocol):
    """Sums named scalars on the device; read() returns their means since the last read, the only synchronisation."""

    def add(self, scalars: Mapping[str, Scalar]) -> None: ...
    def read(self) -> Mapping[str, float]: ...


class Backend(Protocol):
    """All that the core needs of a tensor library, inside a trial's process."""

    def setup(self, trial: Trial) -> None: ...
    def place(self, data: Data, device: str) -> Data: ...
    def arrays(self, named: Mapping[str, Array], device: str) -> Mapping[str, Array]:
        """Copies on the device."""
        ...

    def batches(self, data: Data, batch_size: int, seed: int) -> Iterator[Batch]: ...
    def clock(self, device: str) -> Clock: ...
    def meter(self) -> Meter: ...
    def numpy(self, prediction: Prediction) -> Prediction: ...
    def isolated(self, seed: int) -> AbstractContextManager[None]: ...
    def save(self, named: Mapping[str, Array], path: Path) -> None: ...
    def load(self, path: Path) -> Mapping[str, Array]: ...
    def environment(self, device: str) -> Mapping[str, Any]: ...
    def out_of_memory(self, error: BaseException) -> bool: ...


@dataclass(frozen=True)
class Check:
    """A promise that every method, data set or metric (`of`) has to keep, and how it is tested; see `harness.testing`.

    function: "module:attribute" or a callable that gets a `harness.testing.Subject` (or DatasetSubject, MetricSubject),
    raises Broken with the reason where the promise is broken, and Unsupported where it does not apply.
    """

    name: str
    summary: str
    of: Literal["method", "dataset", "metric"]
    function: str | Callable[[Any], None]


@dataclass(frozen=True)
class BackendOffer:
    """How the core finds a backend. check(device, precision, workers) -> resolved device; it runs while planning, and
    raises UsageError. preload: modules that the fork server imports once for all trials. version: of the library.
    """

    name: str
    factory: str | Callable[[], Backend]
    check: str | Callable[[str, str, int], str]
    preload: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()


# --- what a run is made of ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """A method or data set with its parameters: those `given` by the user, all `options` resolved, the normal form.

    provider: who offers it, where two do. group: the normal form of the whole item that it was selected by, such as
    `saf[rate=[0.1,0.3]]`: what one method was given to choose from.
    """

    name: str
    given: Mapping[str, Any]
    options: Mapping[str, Any]
    label: str
    provider: str | None = None
    group: str = ""


@dataclass(frozen=True)
class Trial:
    """Everything that decides one result; hashes to its key. `base` is the trial whose weights this one starts from.

    patience: validation points without improvement after which training stops; None: the budget alone decides.
    """

    method: Choice
    dataset: Choice
    seed: int
    budget: Budget
    batch_size: int
    device: str
    precision: str
    threads: int
    deterministic: bool = False
    base: Trial | None = None
    key: str = ""
    parts: Mapping[str, Any] = field(default_factory=dict)
    skip: str | None = None
    keep: bool = False
    patience: int | None = None


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
    """What is known of one trial after it ended. Scores are measured, facts are claimed by the method.

    scores: "accuracy" (test, final), "accuracy@best" (test, at the best validation point), "accuracy@valid" (final
    validation), "accuracy@valid-best" (validation, at its best point), "accuracy@VIEW" (test, further predictions).
    The best point is the first with the best headline score. readings: instruments. seconds: by phase.
    """

    trial: Trial
    status: Status
    reason: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    readings: Mapping[str, Any] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    curve: Sequence[Point] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    holes: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    traceback: str = ""
    finished: str = ""


class Progress(NamedTuple):
    """Sent by a running trial: what it does, how far it is in [0, 1], the last point of its curve."""

    phase: str
    fraction: float
    point: Point | None = None


class Executor(Protocol):
    """Runs trials, yields each one's record as it ends. `progress(trial, Progress)` may be called from time to time."""

    def run(
        self, trials: Sequence[Trial], context: RunContext, progress: Callable[[Trial, Progress], None]
    ) -> Iterator[Record]: ...


@dataclass(frozen=True)
class RunContext:
    """What an executor needs besides the trials: folders, limits, and how to load the same plugins elsewhere."""

    results: Path
    data: Path | None
    plugins: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()
    workers: int = 1
    timeout: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class ExecutorOffer:
    """How the core finds an executor."""

    name: str
    summary: str
    factory: str | Callable[[], Executor]
