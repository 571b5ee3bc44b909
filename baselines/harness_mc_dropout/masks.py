"""Dropping in mc-dropout: the state with its rates, the masks of an update, and linear maps that see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from torch import Tensor

from harness_bayes import training
from harness_bayes.networks import Linear, Network, affine, per_lane
from harness_bayes.noise import Drops


@dataclass(kw_only=True)
class State(training.State):
    """Networks in training, one for each trial.

    drops: their rates. scale: 1 / (1 - rate) and decay: of weights, (L,). units: shapes of a row's droppable units, of
    the input first, then of each layer's activation before it is pooled.
    """

    drops: Drops
    scale: Tensor
    decay: Tensor
    units: tuple[tuple[int, ...], ...]

    @property
    def drops_any(self) -> bool:
        """Whether any trial has a rate."""
        return any(self.drops.rates)


def unit_shapes(network: Network, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Shapes of a row's units: of the input (a vector where the first layer is dense), of each layer's activation."""
    layers = network.architecture.layers
    return (shape if has_maps(network) else layers[0].weight[1:], *(layer.map for layer in layers))


def has_maps(network: Network) -> bool:
    """Whether the network begins with a convolution."""
    return len(network.architecture.layers[0].weight) > 2


def draw_row_masks(state: State, rows: int) -> list[Tensor]:
    """Draw the masks of an update for each row: by layer (L, B, *units); none where nothing is dropped."""
    if not state.drops_any:
        return []
    sizes = [rows * prod(shape) for shape in state.units]
    parts = state.noise.masks(sum(sizes), state.drops, state.scale).split(sizes, 1)
    return [part.unflatten(1, (rows, *shape)) for part, shape in zip(parts, state.units, strict=True)]


def build_linear(state: State, masks: Sequence[Tensor]) -> Linear:
    """Build the linear maps of all networks, with these masks (L, B or 1, *units) on their inputs."""
    parameters, compute = state.parameters, state.network.types.compute
    names = [name for name, _ in state.network.layers]
    after = dict(zip(names, masks[1:], strict=False))  # the readout sends nothing on

    def linear(name: str, x: Tensor, stride: int) -> Tensor:
        weight, bias = parameters[f"{name}.weight"], parameters.get(f"{name}.bias")
        if not masks:
            return affine(x, weight, bias, stride, compute)
        if name == names[0]:
            x = x * _lay_out(masks[0])
        y = affine(x, weight * per_lane(state.scale, len(weight), weight), bias, stride, compute)
        return y.mul_(_lay_out(after[name])) if name in after else y

    return linear


def _lay_out(mask: Tensor) -> Tensor:
    """Lay out a mask as rows or maps lie on their way through the layers."""
    return mask if mask.dim() == 3 else mask.transpose(0, 1).flatten(1, 2)
