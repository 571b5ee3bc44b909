"""SWAG as the paper writes it (Maddox et al. 2019, algorithm 1), in plain float64: the loss of each network for
`harness agree swag --reference`, and the Gaussian of a trajectory for the tests.

It shares the network's shapes, the parameters and the options with the fast code, and no line of algorithm.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from harness import Batch, Unsupported
from harness_bayes.plain_network import outputs
from harness_swag.state import State

Floats = NDArray[np.float64]


class Gaussian(NamedTuple):
    """mean (m,), variances diag (m,), and D (m, K)."""

    mean: Floats
    diag: Floats
    D: Floats

    @property
    def covariance(self) -> Floats:
        """Covariance diag / 2 + D D^T / (2 (K - 1)), (m, m)."""
        K = self.D.shape[1]
        return np.diag(self.diag) / 2 + self.D @ self.D.T / (2 * (K - 1))


def fit_trajectory(trajectory: Floats, rank: int) -> Gaussian:
    """Fit the Gaussian of collected weights (n, m)."""
    n = len(trajectory)
    mean, second = trajectory[0], trajectory[0] ** 2
    columns = [trajectory[0] - mean]
    for i in range(1, n):
        mean = (i * mean + trajectory[i]) / (i + 1)
        second = (i * second + trajectory[i] ** 2) / (i + 1)
        columns.append(trajectory[i] - mean)
    return Gaussian(mean, second - mean**2, np.stack(columns[-rank:], axis=1))


def loss(state: State, batch: Batch) -> Tensor:
    """Sum over members of -mean_i log p(y_i | x_i, w) - log p(w) / N. Raises Unsupported for a prior of two parts."""
    if state.options.prior == "mixture":
        raise Unsupported("prior=mixture: the reference covers Gaussian priors")
    each = [_member_loss(state, batch, index) for index in range(state.options.members)]
    return torch.stack(each).sum()


def _member_loss(state: State, batch: Batch, index: int) -> Tensor:
    w = {name: state.parameters[name][index] for name in state.network.shapes}
    f, y = outputs(state, w, batch.inputs), batch.targets
    if state.likelihood.kind == "categorical":
        fit = F.cross_entropy(f, y)
    else:
        assert state.log_noise is not None or state.likelihood.kind == "heteroscedastic"
        s2 = torch.log1p(f[:, 1].exp()) + 1e-6 if state.log_noise is None else (2 * state.log_noise[index]).exp()
        fit = (0.5 * (2 * math.pi * s2).log() + (y - f[:, 0]) ** 2 / (2 * s2)).mean()
    return fit - _log_prior(state, index) / state.rows


def _log_prior(state: State, index: int) -> Tensor:
    options, total = state.options, torch.zeros((), dtype=torch.float64)
    for name, fan_in in state.network.fan_in.items():
        w, narrower = state.parameters[name][index], options.prior == "fan-in" and name.endswith("weight")
        s = options.prior_scale / fan_in**0.5 if narrower else options.prior_scale
        total = total - (w**2 / (2 * s**2) + math.log(s * (2 * math.pi) ** 0.5)).sum()
    return total
