"""The hidden state from the nodes that are kept: the matrix A of h = A h_J, and its losses.

With S = mean of h h^T and J the kept nodes, A minimises the mean of |h - A h_J|^2 + Tr A diag(tau) A^T. Any map Z that
reads h is best replaced by Z A, whatever Z is, so one A serves all readers. All tensors are float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

JITTER = 1e-12  # of the mean of the diagonal; doubled until the matrix is positive definite


class Losses(NamedTuple):
    """Mean squares that are lost, of the states, Tr R, and of their readers, Tr Z R Z^T; and either as a share."""

    input: float
    output: float
    input_share: float
    output_share: float


def matrix(S: Tensor, nodes: Sequence[int], tau: Tensor) -> Tensor:
    """A = S_{:,J} (S_JJ + diag tau_J)^-1, (m, k), columns in the order of the nodes; tau (m,).

    Where all tau_J are zero a kept node is itself exactly, also a dead one: with all nodes kept A is the identity.
    """
    kept = _to_index(S, nodes)
    A = torch.cholesky_solve(S[kept], _factorise_gram(S, kept, tau)).T
    if not tau[kept].any():
        A[kept] = torch.eye(len(kept), dtype=A.dtype, device=A.device)
    return A


def selector(m: int, nodes: Sequence[int]) -> Tensor:
    """A (m, k) that reconstructs nothing: kept nodes are themselves, the others zero."""
    A = torch.zeros(m, len(nodes), dtype=torch.float64)
    A[list(nodes), range(len(nodes))] = 1
    return A


def residual(S: Tensor, nodes: Sequence[int], tau: Tensor) -> Tensor:
    """E_J = S - S_{:,J} (S_JJ + diag tau_J)^-1 S_{J,:}, (m, m): the loss, the penalty included."""
    kept = _to_index(S, nodes)
    half = torch.linalg.solve_triangular(_factorise_gram(S, kept, tau), S[kept], upper=False)  # (k, m)
    return S - half.T @ half


def error(S: Tensor, nodes: Sequence[int], A: Tensor) -> Tensor:
    """R = mean of (h - A h_J)(h - A h_J)^T, (m, m), for any A (m, k); S (m, m) or at each step (T, m, m)."""
    kept = _to_index(S, nodes)
    away = torch.eye(len(A), dtype=S.dtype, device=S.device)
    away[:, kept] -= A.to(S)
    return away @ S @ away.T


def losses(S: Tensor, nodes: Sequence[int], A: Tensor, readers: Tensor) -> Losses:
    """Losses of A in the states, and in the readers Z (rows, m) times the states; shares of the loss without a node."""
    Z = readers.to(S)
    R = error(S, nodes, A)
    lost = [float(R.trace()), measure_reading(R, Z)]
    whole = [float(S.trace()), measure_reading(S, Z)]
    return Losses(*lost, *(part / all_ if all_ else 0.0 for part, all_ in zip(lost, whole, strict=True)))


def measure_reading(R: Tensor, Z: Tensor) -> float:
    """Tr Z R Z^T: the mean square of Z v over vectors v whose covariance is R."""
    return float((Z @ R * Z).sum())


def measure_loss(S: Tensor, W: Tensor, approximate: Tensor) -> float:
    """Mean |W h - approximate h|^2 as a share of mean |W h|^2, of states h with second moments S."""
    whole = measure_reading(S, W)
    return measure_reading(S, W - approximate) / whole if whole else 0.0


def cholesky(K: Tensor) -> Tensor:
    """The lower factor of K, with as little on its diagonal as makes it positive definite, by doubling."""
    factor, failed = torch.linalg.cholesky_ex(K)
    jitter = JITTER * (float(K.diagonal().mean()) or 1.0)
    while failed:
        factor, failed = torch.linalg.cholesky_ex(K + jitter * torch.eye(len(K), dtype=K.dtype, device=K.device))
        jitter *= 2
    return factor


def _factorise_gram(S: Tensor, kept: Tensor, tau: Tensor) -> Tensor:
    return cholesky(S[kept][:, kept] + tau[kept].diag())


def _to_index(S: Tensor, nodes: Sequence[int]) -> Tensor:
    return torch.as_tensor(nodes, dtype=torch.long, device=S.device)
