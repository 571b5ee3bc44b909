"""An ensemble's loss as its papers write it, network by network in float64, for `harness agree deep-ensemble
--reference`.

It shares the network's shapes, the parameters and the options with the fast code, and no line of algorithm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import Batch
from harness_bayes.plain_network import outputs
from harness_bayes.training import State


def loss(state: State, batch: Batch) -> Tensor:
    """Sum over members of -mean_i log p(y_i | x_i, w) and, where weights have a prior, -log p(w) / N."""
    members = len(state.parameters["readout.weight"])
    return torch.stack([_member_loss(state, batch, member) for member in range(members)]).sum()


def _member_loss(state: State, batch: Batch, member: int) -> Tensor:
    w = {name: state.parameters[name][member] for name in state.network.shapes}
    f, y = outputs(state, w, batch.inputs.double()), batch.targets
    if state.likelihood.kind == "categorical":
        fit = F.cross_entropy(f, y)
    else:
        s2 = torch.log1p(f[:, 1].exp()) + 1e-6 if state.log_noise is None else (2 * state.log_noise[member]).exp()
        fit = (0.5 * (2 * math.pi * s2).log() + (y - f[:, 0]) ** 2 / (2 * s2)).mean()
    return fit if state.prior is None else fit - _log_prior(state, w) / state.rows


def _log_prior(state: State, w: Mapping[str, Tensor]) -> Tensor:
    """Log p(w): N(0, s^2), s by the inputs of a weight's layer or one for all, or c N(0, s^2) + (1 - c) N(0, t^2)."""
    options, total = state.options, torch.zeros((), dtype=torch.float64)
    for name, weight in w.items():
        by_inputs = options.resolved_prior == "fan-in" and name.endswith("weight")
        s = options.prior_scale / state.network.fan_in[name] ** 0.5 if by_inputs else options.prior_scale
        density = _normal_density(weight, s)
        if options.resolved_prior == "mixture":
            c, t = options.resolved_share, options.resolved_narrow
            density = c * density + (1 - c) * _normal_density(weight, t)
        total = total + density.log().sum()
    return total


def _normal_density(x: Tensor, s: float) -> Tensor:
    return torch.exp(-(x**2) / (2 * s**2)) / (s * math.sqrt(2 * math.pi))
