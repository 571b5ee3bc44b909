"""The LIF network with time as the outer loop and plain autograd, for what cannot go layer by layer: feedback from the
last layer to the first, and the hard reset, whose gradient depends on the spikes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from harness_spiking.connections import Affine, Outlet, pool
from harness_spiking.network import Network
from harness_spiking.passes import Current, compute_current, propagate, upsample
from harness_spiking.surrogates import Surrogate
from harness_spiking.weights import Maps
from harness_torch import spikes as declare
from harness_torch import time_steps


class Spike(torch.autograd.Function):
    """H(x), with the surrogate's derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.surrogate = surrogate
        ctx.save_for_backward(surrogate.save_(x.clone()))
        return x.ge(0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (saved,) = ctx.saved_tensors
        return ctx.surrogate.backward_(gradient, saved.clone()), None


def run(network: Network, maps: Maps, frames: Tensor, detach_reset: bool, following: Sequence[Outlet]) -> Tensor:
    """The readout at every step, (T, B, classes); see `harness_spiking.lif.run`."""
    outputs: list[Tensor] = []
    carried: tuple[Tensor, ...] = ()
    for t in time_steps(network.steps):
        frame = frames[t if len(frames) > 1 else 0]
        carried = _append_step(outputs, network, maps, frame, carried, detach_reset, following)
    return torch.stack(outputs)


def _append_step(outputs: list[Tensor], *arguments: Any) -> tuple[Tensor, ...]:
    output, carried = step(*arguments)
    outputs.append(output)
    return carried


def step(
    network: Network,
    maps: Maps,
    frame: Tensor,
    carried: tuple[Tensor, ...],
    detach_reset: bool,
    following: Sequence[Outlet],
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The readout (B, classes) of one step, and what it leaves to the next one.

    carried: of each population u - V_th s, or what the hard reset leaves of u; with feedback, what the last one fired
    as well. Nothing at the first step.
    """
    leak, threshold, surrogate = network.neuron
    potentials: list[Tensor] = []
    features: list[Tensor] = []
    count = len(network.architecture.layers)

    def fire(index: int, flow: Current) -> Tensor:
        u = flow.whole()
        u = u + leak * carried[index] if carried else u
        fired = Spike.apply(u - threshold, surrogate)
        declare(fired)
        reset = fired.detach() if detach_reset else fired
        potentials.append(u * (1 - reset) if network.hard_reset else u - threshold * reset)
        if index == count - 1 and network.feedback:
            features.append(following[index].with_window(None).out(fired))
        return following[index].out(fired)

    def connect(h: Tensor, to: Affine, biased: bool) -> Current:
        return compute_current(h, to, to.bias if biased else None)

    first = connect(frame, maps.layers[0], True)
    if maps.feedback is not None and carried:
        returned = connect(upsample(carried[count], network), maps.feedback, True).whole()
        first = Current(first.whole() + returned)
    h = propagate(network, maps, first, connect, fire, pool, 0.0)
    return compute_current(h, maps.readout, maps.readout.bias).whole(), (*potentials, *features)
