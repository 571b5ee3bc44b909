"""Classification with test splits of another distribution: classes never seen, noise, other pictures, turned pictures.

`digits-shifted`: trained and tested on the digits 0 to 4, asked about 5 to 9 and about uniform noise. `mnist-shifted`:
MNIST as `mnist` has it, asked about uniform noise, about its own test images turned by a quarter (whose classes are
known), and with `fashion=yes` about the test images of Fashion-MNIST. Rows that belong to no class have the target
`NO_CLASS`; all are standardised with the numbers of the training rows.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import NO_CLASS, Batch, Data, DataOptions, derive
from harness_data import digits, mnist
from harness_data.images import classification, standardise
from harness_data.options import MnistShiftedOptions
from harness_data.tabular import Split, class_split

KNOWN = 5  # digits below it are classes


def load_digits(config: DataOptions, seed: int, folder: Path) -> Data:
    """Inputs (N, 1, 8, 8) float32, targets (N,) int64; splits `digits-5-9`, `noise`."""
    del config, folder
    return _build_digits(seed, joined=False)


def refit_digits(config: DataOptions, seed: int, folder: Path) -> Data:
    """The same with training and validation rows together."""
    del config, folder
    return _build_digits(seed, joined=True)


def load_mnist(config: MnistShiftedOptions, seed: int, folder: Path) -> Data:
    """Inputs (N, 1, 28, 28) float32, targets (N,) int64; splits `noise`, `rotated` and, where asked for, `fashion`."""
    data = mnist.load(config, seed, folder)
    test = data.test
    shifted = {
        "noise": mark_unclassed(standardise(draw_noise(test.inputs.shape, seed), *mnist.MNIST)),
        "rotated": Batch(np.ascontiguousarray(np.rot90(test.inputs, axes=(2, 3))), test.targets),
    }
    if config.fashion:
        shifted["fashion"] = mark_unclassed(standardise(mnist.fashion_test(folder), *mnist.MNIST))
    return dataclasses.replace(data, shifted=shifted)


def _build_digits(seed: int, joined: bool) -> Data:
    inputs, targets = digits.read()
    known = np.flatnonzero(targets < KNOWN)
    split = class_split(targets[known], seed)
    split = Split(*(known[rows] for rows in (split.joined() if joined else split)))
    mean, std = float(inputs[split.train].mean()), float(inputs[split.train].std())
    standardise(inputs, mean, std)
    shape = inputs[split.test].shape
    shifted = {
        "digits-5-9": mark_unclassed(inputs[targets >= KNOWN]),
        "noise": mark_unclassed(standardise(draw_noise(shape, seed), mean, std)),
    }
    train, valid, test = (Batch(inputs[rows], targets[rows]) for rows in split)
    return dataclasses.replace(classification(train, valid, test, KNOWN), shifted=shifted)


def draw_noise(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Draw pixels that are uniform in [0, 1), all independent."""
    return np.random.default_rng(derive(seed, "noise")).random(shape, np.float32)


def mark_unclassed(inputs: NDArray[np.float32]) -> Batch:
    """Mark rows that belong to no class."""
    return Batch(inputs, np.full(len(inputs), NO_CLASS))
