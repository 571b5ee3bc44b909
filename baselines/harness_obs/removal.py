"""SparseGPT's single pass: columns from the left, each made up for by those to its right, whose inverse is a factor.

With U upper triangular and U^T U = H^-1, row j of U over U_jj is, for every j at once, the row over its pivot of the
inverse of H restricted to the columns from j on.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness_recurrent import weights
from harness_recurrent.reconstruction import cholesky
from harness_recurrent.weights import Kept


def sweep_columns(weight: Tensor, H: Tensor, total: int, block: int) -> Kept:
    """Keep `total` weights of a map (n, m), the same share of each block of columns."""
    w, mask = weight.clone(), torch.ones_like(weight, dtype=torch.bool)
    U = cholesky(torch.cholesky_inverse(cholesky(H))).T.contiguous()  # (m, m)
    starts = range(0, w.shape[1], block)
    counts = weights.divide_total(total, [w[:, start : start + block].numel() for start in starts])
    for start, count in zip(starts, counts, strict=True):
        end = min(start + block, w.shape[1])
        scores = w[:, start:end].square() / U.diagonal()[start:end].square()
        mask[:, start:end] = weights.choose_largest({"": scores}, count, "layer")[""]
        _compensate_block(w, mask, U, start, end)
    return Kept(w * mask, mask)


def _compensate_block(w: Tensor, mask: Tensor, U: Tensor, start: int, end: int) -> None:
    """Let columns to the right make up for what a block removes: column by column within it, then all beyond."""
    errors = torch.zeros_like(w[:, start:end])
    for j in range(start, end):
        errors[:, j - start] = w[:, j] * ~mask[:, j] / U[j, j]
        w[:, j:end] -= errors[:, j - start, None] * U[j, j:end]
    w[:, end:] -= errors @ U[start:end, end:]
