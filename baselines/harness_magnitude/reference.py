"""Magnitude pruning as its equations say, weight by weight in float64: what the tests hold the method against.

It shares no line of algorithm with the method.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def scores(weight: Array, read: Array | None = None) -> Array:
    """|W_ij|, or |W_ij| sqrt(mean of x_j^2) over the rows (N, m) that the weights have read."""
    found = np.zeros_like(weight)
    for (i, j), value in np.ndenumerate(weight):
        found[i, j] = abs(value) * (1.0 if read is None else np.sqrt(np.mean(read[:, j] ** 2)))
    return found


def keep(each: list[Array], total: int) -> list[NDArray[np.bool_]]:
    """Masks of the largest scores of all these maps as one list; the first of equals."""
    ranked = sorted(
        ((-value, number, place) for number, scored in enumerate(each) for place, value in enumerate(scored.ravel()))
    )
    masks = [np.zeros(scored.shape, dtype=bool) for scored in each]
    for _, number, place in ranked[:total]:
        masks[number].ravel()[place] = True
    return masks


def left(update: int, last: int, whole: int, kept: int) -> int:
    """Weights left after an update of gradual removal; sparsity is s (1 - (1 - t / T)^3), s that of the end."""
    final = 1 - kept / whole
    sparsity = final * (1 - (1 - min(update, last) / last) ** 3)
    return round(whole * (1 - sparsity))
