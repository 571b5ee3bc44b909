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

from harness_spiking.network import Network, Neuron
from harness_spiking.operations import Window, empty, linear, unpool
from harness_spiking.weights import Affine, effective
from harness_torch import spikes, time_steps

CHUNK_ELEMENTS = 2**22  # of one population over all steps: 16 MiB in single precision


class _Scan(torch.autograd.Function):
    """Currents (T * B, ...), shifted by `Neuron.shift`, to pooled spikes (T * B, ...); overwrites the currents.

    With `still`, one current (B, ...) holds at every step and is left as it is.
    """

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, neuron: Neuron, steps: int, still: bool, window: Window, detach_reset: bool
    ) -> Tensor:
        z = empty((steps * len(current), *current.shape[1:]), current) if still else current
        currents = [current] * steps if still else current.unflatten(0, (steps, -1)).unbind()
        pooled = _scan(currents, z.unflatten(0, (steps, -1)), neuron, window, keep=ctx.needs_input_grad[0])
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(z)
        ctx.neuron, ctx.steps, ctx.still, ctx.window, ctx.detach_reset = neuron, steps, still, window, detach_reset
        return pooled

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors[0].unflatten(0, (ctx.steps, -1))
        gradients = gradient.unflatten(0, (ctx.steps, -1))
        errors = _reverse_scan_(gradients, saved, ctx.neuron, ctx.window, ctx.detach_reset)
        return errors.sum(0) if ctx.still else errors.flatten(0, 1), None, None, None, None, None


def _scan(currents: Sequence[Tensor], z: Tensor, neuron: Neuron, window: Window, keep: bool) -> Tensor:
    """u[t] - V_th into z[t] (T, B, ...), then what the surrogate keeps. Returns pooled spikes (T * B, ...)."""
    leak, threshold, surrogate = neuron
    pooled = _pooled_like(z, window)
    fired = pooled[0] if window is None else torch.empty_like(z[0])
    for t, current in zip(time_steps(len(currents)), currents, strict=True):
        if t == 0:
            torch.sub(current, leak * threshold, out=z[0])
        else:
            torch.add(current, z[t - 1], alpha=leak, out=z[t]).sub_(fired, alpha=leak * threshold)
            if keep:
                surrogate.save_(z[t - 1])
        fired = pooled[t] if window is None else fired
        torch.ge(z[t], 0, out=fired)
        if window is not None:
            spikes(fired)
            torch.ops.aten.avg_pool2d.out(fired, window, out=pooled[t])
    if keep:
        surrogate.save_(z[-1])
    if window is None:
        spikes(pooled)
    return pooled.flatten(0, 1)


def _pooled_like(z: Tensor, window: Window) -> Tensor:
    """An empty (T, B, C, h, w) in the layout of z (T, B, C, H, W)."""
    if window is None:
        return torch.empty_like(z)
    steps, rows, channels, height, width = z.shape
    return empty((steps * rows, channels, height // window[0], width // window[1]), z).unflatten(0, (steps, rows))


def _reverse_scan_(gradients: Tensor, saved: Tensor, neuron: Neuron, window: Window, detach_reset: bool) -> Tensor:
    """Gradients of pooled spikes (T, B, C, h, w) to dL/du[t] in place of saved[t] (T, B, C, H, W).

    delta[t] = phi[t] gradient[t] + leak delta[t+1]; with the gradient through the reset, V_th leak delta[t+1] is
    subtracted from gradient[t] first.
    """
    leak, threshold, surrogate = neuron
    for t in reversed(range(len(saved))):
        gradient = unpool(gradients[t], saved[t], window)
        if t + 1 == len(saved):
            surrogate.backward_(gradient, saved[t])
            continue
        if not detach_reset:
            gradient = gradient.sub(saved[t + 1], alpha=leak * threshold)
        surrogate.backward_(gradient, saved[t]).add_(saved[t + 1], alpha=leak)
    return saved


def run(network: Network, pairs: Sequence[Affine], frames: Tensor, detach_reset: bool = True) -> Tensor:
    """The readout at every step, (T, B, classes), for frames (T, B, ...), or (1, B, ...) shown at every step."""
    neuron, steps = network.neuron, network.steps
    *layers, readout = pairs
    h = frames.flatten(0, 1)
    still = len(frames) == 1
    for (weight, bias), window in zip(layers, network.windows, strict=True):
        current = linear(h, weight, bias + neuron.shift)
        h = _Scan.apply(current, neuron, steps, still, window, detach_reset)
        still = False
    return linear(h, *readout).unflatten(0, (steps, -1))


@torch.no_grad()
def simulate(network: Network, inputs: Tensor, over_time: Tensor) -> Tensor:
    """Readouts of the deployed network, averaged over time with weights `over_time` (T,): (N, classes).

    Weight standardisation is folded into the weights once; every population starts at rest. Rows are taken in chunks,
    so that memory does not grow with their number.
    """
    pairs = effective(network)
    outputs = (run(network, pairs, network.frames(rows)) for rows in chunks(network, inputs))  # (T, rows, classes)
    return torch.cat([torch.tensordot(over_time, output, dims=1) for output in outputs])


def chunks(network: Network, inputs: Tensor) -> tuple[Tensor, ...]:
    """The rows of `inputs` in parts whose largest population over all steps stays within CHUNK_ELEMENTS."""
    largest = max(prod(layer.map) for layer in network.architecture.layers)
    return inputs.split(max(1, CHUNK_ELEMENTS // (network.steps * largest)))
