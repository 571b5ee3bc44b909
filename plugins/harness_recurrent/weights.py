"""Keep single weights, which a method chooses; their number, training and deployment are here.

A size in `nodes` is that of the layers with so many nodes: k^2 recurrent weights for each gate, as structured methods
have them, in a state that is as wide as before. A size in `parameters` counts nonzeros of the whole network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from harness import Unsupported
from harness_recurrent import forms
from harness_recurrent.compression import Base, Compression, Smaller, count_tensor_numbers
from harness_recurrent.config import WeightOptions
from harness_recurrent.training import State

KEPT = "kept_weights"  # as the record says it


class Kept(NamedTuple):
    """The weights left of one map (n, m), and their mask."""

    weight: Tensor
    mask: Tensor


class WeightPruning(Compression):
    """Keeps the weights that a method chooses: `keep(base, names, total)`."""

    options: WeightOptions

    def keep(self, base: Base, names: Sequence[str], total: int) -> Mapping[str, Kept]:
        """Keep `total` weights of all these maps together."""
        raise NotImplementedError

    def compress(self, base: Base) -> Smaller:
        """Mask the maps. Raises Unsupported where a size is given that leaves no weight."""
        names = list_removable(base.tensors, self.options.weights)
        total, whole = self.left(base, names), _count_numbers(base.tensors, names)
        tensors = dict(base.tensors)
        for name, (weight, mask) in self.keep(base, names, total).items():
            tensors |= {name: weight * mask, name_mask(name): mask}
        return Smaller(tensors, {KEPT: total, "density": total / whole, "form": self.options.form})

    def left(self, base: Base, names: Sequence[str]) -> int:
        """Count the weights that are left. Raises Unsupported where `parameters` is less than the others."""
        most, whole = self.options.parameters, _count_numbers(base.tensors, names)
        if most is None:
            return sum(count_tensor_numbers(base, name, self.size(base)) for name in names)
        others = base.size - whole
        if most <= others:
            raise Unsupported(
                f"parameters={most}: {others} are not among the weights={self.options.weights} that may be removed; "
                f"give at least {others + 1}{', or weights=all' if self.options.weights == 'recurrent' else ''}"
            )
        return min(most - others, whole)

    def count(self, base: Base, nodes: int) -> int:
        """Count the nonzeros when as many weights are left as layers with so many nodes have."""
        names = list_removable(base.tensors, self.options.weights)
        left = sum(count_tensor_numbers(base, name, nodes) for name in names)
        return base.size - _count_numbers(base.tensors, names) + left

    def deployed(self, state: State) -> Mapping[str, Tensor]:
        return store_weights(state.tensors, self.options.form)


def list_removable(tensors: Mapping[str, Tensor], weights: str) -> list[str]:
    """Names of the weights that may be removed: recurrent ones, of all also those of inputs and readout."""
    found = [name for name in tensors if name.endswith("recurrent.weight")]
    if weights == "all":
        found += [name for name in tensors if name.endswith("input.weight") or name == "readout.weight"]
    return found


def select_moments(base: Base, name: str) -> Tensor:
    """Second moments (m, m) of the inputs of these weights: the state before, the layer below, or the last state."""
    statistics = base.statistics
    if name == "readout.weight":
        return statistics.last_step[-1]
    layer, part = int(name.split(".")[1]), name.split(".")[2]
    return statistics.lagged[layer] if part == "recurrent" else statistics.inputs[layer]


def choose_largest(scores: Mapping[str, Tensor], total: int, scope: str) -> dict[str, Tensor]:
    """Masks of the `total` largest scores: of all (global), or in each map (layer), or row of it, the same share."""
    if scope == "global":
        chosen = _choose_largest(torch.cat([each.flatten() for each in scores.values()]), total)
        parts = chosen.split([each.numel() for each in scores.values()])
        return {name: part.view_as(scores[name]) for name, part in zip(scores, parts, strict=True)}
    counts = divide_total(total, [each.numel() for each in scores.values()])
    take = _choose_by_row if scope == "row" else _choose_largest
    return {name: take(each, count) for (name, each), count in zip(scores.items(), counts, strict=True)}


def _choose_by_row(scores: Tensor, count: int) -> Tensor:
    rows = zip(scores, divide_total(count, [scores.shape[1]] * len(scores)), strict=True)
    return torch.stack([_choose_largest(row, left) for row, left in rows])


def _choose_largest(scores: Tensor, count: int) -> Tensor:
    order = scores.flatten().argsort(descending=True, stable=True)
    chosen = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    chosen[order[:count]] = True
    return chosen.view_as(scores)


def divide_total(total: int, sizes: Sequence[int]) -> list[int]:
    """Shares of `total` in proportion to the sizes, whole numbers that add up; the largest remainders round up."""
    exact = [total * size / sum(sizes) for size in sizes]
    counts = [int(each) for each in exact]
    remainders = sorted(range(len(sizes)), key=lambda index: counts[index] - exact[index])
    for index in remainders[: total - sum(counts)]:
        counts[index] += 1
    return counts


def name_mask(name: str) -> str:
    """Name of the mask of these weights."""
    return name.removesuffix("weight") + "mask"


def store_weights(tensors: Mapping[str, Tensor], form: str) -> dict[str, Tensor]:
    """The same network without masks: zeros stand where nothing is left, or compressed sparse rows leave them out."""
    made: dict[str, Any] = dict(tensors)
    for name in [each for each in tensors if each.endswith(".mask")]:
        prefix, mask = name.removesuffix("mask"), made.pop(name)
        if form == "csr":
            rows = forms.to_csr(made.pop(f"{prefix}weight").detach(), mask)
            made |= {f"{prefix}{part}": tensor for part, tensor in rows.items()}
    return made


def _count_numbers(tensors: Mapping[str, Tensor], names: Sequence[str]) -> int:
    return sum(tensors[name].numel() for name in names)
