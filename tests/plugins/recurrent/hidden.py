"""Random hidden states and their covariances, as the tests of the family take them."""

from __future__ import annotations

import torch
from tiny_problems import normal


def covariance(m, seed=0, decay=3.0, dead=()):
    """Of rectified states (4 m, m) whose scales fall by so many powers of ten."""
    scales = torch.logspace(0, -decay, m, dtype=torch.float64)
    h = (normal(4 * m, m, seed=seed) * scales @ normal(m, m, seed=seed + 1)).relu()
    h[:, list(dead)] = 0
    return h.T @ h / len(h)


def readers(m, seed=0):
    return normal(m + 10, m, seed=seed + 2)
