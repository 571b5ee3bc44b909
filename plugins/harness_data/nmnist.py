"""N-MNIST in its official files, `nmnist/{Train,Test}/LABEL/*.bin` below the data folder.

Digits of MNIST on a screen, seen by an event camera that moves. An event is five bytes: x, y, and from the top the
polarity bit and 23 bits of microseconds. The 10,000 test recordings are the official ones; a tenth of the others,
stratified by seed, is for validation. Frames are made while loading.
Source: Orchard et al., Frontiers in Neuroscience 9:437, 2015.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import Data, Folder, HarnessError
from harness_data import events, registry
from harness_data.events import Events, Split
from harness_data.options import EventOptions

SIZE = 34, 34
CLASSES = 10
EVENT_BYTES = 5


def load(config: EventOptions, seed: int, folder: Path) -> Data:
    """Inputs (N, T, 2, 34, 34), targets (N,) int64. Raises HarnessError naming a bad file."""
    train, test = (_split(entry, config, folder) for entry in registry.NMNIST)
    warning = events.incomplete("nmnist", registry.NMNIST, [len(train.labels), len(test.labels)])
    return events.data(train, test, CLASSES, seed, warning)


def _split(entry: Folder, config: EventOptions, folder: Path) -> Split:
    paths = sorted((folder / entry.path).glob(entry.pattern))
    labels = [events.label(path, path.parent.name, CLASSES) for path in paths]
    read = events.read_each(paths, partial(_frames, config))
    return Split(events.stacked(read, len(paths)), np.array(labels, np.int64))


def _frames(config: EventOptions, path: Path) -> NDArray[np.int64]:
    return events.frames(_decoded(path.read_bytes()), config.steps, config.frames, SIZE)


def _decoded(content: bytes) -> Events:
    if len(content) % EVENT_BYTES:
        raise HarnessError(f"truncated: {len(content)} bytes, expected a multiple of {EVENT_BYTES}")
    columns = np.frombuffer(content, np.uint8).reshape(-1, EVENT_BYTES).T.astype(np.int64)
    x, y, high, middle, low = columns
    return Events(x, y, high >> 7, (high & 0x7F) << 16 | middle << 8 | low)
