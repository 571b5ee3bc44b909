"""Remove one weight after the other, exactly: the order within a row, the cost of each, and the weights left."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from harness_recurrent import weights
from harness_recurrent.reconstruction import cholesky

NUMBERS = 2**21  # of inverses and systems that are held at a time: of some rows


def choose_masks(
    maps: Mapping[str, Tensor], hessians: Mapping[str, Tensor], total: int, scope: str
) -> dict[str, Tensor]:
    """Choose the `total` weights that are left of all maps (n, m), as a mask of each.

    A row's weights go in their order, and rows take turns: the row whose next weight costs least. As a next one may
    cost less than one before it, this is the order of the largest costs so far.
    """
    found = {name: _order_rows(weight, hessians[name]) for name, weight in maps.items()}
    so_far = torch.cat([costs.cummax(1).values.flatten() for _, costs in found.values()])
    turns = torch.empty_like(so_far)  # in a row they are in its order, also where costs are equal
    turns[so_far.argsort(stable=True)] = torch.arange(len(so_far)).to(turns)
    parts = turns.split([weight.numel() for weight in maps.values()])
    scores = {
        name: torch.empty_like(maps[name]).scatter_(1, order, part.view_as(order))
        for (name, (order, _)), part in zip(found.items(), parts, strict=True)
    }
    return weights.choose_largest(scores, total, scope)


def _order_rows(weight: Tensor, H: Tensor) -> tuple[Tensor, Tensor]:
    """Order the weights of all rows, some rows at a time, as `order_removals` does."""
    parts = [order_removals(part, H) for part in weight.split(max(1, NUMBERS // H.numel()))]
    return torch.cat([order for order, _ in parts]), torch.cat([costs for _, costs in parts])


def order_removals(weight: Tensor, H: Tensor) -> tuple[Tensor, Tensor]:
    """Order the columns (n, m) as the weights of each row are removed, with the cost of each removal."""
    w, rows = weight.clone(), torch.arange(len(weight), device=weight.device)
    inverse = torch.cholesky_inverse(cholesky(H)).expand(len(w), -1, -1).clone()  # (n, m, m)
    gone, order, costs = torch.zeros_like(w, dtype=torch.bool), [], []
    for _ in range(w.shape[1]):
        diagonal = inverse.diagonal(dim1=1, dim2=2)
        loss = (w.square() / diagonal).masked_fill(gone, torch.inf)
        cost, p = loss.min(1)
        order.append(p)
        costs.append(cost)
        gone[rows, p] = True
        column = inverse[rows, p]  # (n, m)
        pivot = column[rows, p, None]
        w.sub_(w[rows, p, None] / pivot * column)
        inverse.baddbmm_((column / pivot)[:, :, None], column[:, None], alpha=-1)
    return torch.stack(order, 1), torch.stack(costs, 1)


def solve_weights(weight: Tensor, H: Tensor, mask: Tensor) -> Tensor:
    """Solve for W' (n, m) on the mask that changes outputs least: W'_J = (W H)_J H_JJ^-1 in each row.

    Removing one weight after the other ends there, too.
    """
    parts = zip(*(each.split(max(1, NUMBERS // H.numel())) for each in (weight, mask)), strict=True)
    return torch.cat([_solve_rows(part, H, kept) for part, kept in parts])


def _solve_rows(weight: Tensor, H: Tensor, mask: Tensor) -> Tensor:
    """Solve some rows: H where both weights are left, the identity elsewhere, so that all systems are of one size."""
    both = mask[:, :, None] & mask[:, None]
    systems = torch.where(both, H, torch.eye(len(H), dtype=H.dtype, device=H.device))
    wanted = (weight @ H * mask)[:, :, None]
    return torch.cholesky_solve(wanted, torch.linalg.cholesky(systems))[:, :, 0] * mask
