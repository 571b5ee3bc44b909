"""Magnitude pruning by its equations, weight by weight in float64: `harness agree magnitude-pruning --reference`.

It shares no line of algorithm with the method.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from harness_magnitude import MagnitudeOptions
from harness_recurrent import reference as plainly
from harness_recurrent.compression import Smaller
from harness_recurrent.reference import Plain
from harness_recurrent.training import State

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def compress(plain: Plain, options: MagnitudeOptions) -> Smaller:
    """The network with the weights of the largest scores; with all of them where they go gradually."""
    names = plainly.list_removable(plain, options.weights)
    maps = [plain.tensors[name].cpu().numpy() for name in names]
    read = [
        plainly.collect_rows_read(plain, name).cpu().numpy() if options.score == "wanda" else None for name in names
    ]
    counts = plainly.count_kept(plain, names, options)
    if options.gradual:
        counts = [weight.size for weight in maps]
    masks = choose_masks([score_weights(*each) for each in zip(maps, read, strict=True)], counts, options.scope)
    found = {name: torch.from_numpy(mask).to(plain.x.device) for name, mask in zip(names, masks, strict=True)}
    return plainly.mask_weights(plain, plain.tensors, found, options)


def score_weights(weight: Array, read: Array | None = None) -> Array:
    """|W_ij|, or |W_ij| sqrt(mean of x_j^2) over the rows (N, m) that the weights have read."""
    found, sizes = np.zeros_like(weight), [1.0] * weight.shape[1]
    if read is not None:
        sizes = [float(np.sqrt(np.mean(column**2))) for column in read.T]
    for (i, j), value in np.ndenumerate(weight):
        found[i, j] = abs(value) * sizes[j]
    return found


def choose_masks(each: Sequence[Array], counts: Sequence[int], scope: str = "global") -> list[Mask]:
    """Masks of the largest scores, of each map so many, or of its rows alike, or of all; the first of equals."""
    if scope == "row":
        return [
            np.stack(
                choose_masks(
                    [row[None] for row in scored], plainly.divide_total(count, [scored.shape[1]] * len(scored)), "layer"
                )
            )[:, 0]
            for scored, count in zip(each, counts, strict=True)
        ]
    if scope == "layer" and len(each) > 1:
        return [choose_masks([scored], [count])[0] for scored, count in zip(each, counts, strict=True)]
    ranked = sorted(
        ((-value, number, place) for number, scored in enumerate(each) for place, value in enumerate(scored.ravel()))
    )
    masks = [np.zeros(scored.shape, dtype=bool) for scored in each]
    for _, number, place in ranked[: sum(counts)]:
        masks[number].ravel()[place] = True
    return masks


def count_left(update: int, last: int, whole: int, kept: int) -> int:
    """Weights left after an update of gradual removal; sparsity is s (1 - (1 - t / T)^3), s that of the end."""
    final = 1 - kept / whole
    sparsity = final * (1 - (1 - min(update, last) / last) ** 3)
    return round(whole * (1 - sparsity))


@torch.no_grad()
def thin_weights(state: State, options: MagnitudeOptions, last: int) -> None:
    """Masks after an update, at every interval up to the last one that removes weights."""
    if state.updates > last or (state.updates % options.interval and state.updates != last):
        return
    names = [name for name in state.parameters if f"{name[: -len('.weight')]}.mask" in state.constants]
    maps = [state.parameters[name].detach().double().cpu().numpy() for name in names]
    whole = sum(weight.size for weight in maps)
    total = count_left(state.updates, last, whole, state.said["kept_weights"])
    counts = plainly.divide_total(total, [weight.size for weight in maps])
    for name, mask in zip(
        names, choose_masks([score_weights(weight) for weight in maps], counts, options.scope), strict=True
    ):
        state.constants[f"{name[: -len('.weight')]}.mask"].copy_(torch.from_numpy(mask))
        state.parameters[name][torch.from_numpy(~mask).to(state.parameters[name].device)] = 0
