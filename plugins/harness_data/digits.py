"""Handwritten digits of 8x8 pixels with values 0 to 16, as scikit-learn ships them.

There is no official split: 359 rows are for testing and as many for validation, stratified by seed, and 1,079 are left
for training. Pixels are divided by 16 and standardised with the mean and standard deviation of the training rows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import Batch, Data, DataOptions
from harness_data.images import classification, grey, standardise
from harness_data.splits import stratified_split

BRIGHTEST = 16.0
CLASSES = 10
HELD_OUT = 359  # a fifth


def load(config: DataOptions, seed: int, folder: Path) -> Data:
    """Inputs (N, 1, 8, 8) float32, targets (N,) int64."""
    del config, folder
    inputs, targets = read()
    kept, held_out = stratified_split(targets, {"test": HELD_OUT, "valid": HELD_OUT}, seed)
    standardise(inputs, float(inputs[kept].mean()), float(inputs[kept].std()))
    train, valid, test = (Batch(inputs[rows], targets[rows]) for rows in (kept, held_out["valid"], held_out["test"]))
    return classification(train, valid, test, CLASSES)


def read() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All images (N, 1, 8, 8) in [0, 1] and their digits (N,)."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return grey(bunch.images, BRIGHTEST), bunch.target.astype(np.int64)
