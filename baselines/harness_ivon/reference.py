"""IVON as Algorithm 1 of the paper says (Shen et al., ICML 2024), draw by draw, in float64: for
`harness agree ivon --reference`.

It shares the network's shapes, the parameters and the noise with the fast code, and no line of algorithm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import Batch
from harness_bayes.plain_network import outputs
from harness_ivon.state import State


class Estimates(NamedTuple):
    """Means over draws: of the loss, of g' and h' by name, and of the loss's slope by the logarithm of the noise."""

    loss: Tensor
    g: dict[str, Tensor]
    h: dict[str, Tensor]
    of_noise: Tensor


def update(state: State, batch: Batch, noise: Mapping[str, Tensor]) -> Tensor:
    """Update g and h of the only trial, leave the factors of alpha as gradients, and return the loss.

    noise: e by name, (draws, ...).
    """
    t, b1, b2 = state.updates, state.options.beta1, state.options.beta2
    delta = {name: 1 / (_ess(state) * _prior_deviation(state, name) ** 2) for name in state.network.shapes}
    found = _average_draws(state, batch, noise, delta)
    for name, d in delta.items():
        m, h, h_hat = state.parameters[name][0].detach(), state.hessian[name][0], found.h[name]
        g = b1 * state.gradients[name][0] + (1 - b1) * found.g[name]
        h_new = b2 * h + (1 - b2) * h_hat + (1 - b2) ** 2 * (h - h_hat) ** 2 / (2 * (h + d))
        state.gradients[name], state.hessian[name] = g[None], h_new[None]
        state.parameters[name].grad = ((g / (1 - b1**t) + d * m) / (h_new + d))[None]
    if "log_noise" in state.parameters:
        g = state.gradients["log_noise"] = b1 * state.gradients["log_noise"] + (1 - b1) * found.of_noise
        state.parameters["log_noise"].grad = g / (1 - b1**t) / 2
    return found.loss


def _average_draws(state: State, batch: Batch, noise: Mapping[str, Tensor], delta: Mapping[str, float]) -> Estimates:
    S, names = state.options.train_samples, list(delta)
    m = {name: state.parameters[name][0].detach() for name in names}
    sigma = {name: 1 / torch.sqrt(_ess(state) * (state.hessian[name][0] + delta[name])) for name in names}
    zero = torch.zeros((), dtype=torch.float64)
    loss, of_noise, g, h = zero, zero, dict.fromkeys(names, zero), dict.fromkeys(names, zero)
    for s in range(S):
        theta = {name: (m[name] + sigma[name] * noise[name][s]).requires_grad_() for name in names}
        log_noise = None if state.log_noise is None else state.log_noise[0].detach().clone().requires_grad_()
        each = _mean_loss(state, theta, log_noise, batch)
        slopes = torch.autograd.grad(each, list(theta.values()), retain_graph=True)
        loss = loss + each.detach() / S
        for name, slope in zip(names, slopes, strict=True):
            g[name] = g[name] + slope / S
            h[name] = h[name] + slope * (theta[name].detach() - m[name]) / sigma[name] ** 2 / S
        if log_noise is not None:
            of_noise = of_noise + torch.autograd.grad(each, log_noise)[0] / S
    return Estimates(loss, g, h, of_noise)


def _ess(state: State) -> float:
    """Lambda."""
    ess: float = state.options.ess or state.rows
    return ess


def _prior_deviation(state: State, name: str) -> float:
    """prior_scale, over the root of the inputs for weights under prior=fan-in."""
    options = state.options
    narrower = options.prior == "fan-in" and name.endswith("weight")
    return options.prior_scale / math.sqrt(state.network.fan_in[name]) if narrower else options.prior_scale


def _mean_loss(state: State, theta: Mapping[str, Tensor], log_noise: Tensor | None, batch: Batch) -> Tensor:
    """-log p(y | f(x; theta)), its mean over rows."""
    f, y = outputs(state, theta, batch.inputs.double()), batch.targets
    if state.likelihood.kind == "categorical":
        return F.cross_entropy(f, y)
    variance = torch.log1p(f[:, 1].exp()) + 1e-6 if log_noise is None else (2 * log_noise).exp()
    return (0.5 * (2 * math.pi * variance).log() + (y - f[:, 0]) ** 2 / (2 * variance)).mean()
