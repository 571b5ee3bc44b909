"""Low rank: the recurrent weights W (G m, m), gates one below the other, as left (G m, r) times right (r, m).

    svd         W ~ U_r s_r V_r^T, least |W - W_r|_F; the root of s_r in both factors
    identity    W - I ~ U_r s_r V_r^T, and h is added: what an IRNN started from costs nothing
    data        W ~ U_r U_r^T W, U_r the top left singular vectors of W S^1/2: least mean |(W - W_r) h|^2

All three are optimal (Eckart and Young, 1936, in the respective norm). S is of the states that W reads. A size of k
nodes gives the largest r with (G m + m) r <= G k^2, one at least.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness import Fit, Unsupported
from harness_low_rank import LowRankOptions, reference
from harness_recurrent import forms, network, reconstruction
from harness_recurrent import reference as plainly
from harness_recurrent.compression import Base, Compression, Smaller
from harness_recurrent.config import GATES
from harness_recurrent.training import State


class LowRank(Compression):
    """Factors of each layer's recurrent weights."""

    options: LowRankOptions

    def compress(self, base: Base) -> Smaller:
        """Raises Unsupported for the identity of a cell that has none."""
        if self.options.kind == "identity" and base.network.cell != "irnn":
            raise Unsupported(f"kind=identity: of cell=irnn, and this is {base.network.cell}; give kind=svd")
        rank, tensors, lost = self._choose_rank(base), dict(base.tensors), []
        for layer, S in enumerate(base.statistics.lagged):
            name = f"cells.{layer}.recurrent"
            W = tensors.pop(f"{name}.weight")
            factors = self._factorise(W, S, rank)
            tensors |= {f"{name}.{part}": factor for part, factor in factors.items()}
            lost.append(reconstruction.measure_loss(S, W, forms.to_dense(factors)))
        return Smaller(tensors, {"rank": rank, "recurrent_loss": network.unwrap_single(lost)})

    def count(self, base: Base, nodes: int) -> int:
        """Numbers at this rank."""
        total = base.size
        for layer in range(base.network.layers):
            rows, columns = base.tensors[f"cells.{layer}.recurrent.weight"].shape
            total += (rows + columns) * nodes - rows * columns
        return total

    def reference_prepare(self, state: State, fit: Fit) -> State:
        """Prepare by the plain equations: singular values of the products of the weights with each state."""
        return plainly.prepare(self, state, fit, reference.compress)

    def _choose_rank(self, base: Base) -> int:
        """As given, the largest that `parameters` allows, or the one that matches so many nodes."""
        if self.options.rank is not None:
            return self.options.rank
        size = self.size(base)
        return size if self.options.kept is None else match_rank(size, min(base.widths), GATES[base.network.cell])

    def _factorise(self, W: Tensor, S: Tensor, rank: int) -> dict[str, Tensor]:
        if self.options.kind == "data":
            values, vectors = torch.linalg.eigh(S)
            left = torch.linalg.svd(W @ (vectors * values.clamp(min=0).sqrt()), full_matrices=False).U[:, :rank]
            left = left * _find_signs(left)
            return {"left": left, "right": left.T @ W}
        if self.options.kind == "svd":
            return _split_evenly(W, rank)
        identity = torch.eye(len(W), dtype=W.dtype, device=W.device)
        return {**_split_evenly(W - identity, rank), "identity": torch.tensor(True, device=W.device)}


def match_rank(nodes: int, m: int, gates: int) -> int:
    """The largest rank with at most as many numbers as recurrent weights of so many nodes, one at least."""
    return max(1, gates * nodes**2 // ((gates + 1) * m))


def _split_evenly(W: Tensor, rank: int) -> dict[str, Tensor]:
    """Split W into factors of the same scale, so that both learn at one rate."""
    U, s, V = torch.linalg.svd(W, full_matrices=False)
    left, root = U[:, :rank], s[:rank].sqrt() * _find_signs(U[:, :rank])
    return {"left": left * root, "right": root[:, None] * V[:rank]}


def _find_signs(U: Tensor) -> Tensor:
    """Find the signs (r,) that make the largest entry of each column positive: libraries choose either."""
    return U.gather(0, U.abs().argmax(0, keepdim=True))[0].sign()


def build(options: LowRankOptions) -> LowRank:
    return LowRank(options)
