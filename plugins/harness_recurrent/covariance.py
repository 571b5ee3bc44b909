"""Covariances of hidden states, uncentred, in float64: their mean over sequences and time, or at each step.

Uncentred, since the reconstruction from kept nodes has no intercept. States are added as they come, in chunks, so
that no more than a chunk of them is ever held in float64.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

CHUNK = 1 << 22  # numbers in float64: 32 MiB


class Covariance:
    """S = mean of h h^T over all rows (m, m), float64, of states that are added as they come."""

    def __init__(self, size: int, device: torch.device | str | None = None) -> None:
        self.rows = 0
        self._total = torch.zeros(size, size, dtype=torch.float64, device=device)

    @torch.no_grad()
    def add(self, h: Tensor) -> None:
        """Count states (..., m) of any float type; every leading index is a row. Raises ValueError at another m."""
        size = len(self._total)
        if not h.ndim or h.shape[-1] != size:
            raise ValueError(f"states (..., {size}) were expected and came as {tuple(h.shape)}: add those of one layer")
        for part in _split_chunks(h):
            wide = part.to(self._total)  # (rows, m)
            self._total.addmm_(wide.T, wide)
            self.rows += len(wide)

    def mean(self) -> Tensor:
        """S (m, m), symmetric to the last digit. Raises ValueError without rows, or if a state was not finite."""
        if not self.rows:
            raise ValueError("a covariance needs one row of hidden states at least, and none were added")
        if not self._total.isfinite().all():
            raise ValueError("hidden states have to be finite, and some were not: train with a lower rate, or clip")
        return (self._total + self._total.T) / (2 * self.rows)


class PerStep:
    """S_t = mean of h_t h_t^T over sequences at each of T steps, (T, m, m) float64."""

    def __init__(self, steps: int, size: int, device: torch.device | str | None = None) -> None:
        self._each = [Covariance(size, device) for _ in range(steps)]

    @property
    def rows(self) -> int:
        """How many sequences were added."""
        return self._each[0].rows

    def add(self, h: Tensor) -> None:
        """Count states (T, ..., m) of any float type, time first. Raises ValueError at another T or m."""
        if len(h) != len(self._each):
            shape = tuple(h.shape)
            raise ValueError(f"states of {len(self._each)} steps were expected, time first, and came as {shape}")
        for covariance, states in zip(self._each, h, strict=True):
            covariance.add(states)

    def mean(self) -> Tensor:
        """S_t of every step, (T, m, m). Raises ValueError as that of all steps does."""
        return torch.stack([covariance.mean() for covariance in self._each])


def find_dead(S: Tensor) -> Tensor:
    """Find the nodes that were zero in every row, (m,) bool: rectified ones that no input reaches."""
    return S.diagonal() <= 0


def _split_chunks(h: Tensor) -> Iterator[Tensor]:
    """States (..., m) as pieces (rows, m) of a chunk at most, or of one row; a view is never copied as a whole."""
    if h.numel() <= CHUNK or h.shape[:-1].numel() == 1:
        yield h.reshape(-1, h.shape[-1])
        return
    for part in h.split(max(1, CHUNK // h[0].numel())):
        yield from _split_chunks(part if len(part) > 1 else part[0])
