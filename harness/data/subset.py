"""Smaller runs: some rows of each split, drawn by seed, in the proportions of the whole."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.seeds import derive
from harness.types import Array, Batch, Data, Problem
from harness.words import format_count

# numpy takes longer to import than a listing may; plugins import this module with the names of `harness`.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def take_subset(data: Data, train: int | None, valid: int | None, test: int | None, seed: int) -> Data:
    """The data with so many rows of each split; None for all of them. `train_size` follows.

    Classification: stratified, every class within one row of its share. Contiguous data: the first rows, or of a
    single row, which is one long stream, the first `train` predicted steps. Other data: drawn at random. Rows keep
    their order, and the same seed draws the same rows.
    Raises UsageError for more rows than there are.
    """
    problem = data.problem
    return dataclasses.replace(
        data,
        problem=problem if train is None else dataclasses.replace(problem, train_size=train),
        train=_take_rows("train", data.train, train, problem, seed),
        valid=_take_rows("valid", data.valid, valid, problem, seed),
        test=_take_rows("test", data.test, test, problem, seed),
    )


def stratified_rows(targets: Array, size: int, seed: int) -> NDArray[np.int64]:
    """Indices (size,) of rows drawn at random so that every class is within one row of its share, in ascending order.

    targets: class of each row (N,), size <= N. Systematic sampling of the rows in order of class, shuffled within
    each: every N/size-th one from a random start, so that a class of n rows gives n size/N, rounded down or up.
    """
    import numpy as np

    random = np.random.default_rng(derive(seed, "stratified"))
    rows = random.permutation(len(targets))
    rows = rows[np.argsort(np.asarray(targets)[rows], kind="stable")]
    start = random.integers(len(targets))
    return np.sort(rows[(np.arange(size) * len(targets) + start) // max(size, 1)])


def _take_rows(name: str, split: Batch, size: int | None, problem: Problem, seed: int) -> Batch:
    if size is None:
        return split
    if problem.order == "contiguous":
        return _take_beginning(name, split, size)
    _refuse_more(name, size, len(split.targets))
    rows = _draw_rows(split.targets, size, problem.kind, derive(seed, name))
    return split._replace(inputs=split.inputs[rows], targets=split.targets[rows])


def _draw_rows(targets: Array, size: int, kind: str, seed: int) -> NDArray[np.int64]:
    import numpy as np

    if kind == "classification":
        return stratified_rows(targets, size, seed)
    return np.sort(np.random.default_rng(seed).permutation(len(targets))[:size])


def _take_beginning(name: str, split: Batch, size: int) -> Batch:
    if len(split.inputs) > 1:
        _refuse_more(name, size, len(split.inputs))
        return split._replace(inputs=split.inputs[:size], targets=split.targets[:size])
    steps = split.targets.shape[1]
    _refuse_more(name, size, steps)
    # The inputs of a stream hold one more token than its targets: the last one is only ever predicted.
    more = split.inputs.shape[1] - steps
    return split._replace(inputs=split.inputs[:, : size + more], targets=split.targets[:, :size])


def _refuse_more(name: str, asked: int, available: int) -> None:
    if asked > available:
        raise UsageError(
            f"{name}={asked}: the {name} split has only {format_count(available, 'row')}; ask for fewer or leave it out"
        )
