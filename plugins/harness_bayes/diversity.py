"""Effective number of components: the number of functions that the components of a prediction amount to.

    A_kj = sqrt(pi_k pi_j) mean_n integral sqrt(p_k(y | x_n) p_j(y | x_n)) dy,    exp(-sum_i lambda_i log lambda_i)

lambda: the eigenvalues of A, which sum to one. Of components that are one function A has rank one: 1. Of components
that never agree A is diagonal: exp(H(pi)), K for equal weights. In between a difference counts as far as the data
could tell it: by the overlap of the components' predictions, not centred, averaged over rows (the score of Friedman and
Dieng, 2023, with Bhattacharyya's coefficient as similarity).

p_k is of classes the mean probability of a component's draws; of regression the Gaussian with the mean and the
variance of their mixture, the noise in it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness import ClassLogProbs, RegressionMixture
from harness_bayes import prediction


def effective_components(mixture: ClassLogProbs | RegressionMixture, count: int, size: int) -> float:
    """Effective number, in [1, count], of a prediction (S, N, ...) of as many draws of each of `count` components.

    size: numbers of a network. From D draws of each, one function is told as 1 + O(1 / D).
    """
    weights = group_by_component(mixture.log_weights.double().exp(), count, size).sum(1)  # (K,)
    overlaps = _compare_class_components if isinstance(mixture, ClassLogProbs) else _compare_gaussian_components
    affinities = overlaps(*(group_by_component(each, count, size) for each in mixture[:-1]))
    roots = weights.sqrt()
    shares = torch.linalg.eigvalsh(roots[:, None] * roots * affinities).clamp(min=0)
    shares = shares / shares.sum()
    return float(torch.special.entr(shares).sum().exp())


def group_by_component(samples: Tensor, count: int, size: int) -> Tensor:
    """Group a prediction's samples, (S, ...), by component and draw, (K, D, ...)."""
    draws = len(samples) // count
    parts = samples.split([count * some for some in prediction.split_draws(count, draws, size)])
    return torch.cat([part.unflatten(0, (count, -1)) for part in parts], 1)


def _compare_class_components(log_probs: Tensor) -> Tensor:
    """Mean over rows of sum_c sqrt(p_k p_j), (K, K), of (K, D, N, C)."""
    roots = log_probs.double().exp().mean(1).sqrt()  # (K, N, C)
    roots = roots / roots.norm(dim=2, keepdim=True)  # so that the diagonal is 1 to the last digit
    return roots.flatten(1) @ roots.flatten(1).T / roots.shape[1]


def _compare_gaussian_components(means: Tensor, variances: Tensor) -> Tensor:
    """Mean over rows of sqrt(2 s_k s_j / (s_k^2 + s_j^2)) exp(-(f_k - f_j)^2 / (4 (s_k^2 + s_j^2))), (K, K)."""
    functions = means.double()
    f = functions.mean(1)  # (K, N)
    v = functions.var(1, correction=0) + variances.double().mean(1)
    rows = []
    for mean, variance in zip(f, v, strict=True):
        total = variance + v
        log_sizes = (2 * (variance * v).sqrt() / total).log() / 2
        rows.append((log_sizes - (mean - f).square() / (4 * total)).exp().mean(1))
    return torch.stack(rows)
