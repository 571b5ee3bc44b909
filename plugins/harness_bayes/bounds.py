"""Bounds of the error H~ - H of the approximate entropy, and of its derivatives.

Theorems 1, 3 and 4 are those of https://arxiv.org/abs/2202.13059: they go by alpha, half a distance of two components
in deviations, and say something once alpha exceeds sqrt(m). Those by Kolchinsky and Tracey (Entropy 19, 2017) go by
overlaps and divergences of pairs, know no dimension and are never worse than H(pi): what is trained or certified uses
these. Weights are normalised logarithms, (..., K). Only full covariances make anything larger than K x m or K x K.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from harness_bayes.entropy import log_of_one_more, weight_entropy
from harness_bayes.gaussians import Components, Frame, divergences, measure_pairs

GOLDEN = (math.sqrt(5) - 1) / 2
SECTIONS = 60  # leave 3e-13 of an interval; a value at its extremum is then exact to the last digit


# --- alpha ------------------------------------------------------------------------------------------------------------


def ordered_alphas(components: Components) -> Tensor:
    """|mu_k - mu_j|_{Sigma_k} / (1 + ||Sigma_k^-1/2 Sigma_j^1/2||), (..., K, K); infinite on the diagonal."""
    return _fill_diagonal(math.inf, measure_pairs(components, _measure_ordered_alphas))


def alphas(components: Components) -> Tensor:
    """The largest alpha at which the balls of k and j, |w - mu|_Sigma < alpha, are disjoint; never below the ordered.

    alpha^2 = max over t in (0, 1) of t (1 - t) d^T ((1 - t) Sigma_k + t Sigma_j)^-1 d, d = mu_k - mu_j, concave in t:
    the dual of the smallest larger of the two distances. (..., K, K), infinite on the diagonal.
    """
    return _fill_diagonal(math.inf, measure_pairs(components, _maximise_squared_alphas).sqrt())


def smallest_alpha(found: Tensor) -> Tensor:
    """Alpha of the pair that lies closest, (...); infinite of one component."""
    return found.amin((-2, -1))


def _measure_ordered_alphas(frame: Frame) -> Tensor:
    return frame.offsets.norm(dim=-1) / (1 + frame.ratios.amax(-1).sqrt())


def _maximise_squared_alphas(frame: Frame) -> Tensor:
    squares = frame.offsets.square()

    def below(t: Tensor) -> Tensor:
        t = t[..., None]
        return -(t * (1 - t) * squares / (1 - t + t * frame.ratios)).sum(-1)

    zeros = torch.zeros_like(squares[..., 0])
    return -_minimise_convex(below, zeros, zeros + 1)


def _fill_diagonal(value: float, pairs: Tensor) -> Tensor:
    """With this value on the diagonal, (..., K, K)."""
    return pairs.masked_fill(torch.eye(pairs.shape[-1], dtype=torch.bool, device=pairs.device), value)


def _minimise_convex(function: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Tensor:
    """The least value of a convex function, by golden sections of each interval."""
    for _ in range(SECTIONS):
        step = GOLDEN * (high - low)
        left, right = high - step, low + step
        falls = function(left) > function(right)
        low, high = torch.where(falls, left, low), torch.where(falls, high, right)
    return function((low + high) / 2)


# --- theorems 1, 3 and 4 ----------------------------------------------------------------------------------------------


def general_bound(log_weights: Tensor, found: Tensor, m: int, s: float | None = None) -> Tensor:
    """Theorem 1: 2 (1 - s)^(-m/4) sum_k sum_{j != k} sqrt(pi_k pi_j) exp(-s alpha^2 / 4) >= H~ - H, (...).

    found: `alphas` or `ordered_alphas`, (..., K, K). s: in (0, 1); the best where none is said.
    """
    sizes = (log_weights[..., :, None] + log_weights[..., None, :]) / 2
    return 2 * _sum_over_pairs(sizes.flatten(-2), found.flatten(-2), m / 4, s)


def probabilistic_bound(count: int, m: int, c: float, epsilon: float, s: float | None = None) -> float:
    """Theorem 3: a bound of P(H~ - H >= epsilon), by the best s where none is said; it may exceed 1.

    (2 (K - 1) / epsilon) (sqrt(1 - s) (1 + s c^2 / 2))^(-m/2), where for all pairs of the `count` components
    Sigma_k^-1/2 (mu_k - mu_j) / (1 + ||Sigma_k^-1/2 Sigma_j^1/2||) is N(0, c^2 I): with coincident covariances, means
    from N(0, 2 c^2 Sigma). Its base exceeds 1, and it falls with m, only where c > 1.
    """
    if s is None:
        s = max(0.0, 2 * (c**2 - 1) / (3 * c**2)) if c else 0.0
    log_base = math.log1p(-s) / 2 + math.log1p(s * c**2 / 2)
    return 2 * (count - 1) / epsilon * math.exp(-m / 2 * log_base)


def mean_slopes_bound(log_weights: Tensor, components: Components, found: Tensor, s: float | None = None) -> Tensor:
    """Theorem 4: a bound of |d(H - H~) / d mu_kp|, (..., K, m), each by its best s where none is said."""
    return _bound_slopes(log_weights, components, found, 2, s)


def factor_slopes_bound(log_weights: Tensor, components: Components, found: Tensor, s: float | None = None) -> Tensor:
    """Theorem 4: a bound of |d(H - H~) / d Gamma_kpq| for every q, (..., K, m), likewise; deviations are Gamma_kpp."""
    return math.sqrt(3) * _bound_slopes(log_weights, components, found, 4, s)


def weight_slopes_bound(log_weights: Tensor, found: Tensor, m: int, s: float | None = None) -> Tensor:
    """Theorem 4: a bound of |d(H - H~) / d pi_k|, weights without constraint, (..., K), likewise."""
    return 2 * _sum_over_pairs((log_weights[..., None, :] - log_weights[..., :, None]) / 2, found, m / 4, s)


def _bound_slopes(log_weights: Tensor, components: Components, found: Tensor, extra: int, s: float | None) -> Tensor:
    norms = components.row_norms().mT  # (..., m, K)
    rows = []
    for k in range(norms.shape[-1]):
        sizes = (log_weights[..., k, None] + log_weights)[..., None, :] / 2 + (norms[..., k, None] + norms).log()
        rows.append(_sum_over_pairs(sizes, found[..., k, None, :], (norms.shape[-2] + extra) / 4, s))
    return torch.stack(rows, -2)


def _sum_over_pairs(log_sizes: Tensor, found: Tensor, power: float, s: float | None) -> Tensor:
    """(1 - s)^-power times the sum over pairs of exp(log_sizes - s alpha^2 / 4), (..., P) to (...).

    In -log(1 - s) its logarithm is convex, and no term falls beyond alpha^2 = 4 power.
    """
    squares = found.square().expand_as(log_sizes) / 4
    own = squares.isinf()
    log_sizes, squares = log_sizes.masked_fill(own, -math.inf), squares.masked_fill(own, 0)

    def log_bound(rate: Tensor) -> Tensor:
        return power * rate + (log_sizes + torch.expm1(-rate)[..., None] * squares).logsumexp(-1)

    zeros = torch.zeros_like(squares[..., 0])
    if s is not None:
        return log_bound(zeros - math.log1p(-s)).exp()
    return _minimise_convex(log_bound, zeros, (squares.amax(-1) / power).log().clamp(min=0)).exp()


# --- by overlaps and divergences of pairs -----------------------------------------------------------------------------


def kolchinsky_tracey_bound(log_weights: Tensor, log_overlaps: Tensor) -> Tensor:
    """KT = sum_k pi_k log(1 + sum_{j != k} pi_j / pi_k BC_kj) >= H~ - H, (...); differentiable.

    log_overlaps: `components.log_overlaps()`, (..., K, K): of a network in parts, their sum.
    """
    return _bound_by_affinities(log_weights, log_overlaps)


def overlap_bound(log_weights: Tensor, log_overlaps: Tensor) -> Tensor:
    """BC = sum_k sum_{j != k} sqrt(pi_k pi_j) BC_kj >= H~ - H, (...); differentiable."""
    sizes = (log_weights[..., :, None] + log_weights[..., None, :]) / 2 + log_overlaps
    return _fill_diagonal(-math.inf, sizes).exp().sum((-2, -1))


def certified_bound(log_weights: Tensor, log_overlaps: Tensor) -> Tensor:
    """The least of KT, BC and H(pi), (...): an objective with H~ less this is a lower bound of the evidence."""
    pairwise = kolchinsky_tracey_bound(log_weights, log_overlaps), overlap_bound(log_weights, log_overlaps)
    return torch.minimum(torch.minimum(*pairwise), weight_entropy(log_weights))


def lower_bound(log_weights: Tensor, components: Components) -> Tensor:
    """sum_k pi_k log(1 + sum_{j != k} pi_j / pi_k exp(-KL(N_k || N_j))) <= H~ - H, (...)."""
    return _bound_by_affinities(log_weights, -divergences(components))


def _bound_by_affinities(log_weights: Tensor, log_affinities: Tensor) -> Tensor:
    others = _fill_diagonal(-math.inf, log_weights[..., None, :] + log_affinities).logsumexp(-1)
    return (log_weights.exp() * log_of_one_more(others - log_weights)).sum(-1)
