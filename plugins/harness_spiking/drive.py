"""Inputs of the first layer: one image for all steps, whose current is computed once, or frames over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from harness_spiking.connections import Affine
from harness_spiking.passes import compute_current
from harness_torch.training.layout import empty


class Drive:
    """W x + b (B, ...) of the first layer for an input that stays the same: computed once, differentiated once.

    once: there is one backward pass alone, through which the gradient finds its way; otherwise it is collected, and
    settled at the end.
    """

    def __init__(self, x: Tensor, first: Affine, once: bool = False) -> None:
        self._source = compute_current(x, first, first.bias).whole()
        self._collects = torch.is_grad_enabled() and not once
        self.value = self._source.detach().requires_grad_() if self._collects else self._source

    def at(self, value: Sequence[float], gradient: Sequence[float], shift: float) -> Tensor:
        """At each of K steps value[t] (W x + b) + shift, (K * B, ...), whose derivative counts as gradient[t]."""
        steps: Tensor = _Steps.apply(self.value, value, gradient, shift)
        return steps

    def settle(self) -> None:
        """Send the gradient of all steps on to the first layer's weights."""
        if self._collects and self.value.grad is not None:
            torch.autograd.backward(self._source, self.value.grad)


class _Steps(torch.autograd.Function):
    """The function of `Drive.at`: one pass for each step, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Sequence[float], gradient: Sequence[float], shift: float) -> Tensor:
        ctx.gradient = gradient
        steps, start = empty((len(value) * len(x), *x.shape[1:]), x), x.new_full((), shift)
        for each, step in zip(value, steps.split(len(x)), strict=True):
            torch.add(start, x, alpha=each, out=step)
        return steps

    @staticmethod
    def backward(ctx: Any, errors: Tensor) -> tuple[Tensor, None, None, None]:
        first, *others = errors.unflatten(0, (len(ctx.gradient), -1))
        total = first * ctx.gradient[0]
        for each, error in zip(ctx.gradient[1:], others, strict=True):
            total.add_(error, alpha=each)
        return total, None, None, None


class InputTrace:
    """The trace of frames over time: x^[t] = leak x^[t-1] + x[t]."""

    def __init__(self, leak: float) -> None:
        self._leak = leak
        self._value: Tensor | None = None

    def __call__(self, frames: Tensor) -> Tensor:
        """The traces (K * B, ...) at the steps of the next frames (K, B, ...)."""
        traces = []
        for frame in frames:
            self._value = frame if self._value is None else frame + self._leak * self._value
            traces.append(self._value)
        return traces[0] if len(traces) == 1 else torch.cat(traces)
