"""CIFAR-10 and CIFAR-100 in their official files, `cifar-10-batches-py/` and `cifar-100-python/` in the data folder.

The 10,000 test images are the official ones. A tenth of the training images, stratified by seed, are for validation.
Pixels travel as bytes and are normalised on the device, both data sets with the constants that are customary for
CIFAR-10. Training images are cropped at random after padding by 4, partly cut out, and flipped; see `augment`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import Batch, Data, HarnessError, located
from harness_data import pickles, registry
from harness_data.augment import Augment, Normalise
from harness_data.images import classification
from harness_data.options import Cifar10Options, CifarOptions
from harness_data.splits import hold_out_tenth

SHAPE = (3, 32, 32)
NORMALISE = Normalise((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
PADDING = 4

Images = tuple[NDArray[np.uint8], NDArray[np.int64]]


def load10(config: Cifar10Options, seed: int, folder: Path) -> Data:
    """Inputs (N, 3, 32, 32) uint8, targets (N,) int64. Raises HarnessError naming a bad file."""
    *batches, test, meta = (located(file, folder) for file in registry.cifar10(config.batches))
    classes = _count_classes(meta, b"label_names", 10)
    parts = [_read_images(batch, b"labels", classes) for batch in batches]
    return _build_data(_join_parts(parts), _read_images(test, b"labels", classes), classes, seed, config.augment)


def load100(config: CifarOptions, seed: int, folder: Path) -> Data:
    """Inputs (N, 3, 32, 32) uint8, fine targets (N,) int64. Raises HarnessError naming a bad file."""
    train, test, meta = (located(file, folder) for file in registry.CIFAR100)
    classes = _count_classes(meta, b"fine_label_names", 100)
    kept, held_out = (_read_images(path, b"fine_labels", classes) for path in (train, test))
    return _build_data(kept, held_out, classes, seed, config.augment)


def _build_data(train: Images, test: Images, classes: int, seed: int, augment: bool) -> Data:
    images, labels = train
    rows, held_out = hold_out_tenth(labels, seed)
    kept, valid = (Batch(images[part], labels[part]) for part in (rows, held_out))
    return dataclasses.replace(
        classification(kept, valid, Batch(*test), classes),
        transform=NORMALISE,
        augment=Augment(NORMALISE, PADDING, flip=True, cutout=True) if augment else None,
    )


def _join_parts(parts: Sequence[Images]) -> Images:
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _read_images(path: Path, key: bytes, classes: int) -> Images:
    """Read the images (N, 3, 32, 32) and labels (N,) of one file. Raises HarnessError for anything else."""
    content = pickles.read(path)
    pixels, labels = _read_entry(path, content, b"data", np.ndarray), _read_entry(path, content, key, list)
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != np.prod(SHAPE):
        raise HarnessError(f"{path}: data are {pixels.dtype} of shape {pixels.shape}, expected uint8 (N, 3072)")
    if len(labels) != len(pixels):
        raise HarnessError(f"{path}: {len(labels)} labels, expected {len(pixels)}, one for each image")
    if wrong := [label for label in labels if type(label) is not int or not 0 <= label < classes]:
        raise HarnessError(f"{path}: a label of {wrong[0]!r}, expected 0 to {classes - 1}")
    return pixels.reshape(-1, *SHAPE), np.array(labels, np.int64)


def _count_classes(path: Path, key: bytes, expected: int) -> int:
    """Count the classes that a file of names lists, which must be as many as expected."""
    names = _read_entry(path, pickles.read(path), key, list)
    if len(names) != expected:
        raise HarnessError(f"{path}: names {len(names)} classes, expected {expected}")
    return expected


def _read_entry(path: Path, content: dict[bytes, Any], key: bytes, kind: type) -> Any:
    value = content.get(key)
    if not isinstance(value, kind):
        found = "nothing" if value is None else f"a {type(value).__name__}"
        raise HarnessError(f"{path}: {key.decode()} holds {found}, expected a {kind.__name__}")
    return value
