"""Some rows of a split, for what needs no more of them: a few batches to prepare on, rows to predict."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from harness.types import Array, Batch, Data, Fit
from harness.types.learning import count_lag


def count_rows(data: Data) -> dict[str, Mapping[str, int]]:
    """Rows of each split; of a stream, the tokens that are predicted, too."""
    splits = {"train": data.train, "valid": data.valid, "test": data.test}
    rows = {name: len(split.inputs) for name, split in splits.items()}
    if data.problem.order != "contiguous":
        return {"rows": rows}
    return {"rows": rows, "tokens": {name: math.prod(split.targets.shape[:2]) for name, split in splits.items()}}


def count_examples(data: Data, batch: Batch) -> int:
    """How many predictions a training batch asks for: rows, of a stream tokens."""
    return math.prod(batch.targets.shape[:2]) if data.problem.order == "contiguous" else len(batch.inputs)


def cut_fit(data: Data, batch_size: int, batches: int) -> Fit:
    """The rows for `prepare`, cut to so many batches: shapes are those of the whole."""
    if data.problem.order != "contiguous":
        return Fit(*(_first_rows(split, batches * batch_size) for split in (data.train, data.valid)))
    steps = batches * data.problem.window
    train = _cut_steps(data.train, steps * batch_size)  # one long row, to be folded into streams
    return Fit(train, _cut_steps(_first_rows(data.valid, batch_size), steps))


def repeat_inputs(data: Data, number: int) -> Array:
    """Inputs of so many test rows, in their order, from the first on again where they run out. Of a stream windows."""
    inputs = data.test.inputs
    if data.problem.order != "contiguous":
        return inputs[np.arange(number) % len(inputs)]
    width = min(data.problem.window + count_lag(data.test), inputs.shape[1])
    each = max(1, data.test.targets.shape[1] // data.problem.window)  # windows in a row
    windows = np.arange(number) % (each * len(inputs))
    starts = windows % each * data.problem.window
    return inputs[(windows // each)[:, None], starts[:, None] + np.arange(width)]


def _first_rows(split: Batch, rows: int) -> Batch:
    return split._replace(inputs=split.inputs[:rows], targets=split.targets[:rows])


def _cut_steps(split: Batch, steps: int) -> Batch:
    return split._replace(inputs=split.inputs[:, : steps + count_lag(split)], targets=split.targets[:, :steps])
