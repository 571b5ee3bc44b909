"""MNIST and Fashion-MNIST in their official files, `mnist/*.gz` and `fashion-mnist/*.gz` below the data folder.

The same files are taken uncompressed, compressed otherwise, and where torchvision puts them (`registry`).

The 10,000 test rows are the official ones. Of the 60,000 others, 5,000 stratified by seed are for validation. Pixels
are divided by 255 and standardised with the customary mean and standard deviation of all training images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import Batch, Data, DataOptions, File, HarnessError, located
from harness_data import idx, registry
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
    return _build_data(registry.MNIST, folder, seed, *MNIST)


def load_fashion(config: DataOptions, seed: int, folder: Path) -> Data:
    """Inputs (N, 1, 28, 28) float32, targets (N,) int64. Raises HarnessError naming a bad file."""
    del config
    return _build_data(registry.FASHION_MNIST, folder, seed, *FASHION)


def fashion_test(folder: Path) -> NDArray[np.float32]:
    """The 10,000 test images of Fashion-MNIST (N, 1, 28, 28) in [0, 1]. Raises HarnessError naming a bad file."""
    images, labels = (located(file, folder) for file in registry.FASHION_MNIST[2:])
    return grey(_read_split(images, labels)[0], BRIGHTEST)


def _build_data(files: Sequence[File], folder: Path, seed: int, mean: float, std: float) -> Data:
    train_images, train_labels, test_images, test_labels = (located(file, folder) for file in files)
    images, labels = _read_split(train_images, train_labels)
    if len(labels) <= VALID:
        raise HarnessError(
            f"{train_labels}: {len(labels)} training rows, expected more than the {VALID} for validation"
        )
    train, held_out = stratified_split(labels, {"valid": VALID}, seed)
    valid = held_out["valid"]

    def batch(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Batch:
        return Batch(standardise(grey(images, BRIGHTEST), mean, std), labels)

    return classification(
        batch(images[train], labels[train]),
        batch(images[valid], labels[valid]),
        batch(*_read_split(test_images, test_labels)),
        CLASSES,
    )


def _read_split(images_path: Path, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read the pixels (N, 28, 28) and labels (N,) of an official split."""
    images = idx.read(images_path, 3)
    labels = idx.read(path, 1).astype(np.int64)
    if len(labels) != len(images):
        raise HarnessError(f"{path}: {len(labels)} labels, expected {len(images)}, one for each image beside it")
    if labels.size and labels.max() >= CLASSES:
        raise HarnessError(f"{path}: a label of {labels.max()}, expected 0 to {CLASSES - 1}")
    return images, labels
