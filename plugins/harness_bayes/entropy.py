"""Entropy of a Gaussian mixture: the sum of unimodal entropies, and its error exactly.

    H~ = sum_k pi_k (H(N_k) - log pi_k)
    H~ - H = sum_k pi_k E_{N_k} log(1 + sum_{j != k} pi_j N_j / (pi_k N_k)) = E_q H(r),   0 <= H~ - H <= H(pi),

where r_k = pi_k N_k / q tells which component a point is from: H~ errs by the entropy that is left of that (theoretical
error analysis of entropy approximation for Gaussian mixtures, https://arxiv.org/abs/2202.13059). Weights are given as
normalised logarithms, (..., K), all finite.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from harness_bayes.gaussians import Components, log_densities


class Estimate(NamedTuple):
    """A mean over draws and its standard error, in nats; NaN of a single draw."""

    value: Tensor  # (...)
    standard_error: Tensor  # (...)


def weight_entropy(log_weights: Tensor) -> Tensor:
    """H(pi) in nats, (...)."""
    return -(log_weights.exp() * log_weights).sum(-1)


def approximate_entropy(log_weights: Tensor, components: Components) -> Tensor:
    """H~ in nats, (...): of one component its entropy, and no pair of components is looked at."""
    unimodal = components.means.shape[-1] / 2 * (1 + math.log(2 * math.pi)) + components.log_scales()  # (..., K)
    return (log_weights.exp() * (unimodal - log_weights)).sum(-1)


def sampled_error(log_weights: Tensor, components: Components, points: Tensor) -> Estimate:
    """H~ - H by the identity, from draws of every component (`components.place`), (..., K, S, m).

    Unbiased, and differentiable with the points. It sees no error far below 1/S: see `bridged_error`.
    """
    return estimate_stratified(log_weights.exp(), surprises(log_weights, components, points))


def surprises(log_weights: Tensor, components: Components, points: Tensor) -> Tensor:
    """Values -log r_k of draws of each component (..., K, S, m), (..., K, S): their mean by pi is H~ - H."""
    logits = _compute_logits(log_weights, components, points.flatten(-3, -2)).unflatten(-2, points.shape[-3:-1])
    return _surprise(logits).diagonal(dim1=-3, dim2=-1).mT


def bridged_error(log_weights: Tensor, components: Components, noise: Tensor) -> Estimate:
    """H~ - H from points between the components, where it comes from, however small it is.

    log(1 + x) <= sqrt(x) gives q H(r) <= sum_{k<j} 2 sqrt(pi_k pi_j N_k N_j): divided by its integral, a mixture of
    K (K - 1) / 2 Gaussians. Drawn from that, the ratio of the two sides lies in [0, 1], and the relative error hardly
    grows as components move apart. noise: standard normal, (..., pairs, S, m), as ordered by `pairs(K)`; K >= 2.
    """
    chosen = pairs(components.means.shape[-2])
    drawn = [components.between(k, j, noise[..., place, :, :]) for place, (k, j) in enumerate(chosen)]
    logits = _compute_logits(log_weights, components, torch.stack(drawn, -3).flatten(-3, -2))  # (..., pairs * S, K)
    mine, other = (list(side) for side in zip(*chosen, strict=True))
    unexplained = (logits + _surprise(logits).log()).logsumexp(-1)
    majorant = ((logits[..., mine] + logits[..., other]) / 2 + math.log(2)).logsumexp(-1)
    ratios = (unexplained - majorant).exp().unflatten(-1, noise.shape[-3:-1])  # (..., pairs, S)
    log_sizes = (log_weights[..., mine] + log_weights[..., other]) / 2 + components.log_overlaps()[..., mine, other]
    return estimate_stratified(2 * log_sizes.exp(), ratios)


def pairs(count: int) -> list[tuple[int, int]]:
    """Pairs of `count` components, each once."""
    return [(k, j) for k in range(count) for j in range(k + 1, count)]


def log_of_others(logits: Tensor) -> Tensor:
    """For every last index k the logarithm of the sum of exp(logits_j) over j != k; minus infinity of one alone."""
    own = torch.eye(logits.shape[-1], dtype=torch.bool, device=logits.device)
    return logits[..., None, :].masked_fill(own, -math.inf).logsumexp(-1)


def log_of_one_more(x: Tensor) -> Tensor:
    """log(1 + exp(x)) to the last digits, also of large and of very negative x."""
    return torch.logaddexp(torch.zeros((), dtype=x.dtype, device=x.device), x)


def _compute_logits(log_weights: Tensor, components: Components, points: Tensor) -> Tensor:
    return log_weights[..., None, :] + log_densities(components, points)


def _surprise(logits: Tensor) -> Tensor:
    """-log r_k, (..., K)."""
    return log_of_one_more(log_of_others(logits) - logits)


def estimate_stratified(weights: Tensor, values: Tensor) -> Estimate:
    """Estimate the sum, weighted by (..., P), of means over draws (..., P, S)."""
    means, draws = values.mean(-1), values.shape[-1]
    # Not `var`, which warns of a single draw: its variance is 0 / 0, as is meant.
    variances = (values - means[..., None]).square().sum(-1) / (draws - 1) / draws
    return Estimate((weights * means).sum(-1), (weights.square() * variances).sum(-1).sqrt())
