"""The scores of nodes as they are defined, weight by weight in plain float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def magnitudes(into: Sequence[Floats], out_of: Sequence[Floats], m: int) -> Floats:
    """Sum of squares of the weights into a node, matrices (G m, any), and out of it, matrices (any, m)."""
    scores = np.zeros(m)
    for weight in into:
        for row in range(len(weight)):
            scores[row % m] += sum(number**2 for number in weight[row])
    for weight in out_of:
        for node in range(m):
            scores[node] += sum(number**2 for number in weight[:, node])
    return scores


def activity(states: Floats) -> Floats:
    """Mean square of each state, of states (n, m)."""
    return (states**2).mean(0)


def leverage(states: Floats, lam: float) -> Floats:
    """(S (S + lambda I)^-1)_jj, by an inverse; lambda = lam Tr S / m."""
    S = states.T @ states / len(states)
    m = len(S)
    return np.diag(S @ np.linalg.inv(S + lam * np.trace(S) / m * np.eye(m)))


def highest(scores: Floats, k: int) -> list[int]:
    """The k highest, one after the other, of equal ones the first."""
    return sorted(sorted(range(len(scores)), key=lambda node: (-scores[node], node))[:k])
