"""Variational inference with a Gaussian mixture in plain equations (arXiv 2202.13059), one component, one draw, one
layer after the other, in float64: the side that `harness agree gm-vi --reference` compares with.

    L~ = sum_k pi_k (mean_s log p(D | w_ks) + E_k log p(w)) + sum_k pi_k (H(N_k) - log pi_k)

It shares the network's shapes, the parameters and the noise with the fast code, and no line of algorithm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import Batch, Unsupported
from harness_bayes.mixture_state import State

Noises = Sequence[Mapping[str, Tensor]]  # of each layer: of its weight and bias, or of what it sends on, (K, S, ...)


def loss(state: State, batch: Batch) -> Tensor:
    """-L~ / N of one mini-batch. Raises Unsupported for options that this does not cover."""
    _refuse_options(state)
    options, N, B = state.options, state.rows, len(batch.targets)
    K, S, m = options.components, options.train_samples, state.network.size
    noises = [_draw_noise(state, name, shape, B) for name, shape in state.network.layers]
    theta = state.parameters.get("theta", torch.zeros(1, K, dtype=torch.float64))
    log_pi = theta[0].log_softmax(0)
    total = torch.zeros((), dtype=torch.float64)
    for k in range(K):
        likely = torch.stack([_log_likelihood(state, batch, k, s, noises) for s in range(S)]).mean() * N / B
        mu, sigma = _read_gaussian(state, k)
        s_p = torch.cat([_prior_deviation(state, name).expand(shape).flatten() for name, shape in _list_shapes(state)])
        prior = -(0.5 * math.log(2 * math.pi) + s_p.log() + (mu**2 + sigma**2) / (2 * s_p**2)).sum()  # E_k log p(w)
        entropy = m / 2 * (1 + math.log(2 * math.pi)) + sigma.log().sum()  # H(N_k)
        total = total + log_pi[k].exp() * (likely + prior + entropy - log_pi[k])
    return -total / N


def _refuse_options(state: State) -> None:
    options = state.options
    for name, only in (("covariance", ("diag", "tied", "isotropic")), ("objective", ("approximate",))):
        if (value := getattr(options, name)) not in only:
            raise Unsupported(f"{name}={value}: the reference covers {name}={', '.join(only)}")
    if options.prior == "mixture" or options.micro_batch is not None:
        raise Unsupported("the reference covers Gaussian priors and mini-batches as a whole")


def _list_shapes(state: State) -> list[tuple[str, tuple[int, ...]]]:
    return list(state.network.shapes.items())


def _read_parameter(state: State, name: str, k: int) -> tuple[Tensor, Tensor]:
    """Mu and sigma = log(1 + exp(rho)) of one component's parameter."""
    mu, rho = state.parameters[f"mean.{name}"][k], state.parameters.get(f"rho.{name}", state.parameters.get("rho"))
    assert rho is not None
    sigma = torch.log1p(rho[k if len(rho) > 1 else 0].exp())
    return mu, sigma.expand(mu.shape)


def _read_gaussian(state: State, k: int) -> tuple[Tensor, Tensor]:
    """All numbers of one component, (m,) each."""
    pairs = [_read_parameter(state, name, k) for name, _ in _list_shapes(state)]
    return torch.cat([mu.flatten() for mu, _ in pairs]), torch.cat([sigma.flatten() for _, sigma in pairs])


def _prior_deviation(state: State, name: str) -> Tensor:
    """prior_scale, over the root of the inputs for weights under prior=fan-in."""
    options, fan_in = state.options, state.network.fan_in[name]
    narrower = options.prior == "fan-in" and name.endswith("weight")
    return torch.tensor(options.prior_scale / fan_in**0.5 if narrower else options.prior_scale, dtype=torch.float64)


def _draw_noise(state: State, name: str, weight: tuple[int, ...], B: int) -> dict[str, Tensor]:
    """The draws of an update in their order: of weights, or of outputs where a layer has more inputs than rows."""
    options, like = state.options, state.parameters[f"mean.{name}.weight"]
    lead = (options.components, options.train_samples)
    local = options.estimator == "local" or (options.estimator == "auto" and len(weight) == 2 and weight[1] >= B)
    if local and len(weight) > 2:
        raise Unsupported("estimator=local: the reference has no flipout; use estimator=weights")
    if local:
        return {"output": state.noise.normal((*lead, B, weight[0]), like)}
    shapes = [(part, state.network.shapes.get(f"{name}.{part}")) for part in ("weight", "bias")]
    return {part: state.noise.normal((*lead, *shape), like) for part, shape in shapes if shape is not None}


def _log_likelihood(state: State, batch: Batch, k: int, s: int, noises: Noises) -> Tensor:
    """Sum over rows of log p(y | f(x; w_ks))."""
    h = batch.inputs.double()
    layers = state.network.architecture.layers
    for index, (name, shape) in enumerate(state.network.layers):
        h = h.flatten(1) if len(shape) == 2 else h
        stride = layers[index].stride if index < len(layers) else 1
        h = _apply_linear(state, name, h, stride, k, {part: noise[k, s] for part, noise in noises[index].items()})
        if index < len(layers):
            h = F.relu(h) if state.options.activation == "relu" else torch.tanh(h)
            if (window := layers[index].pool) is not None:
                h = F.avg_pool2d(h, window)
    y = batch.targets
    if state.likelihood.kind == "categorical":
        return -F.cross_entropy(h, y, reduction="sum")
    if state.likelihood.kind == "heteroscedastic":
        variance = torch.log1p(h[:, 1].exp()) + 1e-6
    else:
        assert state.log_noise is not None
        variance = (2 * state.log_noise).exp()
    return (-0.5 * (2 * math.pi * variance).log() - (y - h[:, 0]) ** 2 / (2 * variance)).sum()


def _apply_linear(state: State, name: str, h: Tensor, stride: int, k: int, noise: Mapping[str, Tensor]) -> Tensor:
    """W h + b with w = mu + sigma e; or mean and deviation of that for each row, plus noise of its own."""
    mu, sigma = _read_parameter(state, f"{name}.weight", k)
    biased = state.network.bias
    b, s_b = _read_parameter(state, f"{name}.bias", k) if biased else (mu.new_zeros(()), mu.new_zeros(()))
    if "output" in noise:
        return h @ mu + b + (h**2 @ sigma**2 + s_b**2).sqrt() * noise["output"]
    W = mu + sigma * noise["weight"]
    b = b + s_b * noise["bias"] if biased else b
    if W.dim() == 4:
        return F.conv2d(h, W, b if biased else None, stride, padding=W.shape[-1] // 2)
    return h @ W + b
