"""Whether the rows of one trial, on its device and as many as were asked for, can be trained on."""

from __future__ import annotations

from harness.data.soundness import iterate_splits
from harness.errors import HarnessError
from harness.types import Array, Data
from harness.words import format_count

FLOATING = ("classification", "regression")  # kinds whose inputs are numbers, not tokens


def require_float32(label: str, data: Data) -> Data:
    """The same data, on their device. Raises HarnessError for inputs that are not float32 by then, tokens apart.

    label: the data set's. A transform may turn bytes into float32, so that the arrays as loaded do not say.
    """
    if data.problem.kind in FLOATING:
        for name, split in iterate_splits(data):
            found = str(split.inputs.dtype).rpartition(".")[2]  # numpy says float64, torch.float64 torch
            if found != "float32":
                raise HarnessError(f"data set {label}: inputs of {name} are {found}; expected float32")
    return data


def require_trainable(label: str, data: Data, batch_size: int) -> Data:
    """The same data. Raises HarnessError for rows that are too few, or too much alike, to train on: one alone, targets
    of regression that are all one number, a stream too short for a window in each of `batch_size` streams.
    """
    contiguous = data.problem.order == "contiguous"
    if (
        reason := _explain_too_short(data, batch_size)
        if contiguous
        else _explain_too_few(data.train.targets, data.problem.kind)
    ):
        raise HarnessError(f"data set {label}: the train split has {reason}")
    return data


def _explain_too_short(data: Data, batch_size: int) -> str:
    steps, window = data.train.targets.shape[1], data.problem.window
    if steps // batch_size >= window:
        return ""
    return (
        f"{format_count(steps, 'step')}, {steps // batch_size:,} for each of {format_count(batch_size, 'stream')}, "
        f"fewer than the {window} of a window; take more rows or a smaller batch size"
    )


def _explain_too_few(targets: Array, kind: str) -> str:
    """Why nothing can be learnt from these targets (N,), if so."""
    if len(targets) < 2:
        return "1 row, expected at least 2; take more rows"
    if kind == "regression" and float(targets.min()) == float(targets.max()):
        return f"the target {float(targets[0]):g} in all of its {len(targets):,} rows, expected different numbers"
    return ""
