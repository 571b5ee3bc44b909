"""Laplace's approximation in plain equations and float64: the loss of its MAP network, for
`harness agree laplace --reference`, and for the tests its precision, marginal likelihood and predictions.

It shares the network's shapes and the parameters with the fast code, and no line of algorithm.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import Batch
from harness_bayes.plain_network import outputs
from harness_laplace.state import State


def loss(state: State, batch: Batch) -> Tensor:
    """-log p(y | f(x; w)), its mean over rows, less log p(w) / N."""
    w = {name: state.parameters[name][0] for name in state.network.shapes}
    log_noise = None if state.log_noise is None else state.log_noise[0]
    fit = -log_likelihood(state, outputs(state, w, batch.inputs), batch.targets, log_noise).mean()
    prior = torch.stack([log_prior(tensor, _prior_deviation(state, name)) for name, tensor in w.items()]).sum()
    return fit - prior / state.rows


def log_likelihood(state: State, f: Tensor, y: Tensor, log_noise: Tensor | None) -> Tensor:
    """Values log p(y | f) of each row, (B,)."""
    if state.likelihood.kind == "categorical":
        return -F.cross_entropy(f, y, reduction="none")
    assert log_noise is not None
    return -0.5 * math.log(2 * math.pi) - log_noise - 0.5 * (y - f[:, 0]) ** 2 * torch.exp(-2 * log_noise)


def log_prior(w: Tensor, deviation: float) -> Tensor:
    """Sum of log N(w | 0, deviation^2)."""
    return (-0.5 * (w / deviation) ** 2 - math.log(deviation) - 0.5 * math.log(2 * math.pi)).sum()


def _prior_deviation(state: State, name: str) -> float:
    """prior_scale, over the root of the inputs for weights under prior=fan-in."""
    options = state.options
    narrower = options.prior == "fan-in" and name.endswith("weight")
    return options.prior_scale / math.sqrt(state.network.fan_in[name]) if narrower else options.prior_scale


def gaussian_names(state: State) -> list[str]:
    """The parameters that are Gaussian."""
    return [name for name in state.network.shapes if state.options.subset == "all" or name.startswith("readout")]


def prior_precision(state: State, factor: float = 1.0) -> Tensor:
    """Prior precision of the Gaussian weights, (m,), with this factor on prior_scale."""
    shapes = state.network.shapes
    each = [(shapes[name], (factor * _prior_deviation(state, name)) ** -2) for name in gaussian_names(state)]
    return torch.cat([torch.full((math.prod(shape),), one, dtype=torch.float64) for shape, one in each])


def jacobian(state: State, inputs: Tensor) -> Tensor:
    """Jacobian of the outputs by the Gaussian weights, (B, outputs, m), by torch's own function."""
    names = gaussian_names(state)
    w = {name: state.parameters[name][0].detach() for name in state.network.shapes}

    def of_these(*given: Tensor) -> Tensor:
        return outputs(state, {**w, **dict(zip(names, given, strict=True))}, inputs)

    each = torch.autograd.functional.jacobian(of_these, tuple(w[name] for name in names))
    return torch.cat([slopes.flatten(2) for slopes in each], 2)


def gauss_newton(state: State, batch: Batch, log_noise: Tensor | None) -> Tensor:
    """Sum over rows of J' Lambda J, (m, m), with Lambda by torch's own second derivatives."""
    w = {name: state.parameters[name][0].detach() for name in state.network.shapes}
    f, J = outputs(state, w, batch.inputs).detach(), jacobian(state, batch.inputs)
    total = torch.zeros(J.shape[2], J.shape[2], dtype=torch.float64)
    for n in range(len(f)):
        y = batch.targets[n : n + 1]
        bent = torch.autograd.functional.hessian(
            lambda one, y=y: -log_likelihood(state, one[None], y, log_noise).sum(), f[n]
        )
        total += J[n].T @ bent @ J[n]
    return total


def log_evidence(state: State, batch: Batch, precision: Tensor, log_noise: Tensor | None) -> float:
    """Laplace's log p(D): log p(D, w) + m / 2 log 2 pi - 1/2 log |precision of the posterior|, of the Gaussian weights.

    precision: of the prior, (m,).
    """
    w = {name: state.parameters[name][0].detach() for name in state.network.shapes}
    v = torch.cat([w[name].flatten() for name in gaussian_names(state)])
    fit = log_likelihood(state, outputs(state, w, batch.inputs), batch.targets, log_noise).sum()
    prior = 0.5 * (precision.log() - math.log(2 * math.pi) - precision * v**2).sum()
    posterior = gauss_newton(state, batch, log_noise) + precision.diag()
    if state.approximation is not None and state.approximation.structure == "diag":
        posterior = posterior.diagonal().diag()
    return float(fit + prior + len(v) / 2 * math.log(2 * math.pi) - 0.5 * torch.logdet(posterior))
