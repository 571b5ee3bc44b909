"""One way through the layers, for every method: what flows into a population, and what joins it from further below.

A method says what a signal between two layers is (spikes, traces, or both) and how neurons answer a current.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from harness_spiking.connections import Affine, Outlet, linear, per_channel
from harness_spiking.network import Network
from harness_spiking.weights import Maps

Signal = TypeVar("Signal")

# Told the index of each population before it fires, by who wants to know whose spikes are declared.
watched: ContextVar[Callable[[int], None] | None] = ContextVar("harness_spiking.watched", default=None)


class Current(NamedTuple):
    """The current into a population at K steps: values (K * B, ...), plus shifts (K, channels) not yet added to them.

    One row of shifts holds for all steps.
    """

    value: Tensor
    shift: Tensor | None = None

    def whole(self) -> Tensor:
        """The two together (K * B, ...), in the shift's type."""
        if self.shift is None:
            return self.value
        values = self.value.unflatten(0, (len(self.shift), -1))
        return (values + per_channel(self.shift, values)).flatten(0, 1)


def compute_current(
    x: Tensor, to: Affine, bias: Tensor | None, apart: bool = False, through: Callable[..., Tensor] = linear
) -> Current:
    """The linear map of x (K * B, ...). bias: (channels,) for all steps or (K, channels), instead of the map's own.

    A bias is left to the neurons, as a shift, where the linear operation cannot add it, or not as precisely; that of a
    convolution with `apart` as well, as `Network.adds_shifts` says. through: `linear`, or what has its value.
    """
    weight, apart = to.weight, apart and to.weight.dim() == 4
    if bias is None or (bias.dim() == 1 and bias.dtype == weight.dtype and not apart):
        return Current(through(x.to(weight.dtype), weight, bias, to.stride, to.scale))
    value = through(x.to(weight.dtype), weight, None, to.stride, to.scale)
    return Current(value, bias if bias.dim() == 2 else bias[None])


def propagate(
    network: Network,
    maps: Maps,
    first: Current,
    connect: Callable[[Signal, Affine, bool], Current],
    fire: Callable[[int, Current], Signal],
    narrow: Callable[[Signal, tuple[int, int]], Signal],
    shift: float,
) -> Signal:
    """All populations once; returns what the last one sends on.

    first: into the first population. connect(signal, map, biased): into the others. fire(index, current): a population
    answers, and may overwrite the current. narrow(signal, window): average pooling, for residual blocks that pool.
    shift: what `first` and biased connections hold beyond W x + b, for the neurons; a current that joins a later
    population's goes there without it.
    """
    streams: dict[int, Tensor] = {}
    branches: dict[int, Signal] = {}
    signals: list[Signal] = []  # the last one alone
    flow, watcher = first, watched.get()
    for index, layer in enumerate(network.architecture.layers):
        if index:
            flow = connect(signals.pop(), maps.layers[index], True)
        skip = layer.skip
        if skip is not None and skip.projection is None:
            flow = Current(flow.whole() + streams.pop(skip.source) * skip.factor)
        elif skip is not None:
            branch = branches.pop(skip.source)
            branch = branch if skip.window is None else narrow(branch, skip.window)
            flow = Current(flow.whole() + connect(branch, maps.projections[index], False).value)
        if layer.stream:
            whole = flow.whole()
            streams[index] = whole - shift
            flow = Current(whole)
        if watcher is not None:
            watcher(index)
        signals.append(fire(index, flow))
        if layer.branch:
            branches[index] = signals[0]
    return signals[0]


def upsample(x: Tensor, network: Network) -> Tensor:
    """Maps of the last layer at the resolution of the first one, for feedback."""
    return F.interpolate(x, network.architecture.layers[0].map[1:], mode="nearest")


def draw_masks(network: Network, rows: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """One per population (B, ...), where neurons are dropped: zero, or the factor that keeps the mean."""
    if not network.dropout:
        return ()
    kept = 1 - network.dropout
    empty = (network.population(layer, rows) for layer in network.architecture.layers)
    return tuple(mask.bernoulli_(kept, generator=generator).div_(kept) for mask in empty)


def make_outlets(network: Network, masks: tuple[Tensor, ...] = ()) -> list[Outlet]:
    """Make the outlet of each population: its pooling, and in training the masks that drop neurons."""
    layers = network.architecture.layers
    return [Outlet(layer.pool, mask) for layer, mask in zip(layers, masks or [None] * len(layers), strict=True)]
