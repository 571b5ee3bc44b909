"""CIFAR10-DVS and DVS128 Gesture, in the copies and the layout of tonic (https://tonic.readthedocs.io).

`CIFAR10DVS/CLASS/*.aedat4` below the data folder: tonic reads this format, and needs the package aedat for it. There is
no official split: the first 90 % of each class, by number, are for training and the others for testing.
`DVSGesture/ibmGesture{Train,Test}/USER/LABEL.npy`: x, y, polarity and milliseconds of each event; recordings are cut
into gestures already, and the split is the official one, by user. A tenth of the training recordings of either,
stratified by seed, is for validation.

CIFAR10-DVS goes the way of the published OTTT code (https://github.com/pkuxmq/OTTT-SNN, train_cifar10dvs.py), to whose
pictures the constants of its normalisation belong; see `picture`. Sources: Li et al., Frontiers in Neuroscience 11:309,
2017; Amir et al., CVPR 2017.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import Data, Folder, HarnessError
from harness_data import events, registry
from harness_data.augment import Augment, Normalise
from harness_data.events import Events, Split
from harness_data.options import Cifar10DvsOptions, EventOptions, GestureOptions

SIZE = 128, 128
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
GESTURES = 11
TRAIN_SHARE = 0.9
RESIZED = 48
PADDING = 4
NORMALISE = Normalise((0.2728, 0.1295), (0.2225, 0.1290))
MICROSECONDS = 1000  # in a millisecond
ONE = 1 << 22  # weights of a resized picture are whole multiples of 1 / ONE


def load_cifar10(config: Cifar10DvsOptions, seed: int, folder: Path) -> Data:
    """Inputs (N, T, 2, 48, 48) uint8, targets (N,) int64. Raises HarnessError naming a bad file."""
    (entry,) = registry.CIFAR10_DVS
    paths = [_class_files(entry, folder, name) for name in NAMES]
    cuts = [int(TRAIN_SHARE * len(each)) for each in paths]
    train = _pictures([each[:cut] for each, cut in zip(paths, cuts, strict=True)], config)
    test = _pictures([each[cut:] for each, cut in zip(paths, cuts, strict=True)], config)
    warning = events.incomplete("cifar10-dvs", [entry], [sum(map(len, paths))])
    loaded = events.data(train, test, len(NAMES), seed, warning)
    augment = Augment(NORMALISE, PADDING) if config.augment else None
    return dataclasses.replace(loaded, transform=NORMALISE, augment=augment)


def load_gesture(config: GestureOptions, seed: int, folder: Path) -> Data:
    """Inputs (N, T, 2, 128, 128), targets (N,) int64. Raises HarnessError naming a bad file."""
    train, test = (_gestures(entry, config, folder) for entry in registry.DVS_GESTURE)
    warning = events.incomplete("dvs-gesture", registry.DVS_GESTURE, [len(train.labels), len(test.labels)])
    return events.data(train, test, GESTURES, seed, warning)


# --- CIFAR10-DVS --------------------------------------------------------------------------------------------------


def _class_files(entry: Folder, folder: Path, name: str) -> list[Path]:
    """The recordings of a class in the order of their numbers."""
    paths = (folder / entry.path / name).glob(Path(entry.pattern).name)
    return sorted(paths, key=lambda path: (int((re.findall(r"\d+", path.stem) or ["0"])[-1]), path.name))


def _pictures(paths: Sequence[Sequence[Path]], config: EventOptions) -> Split:
    def read(path: Path) -> NDArray[np.uint8]:
        return picture(events.frames(_aedat4(path), config.steps, config.frames, SIZE), RESIZED)

    every = [path for of_class in paths for path in of_class]
    labels = [number for number, of_class in enumerate(paths) for _ in of_class]
    return Split(events.stacked(events.read_each(every, read), len(every)), np.array(labels, np.int64))


def _aedat4(path: Path) -> Events:
    from tonic.io import read_aedat4

    try:
        found = read_aedat4(str(path))
        time, x, y, polarity = (found[name] for name in found.dtype.names)
    except Exception as error:  # whatever the reader makes of a damaged file
        raise HarnessError(f"not an AEDAT 4 file of events, or damaged: {error}") from error
    return Events(x, y, polarity.astype(np.int64), time.astype(np.int64))


def picture(frames: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
    """Frames (T, 2, H, W) of counts as square pictures (T, 2, size, size) of bytes, as in the published code.

    There a frame becomes an 8-bit picture of brightness and opacity before it is resized. So a count of n is
    255 n modulo 256: 0 stays dark, and 1 and the counts that occur are bright. The brightness of a resized pixel is the
    mean of those that it covers, weighted by their opacity, which is the other polarity. Rounded like the imaging
    library that is used there (Pillow), bit by bit.
    """
    bytes_ = frames * 255 % 256
    opacity = bytes_[:, 1]
    premultiplied = _over_255(bytes_[:, 0] * opacity)
    bright, dense = _resized(premultiplied, size), _resized(opacity, size)
    weighted = np.minimum(255 * bright // np.maximum(dense, 1), 255)
    return np.stack([np.where(dense == 0, bright, weighted), dense], axis=1).astype(np.uint8)


def _over_255(product: NDArray[np.int64]) -> NDArray[np.int64]:
    """A product of two bytes divided by 255, rounded."""
    shifted = product + 128
    return (shifted + (shifted >> 8)) >> 8


def _resized(images: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Bytes (T, H, W) resized to (T, size, size), rounded after each of both axes: W, then H."""
    across, down = (_weights(length, size) for length in images.shape[:0:-1])
    narrow = _rounded(images @ across.T)
    return _rounded(down @ narrow)


def _rounded(sums: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.clip(np.floor((sums + ONE / 2) / ONE), 0, 255).astype(np.int64)


@functools.cache
def _weights(length: int, size: int) -> NDArray[np.float64]:
    """How much each of `length` pixels counts for each of `size` (size, length): a triangle twice as wide as a pixel.

    In whole numbers that add up to ONE, nearly; a float64 holds all sums of them exactly.
    """
    scale = length / size
    centres = (np.arange(size)[:, None] + 0.5) * scale
    distance = np.abs(np.arange(length) + 0.5 - centres) / max(scale, 1)
    weights = np.clip(1 - distance, 0, None)
    return np.floor(weights / weights.sum(axis=1, keepdims=True) * ONE + 0.5)


# --- DVS128 Gesture -----------------------------------------------------------------------------------------------


def _gestures(entry: Folder, config: GestureOptions, folder: Path) -> Split:
    def read(path: Path) -> NDArray[np.int64]:
        return events.frames(_gesture(path), config.steps, config.frames, SIZE)

    paths = sorted((folder / entry.path).glob(entry.pattern))
    labels = [events.label(path, path.stem, GESTURES) for path in paths]
    return Split(events.stacked(events.read_each(paths, read), len(paths)), np.array(labels, np.int64))


def _gesture(path: Path) -> Events:
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise HarnessError(f"not a numpy array of numbers, or damaged: {error}") from error
    if found.ndim != 2 or found.shape[1] != 4:
        raise HarnessError(f"an array of shape {found.shape}, expected (events, 4)")
    x, y, polarity, time = found.T.astype(np.int64)
    return Events(x, y, polarity, time * MICROSECONDS)
