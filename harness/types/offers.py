"""Offers of plugins: methods, data sets, metrics, instruments, suites and checks."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from harness.errors import HarnessError
from harness.options import option
from harness.paths import find_fault
from harness.types.learning import Array, Cohort, Data, Facts, Learner, Prediction, Problem, Training

Unit = Literal["epochs", "updates", "seconds"]
UNITS: tuple[Unit, ...] = ("epochs", "updates", "seconds")


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

    def __post_init__(self) -> None:
        """A whole amount is an int: 5 and 5.0 epochs are one budget, in keys too."""
        if isinstance(self.amount, float) and self.amount.is_integer():
            object.__setattr__(self, "amount", int(self.amount))

    def __str__(self) -> str:
        """As a person says it: 8 epochs, 1 epoch."""
        return f"{self.amount:g} {self.unit.removesuffix('s') if self.amount == 1 else self.unit}"


@dataclass(frozen=True)
class Recipe:
    """A data set's default protocol.

    families: by the name of a family (`Method.family`), values of options whose default is None, such as
    {"myfamily": {"steps": 4}}, where a user leaves them unset; what a method of the family does not have is not meant
    for it. headline: the score that decides which validation point is the best, and patience; by default that of the
    data set's kind.
    """

    budget: Budget = Budget("epochs", 10)
    batch_size: int = 128
    families: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    headline: str | None = None


@dataclass(frozen=True)
class Method:
    """A way to train or compress networks.

    config: a frozen dataclass whose defaults are the paper's. factory: "module:attribute" (or a callable), called with
    the config inside the trial and returning a Learner, so that listing methods imports nothing heavy. citation: BibTeX
    of what to cite for it. starts_from: a selection such as "dense-rnn", trained first; its saved arrays reach
    `Learner.init` as base. Or a callable that gets the config with all options resolved and returns it,
    `f"dense[width={config.width}]"`, an empty text for options that start from nothing, or raises UsageError for
    options that fit no base. epochs_option: the option that holds the method's own epochs, 0 for none: budget and
    patience of a run are then those of what it starts from, and the batch size is that of both. row_options: options
    whose values stay rows of their own where validation chooses, such as a size. precisions: those that it honours;
    tf32 is a switch of the device and holds for all. requires: modules that must be importable. family: those whose
    recipes it follows (`Recipe.families`). recipes: by the name of a data set, values of its options whose default is
    None, where a user leaves them unset; they win over the family's. refuse: a callable that gets, while planning, the
    config with all options resolved on a data set, that `Dataset`, and the options that the user gave; it raises
    UsageError for those that do not go with it, or do nothing. cohort: "module:attribute" or a callable that gets the
    configs of several trials and returns a `Cohort`, which trains them as one; they may differ in batched_options, in
    their seed and in their fold of the data.
    """

    name: str
    summary: str
    factory: str | Callable[[Any], Learner[Any]]
    kinds: tuple[str, ...]
    config: type = NoOptions
    paper: str = ""
    citation: str = ""
    role: Literal["proposed", "baseline"] = "proposed"
    precisions: tuple[str, ...] = ("fp32", "tf32")
    starts_from: str | Callable[[Any], str] | None = None
    epochs_option: str | None = None
    requires: tuple[str, ...] = ()
    row_options: tuple[str, ...] = ()
    family: str = ""
    recipes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    batched_options: tuple[str, ...] = ()
    cohort: str | Callable[[Sequence[Any]], Cohort[Any]] | None = None
    refuse: Callable[[Any, Dataset, Mapping[str, Any]], None] | None = None


@dataclass(frozen=True)
class File:
    """One file of a data set: `path` below the data folder, where to get it, how to know it.

    Digests are lowercase hex; give at least one. `member`: the file's path inside the archive at `urls`, if any.
    `hint`: what else a user can do where it is missing or wrong. `also`: further paths at which the same file is taken.
    `content_md5`: of what a gzip file holds; a file that holds the same is taken too, compressed in any way or not.
    """

    path: str
    urls: tuple[str, ...]
    bytes: int | None = None
    md5: str | None = None
    sha256: str | None = None
    member: str | None = None
    hint: str = ""
    also: tuple[str, ...] = ()
    content_md5: str | None = None

    def __post_init__(self) -> None:
        """Raise HarnessError for a path that would leave the data folder."""
        for path in (self.path, *self.also):
            _require_below_folder("file", self.path, path)
        if self.member is not None:
            _require_below_folder("file", self.path, self.member)


@dataclass(frozen=True)
class Folder:
    """A folder of many files, such as one for each example, that come in an archive and are read unpacked.

    path: below the data folder. pattern: what the files are called below it, as in `*/*.bin`; `count` of them are
    complete. urls, bytes, md5, sha256: of the archive (tar or zip, which may hold further zip files), as for a File.
    partial: any number of files will do, but none. hint: what else a user can do about a folder with another number.
    record: each file holds a whole number of records of so many bytes, and one at least; 0 where it may be empty.
    zipped: what zip files in the folder are called that hold the files, as in `*.zip`, instead of the folder itself.
    instead: folders that are as good, of which none has addresses of its own.
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
    record: int = 1
    zipped: str = ""
    instead: tuple[Folder, ...] = ()

    def __post_init__(self) -> None:
        """Raise HarnessError for a path or a pattern that would leave the data folder."""
        for path in (self.path, self.pattern, *([self.zipped] if self.zipped else [])):
            _require_below_folder("folder", self.path, path)


def _require_below_folder(noun: str, owner: str, name: str) -> None:
    if why := find_fault(name):
        what = "it" if name == owner else repr(name)
        raise HarnessError(f"data {noun} {owner!r}: {what} {why}; a plugin must declare a path below the data folder")


@dataclass(frozen=True)
class Dataset:
    """A data set. load: "module:attribute" or a callable (config, seed, folder) -> Data with numpy arrays.

    files: checked while planning, below the data folder; a callable gets the config and returns those that it needs.
    refit: like load, with training and validation rows together, standardised anew, and no validation row, for
    `--refit`; without it the core joins the two splits as loaded. default: used when a run names no data set, one of
    each kind. citation: BibTeX of what to cite for it. rows: of each split before any are left out, where they are
    known beforehand; a run that asks for more is then refused while planning. folds: so many official splits as there
    are: `load` then gets the trial's seed itself, and seed i means fold i, from 0. fixed_test: the test rows are the
    same for every seed.
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
    folds: int = 0
    fixed_test: bool = False
    refit: str | Callable[[Any, int, Path], Data] | None = None


@dataclass(frozen=True)
class Outcome:
    """Outcome that a metric may look at, in numpy and on the original scale of the targets.

    base: what the trial that this one starts from predicted of the same rows, if that is known; where it is not, a
    metric that looks at it and returns None is a hole that says why. entropy: of class probabilities, the mean over
    samples of the entropy of each, (N,), nats: what disagreement is measured by. shifted_entropy: likewise of shifted
    splits, by name.
    """

    prediction: Prediction
    targets: Array
    problem: Problem
    shifted: Mapping[str, tuple[Prediction, Array]] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    base: Prediction | None = None
    entropy: Array | None = None
    shifted_entropy: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """A number per trial. compute: (Outcome) -> float or None where it does not apply; itself None for a reading of
    the same name that an instrument takes. per: what the number counts, such as "update" or "example". better:
    "neither" where no value is the best. headline: it decides which validation point is the best for its kinds. exact:
    a count that repeats exactly over seeds, so that one seed decides a claim; where values differ after all, the mark
    is dropped and that is said.

    measures: a "score" of predictions; a "cost", with a prefix of its unit and a ratio to the first row; a "quantity",
    of which a ratio means nothing. By default a score where there is `compute`, else a cost. Scores stand in every
    table, quantities where they are asked for. bounded_by: the reading whose incompleteness is this number's too: a
    list of operators that were not counted, or another number that is "at least". curve: False for what is computed at
    the end of training only, and so has no score at the best point. mixture: it looks at no single sample of class or
    token probabilities, but at their mixture and `Outcome.entropy`; where all metrics say so, predictions reach them
    as one sample, folded some rows at a time, so that many samples need no more memory than one. requires: modules
    that must be importable; they are imported once for all trials. shifted: it is of each shifted test split beside the
    test rows, `compute(outcome, other)` with an Outcome of each, at the end of training only: NAME@SPLIT.

    One that raises, or gives what is no finite number, is a hole in the record. No metric has the name of what the
    harness measures.
    """

    name: str
    summary: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    kinds: tuple[str, ...] = ()
    compute: str | Callable[..., float | None] | None = None
    per: str = ""
    headline: bool = False
    exact: bool = False
    measures: Literal["score", "cost", "quantity"] = None  # type: ignore[assignment]  # set below
    bounded_by: str = ""
    curve: bool = True
    mixture: bool = False
    requires: tuple[str, ...] = ()
    shifted: bool = False

    def __post_init__(self) -> None:
        """Fill `measures`: a metric that is computed is a score by default, one that is read a cost."""
        if self.measures is None:
            object.__setattr__(self, "measures", "score" if self.compute is not None else "cost")


@dataclass(frozen=True)
class Formula:
    """How much work an operator does that a plugin brings along, for the instruments that count operations.

    operator: its library and name, as in "mylib::scan", for all of its overloads; its backward is an operator too, and
    has a formula of its own. macs: "module:function" or a callable that returns the multiply-accumulates of one call, a
    whole number, 0 or more. elementwise: likewise the operations on single elements; None for none.

    Both are called after the operator, by name, with those of its arguments that they take (as its schema names them,
    defaults filled in, tensors as they are) and its `result`:

        def macs(x, weight, steps):  # mylib::scan(Tensor x, Tensor weight, int steps=1) -> Tensor
            return steps * len(x) * weight.numel()  # x (B, I), weight (I, O)

    They leave tensors alone, and look at shapes rather than values, which a GPU would wait for. One that raises, or
    returns something else, leaves the operator without a formula, with the reason.
    """

    operator: str
    macs: str | Callable[..., int]
    elementwise: str | Callable[..., int] | None = None
    summary: str = ""

    @property
    def name(self) -> str:
        """The operator's."""
        return self.operator


class Gauge(Protocol):
    """Product of an instrument's factory. `session` spans the life of one fresh state, in which a few updates go
    before and `measure` spans a steady one; an intrusive gauge without `measure` gets no fresh state.

    Optional: `deployed(trained)`, called once with a `Trained`, after the final scores have left the worker and before
    any fresh state, without gradients. There a prediction is measured, and what depends on what was learnt. It reaches
    no score and no array that is kept, and shall leave the state as it is for the instruments after it. What it learns
    it says in `readings`, which are measured, not claimed: a claim may rest on them.

    Optional for one that is not intrusive: `pause()`, a context that spans each evaluation within the session, and
    `settle()`, called before the first update after those in which libraries try out their algorithms. For one that
    counts operations: `use_formulas(formulas)`, called first, with those that plugins offer for operators of their own.
    """

    def session(self) -> AbstractContextManager[None]:
        """Spans birth to death of one fresh state."""
        ...

    def measure(self, stage: Literal["update"], examples: int) -> AbstractContextManager[None]:
        """Spans one steady update, of that many examples: rows, of a stream tokens."""
        ...

    def readings(self) -> Mapping[str, Any]:
        """Numbers by metric name; other values (a coverage list) under further names: texts without an @, none of them
        that of a score, of what the harness measures (update_seconds and the like) or of another instrument's reading.
        At most 20 levels deep, 1 MB each. What breaks this is a hole, by its name, and the rest is kept.

        A `Reading` holds a value together with a warning, or with why the truth may be more than the number. Raises
        Unsupported, with the reason, for what cannot be measured here.
        """
        ...


@dataclass(frozen=True)
class Instrument:
    """A way to measure. factory: "module:attribute" called without arguments inside the trial.

    intrusive: it disturbs what it measures, so it gets a fresh state of its own after the timed pass. repeats: all that
    it reads is the same for every seed. Such an instrument measures two seeds of a configuration; where all its
    readings agree to the digit, the seeds after them take these over, and their records say from which. on_request: it
    takes long, so it measures only where a run asks for the column of its name, with --metrics or in a suite.
    """

    name: str
    summary: str
    factory: str | Callable[[], Gauge]
    intrusive: bool = True
    repeats: bool = False
    on_request: bool = False


@dataclass(frozen=True)
class Suite:
    """A named comparison in a TOML file: methods, data sets, seeds, budget."""

    name: str
    summary: str
    path: Path

    @classmethod
    def from_folder(cls, folder: Path) -> Iterator[Suite]:
        """The suites of the folder's TOML files, which are named as these are."""
        for path in sorted(folder.glob("[!.]*.toml"), key=lambda path: path.stem):
            yield cls(path.stem, tomllib.loads(path.read_text(encoding="utf-8"))["summary"], path)


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
class Kept:
    """A trained network as its trial has kept it, for `Export.write`; all on the CPU.

    config: of its method, all options resolved. problem: as the learner saw it. training: as the trial's, eager.
    arrays: by name, as the learner saved them. rows: inputs of a few test rows, of a stream windows, in numpy. learner:
    a fresh one, as the method's factory builds it; its `init` has not been called.
    """

    config: Any
    problem: Problem
    training: Training
    arrays: Mapping[str, Array]
    rows: Array
    learner: Learner[Any]


@dataclass(frozen=True)
class Written:
    """Answer of `Export.write` on a file. predict: (inputs, in numpy) -> Prediction, by the file alone, read anew.

    load: lines of Python with which a user loads the file; PATH stands in them for the text of its path. reader: what
    `predict` runs the file with, and what else was found alike, in a few words.
    """

    predict: Callable[[Array], Prediction]
    load: str
    reader: str = ""


@dataclass(frozen=True)
class Export:
    """A format that a trained network can be written in, for `harness export`.

    write: "module:function" or a callable (Kept, path) -> Written, which writes one file there; it raises Unsupported,
    with the reason, for a network that the format cannot say. families, methods: by name, those that it is for; without
    any it is for all. Several plugins may offer a format of one name, each for methods of its own. tolerance: how far
    predictions of the file may be from the trial's: log-probabilities, or means in units of the targets' scale and
    logarithms of standard deviations. strays: share of test rows that may be further, as where rounding at a threshold
    changes a row. requires: modules that must be importable.
    """

    name: str
    summary: str
    write: str | Callable[[Kept, Path], Written]
    families: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    tolerance: float = 1e-4
    strays: float = 0.0
    requires: tuple[str, ...] = ()

    def fits(self, method: Method) -> bool:
        """Whether it is for this method."""
        anyone = not (self.families or self.methods)
        return anyone or method.name in self.methods or bool(method.family and method.family in self.families)
