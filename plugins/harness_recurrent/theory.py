"""The cost of compressing a recurrent network to the nodes J: information losses, bias, and their bounds.

The network is h_t = sigma(Wx x_t + Wh h_{t-1} + b), h_0 = 0, f_t = Wo h_t + bo, with sigma elementwise, rho-Lipschitz
and 0 at 0. The compressed one has Wx[J], Wh[J] A, b[J] and Wo A. |W| of a matrix is its spectral norm, and S_n(kappa)
the sum over s < n of kappa^s: it may exceed every float, so bounds of the bias are logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from harness_recurrent.reconstruction import measure_reading, residual
from harness_recurrent.selection import degrees_of_freedom, shares, weight_matrix

# --- approximation ----------------------------------------------------------------------------------------------------


class InformationLosses(NamedTuple):
    """L_A = Tr E, L_Bo = Tr Wo E Wo^T, L_Bh = Tr Wh E Wh^T, and L_theta = Tr M E, the weighted sum that J minimises."""

    input: float
    readout: float
    recurrent: float
    weighted: float


def information_losses(
    S: Tensor, nodes: Sequence[int], tau: Tensor, readout: Tensor, recurrent: Tensor, theta: float = 0.5
) -> InformationLosses:
    """Losses of the regularised residual E_J; L_Bh goes by all rows of Wh, of which a compressed network keeps J."""
    E, Z = residual(S, nodes, tau), torch.cat([readout, recurrent])
    weighted = float((weight_matrix(S, Z, theta) * E).sum())
    return InformationLosses(
        float(E.trace()), measure_reading(E, readout.to(E)), measure_reading(E, recurrent.to(E)), weighted
    )


def count_needed(freedom: float, delta: float = 1 / 5) -> float:
    """Draws, 5 N log(16 N / delta), after which E_J <= 4 lam S (S + lam I)^-1 but for a chance of delta."""
    return 5 * freedom * math.log(16 * freedom / delta) if freedom else 0.0


def feasible_regularisation(S: Tensor, k: int) -> float:
    """lam(k) = inf {lam: k >= 5 N(lam) log(80 N(lam))}, by bisection of log lam; 0 where k is enough for the rank."""
    values = torch.linalg.eigvalsh(S)

    def feasible(lam: float) -> bool:
        return count_needed(float(shares(values, lam).sum())) <= k

    if feasible(0):
        return 0.0
    low, high = math.log(float(values[shares(values, 0) > 0].min())) - 40, math.log(80 * float(values.sum()))
    for _ in range(60):  # leave less than a float can tell
        middle = (low + high) / 2
        low, high = (low, middle) if feasible(math.exp(middle)) else (middle, high)
    return math.exp(high)


def approximation_bounds(S: Tensor, lam: float, readers: Tensor) -> tuple[float, float]:
    """L_A <= 4 lam N(lam) and L_B <= 4 lam Tr Z S (S + lam I)^-1 Z^T for `count_needed` sampled nodes; Z: readers."""
    Z = readers.to(S)
    hat = torch.linalg.solve(S + lam * torch.eye(len(S), dtype=S.dtype, device=S.device), S)
    return 4 * lam * degrees_of_freedom(S, lam), 4 * lam * measure_reading(hat, Z)


def reconstruction_norm_bound(m: int) -> float:
    """|A_J| <= sqrt(20 m / 3) for a sample that keeps the constraint sum 1 / tau'_v <= 5/3 m k."""
    return math.sqrt(20 * m / 3)


# --- bias -------------------------------------------------------------------------------------------------------------


def log_geometric_sum(kappa: float, count: int) -> float:
    """Log S_n(kappa) = log(1 + kappa + ... + kappa^(n-1)), which no kappa and n overflow; -inf for n = 0."""
    if count <= 0 or kappa <= 0:
        return 0.0 if count > 0 else -math.inf
    rate = math.log(kappa)
    if rate == 0:
        return math.log(count)
    largest = max(0.0, (count - 1) * rate)
    return largest + math.log(math.expm1(-count * abs(rate)) / math.expm1(-abs(rate)))


def log_bias_bound(
    R: Tensor, A: Tensor, nodes: Sequence[int], readout: Tensor, recurrent: Tensor, steps: int, rho: float = 1.0
) -> float:
    """Log of |f - f#|_nT <= sqrt Tr Wo R Wo^T + rho |Wo A| S_{T-1}(kappa) sqrt Tr Wh[J] R Wh[J]^T.

    |.|_nT: root of the mean square over sequences and steps. R: `reconstruction.error` of the mean over time, or the
    larger residual E_J. kappa = rho |Wh[J] A|.
    """
    Wo, Wh, A = readout.to(R), recurrent.to(R)[list(nodes)], A.to(R)
    carried = log(rho * _norm(Wo @ A)) + log_geometric_sum(rho * _norm(Wh @ A), steps - 1) + _log_root(R, Wh)
    return log_sum(_log_root(R, Wo), carried)


def log_last_step_bias_bound(
    each: Tensor, A: Tensor, nodes: Sequence[int], readout: Tensor, recurrent: Tensor, rho: float = 1.0
) -> float:
    """Log of rms |f_T - f#_T| <= sqrt Tr Wo R_T Wo^T + rho |Wo A| sum_{s<T} kappa^(T-1-s) sqrt Tr Wh[J] R_s Wh[J]^T.

    each: R_s, `reconstruction.error` of the covariance at each step, (T, m, m). kappa = rho |Wh[J] A|.
    """
    Wo, Wh, A = readout.to(each), recurrent.to(each)[list(nodes)], A.to(each)
    rate, last = log(rho * _norm(Wh @ A)), len(each) - 1
    powers = [(last - 1 - s) * rate if s < last - 1 else 0.0 for s in range(last)]
    carried = [power + _log_root(R, Wh) for power, R in zip(powers, each[:-1], strict=True)]
    return log_sum(_log_root(each[-1], Wo), log(rho * _norm(Wo @ A)) + log_sum(*carried))


def log_a_priori_bias_bound(lam: float, readout: Tensor, recurrent: Tensor, steps: int, rho: float = 1.0) -> float:
    """Log of 2 sqrt(lam) (|Wo|_F + rho |Wo| a S_{T-1}(rho |Wh| a) |Wh|_F), a = sqrt(20 m / 3): before J is known."""
    Wo, Wh = readout.double(), recurrent.double()
    a = reconstruction_norm_bound(Wh.shape[-1])
    carried = log(rho * _norm(Wo) * a) + log_geometric_sum(rho * _norm(Wh) * a, steps - 1) + log(float(Wh.norm()))
    return log(2 * math.sqrt(lam)) + log_sum(log(float(Wo.norm())), carried)


# --- in logarithms ----------------------------------------------------------------------------------------------------


def log(value: float) -> float:
    """Logarithm; of 0 or less, minus infinity."""
    return math.log(value) if value > 0 else -math.inf


def log_sum(*logs: float) -> float:
    """Logarithm of the sum of numbers with these logarithms."""
    return float(torch.tensor([*logs, -math.inf], dtype=torch.float64).logsumexp(0))


def _log_root(R: Tensor, W: Tensor) -> float:
    """Log sqrt Tr W R W^T; rounding may leave a zero negative."""
    return log(measure_reading(R, W)) / 2


def _norm(W: Tensor) -> float:
    return float(torch.linalg.matrix_norm(W, 2))
