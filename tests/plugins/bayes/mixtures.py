"""Random Gaussian mixtures, and what other libraries say of them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy.linalg
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from harness_bayes.gaussians import Components, Diagonal, Full

KINDS = ("diag", "tied", "isotropic", "full")


class Mixture(NamedTuple):
    log_weights: Tensor
    components: Components

    @property
    def weights(self) -> Tensor:
        return self.log_weights.exp()

    @property
    def shape(self) -> tuple[int, int]:
        """K, m."""
        return tuple(self.components.means.shape[-2:])


def mixture(kind: str, count: int, m: int, distance: float, seed: int = 0) -> Mixture:
    """A mixture in float64 whose means lie about `distance` deviations apart, with uneven weights."""
    source = torch.Generator().manual_seed(seed + 1000 * m + 100_000 * count)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=source, dtype=torch.float64)

    scales = (normal(m) / 4).exp()
    means = distance / math.sqrt(2 * m) * scales * normal(count, m)
    log_weights = (normal(count) / 2).log_softmax(-1)
    if kind == "full":
        factors = (normal(count, m, m) / (4 * math.sqrt(m))).tril(-1) + (normal(count, m) / 8).exp().diag_embed()
        return Mixture(log_weights, Full(means, scales[:, None] * factors))
    shape = {"diag": (count, m), "tied": (1, m), "isotropic": (count, 1)}[kind]
    deviations = (normal(*shape) / (4 * math.sqrt(shape[-1]))).exp()
    return Mixture(log_weights, Diagonal(means, deviations * (1 if kind == "isotropic" else scales)))


def factors(mixture: Mixture) -> Tensor:
    """Gamma_k as matrices, (K, m, m)."""
    spread = mixture.components.spread
    return spread if isinstance(mixture.components, Full) else spread.diag_embed()


def distributions(mixture: Mixture) -> list[MultivariateNormal]:
    """The components as torch knows them."""
    means = mixture.components.means
    return [MultivariateNormal(mean, scale_tril=each) for mean, each in zip(means, factors(mixture), strict=True)]


def side_by_side(mixtures: list[Mixture]) -> Mixture:
    """Mixtures of one shape along a leading axis."""
    fields = zip(*(each.components for each in mixtures), strict=True)
    stacked = type(mixtures[0].components)(*map(torch.stack, fields))
    return Mixture(torch.stack([each.log_weights for each in mixtures]), stacked)


def independent_coordinates(mixture: Mixture, k: int, j: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and ratios of variances of component j along axes on which k is standard and both are independent.

    By scipy's generalised eigenvalues of the two covariances.
    """
    means = mixture.components.means.numpy()
    own, other = (each @ each.T for each in factors(mixture)[[k, j]].numpy())
    ratios, axes = scipy.linalg.eigh(other, own)
    return axes.T @ (means[j] - means[k]), ratios
