"""Checks of a data set."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from harness import names
from harness.errors import Unsupported
from harness.testing.config_checks import require_described
from harness.testing.subjects import (
    ORDER,
    Arrays,
    DatasetSubject,
    broken,
    find_difference,
    require_same,
    require_sound_value,
)
from harness.types import NO_CLASS, Batch, Data, Problem
from harness.words import format_count

SPLITS = ("train", "valid", "test")
ROWS = 20
BATCHES = 3
WHOLE: Mapping[str, None] = dict.fromkeys(SPLITS)  # rows to use of each split: all of them
STANDARD = 0.1, 0.8, 1.25  # how far the mean of standardised targets is from 0 at most, and bounds of their deviation
OWN_SCALE = 0.5, 0.5, 2.0  # the same of targets that nobody has scaled
CHANCE = 0.01  # share of rows that may be in two splits because the source repeats itself


def data_options_described(subject: DatasetSubject) -> None:
    """Check the options of the data set's config."""
    require_described(subject.dataset.config, subject.dataset.name)


def data_deterministic(subject: DatasetSubject) -> None:
    """Loaded twice, under other global seeds."""
    with subject.backend.isolated(1):
        first = subject.load()
    with subject.backend.isolated(2):
        second = subject.load()
    require_same("two loads with the same seed", _list_arrays(first), _list_arrays(second), exact=True)
    if first.problem != second.problem:
        broken(f"two loads with the same seed: the problems {first.problem} and {second.problem}")


def _list_arrays(data: Data) -> Arrays:
    return {
        f"{name} {field}": np.asarray(getattr(split, field))
        for name, split in _list_splits(data)
        for field in ("inputs", "targets")
    }


def _list_splits(data: Data) -> Iterator[tuple[str, Batch]]:
    yield from ((name, getattr(data, name)) for name in SPLITS)
    yield from ((f"shifted {name!r}", split) for name, split in data.shifted.items())


def data_as_stated(subject: DatasetSubject) -> None:
    """The problem is all that a learner builds its network from."""
    data = subject.load()
    problem = data.problem
    if problem.kind != subject.dataset.kind:
        broken(f"its kind is {subject.dataset.kind}, its problem's {problem.kind}")
    for name, split in _list_splits(subject.backend.place(data, "cpu")):
        _check_arrays(name, np.asarray(split.inputs), np.asarray(split.targets), problem)
    size = data.train.targets.shape[1] if problem.order == "contiguous" else len(data.train.inputs)
    if problem.train_size != size:
        broken(f"problem.train_size is {problem.train_size}; the training split has {size}")
    _check_names(data)
    if problem.time_axis and not problem.input_shape:
        broken("problem.time_axis is set, but input_shape has no axis")


def _check_names(data: Data) -> None:
    """Names of shifted splits and readings, and what those say."""
    for name in data.shifted:
        if flaw := names.find_view_flaw(name):
            broken(f"shifted split {names.show_name(name)}: the name {flaw}")
    for name, value in data.readings.items():
        require_sound_value("reading", name, value, reserved=names.MEASURED)


def _check_arrays(name: str, inputs: NDArray[np.generic], targets: NDArray[np.generic], problem: Problem) -> None:
    if not len(inputs):
        broken(f"{name} holds no rows")
    if len(inputs) != len(targets):
        broken(f"{name} has {format_count(len(inputs), 'input')} and {format_count(len(targets), 'target')}")
    if problem.kind == "language":
        return _check_tokens(name, inputs, targets, problem)
    _check_inputs(name, inputs, problem)
    if problem.kind == "classification":
        known = targets[targets != NO_CLASS] if name not in SPLITS else targets
        _check_integers(f"{name}: targets", known, problem.output_size)
    if problem.kind == "regression":
        _check_standardised(name, targets, problem)
    return None


def _check_inputs(name: str, inputs: NDArray[np.generic], problem: Problem) -> None:
    if inputs.shape[1:] != problem.input_shape:
        broken(f"{name}: rows have shape {inputs.shape[1:]}; problem.input_shape is {problem.input_shape}")
    if inputs.dtype != np.float32:
        broken(f"{name}: inputs are {inputs.dtype}; expected float32")
    if not np.isfinite(inputs).all():
        broken(f"{name}: inputs are not finite")


def _check_tokens(name: str, inputs: NDArray[np.generic], targets: NDArray[np.generic], problem: Problem) -> None:
    _check_integers(f"{name}: inputs", inputs, problem.output_size)
    _check_integers(f"{name}: targets", targets, problem.output_size)
    if not np.array_equal(inputs[:, 1:], targets):
        broken(f"{name}: targets (rows, L - 1) must be inputs[:, 1:]")


def _check_integers(what: str, values: NDArray[np.generic], size: int) -> None:
    if values.dtype != np.int64:
        broken(f"{what} are {values.dtype}; expected int64")
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low < 0 or high >= size:
        broken(f"{what} go from {low} to {high}; problem.output_size is {size}")


def _check_standardised(name: str, targets: NDArray[np.generic], problem: Problem) -> None:
    """Targets that stay on their own scale, such as those of a toy whose model is known, need be standard nearly."""
    values = targets.astype(np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        broken(f"{name}: targets must be finite, of shape (rows,); they have shape {values.shape}")
    unscaled = (problem.target_mean, problem.target_scale) == (0, 1)
    off, low, high = OWN_SCALE if unscaled else STANDARD
    if name == "train" and (abs(values.mean()) > off or not low < values.std() < high):
        broken(
            f"targets have mean {values.mean():.3g} and deviation {values.std():.3g} in train; expected 0 and 1, "
            "with target_mean and target_scale to return to the original scale"
        )


def training_batches(subject: DatasetSubject) -> None:
    """Drawn twice with one seed, under other global seeds."""
    data = subject.backend.place(subject.load(), "cpu")
    with subject.backend.isolated(1):
        first = _draw_batches(subject, data)
    with subject.backend.isolated(2):
        second = _draw_batches(subject, data)
    require_same("training batches drawn twice with the same seed", first, second, exact=True)
    if data.problem.order == "shuffled" and data.problem.kind != "language":
        for name, inputs in first.items():
            _check_inputs(f"augmented {name}" if data.augment else name, inputs, data.problem)


def _draw_batches(subject: DatasetSubject, data: Data) -> Arrays:
    drawn = itertools.islice(subject.backend.batches(data, ROWS, ORDER), BATCHES)
    return {f"inputs of batch {number}": np.asarray(batch.inputs) for number, batch in enumerate(drawn, 1)}


def splits_apart(subject: DatasetSubject) -> None:
    """Rows of one split in another, by chance and three standard errors more than the training split itself repeats."""
    data = subject.load()
    if data.problem.order == "contiguous":
        raise Unsupported("a contiguous stream has no rows to compare")
    rows = {name: _list_row_bytes(getattr(data, name)) for name in SPLITS}
    repeated = 1 - len(set(rows["train"])) / len(rows["train"])
    for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
        known = set(rows[one])
        share = sum(row in known for row in rows[other]) / len(rows[other])
        expected = min(1.0, CHANCE + 2 * repeated)
        if share > expected + 3 * math.sqrt(expected * (1 - expected) / len(rows[other])):
            broken(f"{share:.1%} of the rows of {other} are in {one} too")


def _list_row_bytes(split: Batch) -> list[bytes]:
    inputs = np.ascontiguousarray(split.inputs)
    return [row.tobytes() for row in inputs]


def splits_as_declared(subject: DatasetSubject) -> None:
    """Two seeds, against what `fixed_test` and `folds` say."""
    folds, fixed = subject.dataset.folds, subject.dataset.fixed_test
    if folds == 1 or not (folds or fixed):
        return
    seeds = (0, folds - 1) if folds else (0, 1)
    one, other = (_list_arrays(subject.load(seed, **WHOLE)) for seed in seeds)
    if fixed:
        what = f"fixed_test, and seeds {seeds[0]} and {seeds[1]} have other test rows"
        require_same(what, _select_test_arrays(one), _select_test_arrays(other), exact=True)
    if folds and find_difference(one, other, 0.0) is None:
        broken(f"folds={folds}: splits {seeds[0]} and {seeds[1]} hold the same rows; load gets the number of the split")


def _select_test_arrays(arrays: Arrays) -> Arrays:
    return {name: array for name, array in arrays.items() if name.startswith("test ")}


def sizes_honoured(subject: DatasetSubject) -> None:
    """As `digits[train=20]` asks for, of a split that has fewer than twice as many rows half of them."""
    for name in SPLITS:
        size = min(ROWS, subject.dataset.rows.get(name, 2 * ROWS) // 2)
        data = subject.load(**{name: size})
        split = getattr(data, name)
        single = data.problem.order == "contiguous" and len(split.inputs) == 1
        found = split.targets.shape[1] if single else len(split.inputs)
        if found != size:
            broken(f"{name}={size} gives {format_count(found, 'row')}")
        if name == "train" and data.problem.train_size != size:
            broken(f"train={size} gives problem.train_size {data.problem.train_size}")
