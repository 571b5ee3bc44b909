"""The way from T steps of spikes to one backward pass on rates, which both forms share.

T steps run without gradient, layer by layer over a chunk of steps. Each population leaves its rate, and where that rate
follows the current. A second way through the layers then builds the graph of rates: linear maps that compute nothing
forward, their values being known, so that an update costs T forward passes and one each with respect to inputs and
weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from harness_spiking.connections import Affine, Outlet, linear_backward, pool
from harness_spiking.network import Network
from harness_spiking.passes import Current, compute_current, propagate
from harness_spiking.weights import Maps
from harness_torch import time_steps


class Rate(NamedTuple):
    """The rate of a population after T steps, and its derivatives.

    value: its rate as the next layer sees it (B, ...). inside: one where the rate follows the mean current, else zero
    (B, ...). slope: derivative of the rate by the current, inside. threshold: the trained one, if any. above: one where
    the rate is at the ceiling that the threshold sets. rise: derivative of the rate by it, above.
    """

    value: Tensor
    inside: Tensor
    slope: float
    threshold: Tensor | None = None
    above: Tensor | None = None
    rise: float = 0.0


class Population(Protocol):
    """Neurons on their way through time."""

    def fire(self, flow: Current, steps: int) -> Tensor:
        """Answer the currents of so many steps (steps * B, ...), as the next layer sees it; may overwrite them.

        With more steps than one, a current (B, ...) holds at all of them and stays as it is.
        """
        ...

    def rate(self) -> Rate:
        """After the last step; ends the population."""
        ...


@torch.no_grad()
def simulate(
    network: Network, maps: Maps, frames: Tensor, begin: Callable[[int], Population], shift: float, chunk: int
) -> list[Rate]:
    """T steps of all populations, at most `chunk` at a time, for frames (T, B, ...), or (1, B, ...) at every step.

    begin(index): a population at rest. shift: added to each current, as the neurons expect it.
    """
    return _Simulation(network, maps, frames, begin, shift).run(chunk)


class _Simulation:
    """The state between two chunks: the populations, and a still input's current."""

    def __init__(
        self, network: Network, maps: Maps, frames: Tensor, begin: Callable[[int], Population], shift: float
    ) -> None:
        self.network, self.maps, self.frames, self.begin, self.shift = network, maps, frames, begin, shift
        self.populations: dict[int, Population] = {}
        self.rates: list[Rate] = []
        self.still = self._connect(frames[0], maps.layers[0], True).whole() if len(frames) == 1 else None
        self.joins = network.architecture.layers[0].stream  # the first current goes elsewhere as well, at each step

    def run(self, chunk: int) -> list[Rate]:
        for index in time_steps(-(-self.network.steps // chunk)):
            self._through_layers(index * chunk, min((index + 1) * chunk, self.network.steps))
        return self.rates

    def _through_layers(self, start: int, end: int) -> None:
        steps, last = end - start, end == self.network.steps

        def fire(index: int, flow: Current) -> Tensor:
            population = self.populations.pop(index, None) or self.begin(index)
            seen = population.fire(flow, steps)
            if last:
                self.rates.append(population.rate())
            else:
                self.populations[index] = population
            return seen

        propagate(self.network, self.maps, self._first(start, end), self._connect, fire, pool, self.shift)

    def _first(self, start: int, end: int) -> Current:
        if self.still is not None:
            copies = end - start if self.joins or end - start == 1 else 0
            return Current(torch.cat([self.still] * copies) if copies else self.still)
        return self._connect(self.frames[start:end].flatten(0, 1), self.maps.layers[0], True)

    def _connect(self, seen: Tensor, to: Affine, biased: bool) -> Current:
        bias = to.bias + self.shift if biased and to.bias is not None else None
        return compute_current(seen, to, bias, self.network.adds_shifts)


def mean(frames: Tensor, shares: Sequence[float]) -> Tensor:
    """Average frames (T, B, ...) with weights (T,) that sum to one; a single frame stands for all."""
    if len(frames) == 1:
        return frames[0]
    total = torch.zeros_like(frames[0])
    for frame, share in zip(frames, shares, strict=True):
        total.add_(frame, alpha=share)
    return total


def logits(network: Network, maps: Maps, x: Tensor, rates: Sequence[Rate], outlets: Sequence[Outlet]) -> Tensor:
    """The readout of the last population's rate (B, classes), with the graph of all rates. x: the mean input (B, ...).

    Residual blocks join rates as they join spikes: everything between two populations is linear.
    """

    def connect(rate: Tensor, to: Affine, biased: bool) -> Current:
        return Current(_Linear.apply(rate.to(to.weight.dtype), to.weight, to.bias if biased else None, to.stride))

    def fire(index: int, flow: Current) -> Tensor:
        return _Fire.apply(flow.value, rates[index].threshold, rates[index], outlets[index])

    hidden = propagate(network, maps, connect(x, maps.layers[0], True), connect, fire, pool, 0.0)
    return compute_current(hidden, maps.readout, maps.readout.bias).whole()


class _Linear(torch.autograd.Function):
    """W x + b as a node of the graph alone: nobody looks at its value, zeros that take no memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.bias_type = stride, None if bias is None else bias.dtype
        size = [1 + (side - 1) // stride for side in x.shape[2:]] if weight.dim() == 4 else []
        return x.new_zeros(()).expand(len(x), len(weight), *size)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needs = (*ctx.needs_input_grad[:2], False)
        into_x, into_weight, _ = linear_backward(gradient, x, weight, needs, ctx.stride)
        if ctx.bias_type is None:
            return into_x, into_weight, None, None
        return into_x, into_weight, gradient.sum((0, *range(2, gradient.dim())), dtype=ctx.bias_type), None


class _Fire(torch.autograd.Function):
    """A mean current, as a node of the graph, to the rate that was simulated."""

    @staticmethod
    def forward(ctx: Any, flow: Tensor, threshold: Tensor | None, rate: Rate, outlet: Outlet) -> Tensor:
        del threshold
        ctx.save_for_backward(rate.inside, rate.above)
        ctx.outlet, ctx.slope, ctx.rise, ctx.type = outlet, rate.slope, rate.rise, flow.dtype
        return rate.value.detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inside, above = ctx.saved_tensors
        errors = ctx.outlet.back(gradient, inside)
        into_flow = errors * inside
        if ctx.slope != 1:
            into_flow.mul_(ctx.slope)
        if above is None:
            return into_flow.to(ctx.type), None, None, None
        into_threshold = (errors * above).sum(dtype=torch.promote_types(errors.dtype, torch.float32))
        return into_flow.to(ctx.type), into_threshold * ctx.rise, None, None
