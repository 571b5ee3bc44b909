"""CIFAR10-DVS and DVS128 Gesture, in the copies and the layout of tonic (https://tonic.readthedocs.io).

`CIFAR10DVS/CLASS/*.aedat4` below the data folder: tonic reads this format, and needs the package aedat for it. Or as
the authors of CIFAR10-DVS publish it, `CIFAR10DVS/CLASS/*.aedat` or one `CIFAR10DVS/CLASS.zip` each; see `aedat`. There
is no official split: the first 90 % of each class, by number, are for training and the others for testing.
`DVSGesture/ibmGesture{Train,Test}/USER/LABEL.npy`: x, y, polarity and milliseconds of each event; recordings are cut
into gestures already, and the split is the official one, by user. A tenth of the training recordings of either,
stratified by seed, is for validation.

CIFAR10-DVS goes the way of the published OTTT code (https://github.com/pkuxmq/OTTT-SNN, train_cifar10dvs.py), to whose
pictures the constants of its normalisation belong; see `render_picture`. Sources: Li et al., Frontiers in Neuroscience
11:309, 2017; Amir et al., CVPR 2017.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import Data, Folder, HarnessError, Part, Unsupported, members
from harness_data import aedat, events, registry
from harness_data.augment import Augment, Normalise
from harness_data.events import Events, Odd, Split
from harness_data.options import Cifar10DvsOptions, EventOptions, GestureOptions

SIZE = 128, 128
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
GESTURES = 11
TRAIN_SHARE = 0.9
RESIZED = 48
PADDING = 4
NORMALISE = Normalise((0.2728, 0.1295), (0.2225, 0.1290))
INSTALL = 'pip install "harness-bench[events]"'
MICROSECONDS = 1000  # in a millisecond
ONE = 1 << 22  # weights of a resized picture are whole multiples of 1 / ONE


def load_cifar10(config: Cifar10DvsOptions, seed: int, folder: Path) -> Data:
    """Inputs (N, T, 2, 48, 48) uint8, targets (N,) int64. Raises HarnessError naming a bad file."""
    (entry,) = registry.CIFAR10_DVS
    odd: list[Odd] = []
    found = members(dataclasses.replace(entry, partial=config.partial), folder)
    classes = [_select_class(found, name) for name in NAMES]
    cuts = [int(TRAIN_SHARE * len(each)) for each in classes]
    train = _read_pictures([each[:cut] for each, cut in zip(classes, cuts, strict=True)], config, odd)
    test = _read_pictures([each[cut:] for each, cut in zip(classes, cuts, strict=True)], config, odd)
    warning = events.describe_incomplete("cifar10-dvs", [entry], [sum(map(len, classes))])
    loaded = events.build_data(train, test, len(NAMES), seed, warning, odd)
    augment = Augment(NORMALISE, PADDING) if config.augment else None
    return dataclasses.replace(loaded, transform=NORMALISE, augment=augment)


def load_gesture(config: GestureOptions, seed: int, folder: Path) -> Data:
    """Inputs (N, T, 2, 128, 128), targets (N,) int64. Raises HarnessError naming a bad file."""
    odd: list[Odd] = []
    whole = [dataclasses.replace(entry, partial=config.partial) for entry in registry.DVS_GESTURE]
    train, test = (_read_gestures(entry, config, folder, odd) for entry in whole)
    warning = events.describe_incomplete("dvs-gesture", registry.DVS_GESTURE, [len(train.labels), len(test.labels)])
    return events.build_data(train, test, GESTURES, seed, warning, odd)


# --- CIFAR10-DVS --------------------------------------------------------------------------------------------------


def _select_class(found: Sequence[Part], name: str) -> list[Part]:
    """Select the recordings of a class, in the order of their numbers."""
    parts = [part for part in found if part.below.split("/")[-2] == name]
    return sorted(parts, key=lambda part: (int((re.findall(r"\d+", Path(part.name).stem) or ["0"])[-1]), part.name))


def _read_pictures(parts: Sequence[Sequence[Part]], config: EventOptions, odd: list[Odd]) -> Split:
    every = [part for of_class in parts for part in of_class]
    labels = [number for number, of_class in enumerate(parts) for _ in of_class]
    decode = aedat.read if every and every[0].name.endswith(".aedat") else _decode_aedat4
    read = (render_picture(each, RESIZED) for each in events.read_each(every, decode, config, SIZE, odd))
    return Split(events.stack_frames(read, len(every)), np.array(labels, np.int64))


def _decode_aedat4(part: Part) -> Events:
    try:
        from tonic.io import read_aedat4
    except ImportError as error:
        raise Unsupported(f"tonic's copy of CIFAR10-DVS cannot be read here, {error}: {INSTALL}") from error
    part.read()  # refused where it changed since it was verified; the reader wants a path
    try:
        found = read_aedat4(str(part.path))
        time, x, y, polarity = (found[name] for name in found.dtype.names)
    except Exception as error:  # a damaged file may fail in any way
        raise HarnessError(f"not an AEDAT 4 file of events, or damaged: {error}") from error
    return Events(x, y, polarity.astype(np.int64), time.astype(np.int64))


def render_picture(frames: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
    """Render frames (T, 2, H, W) of counts as square pictures (T, 2, size, size) of bytes, as in the published code.

    There a frame becomes an 8-bit picture of brightness and opacity before it is resized. So a count of n is
    255 n modulo 256: 0 stays dark, and 1 and the counts that occur are bright. The brightness of a resized pixel is the
    mean of those that it covers, weighted by their opacity, which is the other polarity. Rounded like the imaging
    library that is used there (Pillow), bit by bit.
    """
    bytes_ = frames * 255 % 256
    opacity = bytes_[:, 1]
    premultiplied = _divide_by_255(bytes_[:, 0] * opacity)
    bright, dense = _resize_images(premultiplied, size), _resize_images(opacity, size)
    weighted = np.minimum(255 * bright // np.maximum(dense, 1), 255)
    return np.stack([np.where(dense == 0, bright, weighted), dense], axis=1).astype(np.uint8)


def _divide_by_255(product: NDArray[np.int64]) -> NDArray[np.int64]:
    """Divide a product of two bytes by 255, rounded."""
    shifted = product + 128
    return (shifted + (shifted >> 8)) >> 8


def _resize_images(images: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Resize bytes (T, H, W) to (T, size, size), rounded after each of both axes: W, then H."""
    across, down = (_resize_weights(length, size) for length in images.shape[:0:-1])
    narrow = _round_sums(images @ across.T)
    return _round_sums(down @ narrow)


def _round_sums(sums: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.clip(np.floor((sums + ONE / 2) / ONE), 0, 255).astype(np.int64)


@functools.cache
def _resize_weights(length: int, size: int) -> NDArray[np.float64]:
    """Weights of `length` pixels in each of `size` resized ones (size, length): a triangle twice as wide as a pixel.

    In whole numbers that add up to ONE, nearly; a float64 holds all sums of them exactly.
    """
    scale = length / size
    centres = (np.arange(size)[:, None] + 0.5) * scale
    distance = np.abs(np.arange(length) + 0.5 - centres) / max(scale, 1)
    weights = np.clip(1 - distance, 0, None)
    return np.floor(weights / weights.sum(axis=1, keepdims=True) * ONE + 0.5)


# --- DVS128 Gesture -----------------------------------------------------------------------------------------------


def _read_gestures(entry: Folder, config: GestureOptions, folder: Path, odd: list[Odd]) -> Split:
    found = members(entry, folder)
    labels = [events.read_label(part, Path(part.name).stem, GESTURES) for part in found]
    read = events.read_each(found, _decode_gesture, config, SIZE, odd)
    return Split(events.stack_frames(read, len(found)), np.array(labels, np.int64))


def _decode_gesture(part: Part) -> Events:
    try:
        found = np.load(io.BytesIO(part.read()), allow_pickle=False)
    except (ValueError, EOFError, MemoryError, OverflowError) as error:
        raise HarnessError(f"not a numpy array of numbers, or damaged: {error}") from error
    if found.ndim != 2 or found.shape[1] != 4 or found.dtype.kind not in "iuf":
        raise HarnessError(f"an array of {found.dtype} of shape {found.shape}, expected numbers (events, 4)")
    if not np.isfinite(found).all():
        raise HarnessError("an array that holds numbers that are not finite")
    x, y, polarity, time = found.T.astype(np.int64)
    return Events(x, y, polarity, time * MICROSECONDS)
