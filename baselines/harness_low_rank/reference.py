"""Low rank by the equations, in plain float64, for `harness agree low-rank --reference`; a rank's least loss."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from harness_low_rank import LowRankOptions
from harness_recurrent import reference as plainly
from harness_recurrent.compression import Smaller
from harness_recurrent.reference import Plain

Floats = NDArray[np.float64]


def compress(plain: Plain, options: LowRankOptions) -> Smaller:
    """The network whose recurrent weights are a product."""
    tensors, lost, rank = dict(plain.tensors), [], 0
    for layer in range(plain.network.layers):
        name = f"cells.{layer}.recurrent"
        h = plainly.collect_rows_read(plain, f"{name}.weight").cpu().numpy()
        W = tensors.pop(f"{name}.weight").cpu().numpy()
        rank = options.rank or (match_rank(W, plain.nodes) if options.kept is not None else plain.nodes)
        left, right = factorise(W, h, rank, options.kind)
        tensors |= {f"{name}.left": torch.from_numpy(left).to(plain.x)}
        tensors |= {f"{name}.right": torch.from_numpy(right).to(plain.x)}
        approximate = left @ right
        if options.kind == "identity":
            tensors[f"{name}.identity"] = torch.tensor(True, device=plain.x.device)
            approximate = approximate + np.eye(len(W))
        lost.append(loss(W, approximate, h) / loss(W, np.zeros_like(W), h))
    return Smaller(tensors, {"rank": rank, "recurrent_loss": plainly.unwrap_single(lost)})


def match_rank(W: Floats, k: int) -> int:
    """The largest rank, one at least, with no more numbers than k / m of the rows have in k / m of the columns."""
    n, m = W.shape
    rank = 1
    while (rank + 1) * (n + m) <= n // m * k * k:
        rank += 1
    return rank


def factorise(W: Floats, h: Floats, rank: int, kind: str) -> tuple[Floats, Floats]:
    """Left (n, r) and right (r, m). Of each singular vector the largest entry is positive."""
    if kind == "data":
        U = np.linalg.svd(W @ h.T, full_matrices=False)[0][:, :rank]
        U = np.stack([u if max(u, key=abs) > 0 else -u for u in U.T], axis=1)
        return U, U.T @ W
    U, s, V = np.linalg.svd(W - np.eye(len(W)) if kind == "identity" else W, full_matrices=False)
    signs = [1.0 if max(u, key=abs) > 0 else -1.0 for u in U.T[:rank]]
    pairs = [(sign * np.sqrt(s[i]) * U[:, i], sign * np.sqrt(s[i]) * V[i]) for i, sign in enumerate(signs)]
    return np.stack([left for left, _ in pairs], axis=1), np.stack([right for _, right in pairs])


def least_distance(W: Floats, rank: int) -> float:
    """The least |W - W_r|_F^2: the squares of the singular values that are left out."""
    return float((np.linalg.svd(W, compute_uv=False)[rank:] ** 2).sum())


def least_loss(W: Floats, states: Floats, rank: int) -> float:
    """The least mean |(W - W_r) h|^2 over states (n, m): by the singular values of W times the states."""
    return float((np.linalg.svd(states @ W.T, compute_uv=False)[rank:] ** 2).sum() / len(states))


def loss(W: Floats, approximate: Floats, states: Floats) -> float:
    """Mean |(W - W_r) h|^2, state by state."""
    return float(np.mean([((W - approximate) @ h) @ ((W - approximate) @ h) for h in states]))
