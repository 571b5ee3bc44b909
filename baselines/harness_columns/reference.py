"""Columns by the equations, in plain float64, for `harness agree column-sparsification --reference`: all is tried.

L(J) = min over V of mean |W h - V h_J|^2 + sum_j tau_j |V_:j|^2
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from harness_columns import ColumnOptions
from harness_recurrent import reference as plainly
from harness_recurrent.compression import Smaller
from harness_recurrent.reference import Plain

Floats = NDArray[np.float64]


def compress(plain: Plain, options: ColumnOptions) -> Smaller:
    """The network with k columns of each layer's recurrent weights."""
    tensors, chosen, lost = dict(plain.tensors), [], []
    for layer in range(plain.network.layers):
        name = f"cells.{layer}.recurrent"
        W, h = (each.cpu().numpy() for each in (tensors[f"{name}.weight"], plainly.rows_read(plain, f"{name}.weight")))
        tau = penalties(h, options.lam, plain.nodes)
        J = sorted(greedily(W, h, plain.nodes, tau) if options.score == "spectral" else largest(W, plain.nodes))
        V = rewritten(W, h, J, tau) if options.reconstructs else W[:, J]
        tensors[f"{name}.weight"] = torch.from_numpy(V).to(plain.x)
        tensors[f"{name}.columns"] = torch.tensor(J, device=plain.x.device)
        chosen.append(J)
        lost.append(float(((h @ W.T - h[:, J] @ V.T) ** 2).sum() / ((h @ W.T) ** 2).sum()))
    one = plain.network.layers == 1
    return Smaller(tensors, {"columns": chosen[0] if one else chosen, "recurrent_loss": lost[0] if one else lost})


def largest(W: Floats, k: int) -> list[int]:
    """Columns of the largest norm, one after the other, of equal ones the first."""
    return sorted(range(W.shape[1]), key=lambda column: (-(W[:, column] ** 2).sum(), column))[:k]


def penalties(states: Floats, lam: float, k: int) -> Floats:
    """tau_j = l k tau'_j, l = lam Tr S / m, tau' the shares of (S (S + l I)^-1)_jj; not below 1e-10 Tr S / m."""
    m = states.shape[1]
    if not lam:
        return np.zeros(m)
    S = states.T @ states / len(states)
    l = lam * np.trace(S) / m  # noqa: E741
    scores = np.diag(S @ np.linalg.inv(S + l * np.eye(m)))
    return np.maximum(l * k * scores / scores.sum(), 1e-10 * np.trace(S) / m)


def rewritten(W: Floats, states: Floats, columns: Sequence[int], tau: Floats) -> Floats:
    """V (rows, k), by least squares on states (n, m), with k equations more for the penalty."""
    n = len(states)
    known = np.concatenate([states[:, columns] / np.sqrt(n), np.diag(np.sqrt(tau[columns]))])
    wanted = np.concatenate([states @ W.T / np.sqrt(n), np.zeros((len(columns), len(W)))])
    return np.linalg.lstsq(known, wanted, rcond=None)[0].T


def loss(W: Floats, states: Floats, columns: Sequence[int], tau: Floats) -> float:
    """L(J)."""
    V = rewritten(W, states, columns, tau)
    missed = states @ W.T - states[:, columns] @ V.T
    return float((missed**2).sum(1).mean() + (V**2 @ tau[columns]).sum())


def greedily(W: Floats, states: Floats, k: int, tau: Floats) -> list[int]:
    """Columns one after the other, each that leaves the least loss."""
    kept: list[int] = []
    for _ in range(k):
        rest = [column for column in range(W.shape[1]) if column not in kept]
        kept.append(min(rest, key=lambda column: loss(W, states, [*kept, column], tau)))
    return kept
