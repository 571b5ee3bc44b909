"""Columns by the equations, in plain float64, for `harness agree column-sparsification --reference`: all is tried.

L(J) = min over V of mean |W h - V h_J|^2 + sum_j tau_j |V_:j|^2
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness_columns import ColumnOptions
from harness_recurrent import reference as plainly
from harness_recurrent.compression import Smaller
from harness_recurrent.reference import Floats, Plain


def compress(plain: Plain, options: ColumnOptions) -> Smaller:
    """The network with k columns of each layer's recurrent weights."""
    tensors, chosen, lost = dict(plain.tensors), [], []
    for layer in range(plain.network.layers):
        name = f"cells.{layer}.recurrent"
        W, h = (
            each.cpu().numpy()
            for each in (tensors[f"{name}.weight"], plainly.collect_rows_read(plain, f"{name}.weight"))
        )
        tau = plainly.build_penalties(h, options.lam, plain.nodes)
        J = sorted(
            search_greedily(W, h, plain.nodes, tau) if options.score == "spectral" else find_largest(W, plain.nodes)
        )
        V = rewrite_columns(W, h, J, tau) if options.reconstructs else W[:, J]
        tensors[f"{name}.weight"] = torch.from_numpy(V).to(plain.x)
        tensors[f"{name}.columns"] = torch.tensor(J, device=plain.x.device)
        chosen.append(J)
        lost.append(float(((h @ W.T - h[:, J] @ V.T) ** 2).sum() / ((h @ W.T) ** 2).sum()))
    return Smaller(tensors, {"columns": plainly.unwrap_single(chosen), "recurrent_loss": plainly.unwrap_single(lost)})


def find_largest(W: Floats, k: int) -> list[int]:
    """Columns of the largest norm, one after the other, of equal ones the first."""
    return sorted(range(W.shape[1]), key=lambda column: (-(W[:, column] ** 2).sum(), column))[:k]


def rewrite_columns(W: Floats, states: Floats, columns: Sequence[int], tau: Floats) -> Floats:
    """V (rows, k), by least squares on states (n, m)."""
    return plainly.least_squares(states, states @ W.T, columns, tau)


def loss(W: Floats, states: Floats, columns: Sequence[int], tau: Floats) -> float:
    """L(J)."""
    V = rewrite_columns(W, states, columns, tau)
    missed = states @ W.T - states[:, columns] @ V.T
    return float((missed**2).sum(1).mean() + (V**2 @ tau[columns]).sum())


def search_greedily(W: Floats, states: Floats, k: int, tau: Floats) -> list[int]:
    """Columns one after the other, each that leaves the least loss."""
    kept: list[int] = []
    for _ in range(k):
        rest = [column for column in range(W.shape[1]) if column not in kept]
        kept.append(min(rest, key=lambda column: loss(W, states, [*kept, column], tau)))
    return kept
