"""Components of a Gaussian mixture over R^m, and how far from each other they lie.

    q(w) = sum_k pi_k N_k(w),   N_k = N(mu_k, Sigma_k),   Sigma_k = Gamma_k Gamma_k^T,   |x|_Sigma = |Gamma^-1 x|

Leading axes, written ..., hold mixtures side by side. Any floating type works; the theory is checked in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.linalg import solve_triangular


class Frame(NamedTuple):
    """All components in coordinates in which one of them is N(0, I) and the others have independent coordinates."""

    offsets: Tensor  # (..., K, m), of the means
    ratios: Tensor  # (..., K, m), variances


class Components(Protocol):
    """K Gaussians, as far as the theory asks about them."""

    @property
    def means(self) -> Tensor:
        """Centres, (..., K, m)."""
        ...

    @property
    def spread(self) -> Tensor:
        """Deviations (..., K, m), or factors (..., K, m, m), that make up Gamma_k of each component."""
        ...

    def log_scales(self) -> Tensor:
        """Half the log-determinants of the covariances, log |Gamma_k|, (..., K)."""
        ...

    def row_norms(self) -> Tensor:
        """Euclidean norms of the rows of Gamma_k^-T, (..., K, m)."""
        ...

    def place(self, noise: Tensor) -> Tensor:
        """Draws mu_k + Gamma_k z from standard normal z, both (..., K, S, m)."""
        ...

    def standardise(self, points: Tensor, k: int) -> Tensor:
        """Points seen from component k, Gamma_k^-1 (w - mu_k), both (..., N, m)."""
        ...

    def frame(self, k: int) -> Frame:
        """All components seen from component k."""
        ...

    def log_overlaps(self) -> Tensor:
        """Logarithms of the Bhattacharyya coefficients, integrals of sqrt(N_k N_j), (..., K, K); 0 on the diagonal."""
        ...

    def between(self, k: int, other: int, noise: Tensor) -> Tensor:
        """Draws of the normal density proportional to sqrt(N_k N_other), from standard normal noise, (..., S, m)."""
        ...


class Diagonal(NamedTuple):
    """Independent coordinates: Gamma_k = diag(deviations_k).

    Deviations broadcast: (..., K, m) are diagonal covariances, (..., 1, m) one tied to all components, (..., K, 1)
    isotropic ones.
    """

    means: Tensor  # (..., K, m)
    deviations: Tensor

    @property
    def spread(self) -> Tensor:
        """A deviation for each coordinate, (..., K, m)."""
        return self.deviations.expand_as(self.means)

    def log_scales(self) -> Tensor:
        return self.deviations.log().expand_as(self.means).sum(-1)

    def row_norms(self) -> Tensor:
        return self.spread.reciprocal()

    def place(self, noise: Tensor) -> Tensor:
        return self.means[..., None, :] + self.spread[..., None, :] * noise

    def standardise(self, points: Tensor, k: int) -> Tensor:
        return (points - self.means[..., k, None, :]) / self.spread[..., k, None, :]

    def frame(self, k: int) -> Frame:
        own = self.spread[..., k, None, :]
        return Frame(self.standardise(self.means, k), (self.spread / own).square())

    def log_overlaps(self) -> Tensor:
        return -_Exponents.apply(self.means, self.spread)

    def between(self, k: int, other: int, noise: Tensor) -> Tensor:
        pair, own = [k, other], self.spread
        precisions = own[..., pair, :].square().reciprocal()  # (..., 2, m)
        weights = precisions / precisions.sum(-2, keepdim=True)
        mean = (weights * self.means[..., pair, :]).sum(-2, keepdim=True)
        return mean + precisions.mean(-2, keepdim=True).rsqrt() * noise


class Full(NamedTuple):
    """Full covariances by lower-triangular factors Gamma_k with positive diagonals, (..., K, m, m).

    Factors (..., 1, m, m) are tied to all components. Pairs cost m^3: for small m.
    """

    means: Tensor  # (..., K, m)
    factors: Tensor

    @property
    def spread(self) -> Tensor:
        """A factor for each component, (..., K, m, m)."""
        return self.factors.tril().expand(*self.means.shape, self.means.shape[-1])

    def log_scales(self) -> Tensor:
        return self.spread.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def row_norms(self) -> Tensor:
        return self._invert_factors().norm(dim=-2)

    def place(self, noise: Tensor) -> Tensor:
        return self.means[..., None, :] + noise @ self.spread.mT

    def standardise(self, points: Tensor, k: int) -> Tensor:
        return solve_triangular(self.spread[..., k, :, :], (points - self.means[..., k, None, :]).mT, upper=False).mT

    def frame(self, k: int) -> Frame:
        directions, scales, _ = torch.linalg.svd(self._transform_factors(k))
        offsets = self.standardise(self.means, k)  # (..., K, m)
        return Frame((directions.mT @ offsets[..., None])[..., 0], scales.square())

    def log_overlaps(self) -> Tensor:
        return torch.stack([self._log_overlaps(k) for k in range(self.means.shape[-2])], -2)

    def between(self, k: int, other: int, noise: Tensor) -> Tensor:
        inverses = self._invert_factors()[..., [k, other], :, :]
        precisions = inverses.mT @ inverses / 2  # (..., 2, m, m)
        factor = torch.linalg.cholesky(precisions.sum(-3))
        pull = (precisions @ self.means[..., [k, other], :, None]).sum(-3)
        mean = torch.cholesky_solve(pull, factor)  # (..., m, 1)
        return (mean + solve_triangular(factor.mT, noise.mT, upper=True)).mT

    def _invert_factors(self) -> Tensor:
        one = torch.eye(self.means.shape[-1], dtype=self.means.dtype, device=self.means.device)
        return solve_triangular(self.spread, one, upper=False)

    def _transform_factors(self, k: int) -> Tensor:
        """Transform the factors of all components to coordinates of component k, Gamma_k^-1 Gamma_j, (..., K, m, m)."""
        return solve_triangular(self.spread[..., k, None, :, :], self.spread, upper=False)

    def _log_overlaps(self, k: int) -> Tensor:
        seen, scales = self._transform_factors(k), self.log_scales()
        one = torch.eye(seen.shape[-1], dtype=seen.dtype, device=seen.device)
        factor = _factorise((one + seen @ seen.mT) / 2)  # (..., K, m, m)
        distances = solve_triangular(factor, self.standardise(self.means, k)[..., None], upper=False)
        log_volumes = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1) + (scales[..., k, None] - scales) / 2
        return -distances.square().sum((-2, -1)) / 8 - log_volumes  # (..., K)


def _factorise(matrices: Tensor) -> Tensor:
    """Lower factors, nan of a matrix that has none: a lane that is lost ends no other, and no device is waited for."""
    factor, failed = torch.linalg.cholesky_ex(matrices)
    return factor.masked_fill((failed > 0)[..., None, None], math.nan)


def squared_distances(components: Components, points: Tensor) -> Tensor:
    """Squared Mahalanobis distances |w - mu_k|^2 of points (..., N, m) from all components, (..., N, K)."""
    each = range(components.means.shape[-2])
    return torch.stack([components.standardise(points, k).square().sum(-1) for k in each], -1)


def log_densities(components: Components, points: Tensor) -> Tensor:
    """Values log N_k(w) at points (..., N, m), (..., N, K), in nats."""
    constant = components.means.shape[-1] / 2 * math.log(2 * math.pi)
    return -squared_distances(components, points) / 2 - components.log_scales()[..., None, :] - constant


def divergences(components: Components) -> Tensor:
    """Kullback-Leibler divergences KL(N_k || N_j), (..., K, K), in nats."""
    return measure_pairs(components, _divergences_in_frame)


def _divergences_in_frame(frame: Frame) -> Tensor:
    within = (1 + frame.offsets.square()) / frame.ratios - 1 + frame.ratios.log()
    return within.sum(-1) / 2


def measure_pairs(components: Components, measure: Callable[[Frame], Tensor]) -> Tensor:
    """Measure all pairs of components, (..., K, K): row k is seen from component k."""
    return torch.stack([measure(components.frame(k)) for k in range(components.means.shape[-2])], -2)


class _Exponents(torch.autograd.Function):
    """Bhattacharyya's exponents of all pairs of diagonal Gaussians, of which no backward pass keeps K x K x m numbers.

    sum_i (mu_k - mu_j)^2 / (4 (s_k^2 + s_j^2)) + log((s_k^2 + s_j^2) / (2 s_k s_j)) / 2
    """

    @staticmethod
    def forward(ctx: Any, means: Tensor, deviations: Tensor) -> Tensor:
        ctx.save_for_backward(means, deviations)
        return torch.stack([_exponents_of_row(means, deviations, k) for k in range(means.shape[-2])], -2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        means, deviations = ctx.saved_tensors
        both = gradient + gradient.mT  # every pair lies there twice
        rows = [_slopes_of_row(means, deviations, both[..., k, :, None], k) for k in range(means.shape[-2])]
        by_mean, by_deviation = zip(*rows, strict=True)
        return torch.stack(by_mean, -2), torch.stack(by_deviation, -2)


def _exponents_of_row(means: Tensor, deviations: Tensor, k: int) -> Tensor:
    own = deviations[..., k, None, :]
    distances = (means - means[..., k, None, :]).square() / (own.square() + deviations.square()) / 4
    volumes = ((own - deviations).square() / (2 * own * deviations)).log1p() / 2
    return (distances + volumes).sum(-1)  # (..., K)


def _slopes_of_row(means: Tensor, deviations: Tensor, weights: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Derivatives of row k, weighted by (..., K, 1), by its mean and its deviations, (..., m)."""
    own = deviations[..., k, None, :]
    total = own.square() + deviations.square()
    difference = (means[..., k, None, :] - means) / total
    by_mean = (weights * difference / 2).sum(-2)
    volumes = (own - deviations) * (own + deviations) / (2 * own * total)
    return by_mean, (weights * (volumes - difference.square() * own / 2)).sum(-2)
