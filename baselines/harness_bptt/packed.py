"""BPTT that keeps little of its past: spikes as single bits, the surrogate derivative in eight.

Where the exact method keeps a spike and a potential in single precision for every neuron and step, this keeps one byte
for the derivative, rounded to 1/255 of its peak, and one bit for the spike. The bits are exact; the rounded derivative
makes the gradient an approximation, so this is never the default.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from harness_spiking.connections import Affine, Outlet, linear, linear_backward, pool
from harness_spiking.kernels.eager import sum_per_channel
from harness_spiking.network import Network
from harness_spiking.passes import Current, compute_current, propagate
from harness_spiking.surrogates import Sigmoid, Surrogate
from harness_spiking.weights import Maps

LEVELS = 255
WORD = 8  # steps in a byte


class Signal(NamedTuple):
    """Spikes of all steps as the next layer sees them (T * B, ...); and packed, with what led from them to `seen`.

    words: (ceil(T / 8), B, ...) bytes; None where `seen` itself is to be kept.
    """

    seen: Tensor
    words: Tensor | None = None
    outlet: Outlet = Outlet()


def run(network: Network, maps: Maps, frames: Tensor, detach_reset: bool, outlets: Sequence[Outlet]) -> Tensor:
    """The readout at every step, (T, B, classes), like `harness_spiking.lif.run`."""
    steps, shift = network.steps, network.neuron.shift

    def connect(signal: Signal, to: Affine, biased: bool) -> Current:
        bias = to.bias + shift if biased and to.bias is not None else None
        if signal.words is None:
            return _for_all(compute_current(signal.seen, to, bias), steps)
        through = partial(_Linear.apply, signal.words, signal.outlet, steps)
        return _for_all(compute_current(signal.seen, to, bias, through=through), steps)

    def fire(index: int, flow: Current) -> Signal:
        seen, words = _Scan.apply(*flow, network, outlets[index], detach_reset)
        return Signal(seen, words, outlets[index])

    def narrow(signal: Signal, window: tuple[int, int]) -> Signal:
        return Signal(pool(signal.seen, window))

    first = maps.layers[0]
    flow = compute_current(frames.flatten(0, 1), first, None if first.bias is None else first.bias + shift)
    if len(frames) < steps:
        flow = Current(torch.cat([flow.whole()] * steps))
    last = propagate(network, maps, _for_all(flow, steps), connect, fire, narrow, shift)
    weighted = connect(last, maps.readout, False).whole()  # (T * B, classes)
    return (weighted if maps.readout.bias is None else weighted + maps.readout.bias).unflatten(0, (steps, -1))


def _for_all(flow: Current, steps: int) -> Current:
    return flow if flow.shift is None else Current(flow.value, flow.shift.expand(steps, -1))


def pack(z: Tensor) -> Tensor:
    """Where z (T, B, ...) is not negative, as bits of bytes (ceil(T / 8), B, ...)."""
    words = torch.empty_like(z[: -(-len(z) // WORD)], dtype=torch.uint8)
    fired, bits = torch.empty_like(z[0]), torch.empty_like(z[0])  # in floating point: sums of them are far quicker
    for word, eight in zip(words, z.split(WORD), strict=True):
        bits.zero_()
        for t, each in enumerate(eight):
            bits.add_(torch.ge(each, 0, out=fired), alpha=2**t)
        word.copy_(bits)
    return words


def unpack(words: Tensor, steps: int, dtype: torch.dtype) -> Tensor:
    """The steps again, (T, B, ...), as zeros and ones."""
    fired = torch.empty_like(words[:1].expand(steps, *words.shape[1:]), dtype=dtype)
    for t, each in enumerate(fired):
        each.copy_((words[t // WORD] & (1 << t % WORD)).ne_(0))
    return fired


class _Linear(torch.autograd.Function):
    """A linear map of spikes (T * B, ...) of which only the packed ones are kept for the weight's gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        words: Tensor,
        outlet: Outlet,
        steps: int,
        seen: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: int,
        scale: float,
    ) -> Tensor:
        ctx.save_for_backward(words, weight)
        ctx.rest = outlet, stride, scale, steps
        return linear(seen, weight, bias, stride, scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        words, weight = ctx.saved_tensors
        outlet, stride, scale, steps = ctx.rest
        seen = outlet.out(unpack(words, steps, weight.dtype).flatten(0, 1))
        into_these = linear_backward(gradient, seen, weight, ctx.needs_input_grad[3:6], stride, scale)
        return None, None, None, *into_these, None, None


class _Potential(Sigmoid):
    """Keeps the potential itself; foreign to fused kernels, which leave it to the eager ones."""

    def save_(self, x: Tensor) -> Tensor:
        return x


class _Scan(torch.autograd.Function):
    """Currents (T * B, ...), shifted by `Neuron.shift`, to spikes as the next layer sees them, and packed."""

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, shift: Tensor | None, network: Network, outlet: Outlet, detach_reset: bool
    ) -> tuple[Tensor, Tensor]:
        neuron, steps = network.neuron, network.steps
        currents = value.detach().unflatten(0, (steps, -1))
        keeper = neuron._replace(surrogate=_Potential(neuron.surrogate.scale))
        seen, z = network.kernels.integrate(currents, shift, None, keeper, steps, outlet, True)
        words = pack(z)
        ctx.save_for_backward(_rounded(neuron.surrogate, z))
        ctx.rest = neuron, outlet, detach_reset, shift is not None
        ctx.mark_non_differentiable(words)
        return seen.flatten(0, 1), words

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        (rounded,) = ctx.saved_tensors
        neuron, outlet, detach_reset, shifted = ctx.rest
        gradients = gradient.unflatten(0, (len(rounded), -1))
        errors = torch.empty_like(rounded, dtype=gradient.dtype)
        step = neuron.surrogate.peak / LEVELS
        for t in reversed(range(len(rounded))):
            into_spike = outlet.back(gradients[t], errors[t])
            if t + 1 == len(rounded):
                torch.mul(rounded[t], into_spike * step, out=errors[t])
                continue
            if not detach_reset:
                into_spike = into_spike.sub(errors[t + 1], alpha=neuron.leak * neuron.threshold)
            slope = rounded[t].to(gradient.dtype)
            torch.mul(errors[t + 1], neuron.leak, out=errors[t]).addcmul_(slope, into_spike, value=step)
        return errors.flatten(0, 1), sum_per_channel(errors) if shifted else None, None, None, None


def _rounded(surrogate: Surrogate, z: Tensor) -> Tensor:
    """The surrogate's derivative at z (T, B, ...) in 256 levels; overwrites z."""
    rounded = torch.empty_like(z, dtype=torch.uint8)
    for each, level in zip(z, rounded, strict=True):
        wide = each.float() if each.dtype == torch.bfloat16 else each
        levels = wide.new_full((), LEVELS / surrogate.peak)
        level.copy_(surrogate.backward_(levels, surrogate.save_(wide)).round_())
    return rounded
