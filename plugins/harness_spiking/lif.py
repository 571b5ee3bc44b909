"""The ordinary LIF network, layer by layer over all time steps: what is deployed, and what BPTT trains.

A layer's input currents of all steps come from one linear operation on (T * B, ...); the neurons then scan over time
in place: the currents' buffer turns into u - V_th, and then into what the surrogate needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from harness_spiking import stepwise
from harness_spiking.connections import Affine, Outlet, pool
from harness_spiking.kernels import Kernels, eager
from harness_spiking.network import Network
from harness_spiking.neuron import Neuron
from harness_spiking.passes import Current, compute_current, make_outlets, propagate
from harness_spiking.weights import Maps, effective
from harness_torch import counted, time_steps
from harness_torch.training.inference import split


class Scan(torch.autograd.Function):
    """Currents (K * B, ...), shifted by `Neuron.shift`, to spikes as the next layer sees them; overwrites the currents.

    One current (B, ...) that holds at every step is left as it is. carried: the potential w (B, ...) before the first
    of these steps, and the one behind the last is returned as well; None for neurons at rest, and then none is. As its
    gradient counts the delta of the step that it leads to. known: whether anyone will look at its values; if not, zeros
    that take no memory stand for them in the graph.
    """

    @staticmethod
    def forward(
        ctx: Any,
        value: Tensor,
        shift: Tensor | None,
        carried: Tensor | None,
        kernels: Kernels,
        neuron: Neuron,
        steps: int,
        still: bool,
        outlet: Outlet,
        detach_reset: bool,
        known: bool,
    ) -> tuple[Tensor, Tensor | None]:
        keep = any(ctx.needs_input_grad)
        currents = value.detach().unflatten(0, (1 if still else steps, -1))
        left = None if carried is None else carried.detach().clone()
        # What is carried has to be the same to the last bit with a graph and without one, and roundings differ.
        alike = keep or left is not None
        seen, kept = kernels.integrate(currents, shift, left, neuron, steps, outlet, alike)
        if keep:
            ctx.save_for_backward(kept)
        ctx.set_materialize_grads(False)
        ctx.rest, ctx.still, ctx.shifted = (kernels, neuron, outlet, detach_reset), still, shift is not None
        if left is not None and not known:
            left = left.new_zeros(()).expand_as(left)
        return seen.flatten(0, 1), left

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, later: Tensor | None) -> tuple[Tensor | None, ...]:
        (kept,) = ctx.saved_tensors
        kernels, neuron, outlet, detach_reset = ctx.rest
        gradients = gradient.unflatten(0, (len(kept), -1))
        errors = kernels.reverse_(gradients, kept, neuron, outlet, detach_reset, later)
        into_shift = kernels.sum_per_channel(errors) if ctx.shifted else None
        into_carried = errors[0].clone() if ctx.needs_input_grad[2] else None
        return errors.sum(0) if ctx.still else errors.flatten(0, 1), into_shift, into_carried, *[None] * 7


def run(
    network: Network,
    maps: Maps,
    frames: Tensor,
    detach_reset: bool = True,
    following: Sequence[Outlet] | None = None,
) -> Tensor:
    """The readout at every step, (T, B, classes), for frames (T, B, ...), or (1, B, ...) shown at every step.

    following: what follows each population, where neurons are dropped in training.
    """
    following = following or make_outlets(network)
    if network.feedback or network.hard_reset:
        return stepwise.run(network, maps, frames, detach_reset, following)
    for _ in time_steps(1):  # all steps go together, and what lives after them is what they carry
        h = _through_layers(network, maps, frames, detach_reset, following)
    return compute_current(h, maps.readout, maps.readout.bias).whole().unflatten(0, (network.steps, -1))


def _through_layers(
    network: Network, maps: Maps, frames: Tensor, detach_reset: bool, following: Sequence[Outlet]
) -> Tensor:
    """Run all layers; return the signal that the last population sends on, (T * B, ...)."""
    held = len(frames) < network.steps
    source = constant(network, maps, frames) if held else frames
    return through_layers(network, maps, source, held, network.steps, None, detach_reset, following)[0]


def through_layers(
    network: Network,
    maps: Maps,
    source: Tensor,
    held: bool,
    steps: int,
    carried: Sequence[Tensor] | None,
    detach_reset: bool,
    following: Sequence[Outlet],
    known: bool = True,
) -> tuple[Tensor, list[Tensor]]:
    """So many steps of all populations: what the last one sends on (K * B, ...), and each one's potential behind them.

    source: frames (K, B, ...); held: the first layer's current (B, ...), the same at every step. carried: each
    population's potential before; None for all at rest, and then none are returned. known: see `Scan`.
    """
    neuron, potentials, apart = network.neuron, [], network.adds_shifts
    still = held and steps > 1 and not network.architecture.layers[0].stream

    def connect(h: Tensor, to: Affine, biased: bool) -> Current:
        bias = to.bias + neuron.shift if biased and to.bias is not None else None
        flow = compute_current(h, to, bias, apart)
        return flow if flow.shift is None else Current(flow.value, flow.shift.expand(steps, -1))

    def fire(index: int, flow: Current) -> Tensor:
        before, stays, outlet = None if carried is None else carried[index], still and index == 0, following[index]
        fired, left = Scan.apply(*flow, before, network.kernels, neuron, steps, stays, outlet, detach_reset, known)
        potentials.append(left)
        seen: Tensor = fired
        return seen

    if held:
        first = Current(source if still else torch.cat([source] * steps))
    else:
        first = connect(source.flatten(0, 1), maps.layers[0], True)
    h = propagate(network, maps, first, connect, fire, pool, neuron.shift)
    return h, [] if carried is None else potentials


def constant(network: Network, maps: Maps, frames: Tensor) -> Tensor:
    """The first layer's current (B, ...) at every step, for one frame (1, B, ...)."""
    to = maps.layers[0]
    return compute_current(frames[0], to, None if to.bias is None else to.bias + network.neuron.shift).whole()


@torch.no_grad()
def simulate(network: Network, inputs: Tensor, over_time: Tensor) -> Tensor:
    """Readouts of the deployed network, averaged over time with weights `over_time` (T,): (N, classes).

    Weight standardisation is folded into the weights once; every population starts at rest. Rows are taken in chunks,
    so that memory does not grow with their number. Where operators are counted, fused neurons would hide theirs.
    """
    network = network._replace(kernels=eager) if counted() else network
    maps = effective(network)
    outputs = (run(network, maps, network.frames(rows)) for rows in chunks(network, inputs))  # (T, rows, classes)
    return torch.cat([torch.tensordot(over_time, output, dims=1) for output in outputs])


def chunks(network: Network, inputs: Tensor) -> tuple[Tensor, ...]:
    """The rows of `inputs` in parts alike, as many at a time as memory allows its largest population over all steps."""
    return split(inputs, network.steps * max(prod(layer.map) for layer in network.architecture.layers))
