"""Training and validation rows as one split, for a network that is trained anew once validation has chosen."""

from __future__ import annotations

import dataclasses

from harness.types import Array, Batch, Data

READING = "refit"


def join_validation(data: Data) -> Data:
    """The data whose training split holds the validation rows, too, after its own; no validation row is left.

    A stream goes on with the validation text, row by row. Targets keep the scale that the training rows alone gave
    them; the reading `refit` says so. Test and shifted rows stay as they are.
    """
    contiguous = data.problem.order == "contiguous"
    train = _join_stream(data.train, data.valid) if contiguous else _join_rows(data.train, data.valid)
    size = train.targets.shape[1] if contiguous else len(train.inputs)
    return dataclasses.replace(
        data,
        problem=dataclasses.replace(data.problem, train_size=size),
        train=train,
        valid=data.valid._replace(inputs=data.valid.inputs[:0], targets=data.valid.targets[:0]),
        readings={**data.readings, READING: "training and validation rows joined as loaded, none standardised anew"},
    )


def _join_rows(train: Batch, valid: Batch) -> Batch:
    return train._replace(
        inputs=_join_arrays(train.inputs, valid.inputs), targets=_join_arrays(train.targets, valid.targets)
    )


def _join_stream(train: Batch, valid: Batch) -> Batch:
    """One row (1, L) of tokens with its targets (1, L - 1), the tokens that follow."""
    tokens = _join_arrays(train.inputs.reshape(-1), valid.inputs.reshape(-1))[None]
    return train._replace(inputs=tokens, targets=tokens[:, 1:])


def _join_arrays(first: Array, second: Array) -> Array:
    import numpy as np

    return np.concatenate([first, second])
