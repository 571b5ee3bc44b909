"""Cutting rows into splits by seed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from harness import HarnessError, derive, stratified_rows

Rows = NDArray[np.int64]


def stratified_split(targets: NDArray[np.int64], sizes: Mapping[str, int], seed: int) -> tuple[Rows, dict[str, Rows]]:
    """Split rows into those that are left and each named split, disjoint and in ascending order.

    targets: class of each row (N,). Splits are drawn one after the other; of the rows that the ones before it left,
    each takes every class's share, to within a row.
    """
    left = np.arange(len(targets))
    splits: dict[str, Rows] = {}
    for name, size in sizes.items():
        drawn = stratified_rows(targets[left], size, derive(seed, name))
        splits[name] = left[drawn]
        left = np.delete(left, drawn)
    return left, splits


def hold_out_tenth(targets: NDArray[np.int64], seed: int) -> tuple[Rows, Rows]:
    """Hold out a tenth of the rows for validation, stratified by seed. Raises HarnessError for fewer than 10 rows."""
    size = len(targets) // 10
    if not size:
        raise HarnessError(f"{len(targets)} training rows, expected at least 10: a tenth is for validation")
    rows, held_out = stratified_split(targets, {"valid": size}, seed)
    return rows, held_out["valid"]
