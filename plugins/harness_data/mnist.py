"""MNIST and Fashion-MNIST in their official files, `mnist/*.gz` and `fashion-mnist/*.gz` below the data folder.

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
MNIST = 0.1307, 0.3081
FASHION = 0.2860, 0.3530
CLASSES = 10
VALID = 5000


def load(config: DataOptions, seed: int, folder: Path) -> Data:
    """Inputs (N, 1, 28, 28) float32, targets (N,) int64. Raises HarnessError naming a bad file."""
    del config
    return _data(folder / "mnist", seed, *MNIST)


def load_fashion(config: DataOptions, seed: int, folder: Path) -> Data:
    """Inputs (N, 1, 28, 28) float32, targets (N,) int64. Raises HarnessError naming a bad file."""
    del config
    return _data(folder / "fashion-mnist", seed, *FASHION)


def _data(folder: Path, seed: int, mean: float, std: float) -> Data:
    images, labels = _read(folder, "train")
    if len(labels) <= VALID:
        raise HarnessError(f"{folder}: {len(labels)} training rows, expected more than the {VALID} for validation")
    train, held_out = stratified_split(labels, {"valid": VALID}, seed)
    valid = held_out["valid"]

    def batch(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Batch:
        return Batch(standardise(grey(images, BRIGHTEST), mean, std), labels)

    return classification(
        batch(images[train], labels[train]),
        batch(images[valid], labels[valid]),
        batch(*_read(folder, "t10k")),
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
