"""MNIST in its official files, `mnist/*.gz` below the data folder.

The 10,000 test rows are the official ones. Of the 60,000 others, 5,000 stratified by seed are for validation. Pixels
are divided by 255 and standardised with the customary mean and standard deviation of all training images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import Batch, Data, DataOptions, HarnessError
from harness_data import idx
from harness_data.images import classification, grey, standardise
from harness_data.splits import stratified_split

BRIGHTEST = 255.0
MEAN, STD = 0.1307, 0.3081
CLASSES = 10
VALID = 5000


def load(config: DataOptions, seed: int, folder: Path) -> Data:
    """Inputs (N, 1, 28, 28) float32, targets (N,) int64. Raises HarnessError naming a bad file."""
    del config
    images, labels = _read(folder / "mnist", "train")
    if len(labels) <= VALID:
        raise HarnessError(
            f"{folder / 'mnist'}: {len(labels)} training rows, expected more than the {VALID} for validation"
        )
    train, held_out = stratified_split(labels, {"valid": VALID}, seed)
    valid = held_out["valid"]
    return classification(
        _batch(images[train], labels[train]),
        _batch(images[valid], labels[valid]),
        _batch(*_read(folder / "mnist", "t10k")),
        CLASSES,
    )


def _read(folder: Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pixels (N, 28, 28) and labels (N,) of the official split "train" or "t10k"."""
    images = idx.read(folder / f"{split}-images-idx3-ubyte.gz", 3)
    path = folder / f"{split}-labels-idx1-ubyte.gz"
    labels = idx.read(path, 1).astype(np.int64)
    if len(labels) != len(images):
        raise HarnessError(f"{path}: {len(labels)} labels, expected {len(images)}, one for each image beside it")
    if labels.size and labels.max() >= CLASSES:
        raise HarnessError(f"{path}: a label of {labels.max()}, expected 0 to {CLASSES - 1}")
    return images, labels


def _batch(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Batch:
    return Batch(standardise(grey(images, BRIGHTEST), MEAN, STD), labels)
