"""Offers of plugins: methods, data sets, suites, checks and formats."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.options import option
from harness.types.data_files import File, Folder
from harness.types.learning import Array, Cohort, Data, Learner, Prediction, Problem, Training

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
