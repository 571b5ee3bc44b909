"""Subjects of checks: a method, a data set or a metric, and the means to try it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness import names, options
from harness.catalog import resolve
from harness.data.soundness import require_sound
from harness.data.subset import take_subset
from harness.errors import Broken, HarnessError, Unsupported
from harness.seeds import derive, derive_split_seed
from harness.testing import tiny_data
from harness.trials import answers, json_values
from harness.trials.learner_start import Started, start_learner
from harness.trials.scalars import Scalars
from harness.types import (
    Array,
    Backend,
    Batch,
    ClassLogProbs,
    Data,
    Dataset,
    Fit,
    Learner,
    Method,
    Metric,
    Prediction,
    Reading,
    Training,
)

SEED = derive(0, "contract", "init")
ORDER = derive(0, "contract", "order")
PLANNED = 8

T = TypeVar("T")
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Subject:
    """A method under test, with the options that were given, on tiny data of one kind.

    base: the method that it starts from, on data of the same kind.
    """

    method: Method
    given: Mapping[str, Any]
    kind: str
    backend: Backend
    device: str = "cpu"
    base: Subject | None = None

    @property
    def precision(self) -> str:
        return self.method.precisions[0]

    @property
    def exact(self) -> bool:
        """Whether equal means equal in every bit: kernels of other devices may add in another order."""
        return self.device == "cpu"

    def build(self) -> Learner[Any]:
        """A fresh learner."""
        config = options.build(self.method.config, self.given, self.method.name)
        learner: Learner[Any] = resolve(self.method.factory, f"method {self.method.name}")(config)
        return learner

    def training(
        self, seed: int = SEED, updates: int | None = PLANNED, eager: bool = False, precision: str | None = None
    ) -> Training:
        return Training(seed, self.device, precision or self.precision, tiny_data.BATCH, updates, eager)

    @cached_property
    def data(self) -> Data:
        """On the device. Raises Unsupported where the learner takes no tiny data of this kind."""
        reason = f"there is no tiny data of kind {self.kind!r}"
        for make in tiny_data.list_data_sets(self.kind):
            data = self.placed(make())
            try:
                self.build().init(data.problem, self.training(), self.arrays(data))
            except Unsupported as error:
                reason = str(error)
            else:
                return data
        raise Unsupported(reason)

    def placed(self, data: Data) -> Data:
        return self.backend.place(data, self.device)

    def arrays(self, data: Data) -> Mapping[str, Array] | None:
        """Arrays that the method starts from: its base's after two updates on this data, as read back from a file."""
        if self.base is None:
            return None
        run = Run(self.base, data)
        run.updates(2)
        return self.backend.arrays(self.through_file(run.saved()), self.device)

    def through_file(self, named: Mapping[str, Array]) -> Mapping[str, Array]:
        """Named arrays, written and read back."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "arrays"
            self.backend.save(named, path)
            return self.backend.load(path)

    def answered(self, check: Callable[[Any], T], answer: Any) -> T:
        """Require a learner's answer to pass its check. Raises Broken with what was expected."""
        try:
            return check(answer)
        except TypeError as error:
            raise Broken(str(error)) from error

    def batches(self, seed: int = ORDER, data: Data | None = None) -> Iterator[Batch]:
        return self.backend.batches(data or self.data, tiny_data.BATCH, seed)

    def start(self, training: Training | None = None, learner: Learner[Any] | None = None) -> Run:
        """A training from its first state on."""
        return Run(self, self.data, training, learner)

    def numpy(self, array: Array) -> NDArray[np.float64]:
        """A copy of any array in numpy."""
        # A backend turns predictions into numpy; to it, this is one.
        return np.array(self.backend.numpy(ClassLogProbs(array, array))[0])


class Run:
    """A learner in training, step by step as the harness would. `scalars` keeps those of every update.

    started: it stands somewhere in its training.
    """

    def __init__(
        self,
        subject: Subject,
        data: Data,
        training: Training | None = None,
        learner: Learner[Any] | None = None,
        started: Started | None = None,
    ) -> None:
        self.subject, self.data = subject, data
        self.scalars: list[Mapping[str, float]] = []
        self._batches = subject.batches(data=data)
        started = started or start_learner(
            lambda: learner or subject.build(),
            data.problem,
            training or subject.training(),
            subject.arrays(data),
            Fit(data.train, data.valid),
        )
        self.learner, self.parts, self.state = started.learner, started.parts, started.state

    def update(self, batch: Batch) -> None:
        scalars = Scalars(self.subject.backend.lane_meter(), 1)
        scalars.add_update(self.step(batch))
        self.scalars += scalars.take_means()

    def step(self, batch: Batch) -> Mapping[str, Any]:
        """One update, its answer checked; its scalars are returned as they are and not kept."""
        returned = answers.ask_learner(self.learner.update, self.state, batch)
        self.state, scalars = self.subject.answered(answers.check_step, returned)
        return scalars

    def updates(self, count: int) -> None:
        """As many updates, on batches that come in the same order in every run."""
        for _ in range(count):
            self.update(next(self._batches))

    def finish(self) -> None:
        self.state = self.parts.finish(self.state, Fit(self.data.train, self.data.valid))

    @property
    def predictors(self) -> Mapping[str, Callable[[Any, Array], Prediction]]:
        """`predict`, every further view and, where there is one, the glance."""
        views = self.subject.answered(answers.list_views, self.learner)
        glance = {"glance": self.parts.glance} if "glance" in self.parts.offered else {}
        return {
            "predict": self.learner.predict,
            **{name: predict for name, predict, flaw in views if not flaw},
            **glance,
        }

    def predict(self, inputs: Array, view: str = "predict") -> Prediction:
        """In numpy."""
        returned = answers.ask_learner(self.predictors[view], self.state, inputs)
        return self.subject.backend.numpy(self.subject.answered(answers.check_prediction, returned))

    def saved(self) -> Mapping[str, Array]:
        """Raises Unsupported for a learner without `save`, which is optional."""
        if not self.saves:
            raise Unsupported("it has no save(state), which is optional")
        named: Mapping[str, Array] = self.subject.answered(answers.check_arrays, self.parts.save(self.state))
        return named

    @property
    def saves(self) -> bool:
        """Whether the learner has `save`."""
        return "save" in self.parts.offered

    def seen(self) -> Arrays:
        """All that can be seen of the training so far: scalars of updates, saved arrays, validation predictions."""
        seen = {f"scalar {name!r} of update {i}": np.array(value) for i, name, value in self._iterate_scalars()}
        if self.saves:
            seen |= {f"saved array {name!r}": self.subject.numpy(array) for name, array in self.saved().items()}
        for view in self.predictors:
            prediction = self.predict(self.data.valid.inputs, view)
            fields = zip(type(prediction)._fields, prediction, strict=True)
            seen |= {f"{name} of {view}": np.array(array) for name, array in fields}
        return seen

    def _iterate_scalars(self) -> Iterator[tuple[int, str, float]]:
        for index, scalars in enumerate(self.scalars, 1):
            for name, value in scalars.items():
                yield index, name, value


def find_difference(one: Arrays, other: Arrays, tolerance: float) -> str | None:
    """The first thing in which two runs differ by more than a tolerance, relative and absolute, or None."""
    if missing := set(one) ^ set(other):
        return f"{min(missing)}, which only one of them has"
    for name, array in one.items():
        if array.shape != other[name].shape:
            return f"{name}, of shape {array.shape} and {other[name].shape}"
        if not are_close(array, other[name], tolerance):
            gaps = np.abs(array - other[name])
            finite = gaps[np.isfinite(gaps)]
            return f"{name}, by up to {finite.max():.3g}" if finite.size else f"{name}, which is not finite in one"
    return None


def are_close(one: NDArray[Any], other: NDArray[Any], tolerance: float) -> bool:
    return bool(np.allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True))


def require_same(what: str, one: Arrays, other: Arrays, exact: bool) -> None:
    """Raises Broken with `what` happened and the first difference."""
    if difference := find_difference(one, other, 0.0 if exact else 1e-4):
        broken(f"{what}: they differ in the {difference}")


def require_sound_value(what: str, name: str, value: object, reserved: Collection[str] = ()) -> None:
    """Raises Broken for a name or a value with which no record would keep what a plugin says."""
    flaw = names.find_name_flaw(name) or ("is what the harness itself measures" if name in reserved else "")
    if flaw:
        broken(f"{what} {names.show_name(name)}: the name {flaw}")
    try:
        json_values.fit_value(name, value.value if isinstance(value, Reading) else value)
    except json_values.Unfit as unfit:
        broken(f"{what} {name} {unfit}")


def broken(reason: str) -> NoReturn:
    raise Broken(reason)


@dataclass(frozen=True)
class DatasetSubject:
    """A data set under test with the options that it was selected with; `folder` holds its files."""

    dataset: Dataset
    given: Mapping[str, Any]
    folder: Path
    backend: Backend

    def load(self, seed: int = 0, **rows: int | None) -> Data:
        """As a trial would; rows: `train`, `valid` and `test` rows to use, None for all."""
        config = options.build(self.dataset.config, {**self.given, **rows}, self.dataset.name)
        derived = derive(seed, self.dataset.name, "split")
        split = derive_split_seed(seed, self.dataset.name, self.dataset.folds)
        data: Data = resolve(self.dataset.load, f"data set {self.dataset.name}")(config, split, self.folder)
        try:
            data = require_sound(self.dataset.name, data)
        except HarnessError as error:
            broken(str(error))
        return take_subset(data, config.train, config.valid, config.test, derived)


@dataclass(frozen=True)
class MetricSubject:
    """A metric under test, on outcomes of one kind."""

    metric: Metric
    kind: str

    def compute(self, *outcomes: Any) -> float | None:
        """None where the metric does not apply to the outcome, or to both where it is of shifted splits."""
        assert self.metric.compute is not None
        value = resolve(self.metric.compute, f"metric {self.metric.name}")(*outcomes)
        try:
            return None if value is None else json_values.fit_number(value)
        except json_values.Unfit as unfit:
            broken(f"it {unfit}")
