"""Images as sequences: digits and MNIST with the same splits, seeds and standardisation as `digits` and `mnist`.

As rows, step t is row t of the image, from the top; as pixels, step t is pixel t, row by row (sequential MNIST). With
`pool=p` squares of p x p pixels are averaged first. With `permuted=yes` the steps of all images stand in one and the
same order, drawn by numpy's default generator from the constant `PERMUTATION` = 28, whatever the seed of the trial.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import Data, DataOptions
from harness_data import digits, mnist
from harness_data.options import MnistPixelsOptions

PERMUTATION = 28

Inputs = NDArray[np.float32]


def load_digit_rows(config: DataOptions, seed: int, folder: Path) -> Data:
    """Inputs (N, 8, 8) float32: steps, pixels of a row. Targets (N,) int64."""
    return _build_sequences(digits.load(config, seed, folder), rows)


def load_digit_pixels(config: DataOptions, seed: int, folder: Path) -> Data:
    """Inputs (N, 64, 1) float32, targets (N,) int64."""
    return _build_sequences(digits.load(config, seed, folder), pixels)


def load_mnist_rows(config: DataOptions, seed: int, folder: Path) -> Data:
    """Inputs (N, 28, 28) float32: steps, pixels of a row. Targets (N,) int64. Raises HarnessError naming a bad file."""
    return _build_sequences(mnist.load(config, seed, folder), rows)


def load_mnist_pixels(config: MnistPixelsOptions, seed: int, folder: Path) -> Data:
    """Inputs (N, (28 / pool)^2, 1) float32, targets (N,) int64. Raises HarnessError naming a bad file."""

    def steps(images: Inputs) -> Inputs:
        series = pixels(pool_pixels(images, config.pool))
        return series[:, draw_permutation(series.shape[1])] if config.permuted else series

    return _build_sequences(mnist.load(config, seed, folder), steps)


def rows(images: Inputs) -> Inputs:
    """Images (N, 1, H, W) as H steps of W numbers, (N, H, W)."""
    return images[:, 0]


def pixels(images: Inputs) -> Inputs:
    """Images (N, 1, H, W) as H W steps of one number, (N, H W, 1)."""
    return images.reshape(len(images), -1, 1)


def pool_pixels(images: Inputs, size: int) -> Inputs:
    """Pool squares of size x size pixels to their means, (N, 1, H, W) to (N, 1, H / size, W / size)."""
    count, _, height, width = images.shape
    squares = images.reshape(count, 1, height // size, size, width // size, size)
    return squares.mean(axis=(3, 5)) if size > 1 else images


def draw_permutation(steps: int) -> NDArray[np.int64]:
    """Draw the step of the image that stands at each step of the sequence, (steps,): the same for every seed."""
    return np.random.default_rng(PERMUTATION).permutation(steps)


def _build_sequences(data: Data, steps: Callable[[Inputs], Inputs]) -> Data:
    """Build data with the images (N, 1, H, W) as sequences (N, T, d)."""
    splits = {name: getattr(data, name) for name in ("train", "valid", "test")}
    changed = {name: split._replace(inputs=steps(split.inputs)) for name, split in splits.items()}
    shape = changed["train"].inputs.shape[1:]
    return dataclasses.replace(
        data, problem=dataclasses.replace(data.problem, input_shape=shape, time_axis=True), **changed
    )
