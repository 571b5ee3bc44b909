"""The weights of a node as one group: all that lead into it, of every gate, and all that lead out of it.

Into node j lead the rows j of a layer's input and recurrent weights, out of it the columns j of all that read it. A
recurrent weight is thus in two groups, those of both nodes that it joins, and that of a node to itself in one. Biases
are in none, as in the paper.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from harness_recurrent import network

Tensors = Mapping[str, Tensor]


def compute_norms(tensors: Tensors, layer: int) -> Tensor:
    """Norm of each node's group, (m,)."""
    squares = torch.stack([tensors[name].square().sum(0) for name in network.list_readers(tensors, layer)]).sum(0)
    width = len(squares)
    for weight in _list_incoming(tensors, layer):
        squares = squares + weight.square().sum(1).unflatten(0, (-1, width)).sum(0)  # (G m,) to (m,)
    for own in _view_self_weights(tensors, layer):
        squares = squares - own.square().sum(0)
    return squares.clamp(min=0).sqrt()


def scale_groups(tensors: Tensors, layer: int, factors: Tensor) -> None:
    """Multiply each weight, in place, by the factors (m,) of the groups that it is in."""
    width = len(factors)
    kept = [own.clone() for own in _view_self_weights(tensors, layer)]
    for weight in _list_incoming(tensors, layer):
        weight.unflatten(0, (-1, width)).mul_(factors[:, None])
    for name in network.list_readers(tensors, layer):
        tensors[name].mul_(factors)
    for own, before in zip(_view_self_weights(tensors, layer), kept, strict=True):
        own.copy_(before * factors)


def shrink_groups(tensors: Tensors, amount: Tensor | float) -> None:
    """One step of the group lasso, in place: each group's norm falls by this amount, to zero at most.

    Every factor is of the norms before the step, in all layers: it does not matter which group comes first.
    """
    layers = sum(name.endswith("input.bias") for name in tensors)
    found: Sequence[Tensor] = [compute_norms(tensors, layer) for layer in range(layers)]
    for layer, sizes in enumerate(found):
        scale_groups(tensors, layer, (1 - amount / sizes.clamp(min=torch.finfo(sizes.dtype).tiny)).clamp(min=0))


def _list_incoming(tensors: Tensors, layer: int) -> Iterator[Tensor]:
    names = (f"cells.{layer}.{part}.weight" for part in ("input", "recurrent"))
    return (tensors[name] for name in names if name in tensors)


def _view_self_weights(tensors: Tensors, layer: int) -> Iterator[Tensor]:
    """Weights from each node to itself, (G, m), a view; none where there are no recurrent weights."""
    weight = tensors.get(f"cells.{layer}.recurrent.weight")
    if weight is not None:
        yield weight.unflatten(0, (-1, weight.shape[1])).diagonal(dim1=1, dim2=2)
