"""Gaussian mixtures over the weights of networks, as parameters: L trials of K components each, J = L * K lanes.

    q(w) = sum_k pi_k N(w | mu_k, Sigma_k)

Sigma is diag(sigma^2) with a deviation for each weight of each component (diag), the same for all components (tied),
one number for each component (isotropic), or G G^T with G lower triangular (full). Deviations are softplus(rho).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from harness_bayes import full_covariances, layers, networks, priors
from harness_bayes.config import Covariance, Objective
from harness_bayes.layers import Estimator, Gaussians
from harness_bayes.networks import Linear, Network, expand_lanes, flatten, unflatten
from harness_bayes.noise import Noise
from harness_bayes.priors import Prior

INITIAL_DEVIATION = 0.05  # over the root of a layer's inputs


class Mixture(NamedTuple):
    """Mixtures as the parameters say: means by name (J, ...), and deviations likewise or factors G (J, m, m)."""

    network: Network
    means: Mapping[str, Tensor]
    deviations: Mapping[str, Tensor] | None
    factors: Tensor | None

    def linear(self, samples: int, noise: Noise, estimator: Estimator) -> Linear:
        """Linear maps whose weights are drawn so many times a component: J * samples lanes."""
        if self.deviations is not None:
            gaussians = Gaussians(self.means, self.deviations)
            return layers.build_linear(gaussians, samples, noise, estimator, self.network.types.compute)
        weights, compute = self.draw(samples, noise), self.network.types.compute
        return lambda name, x, stride: networks.affine(
            x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), stride, compute
        )

    def draw(self, samples: int, noise: Noise) -> dict[str, Tensor]:
        """Weights by name, (J * samples, ...), those of a component together."""
        if self.deviations is not None:
            return layers.draw_parameters(Gaussians(self.means, self.deviations), samples, noise)
        vectors = flatten(self.means)
        assert self.factors is not None
        drawn = noise.normal((len(vectors), samples, vectors.shape[1]), vectors) @ self.factors.mT
        return unflatten(self.network, (vectors[:, None] + drawn).flatten(0, 1))

    def entropies(self) -> Tensor:
        """H(N_k) = m / 2 (1 + log 2 pi) + 1/2 log |Sigma_k|, (J,)."""
        return self.network.size / 2 * (1 + math.log(2 * math.pi)) + self._half_log_determinants()

    def _half_log_determinants(self) -> Tensor:
        if self.factors is not None:
            return self.factors.diagonal(dim1=1, dim2=2).log().sum(1)
        assert self.deviations is not None
        total: Tensor | float = 0.0
        for name, mean in self.means.items():
            logs = self.deviations[name].log()
            copies = mean.numel() / logs.expand(mean.shape[0], *logs.shape[1:]).numel()
            total = total + logs.flatten(1).sum(1) * copies
        assert isinstance(total, Tensor)
        return expand_lanes(total, len(next(iter(self.means.values()))))

    def cross_entropies(self, prior: Prior, samples: int, noise: Noise) -> Tensor:
        """-E_k log p(w) of each component, (J,): closed, or from so many draws of each for a scale mixture."""
        if prior.narrow is None:
            return priors.cross_entropy(prior, self.means, self.variances())
        return -priors.log_density(prior, self.draw(samples, noise)).unflatten(0, (-1, samples)).mean(1)

    def variances(self) -> Mapping[str, Tensor]:
        """Marginal, by name, (J, ...) or broadcastable."""
        if self.deviations is not None:
            return {name: deviation.square() for name, deviation in self.deviations.items()}
        assert self.factors is not None
        return unflatten(self.network, self.factors.square().sum(2))

    def spreads(self) -> Tensor:
        """Deviations of all numbers of a component, (J, m); for full covariances their factors, (J, m, m)."""
        if self.factors is not None:
            return self.factors
        assert self.deviations is not None
        return flatten({name: self.deviations[name].expand(mean.shape) for name, mean in self.means.items()})


def initial(
    network: Network,
    means: Mapping[str, Tensor],
    trials: int,
    covariance: Covariance,
    device: str,
    objective: Objective = "approximate",
) -> dict[str, Tensor]:
    """The parameters of a mixture whose components start at these means (J, ...).

    Raises Unsupported for full covariances that the machine's memory does not hold, or that take too long.
    """
    lanes = len(next(iter(means.values())))
    rho = {name: _invert_softplus(INITIAL_DEVIATION / network.fan_in[name] ** 0.5) for name in means}
    named = {f"mean.{name}": mean for name, mean in means.items()}
    if covariance == "isotropic":
        inputs = sum(network.fan_in[name] * mean[0].numel() for name, mean in means.items()) / network.size
        return {**named, "rho": torch.full((lanes,), _invert_softplus(INITIAL_DEVIATION / inputs**0.5))}
    if covariance == "full":
        full_covariances.refuse_large(network.size, trials, lanes // trials, objective, device)
        diagonal = torch.cat([torch.full((mean[0].numel(),), rho[name]) for name, mean in means.items()])
        return {**named, "factor": torch.diag(diagonal).expand(lanes, -1, -1).clone()}
    count = trials if covariance == "tied" else lanes
    return {**named, **{f"rho.{name}": torch.full_like(mean[:count], rho[name]) for name, mean in means.items()}}


def _invert_softplus(value: float) -> float:
    return math.log(math.expm1(value))


def read_mixture(network: Network, parameters: Mapping[str, Tensor]) -> Mixture:
    """Read the mixture from parameters, as `initial` names them."""
    means = {name: parameters[f"mean.{name}"] for name in network.shapes}
    if "factor" in parameters:
        raw = parameters["factor"]
        diagonal = F.softplus(raw.diagonal(dim1=1, dim2=2))
        return Mixture(network, means, None, raw.tril(-1) + torch.diag_embed(diagonal))
    lanes = len(next(iter(means.values())))
    if "rho" in parameters:
        shared = F.softplus(parameters["rho"])
        return Mixture(
            network, means, {name: shared.view(-1, *[1] * (mean.dim() - 1)) for name, mean in means.items()}, None
        )
    deviations = {name: expand_lanes(F.softplus(parameters[f"rho.{name}"]), lanes) for name in means}
    return Mixture(network, means, deviations, None)
