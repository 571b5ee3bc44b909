"""The Gauss-Newton matrix of a network's loss, in some or all of its weights, and the Gaussian that it makes.

    H = sum_n J_n' Lambda_n J_n,    J_n = d f(x_n) / d w,    Lambda_n = -d2 log p(y_n | f) / d f2

Lambda is 1 / noise^2 in regression and diag(p) - p p' for classes with probabilities p, which is R R' with
R = diag(sqrt p) - p sqrt(p)'. Weights are in units of their prior's deviations, w = s v, and the noise is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from harness import HarnessError
from harness_bayes import networks
from harness_bayes.likelihoods import Likelihood
from harness_bayes.networks import Network, affine
from harness_torch.training import inference

Outputs = Callable[[Mapping[str, Tensor], Tensor], Tensor]


class Part(NamedTuple):
    """A network as a function of the weights that are Gaussian.

    weights: as trained, by name, (1, ...). outputs(weights (J, ...), seen (L, N, ...)): (J, N, outputs). see: what that
    takes of rows (N, ...), as (N, ...).
    """

    weights: Mapping[str, Tensor]
    outputs: Outputs
    see: Callable[[Tensor], Tensor]

    @property
    def size(self) -> int:
        """M, how many weights there are."""
        return sum(weight[0].numel() for weight in self.weights.values())


class Curvature(NamedTuple):
    """H in units of the prior: eigenvalues (m,), ascending, with their vectors as columns (m, m); or the diagonal (m,)
    and None. Both in float64. deviations: s, (m,).
    """

    eigenvalues: Tensor
    basis: Tensor | None
    deviations: Tensor


class Gaussian(NamedTuple):
    """The approximation of the posterior: along each axis of the curvature its deviation, (m,), in units of the prior.

    All in the network's type.
    """

    spreads: Tensor
    basis: Tensor | None
    deviations: Tensor

    def along(self, jacobians: Tensor) -> Tensor:
        """J Sigma^(1/2): Jacobians (..., m) by the axes, with their deviations."""
        scaled = jacobians * self.deviations
        return (scaled if self.basis is None else scaled @ self.basis) * self.spreads


def part(network: Network, weights: Mapping[str, Tensor], subset: str) -> Part:
    """All layers, or the last one, which sees what the others make of rows."""
    exact = network._replace(types=network.types._replace(compute=network.types.parameters))
    held = {name: weight.detach() for name, weight in weights.items()}
    if subset == "all":
        return Part(held, lambda given, seen: networks.apply(exact, given, seen), lambda rows: rows)
    last = {name: weight for name, weight in held.items() if name.startswith("readout.")}
    return Part(last, _readout, lambda rows: _features(exact, held, rows))


def _readout(weights: Mapping[str, Tensor], seen: Tensor) -> Tensor:
    return affine(seen, weights["readout.weight"], weights.get("readout.bias"))


def _features(network: Network, weights: Mapping[str, Tensor], rows: Tensor) -> Tensor:
    """What the last layer sees, (N, features)."""

    def linear(name: str, x: Tensor, stride: int) -> Tensor:
        if name == "readout":
            return x
        return affine(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), stride)

    return networks.forward(network, rows[None], linear)[0]


def jacobians(part: Part, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs (N, outputs) of rows (N, ...), and their derivatives by the weights, (N, outputs, m).

    Each row is a lane with the weights to itself, so that one way back is that of all rows.
    """
    seen = part.see(rows)
    with torch.enable_grad():
        lanes = {name: weight.expand(len(rows), *weight.shape[1:]) for name, weight in part.weights.items()}
        leaves = [weight.requires_grad_() for weight in lanes.values()]
        outputs = part.outputs(lanes, seen[:, None])[:, 0]  # (N, outputs)
        each = [torch.autograd.grad(one.sum(), leaves, retain_graph=True) for one in outputs.unbind(1)]
    return outputs.detach(), torch.stack([torch.cat([slope.flatten(1) for slope in slopes], 1) for slopes in each], 1)


def curvature(part: Part, likelihood: Likelihood, inputs: Tensor, deviations: Tensor, full: bool) -> Curvature:
    """Of all rows (N, ...), some at a time. deviations: s, (m,). Raises HarnessError where it is not finite."""
    scale = deviations.double()
    total = scale.new_zeros(part.size, part.size) if full else scale.new_zeros(part.size)
    for rows in inference.split(inputs, likelihood.outputs * part.size):
        roots = root(likelihood, *jacobians(part, rows)).double().flatten(0, 1) * scale  # (N * outputs, m)
        total += roots.T @ roots if full else roots.square().sum(0)
    if not total.isfinite().all():
        raise HarnessError(
            "the Gauss-Newton matrix is not finite: the network's outputs or their derivatives are not; try a smaller "
            "learning rate"
        )
    if not full:
        return Curvature(total, None, scale)
    eigenvalues, basis = torch.linalg.eigh(total)
    return Curvature(eigenvalues.clamp_min(0.0), basis, scale)


def root(likelihood: Likelihood, outputs: Tensor, slopes: Tensor) -> Tensor:
    """R' J, (N, outputs, m), at a noise of 1."""
    if likelihood.kind == "gaussian":
        return slopes
    p = outputs.softmax(1)
    roots = torch.diag_embed(p.sqrt()) - p[:, :, None] * p.sqrt()[:, None]
    return roots.mT @ slopes
