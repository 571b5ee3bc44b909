"""The curvature of a network's loss in its weights, and the Gaussian that it makes.

    H = sum_n J_n' Lambda_n J_n,    J_n = d f(x_n) / d w,    Lambda_n = -d2 log p(y_n | f) / d f2

the Gauss-Newton matrix. Lambda is 1 / noise^2 in regression and diag(p) - p p' for classes with probabilities p.
Weights are in units of their prior's deviations, w = s v, and the noise is left out.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from harness import HarnessError
from harness_bayes.likelihoods import Likelihood


class Curvature(NamedTuple):
    """H in units of the prior: eigenvalues (m,), ascending, with their vectors as columns (m, m); or the diagonal (m,)
    and None. All in float64. deviations: s, (m,).
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

    def weights(self, noise: Tensor) -> Tensor:
        """Sigma^(1/2) e of standard normal e (T, m): w - w*, (T, m)."""
        spread = noise * self.spreads
        return (spread if self.basis is None else spread @ self.basis.T) * self.deviations


def decompose(matrix: Tensor, deviations: Tensor) -> Curvature:
    """Decompose H (m, m), or its diagonal (m,), in units of s (m,). Raises HarnessError where H is not finite."""
    if not matrix.isfinite().all():
        raise HarnessError(
            "the Gauss-Newton matrix is not finite: the network's outputs or their derivatives are not; try a smaller "
            "learning rate"
        )
    scale = deviations.double()
    if matrix.dim() == 1:
        return Curvature(matrix * scale.square(), None, scale)
    eigenvalues, basis = torch.linalg.eigh(scale[:, None] * matrix * scale)
    return Curvature(eigenvalues.clamp_min(0.0), basis, scale)


def curvature_of_outputs(likelihood: Likelihood, outputs: Tensor) -> Tensor:
    """Curvature Lambda at outputs (N, outputs) and a noise of 1, (N, outputs, outputs), in float64."""
    if likelihood.kind == "gaussian":
        return outputs.new_ones(len(outputs), 1, 1, dtype=torch.float64)
    p = outputs.double().softmax(1)
    return torch.diag_embed(p) - p[:, :, None] * p[:, None]
