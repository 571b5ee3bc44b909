"""Groups, the penalty and its proximal step weight by weight, in plain float64."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Place = tuple[str, int, int]  # a weight: its tensor, row and column


def groups(weights: Mapping[str, Floats], m: int) -> list[set[Place]]:
    """Which weights are in the group of each node, of a network with one layer of m."""
    found: list[set[Place]] = [set() for _ in range(m)]
    for name in ("cells.0.input.weight", "cells.0.recurrent.weight"):
        for row, column in np.ndindex(weights[name].shape if name in weights else (0, 0)):
            found[row % m].add((name, row, column))
    for name in ("cells.0.recurrent.weight", "readout.weight"):
        for row, column in np.ndindex(weights[name].shape if name in weights else (0, 0)):
            found[column].add((name, row, column))
    return found


def norms(weights: Mapping[str, Floats], m: int) -> Floats:
    """(m,)."""
    squares = [sum(weights[name][row, column] ** 2 for name, row, column in group) for group in groups(weights, m)]
    return np.sqrt(np.array(squares))


def penalty(weights: Mapping[str, Floats], m: int) -> float:
    """Sum of the groups' norms."""
    return float(norms(weights, m).sum())


def step(weights: Mapping[str, Floats], m: int, amount: float) -> dict[str, Floats]:
    """Each group multiplied by max(0, 1 - amount / its norm before the step)."""
    after = {name: weight.copy() for name, weight in weights.items()}
    for group, norm in zip(groups(weights, m), norms(weights, m), strict=True):
        for name, row, column in group:
            after[name][row, column] *= max(0.0, 1 - amount / norm) if norm else 0.0
    return after
