"""Column sparsification: W_h h becomes V h_J with k columns, of all gates together; all m nodes stay.

    norm        J: the k largest |W_:j|^2
    spectral    J: exact greedy search for a small Tr W E_J W^T, E_J what h_J loses of S (`harness_recurrent.selection`)
    V = W A_J where columns are rewritten, the best there is for mean |W h - V h_J|^2, and else W_:J

S is of the states that these weights read: those of all steps but the last, and the zeros before them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness import Fit
from harness_columns import ColumnOptions, reference
from harness_recurrent import network, reconstruction, selection
from harness_recurrent import reference as plainly
from harness_recurrent.compression import Base, Compression, Smaller
from harness_recurrent.training import State


class ColumnSparsification(Compression):
    """Keeps columns."""

    options: ColumnOptions

    def compress(self, base: Base) -> Smaller:
        count, tensors = self.size(base), dict(base.tensors)
        chosen, lost = [], []
        for layer, S in enumerate(base.statistics.lagged):
            name = f"cells.{layer}.recurrent"
            W, tau = base.tensors[f"{name}.weight"], selection.regularisation(S, self.options.lam, count)
            columns = self._choose_columns(W, S, count, tau)
            A = self._build_map(S, columns, tau)
            tensors |= {f"{name}.weight": W @ A, f"{name}.columns": torch.tensor(columns, device=W.device)}
            chosen.append(columns)
            lost.append(reconstruction.measure_loss(S, W, W @ A @ _build_selector(columns, A)))
        return Smaller(
            tensors, {"columns": network.unwrap_single(chosen), "recurrent_loss": network.unwrap_single(lost)}
        )

    def count(self, base: Base, nodes: int) -> int:
        """Numbers where so many columns stay."""
        gone = [weight.shape[0] * (weight.shape[1] - nodes) for weight in _list_recurrent_weights(base)]
        return base.size - sum(gone)

    def reference_prepare(self, state: State, fit: Fit) -> State:
        """Prepare by the plain equations: a naive search, and least squares on the states."""
        return plainly.prepare(self, state, fit, reference.compress)

    def _choose_columns(self, W: Tensor, S: Tensor, count: int, tau: Tensor) -> list[int]:
        if self.options.score == "spectral":
            return sorted(selection.greedy(S, W.T @ W, count, tau))
        order = W.square().sum(0).sort(descending=True, stable=True).indices
        return sorted(order[:count].tolist())

    def _build_map(self, S: Tensor, columns: Sequence[int], tau: Tensor) -> Tensor:
        """Build A (m, k) with V = W A."""
        if self.options.reconstructs:
            return reconstruction.matrix(S, columns, tau)
        return reconstruction.selector(len(S), columns).to(S)


def _build_selector(columns: Sequence[int], A: Tensor) -> Tensor:
    """P (k, m) with h_J = P h."""
    return reconstruction.selector(len(A), columns).to(A).T


def _list_recurrent_weights(base: Base) -> list[Tensor]:
    return [base.tensors[f"cells.{layer}.recurrent.weight"] for layer in range(base.network.layers)]


def build(options: ColumnOptions) -> ColumnSparsification:
    return ColumnSparsification(options)
