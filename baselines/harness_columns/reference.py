"""What is lost with some columns of a matrix, and which set of them loses least, as equations say it in plain float64.

L(J) = min over V of mean |W h - V h_J|^2 + sum_j tau_j |V_:j|^2
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def rewritten(W: Floats, states: Floats, columns: Sequence[int], tau: Floats) -> Floats:
    """V (rows, k), by least squares on states (n, m), with k equations more for the penalty."""
    n = len(states)
    known = np.concatenate([states[:, columns] / np.sqrt(n), np.diag(np.sqrt(tau[columns]))])
    wanted = np.concatenate([states @ W.T / np.sqrt(n), np.zeros((len(columns), len(W)))])
    return np.linalg.lstsq(known, wanted, rcond=None)[0].T


def loss(W: Floats, states: Floats, columns: Sequence[int], tau: Floats) -> float:
    """L(J)."""
    V = rewritten(W, states, columns, tau)
    missed = states @ W.T - states[:, columns] @ V.T
    return float((missed**2).sum(1).mean() + (V**2 @ tau[columns]).sum())


def greedily(W: Floats, states: Floats, k: int, tau: Floats) -> list[int]:
    """Columns one after the other, each that leaves the least loss."""
    kept: list[int] = []
    for _ in range(k):
        rest = [column for column in range(W.shape[1]) if column not in kept]
        kept.append(min(rest, key=lambda column: loss(W, states, [*kept, column], tau)))
    return kept
