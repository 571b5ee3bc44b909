"""The least that any matrix of a rank loses, as Eckart and Young have it, in plain float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def least_distance(W: Floats, rank: int) -> float:
    """Of |W - W_r|_F^2: the squares of the singular values that are left out."""
    return float((np.linalg.svd(W, compute_uv=False)[rank:] ** 2).sum())


def least_loss(W: Floats, states: Floats, rank: int) -> float:
    """Of mean |(W - W_r) h|^2 over states (n, m): the same of what W makes of the states."""
    return float((np.linalg.svd(states @ W.T, compute_uv=False)[rank:] ** 2).sum() / len(states))


def loss(W: Floats, approximate: Floats, states: Floats) -> float:
    """Mean |(W - W_r) h|^2, state by state."""
    return float(np.mean([((W - approximate) @ h) @ ((W - approximate) @ h) for h in states]))
