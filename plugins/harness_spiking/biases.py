"""Biases in recursions whose past is a constant to autograd: how often one counts in the value, and how often in the
gradient, differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor


def scale_and_shift(x: Tensor, shift: float, value: float, gradient: float) -> Tensor:
    """A new tensor, value * x + shift, whose derivative with respect to x counts as `gradient`.

    With it, biases and a static input take part in a recursion whose past is a constant to autograd.
    """
    if value == gradient:
        return x + shift if value == 1 else (x * value).add_(shift)
    if gradient == 1:
        return torch.add(x, x.detach(), alpha=value - 1).add_(shift)
    return (x.detach() * (value - gradient)).add_(shift).add_(x, alpha=gradient)


class StepBiases:
    """value[t] b + shift at each time step t, whose derivative with respect to b counts as gradient[t]."""

    def __init__(self, value: Sequence[float], gradient: Sequence[float]) -> None:
        self._value, self._gradient = value, gradient
        self._constant = len({*zip(value, gradient, strict=True)}) == 1

    def at(self, start: int, stop: int) -> Callable[[Tensor, float], Tensor]:
        """The function that makes of b (channels,) and shift what they are at the steps from `start` on, before `stop`:
        (steps, channels), or (channels,) for one step or where all are the same.
        """
        if stop - start == 1 or self._constant:
            return partial(scale_and_shift, value=self._value[start], gradient=self._gradient[start])
        return _Columns(self._value[start:stop], self._gradient[start:stop])


class _Columns:
    """Biases of several steps at once, by columns of numbers (steps, 1) that all layers share."""

    def __init__(self, value: Sequence[float], gradient: Sequence[float]) -> None:
        self._value, self._gradient = value, gradient
        self._columns: tuple[Tensor, Tensor] | None = None

    def __call__(self, bias: Tensor, shift: float) -> Tensor:
        if self._columns is None:
            self._columns = _make_column(self._value, bias), _make_column(self._gradient, bias)
        value, gradient = self._columns
        return gradient * bias + ((value - gradient) * bias.detach() + shift)


def _make_column(values: Sequence[float], like: Tensor) -> Tensor:
    """(steps, 1), number by number: a list would be copied from the host, which a CUDA graph cannot hold."""
    return torch.stack([like.new_full((1,), value) for value in values])


def traces_of_one(leak: float, steps: int) -> list[float]:
    """L_1 to L_T, with L_t = 1 + leak L_{t-1} and L_0 = 0: the trace of a constant one."""
    last, traces = 0.0, []
    for _ in range(steps):
        last = 1 + leak * last
        traces.append(last)
    return traces
