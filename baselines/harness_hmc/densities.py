"""The posterior of a network's weights as chains see it: log densities of positions, and their gradients, on all rows.

A position holds the weights in units of their prior's deviations and, where the noise is not given, last the logarithm
of its standard deviation less that of INITIAL_NOISE, whose prior is N(0, 1).

Networks of dense layers go backward by hand, which takes less than half of autograd's time for small ones: with a the
units' outputs, a_0 = x, z = a W + b and g = d log p / d z, layer by layer from the readout

    dW = a' g,    db = sum over rows of g,    g_below = (g W') phi'(z_below)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from harness_bayes import likelihoods, networks, priors
from harness_bayes.hamiltonian import differentiate
from harness_bayes.likelihoods import HALF_LOG_2PI, INITIAL_NOISE, Likelihood
from harness_bayes.networks import Network
from harness_bayes.priors import Prior

CENTRE = math.log(INITIAL_NOISE)


class Functions(NamedTuple):
    """Networks by their weights (J, ...), with the logarithm of the noise, (J,) or (1,), None where there is none."""

    weights: Mapping[str, Tensor]
    log_noise: Tensor | None


@dataclass(frozen=True)
class Posterior:
    """The density that chains sample. inputs (N, ...), targets (N,). log_noise: (1,) where it is given, else None.

    deviations: of the prior of each weight, (m,), the wider one's in a scale mixture.
    """

    network: Network
    likelihood: Likelihood
    prior: Prior
    deviations: Tensor
    inputs: Tensor
    targets: Tensor
    log_noise: Tensor | None

    @property
    def samples_noise(self) -> bool:
        """Whether positions hold the noise."""
        return self.likelihood.kind == "gaussian" and self.log_noise is None

    def __call__(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Log densities (J,), up to a constant, and their gradients (J, m) at positions (J, m)."""
        if self.prior.narrow is not None or any(len(shape) > 2 for shape in self.network.shapes.values()):
            return differentiate(self.log_density)(positions)
        return self._differentiate_by_hand(positions)

    def log_density(self, positions: Tensor) -> Tensor:
        """Log p(targets, position) up to a constant, (J,)."""
        weights, log_noise = self.functions(positions)
        outputs = networks.apply(self.network, weights, self.inputs[None])
        return self._log_likelihood(outputs, log_noise) + self._log_prior(positions, weights)

    def functions(self, positions: Tensor) -> Functions:
        """The networks at positions (J, m)."""
        vectors = positions[:, : len(self.deviations)] * self.deviations
        log_noise = positions[:, -1] + CENTRE if self.samples_noise else self.log_noise
        return Functions(networks.unflatten(self.network, vectors), log_noise)

    def positions(self, functions: Functions) -> Tensor:
        """The positions of networks, (J, m)."""
        vectors = networks.flatten(functions.weights) / self.deviations
        if not self.samples_noise or functions.log_noise is None:
            return vectors
        return torch.cat([vectors, functions.log_noise[:, None] - CENTRE], 1)

    def _log_prior(self, positions: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        if self.prior.narrow is None:
            return -positions.square().sum(1) / 2
        of_noise = -positions[:, -1].square() / 2 if self.samples_noise else 0.0
        return priors.log_density(self.prior, weights) + of_noise

    def _differentiate_by_hand(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        weights, log_noise = self.functions(positions)
        names = [name for name, _ in self.network.layers]
        seen = [self.inputs.flatten(1).expand(len(positions), -1, -1)]  # a of each layer, (J, N, units)
        for name in names[:-1]:
            seen.append(_activate(self.network, _apply_linear(weights, name, seen[-1])))
        outputs = _apply_linear(weights, names[-1], seen[-1])
        rows, g, slopes = self._differentiate_likelihood(outputs, log_noise)
        gradients: dict[str, Tensor] = {}
        for index, name in reversed(list(enumerate(names))):
            gradients[f"{name}.weight"] = _weight_gradient(seen[index], g)
            gradients[f"{name}.bias"] = g.sum(1)
            if index:
                g = _activation_gradient(self.network, _input_gradient(g, weights[f"{name}.weight"]), seen[index])
        flat = networks.flatten({name: gradients[name] for name in weights}) * self.deviations
        flat = flat if slopes is None else torch.cat([flat, slopes[:, None]], 1)
        return rows - positions.square().sum(1) / 2, flat - positions

    def _differentiate_likelihood(
        self, outputs: Tensor, log_noise: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Log p of all rows (J,), and its derivatives by outputs (J, N, outputs) and, where it is sampled, by the
        logarithm of the noise (J,).
        """
        if self.likelihood.kind != "gaussian":
            rows, slopes = differentiate(lambda each: self._log_likelihood(each, None))(outputs)
            return rows, slopes, None
        assert log_noise is not None
        inverse = (-log_noise).exp()[:, None]
        errors = (self.targets - outputs[..., 0]) * inverse
        squares = errors.square().sum(1)
        rows = -squares / 2 - len(self.targets) * (log_noise + HALF_LOG_2PI)
        return rows, (errors * inverse)[..., None], squares - len(self.targets) if self.samples_noise else None

    def _log_likelihood(self, outputs: Tensor, log_noise: Tensor | None) -> Tensor:
        return likelihoods.log_likelihood(self.likelihood, outputs, self.targets[None], log_noise).sum(1)


def _apply_linear(weights: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """W x + b; of one output by its transpose, which on a CPU is three times as fast."""
    weight, bias = weights[f"{name}.weight"], weights.get(f"{name}.bias")
    if weight.shape[2] > 1:
        return networks.affine(x, weight, bias)
    y = torch.bmm(weight.mT, x.mT).mT
    return y if bias is None else y + bias[:, None]


def _activate(network: Network, z: Tensor) -> Tensor:
    return z.relu_() if network.activation == "relu" else z.tanh_()


def _weight_gradient(a: Tensor, g: Tensor) -> Tensor:
    """Gradient a' g by the weight, (J, inputs, outputs), the narrow side first: on a CPU 7 times as fast for one."""
    return torch.bmm(g.mT, a).mT if g.shape[2] < a.shape[2] else torch.bmm(a.mT, g)


def _input_gradient(g: Tensor, weight: Tensor) -> Tensor:
    """Gradient g W' by the layer's input, (J, N, inputs)."""
    return g * weight.mT if g.shape[2] == 1 else torch.bmm(g, weight.mT)


def _activation_gradient(network: Network, gradients: Tensor, a: Tensor) -> Tensor:
    """Gradient by the activation's input, from that by its output a."""
    if network.activation == "relu":
        return torch.ops.aten.threshold_backward(gradients, a, 0)
    return torch.ops.aten.tanh_backward(gradients, a)
