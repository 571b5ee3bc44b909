"""Optimal brain surgeon by its objective, in plain float64: no inverse is ever updated, every system is solved anew.

It shares no line of algorithm with the method. One inverse for every weight that goes makes `harness agree obs-pruning
--reference` a matter of a minute at a hundred nodes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from harness_obs import ObsOptions
from harness_recurrent import reference as plainly
from harness_recurrent.compression import Smaller
from harness_recurrent.reference import Plain

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def compress(plain: Plain, options: ObsOptions) -> Smaller:
    """The network whose maps have lost weights one by one, or column by column."""
    names = plainly.list_removable(plain, options.weights)
    maps = [plain.tensors[name].cpu().numpy() for name in names]
    hessians = [build_hessian(plainly.collect_rows_read(plain, name).cpu().numpy(), options.damp) for name in names]
    counts = plainly.count_kept(plain, names, options)
    if options.search == "blocks":
        found = [
            sweep_columns(W, H, count_by_block(W, count, options.block), options.block)
            for W, H, count in zip(maps, hessians, counts, strict=True)
        ]
    else:
        masks = remove_in_turns(maps, hessians, counts, options.scope)
        found = [least_squares(W, H, mask) for W, H, mask in zip(maps, hessians, masks, strict=True)]
    kept = {name: torch.from_numpy(W).to(plain.x.device) for name, W in zip(names, found, strict=True)}
    return plainly.mask_weights(plain, kept, {name: W != 0 for name, W in kept.items()}, options)


def build_hessian(read: Array, damp: float) -> Array:
    """H = S + damp mean(diag S) I, S the mean of x x^T over rows (N, m)."""
    S = np.einsum("ni,nj->ij", read, read) / len(read)
    return S + damp * np.trace(S) / len(S) * np.eye(len(S))


def remove_in_turns(maps: Sequence[Array], hessians: Sequence[Array], counts: Sequence[int], scope: str) -> list[Mask]:
    """Masks: of all rows of a map, or of all maps, that one loses its next weight which loses least by it."""
    if scope == "row":
        return [
            np.concatenate(
                [
                    remove_in_turns([row[None]], [H], [left], "layer")[0]
                    for row, left in zip(W, _count_by_row(W, n), strict=True)
                ]
            )
            for W, H, n in zip(maps, hessians, counts, strict=True)
        ]
    if scope == "layer" and len(maps) > 1:
        return [remove_in_turns([W], [H], [n], scope)[0] for W, H, n in zip(maps, hessians, counts, strict=True)]
    masks = [np.ones(W.shape, dtype=bool) for W in maps]
    queues = [
        (mask[i], *remove_one_by_one(W[i], H, len(H))[1:])
        for W, H, mask in zip(maps, hessians, masks, strict=True)
        for i in range(len(W))
    ]
    for _ in range(sum(W.size for W in maps) - sum(counts)):
        row, order, grown = min((queue for queue in queues if queue[1]), key=lambda queue: queue[2][0])
        row[order.pop(0)] = False
        grown.pop(0)
    return masks


def _count_by_row(weight: Array, total: int) -> list[int]:
    """Count the weights left of each row, the same share of each."""
    return plainly.divide_total(total, [weight.shape[1]] * len(weight))


def count_by_block(weight: Array, total: int, block: int) -> list[int]:
    """Count the weights left of each block of columns, the same share of each."""
    return plainly.divide_total(total, [weight[:, j : j + block].size for j in range(0, weight.shape[1], block)])


def loss(weight: Array, other: Array, H: Array) -> float:
    """Tr (W - W') H (W - W')^T."""
    return float(np.trace((weight - other) @ H @ (weight - other).T))


def least_squares(weight: Array, H: Array, mask: Mask) -> Array:
    """W' on the mask with the least loss, row by row: H = L L^T, and |L^T (w - w')|^2 is what is least."""
    root = np.linalg.cholesky(H).T
    found = np.zeros_like(weight)
    for row, kept, target in zip(weight, mask, found, strict=True):
        target[kept] = np.linalg.lstsq(root[:, kept], root @ row, rcond=None)[0]
    return found


def remove_one_by_one(row: Array, H: Array, removed: int) -> tuple[Array, list[int], list[float]]:
    """Remove so many weights of a row (m,): the row left, the order of removals, and the growth of the loss at each.

    Each time that weight goes without which the best row has the least loss: of the best row w on the columns J that
    are left, w = [H_JJ]^-1 (H row)_J, the loss grows by w_p^2 / [H_JJ^-1]_pp.
    """
    kept, order, grown, wanted = np.ones(len(row), dtype=bool), [], [], H @ row
    for _ in range(removed):
        J = np.flatnonzero(kept)
        inverse = np.linalg.inv(H[np.ix_(J, J)])
        costs = (inverse @ wanted[J]) ** 2 / np.diag(inverse)
        least = int(costs.argmin())
        kept[J[least]] = False
        order.append(int(J[least]))
        grown.append(float(costs[least]))
    return least_squares(row[None], H, kept[None])[0], order, grown


def sweep_columns(weight: Array, H: Array, counts: list[int], block: int) -> Array:
    """Columns from the left, each with the inverse of H over the columns from it on; of each block so many are left."""
    w, m = weight.copy(), weight.shape[1]
    inverses = [np.linalg.inv(H[j:, j:]) for j in range(m)]
    for start, count in zip(range(0, m, block), counts, strict=True):
        columns = range(start, min(start + block, m))
        score = np.stack([w[:, j] ** 2 / inverses[j][0, 0] for j in columns], axis=1)
        threshold = np.sort(score.ravel())[::-1][count - 1] if count else np.inf
        for j in columns:
            gone = score[:, j - start] < threshold
            w[:, j:] -= np.where(gone, w[:, j], 0.0)[:, None] * inverses[j][0] / inverses[j][0, 0]
            w[gone, j] = 0.0  # not almost
    return w
