"""Functions that image data sets share: from stored pixels to inputs that a network takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness import Batch, Data, Problem

Pixels = NDArray[np.generic]


def grey(pixels: Pixels, brightest: float) -> NDArray[np.float32]:
    """Grey images (N, H, W) with values up to `brightest`, as inputs (N, 1, H, W) in [0, 1]."""
    inputs = pixels[:, None].astype(np.float32)
    inputs /= brightest
    return inputs


def standardise(inputs: NDArray[np.float32], mean: float, std: float) -> NDArray[np.float32]:
    """Standardise the inputs in place: the largest of these arrays should exist once."""
    inputs -= mean
    inputs /= std
    return inputs


def classification(train: Batch, valid: Batch, test: Batch, classes: int) -> Data:
    """Splits with inputs (N, C, H, W) float32 and targets (N,) int64 as a problem of that many classes."""
    shape = train.inputs.shape[1:]
    return Data(Problem("classification", shape, classes, len(train.inputs)), train, valid, test)
