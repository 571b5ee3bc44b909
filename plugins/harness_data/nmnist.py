"""N-MNIST in its official files, `nmnist/{Train,Test}/LABEL/*.bin` below the data folder, or in tonic's `NMNIST`.

Digits of MNIST on a screen, seen by an event camera that moves. An event is five bytes: x, y, and from the top the
polarity bit and 23 bits of microseconds. The 10,000 test recordings are the official ones; a tenth of the others,
stratified by seed, is for validation. Frames are made while loading.
Source: Orchard et al., Frontiers in Neuroscience 9:437, 2015.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from harness import Data, Folder, HarnessError, Part, members
from harness_data import events, registry
from harness_data.events import Events, Odd, Split
from harness_data.options import EventOptions

SIZE = 34, 34
CLASSES = 10
EVENT_BYTES = 5


def load(config: EventOptions, seed: int, folder: Path) -> Data:
    """Inputs (N, T, 2, 34, 34), targets (N,) int64. Raises HarnessError naming a bad file."""
    odd: list[Odd] = []
    whole = [dataclasses.replace(entry, partial=config.partial) for entry in registry.NMNIST]
    train, test = (_read_split(entry, config, folder, odd) for entry in whole)
    warning = events.describe_incomplete("nmnist", registry.NMNIST, [len(train.labels), len(test.labels)])
    return events.build_data(train, test, CLASSES, seed, warning, odd)


def _read_split(entry: Folder, config: EventOptions, folder: Path, odd: list[Odd]) -> Split:
    found = members(entry, folder)
    labels = [events.read_label(part, part.below.split("/")[-2], CLASSES) for part in found]
    read = events.read_each(found, _decode_events, config, SIZE, odd)
    return Split(events.stack_frames(read, len(found)), np.array(labels, np.int64))


def _decode_events(part: Part) -> Events:
    content = part.read()
    if len(content) % EVENT_BYTES:
        raise HarnessError(f"truncated: {len(content)} bytes, expected a multiple of {EVENT_BYTES}")
    columns = np.frombuffer(content, np.uint8).reshape(-1, EVENT_BYTES).T.astype(np.int64)
    x, y, high, middle, low = columns
    return Events(x, y, high >> 7, (high & 0x7F) << 16 | middle << 8 | low)
