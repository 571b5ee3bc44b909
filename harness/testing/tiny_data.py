"""Tiny generated data of each kind: what the checks of the contract kit train on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from harness.seeds import derive
from harness.types import Batch, Data, Problem

TRAIN, HELD_OUT = 32, 12
BATCH = 8
CLASSES = 3
VOCABULARY = 7
WINDOW = 8


def list_data_sets(kind: str) -> Sequence[Callable[[], Data]]:
    """Data sets of this kind in the shapes that methods commonly take, most common first; none for an unknown kind."""
    return _KINDS.get(kind, ())


def _make_classes(shape: tuple[int, ...], time_axis: bool = False) -> Data:
    """Gaussian clouds around one centre per class."""
    random = np.random.default_rng(derive(0, "classes"))
    centres = random.normal(size=(CLASSES, *shape))

    def draw_split(rows: int) -> Batch:
        targets = np.arange(rows) % CLASSES
        inputs = centres[targets] + 0.5 * random.normal(size=(rows, *shape))
        return Batch(inputs.astype(np.float32), targets.astype(np.int64))

    problem = Problem("classification", shape, CLASSES, TRAIN, time_axis=time_axis)
    return Data(problem, draw_split(TRAIN), draw_split(HELD_OUT), draw_split(HELD_OUT))


def _make_line() -> Data:
    """A noisy linear function, standardised."""
    random = np.random.default_rng(derive(0, "line"))
    slope = random.normal(size=6)
    slope /= np.linalg.norm(slope)

    def draw_split(rows: int) -> Batch:
        inputs = random.normal(size=(rows, 6))
        targets = 0.9 * inputs @ slope + 0.4 * random.normal(size=rows)
        return Batch(inputs.astype(np.float32), targets.astype(np.float32))

    problem = Problem("regression", (6,), 1, TRAIN, target_mean=3.0, target_scale=2.0)
    return Data(problem, draw_split(TRAIN), draw_split(HELD_OUT), draw_split(HELD_OUT))


def _make_tokens() -> Data:
    """A text in which a token is followed by its successor nine times out of ten."""
    random = np.random.default_rng(derive(0, "tokens"))

    def draw_split(rows: int, length: int) -> Batch:
        steps = np.where(random.random((rows, length)) < 0.9, 1, random.integers(VOCABULARY, size=(rows, length)))
        tokens = (np.cumsum(steps, axis=1) % VOCABULARY).astype(np.int64)
        return Batch(tokens, tokens[:, 1:])

    tokens = BATCH * WINDOW * 4
    problem = Problem("language", (), VOCABULARY, tokens, order="contiguous", window=WINDOW)
    return Data(problem, draw_split(1, tokens + 1), draw_split(2, 33), draw_split(2, 33))


_KINDS: Mapping[str, Sequence[Callable[[], Data]]] = {
    "classification": (
        partial(_make_classes, (1, 8, 8)),
        partial(_make_classes, (12,)),
        partial(_make_classes, (4, 12), time_axis=True),
    ),
    "regression": (_make_line,),
    "language": (_make_tokens,),
}
