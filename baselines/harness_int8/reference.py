"""Rounding to eight bits as its equations say, number by number in float64, for tests of the method."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def quantise_rows(weight: Array) -> tuple[NDArray[np.int8], Array]:
    """Q (n, m) and s (n, 1) of weights (n, m): halves are rounded to even, rows of zeros have the scale 1."""
    levels, scales = np.zeros(weight.shape, dtype=np.int8), np.ones((len(weight), 1))
    for i, row in enumerate(weight):
        largest = max(abs(value) for value in row)
        if largest:
            scales[i] = largest / 127
        levels[i] = [round(value / scales[i, 0]) for value in row]
    return levels, scales


def bound_error(weight: Array) -> Array:
    """Largest error of any number of a row: half a step, (n, 1)."""
    return np.abs(weight).max(axis=1, keepdims=True) / 254
