"""Optimal brain surgeon by its objective, in plain float64: no inverse is ever updated, every system is solved anew.

It shares no line of algorithm with the method.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def loss(weight: Array, other: Array, H: Array) -> float:
    """Tr (W - W') H (W - W')^T."""
    return float(np.trace((weight - other) @ H @ (weight - other).T))


def least_squares(weight: Array, H: Array, mask: Mask) -> Array:
    """W' on the mask with the least loss, row by row: H = L L^T, and |L^T (w - w')|^2 is what is least."""
    root = np.linalg.cholesky(H).T
    found = np.zeros_like(weight)
    for row, kept, target in zip(weight, mask, found, strict=True):
        target[kept] = np.linalg.lstsq(root[:, kept], root @ row, rcond=None)[0]
    return found


def one_by_one(row: Array, H: Array, removed: int) -> tuple[Array, list[int], list[float]]:
    """A row (m,) without so many of its weights, in which order they went, and how the loss grew at each.

    Each time that weight goes without which the best row has the least loss.
    """
    kept, order, grown, now, before = np.ones(len(row), dtype=bool), [], [], row, 0.0
    for _ in range(removed):
        tried = {}
        for column in np.flatnonzero(kept):
            without = kept.copy()
            without[column] = False
            best = least_squares(row[None], H, without[None])
            tried[int(column)] = (loss(row[None], best, H), best[0])
        gone = min(tried, key=lambda column: tried[column][0])
        after, now = tried[gone]
        kept[gone] = False
        order.append(gone)
        grown.append(after - before)
        before = after
    return now, order, grown


def one_pass(weight: Array, H: Array, counts: list[int], block: int) -> Array:
    """Columns from the left, each with the inverse of H over the columns from it on; of each block so many are left."""
    w, m = weight.copy(), weight.shape[1]
    inverses = [np.linalg.inv(H[j:, j:]) for j in range(m)]
    for start, count in zip(range(0, m, block), counts, strict=True):
        columns = range(start, min(start + block, m))
        score = np.stack([w[:, j] ** 2 / inverses[j][0, 0] for j in columns], axis=1)
        threshold = np.sort(score.ravel())[::-1][count - 1] if count else np.inf
        for j in columns:
            lost = np.where(score[:, j - start] >= threshold, 0.0, w[:, j])
            w[:, j:] -= lost[:, None] * inverses[j][0] / inverses[j][0, 0]
    return w
