"""Group lasso on whole nodes by its equations, weight by weight in plain float64, for `harness agree iss --reference`.

    lambda = penalty mean_j |w_j| / sum of the rates,    w_j all weights into and out of node j
    w_j <- w_j max(0, 1 - rate lambda / |w_j|)    after each update

Then the nodes of the largest |w_j| are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from harness_iss import IssOptions
from harness_recurrent import reference as plainly
from harness_recurrent.compression import Smaller
from harness_recurrent.reference import Plain
from harness_recurrent.training import State

Floats = NDArray[np.float64]
Weights = Mapping[str, Floats]
Place = tuple[str, int, int]  # a weight: its tensor, row and column


def compress(plain: Plain, options: IssOptions) -> Smaller:
    """The network with the nodes of the largest groups."""
    sizes = compute_norms({name: each.cpu().numpy() for name, each in plain.tensors.items()})
    return plainly.compress_nodes(plain, options, lambda layer, _: plainly.find_highest(sizes[layer], plain.nodes))


def list_groups(weights: Weights) -> list[list[set[Place]]]:
    """List the weights in the group of each node, by layer."""
    found = []
    for layer in range(sum(name.endswith("input.bias") for name in weights)):
        own, into = f"cells.{layer}.recurrent.weight", f"cells.{layer}.input.weight"
        above = (f"cells.{layer + 1}.input.weight", "readout.weight", "embedding.weight")
        out = next(name for name in above if name in weights)
        found.append(_list_layer_groups(weights, [name for name in (into, own) if name in weights], [own, out]))
    return found


def _list_layer_groups(weights: Weights, into: Sequence[str], out_of: Sequence[str]) -> list[set[Place]]:
    """Into node j lead the rows j, m + j, 2 m + j, ... of weights, one of each gate; out of it leads the column j."""
    m = weights[out_of[-1]].shape[1]
    found: list[set[Place]] = [set() for _ in range(m)]
    for name in into:
        for row, column in np.ndindex(weights[name].shape):
            found[row % m].add((name, row, column))
    for name in out_of:
        for row, column in np.ndindex(weights[name].shape if name in weights else (0, 0)):
            found[column].add((name, row, column))
    return found


def compute_norms(weights: Weights) -> list[Floats]:
    """|w_j| by layer, (m,) each."""
    return [
        np.sqrt(np.array([sum(weights[name][row, column] ** 2 for name, row, column in group) for group in each]))
        for each in list_groups(weights)
    ]


def compute_lambda(weights: Weights, penalty: float, rates: Sequence[float]) -> float:
    """Lambda, which would take away this share of the mean group over updates with these rates."""
    return penalty * float(np.concatenate(compute_norms(weights)).mean()) / (sum(rates) or 1.0)


def shrink_groups(weights: Weights, amount: float) -> dict[str, Floats]:
    """Each group multiplied by max(0, 1 - amount / its norm before the step)."""
    after = {name: each.copy() for name, each in weights.items()}
    for layer, sizes in zip(list_groups(weights), compute_norms(weights), strict=True):
        for group, norm in zip(layer, sizes, strict=True):
            for name, row, column in group:
                after[name][row, column] *= max(0.0, 1 - amount / norm) if norm else 0.0
    return after


def copy_weights(state: State) -> dict[str, Floats]:
    """Copy a state's weights as float64."""
    return {name: each.detach().double().cpu().numpy() for name, each in state.parameters.items()}


@torch.no_grad()
def shrink_state(state: State, amount: float) -> None:
    """One step of a state's weights, in place."""
    for name, after in shrink_groups(copy_weights(state), amount).items():
        state.parameters[name].copy_(torch.from_numpy(after))
