"""Data that nothing can be learnt from, named before a trial begins: data set, split, first bad row, what was expected.

Every kind of problem has inputs and targets of as many rows, and finite numbers. Of classification, regression and
language more is known; of other kinds, which plugins may name, no more than that is asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NoReturn

from harness.errors import HarnessError
from harness.types import NO_CLASS, Batch, Data, Problem
from harness.words import format_count

# numpy takes longer to import than a listing may; plugins import modules of this package with the names of `harness`.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPLITS = ("train", "valid", "test")
PIECE = 1 << 22  # numbers that are looked at in one go: a mask of all of them would be as large as a split of bytes
NUMBERS = "biufc"
KINDS = ("classification", "regression", "language")
UNSCALED = ("classification", "language")
ORDERS = ("shuffled", "contiguous")
SHIFTED = "the shifted split"  # before the name of one, whose rows may belong to no class
EMPTY = "the valid split"  # which alone may have no rows: then nothing is chosen during training


def require_sound(label: str, data: Data) -> Data:
    """The same data. Raises HarnessError that names what is wrong with them: data set (its label), split and row."""
    try:
        _require_data(data)
        for name, split in iterate_splits(data):
            _require_split(name, split, data.problem)
        _require_sizes(data)
    except _Unsound as error:
        raise HarnessError(f"data set {label}: {error}") from None
    return data


class _Unsound(Exception):
    """A fault of data, and its place."""


def _fail(reason: str) -> NoReturn:
    raise _Unsound(reason)


def _require_data(data: object) -> None:
    if not isinstance(data, Data):
        _fail(f"its load returned {_name_type(data)}, expected harness.Data")
    if not isinstance(data.problem, Problem):
        _fail(f"its problem is {_name_type(data.problem)}, expected harness.Problem")
    if not isinstance(data.shifted, Mapping):
        _fail(f"its shifted splits are {_name_type(data.shifted)}, expected a dictionary of them by name")
    _require_problem(data.problem)


def _require_problem(problem: Problem) -> None:
    if not isinstance(problem.kind, str):
        _fail(f"problem.kind is {problem.kind!r:.100}, expected a text such as 'classification'")
    _require_scale(problem)
    if not isinstance(problem.input_shape, tuple) or not all(_is_positive(size) for size in problem.input_shape):
        _fail(f"problem.input_shape is {problem.input_shape!r:.100}, expected a tuple of whole numbers above 0")
    if problem.kind in KINDS and not _is_positive(problem.output_size):
        _fail(f"problem.output_size is {problem.output_size!r:.100}, expected a whole number above 0")
    if not _is_positive(problem.train_size):
        _fail(f"problem.train_size is {problem.train_size!r:.100}, expected a whole number above 0")
    if problem.order not in ORDERS:
        _fail(f"problem.order is {problem.order!r:.100}, expected {' or '.join(map(repr, ORDERS))}")
    if not isinstance(problem.window, Integral):
        _fail(f"problem.window is {problem.window!r:.100}, expected a whole number")


def _require_scale(problem: Problem) -> None:
    """Targets of classes and tokens have no scale: predictions and scores would be of other numbers."""
    for name, value in (("target_mean", problem.target_mean), ("target_scale", problem.target_scale)):
        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
            _fail(f"problem.{name} is {value!r:.100}, expected a finite number")
    if problem.kind in UNSCALED and (problem.target_mean, problem.target_scale) != (0, 1):
        found = f"problem.target_mean is {problem.target_mean!r} and target_scale {problem.target_scale!r}"
        _fail(f"{found}, expected 0 and 1 for {problem.kind}")
    if not problem.target_scale > 0:
        _fail(f"problem.target_scale is {problem.target_scale!r}, expected a number above 0")


def _is_positive(value: object) -> bool:
    return isinstance(value, Integral) and int(value) > 0


def iterate_splits(data: Data) -> Iterator[tuple[str, Any]]:
    """Every split under the name that errors give it."""
    yield from ((f"the {name} split", getattr(data, name)) for name in SPLITS)
    yield from ((f"{SHIFTED} {name!r:.100}", split) for name, split in data.shifted.items())


def _require_split(name: str, split: object, problem: Problem) -> None:
    if split is None:
        _fail(f"{name} is missing")
    if not isinstance(split, Batch):
        _fail(f"{name} is {_name_type(split)}, expected a harness.Batch of inputs and targets")
    inputs, targets = (_require_array(f"{field} of {name}", getattr(split, field)) for field in ("inputs", "targets"))
    if len(inputs) != len(targets):
        found = f"{format_count(len(inputs), 'input')} and {format_count(len(targets), 'target')}"
        _fail(f"{name} has {found}, expected one target for each input")
    if not len(inputs):
        if name == EMPTY:
            return
        _fail(f"{name} has no rows")
    if problem.kind == "language":
        _require_tokens(name, inputs, targets, problem)
        return
    if inputs.shape[1:] != problem.input_shape:
        _fail(f"rows of {name} have shape {inputs.shape[1:]}, problem.input_shape is {problem.input_shape}")
    _require_finite(f"input of {name}", inputs)
    _require_targets(name, targets, problem)


def _require_array(what: str, given: Any) -> NDArray[Any]:
    """The array, or what numpy sees of an array of another library on this machine's memory."""
    import numpy as np

    if not hasattr(given, "__array__"):
        _fail(f"the {what} are {_name_type(given)}, expected a numpy array")
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        _fail(f"the {what} are a masked array, whose mask nothing heeds; expected all of its numbers")
    try:
        array = np.asarray(given)
    except Exception as error:  # another library's array, on a device or of a type of its own
        _fail(f"the {what} are {_name_type(given)} that is no numpy array ({error})")
    if array.dtype.kind not in NUMBERS:
        _fail(f"the {what} are an array of {array.dtype}, expected numbers")
    if not array.ndim:
        _fail(f"the {what} are a single number, expected an array of rows")
    return array


def _require_finite(what: str, array: NDArray[Any]) -> None:
    """No row holds a number that is none, or an infinite one."""
    import numpy as np

    if array.dtype.kind not in "fc":
        return
    step = max(1, PIECE * len(array) // max(array.size, 1))
    for start in range(0, len(array), step):
        piece = array[start : start + step]
        finite = np.isfinite(piece)
        if not finite.all():
            row, column, value = _find_first(~finite, piece)
            _fail(f"the {what}, row {start + row}{column}, holds {value}, expected finite numbers")


def _find_first(bad: NDArray[np.bool_], values: NDArray[Any]) -> tuple[int, str, Any]:
    """The first row in which something is bad, where in it the first such value is, and that value.

    Where: `, column 3`, or `, column (0, 2, 1)` of rows with several axes, or nothing of rows that are one number.
    """
    import numpy as np

    row = int(bad.reshape(len(bad), -1).any(axis=1).argmax())
    place = tuple(int(each) for each in np.argwhere(bad[row])[0])
    column = f", column {place[0] if len(place) == 1 else place}" if place else ""
    return row, column, values[(row, *place)]


def _require_targets(name: str, targets: NDArray[Any], problem: Problem) -> None:
    if problem.kind == "classification":
        if targets.ndim != 1:
            _fail(f"targets of {name} have shape {targets.shape}, expected one class for each row, ({len(targets)},)")
        least = NO_CLASS if name.startswith(SHIFTED) else 0
        _require_whole(f"target of {name}", targets, problem.output_size, "classes", least)
    if problem.kind == "regression" and str(targets.dtype) != "float32":
        _fail(f"targets of {name} are {targets.dtype}; expected float32")
    if problem.kind == "regression" and targets.ndim != 1:
        _fail(f"targets of {name} have shape {targets.shape}, expected one number for each row, ({len(targets)},)")
    _require_finite(f"target of {name}", targets)


def _require_tokens(name: str, inputs: NDArray[Any], targets: NDArray[Any], problem: Problem) -> None:
    expected = (len(inputs), inputs.shape[1] - 1) if inputs.ndim == 2 else None
    if expected is None or targets.shape != expected or not expected[1]:
        _fail(
            f"{name} has inputs of shape {inputs.shape} and targets of shape {targets.shape}, "
            "expected tokens (rows, L) and (rows, L - 1), the tokens that follow"
        )
    _require_whole(f"input of {name}", inputs, problem.output_size, "tokens")
    _require_whole(f"target of {name}", targets, problem.output_size, "tokens")
    differing = (inputs[:, 1:] != targets).any(axis=1)
    if differing.any():
        _fail(f"the target of {name}, row {int(differing.argmax())}, is not inputs[:, 1:], the tokens that follow")


def _require_whole(what: str, values: NDArray[Any], size: int, noun: str, least: int = 0) -> None:
    """Whole numbers from 0, or what is below it for rows of no class, to below the number of classes or tokens."""
    import numpy as np

    if values.dtype != np.int64:
        _fail(f"the {what} is {values.dtype}, expected int64, the number of one of {size} {noun}")
    if int(values.min()) >= least and int(values.max()) < size:
        return
    row, column, value = _find_first((values < least) | (values >= size), values)
    unclassed = f", or {least} of no class" if least < 0 else ""
    expected = f"0 to {size - 1}{unclassed}"
    _fail(f"the {what}, row {row}{column}, is {value}, expected {expected}: problem.output_size is {size}")


def _require_sizes(data: Data) -> None:
    """The sizes of which the problem speaks are those of the training split."""
    train, problem = data.train, data.problem
    rows = format_count(len(train.inputs), "row")
    if problem.order != "contiguous":
        if problem.train_size != len(train.inputs):
            _fail(f"problem.train_size is {problem.train_size:,}, the train split has {rows}")
        return
    steps = train.targets.shape[1] if train.targets.ndim > 1 else 0
    if len(train.inputs) != 1 or not 0 < problem.window <= steps:
        _fail(
            "contiguous data are one row that is cut into windows: the train split has "
            f"{rows} of {format_count(steps, 'step')}, problem.window is {problem.window}"
        )
    if problem.train_size != steps:
        _fail(f"problem.train_size is {problem.train_size:,}, the train split has {format_count(steps, 'step')}")


def _name_type(thing: object) -> str:
    """`a list`, `an int`, `None`."""
    name = type(thing).__name__
    return "None" if thing is None else f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
