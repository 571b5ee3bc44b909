"""Recordings of events in their official formats, written without the readers under test."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

Event = tuple[int, int, int, int]  # x, y, polarity, microseconds


def bin_bytes(events: Iterable[Event]) -> bytes:
    """N-MNIST: 8 bits of x, 8 of y, 1 of polarity, 23 of time, the highest first."""
    return b"".join((x << 32 | y << 24 | p << 23 | t).to_bytes(5, "big") for x, y, p, t in events)


def random_events(count: int, seed: int, side: int = 34) -> list[Event]:
    random = np.random.default_rng(seed)
    times = np.sort(random.integers(300_000, size=count))
    columns = (
        random.integers(side, size=count),
        random.integers(side, size=count),
        random.integers(2, size=count),
        times,
    )
    return [tuple(int(value) for value in event) for event in zip(*columns, strict=True)]


def write_nmnist(folder: Path, train: int = 2, test: int = 1, count: int = 50) -> dict[str, list[Event]]:
    """So many recordings of each label in both folders; returns their events by path below the data folder."""
    written: dict[str, list[Event]] = {}
    for split, each in (("Train", train), ("Test", test)):
        for number in range(10 * each):
            path = f"nmnist/{split}/{number % 10}/{number:05}.bin"
            written[path] = random_events(count, len(written))
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(bin_bytes(written[path]))
    return written


def slow_frames(events: Iterable[Event], steps: int, by: str, side: int) -> np.ndarray:
    """Counts (steps, 2, side, side), event by event."""
    events = list(events)
    counts = np.zeros((steps, 2, side, side), np.int64)
    each = len(events) // steps if by == "number" else (events[-1][3] - events[0][3]) // steps
    for place, (x, y, polarity, time) in enumerate(events):
        past = place if by == "number" else time - events[0][3]
        counts[min(past // each, steps - 1), polarity, y, x] += 1
    return counts
