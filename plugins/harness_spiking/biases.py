"""Biases in recursions whose past is a constant to autograd: how often one counts in the value, and how often in the
gradient, differ.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness_spiking.operations import affine


class StepBiases:
    """value[t] b + shift at each time step t, whose derivative with respect to b counts as gradient[t]."""

    def __init__(self, value: Sequence[float], gradient: Sequence[float]) -> None:
        self._value, self._gradient = value, gradient
        self._constant = len({*zip(value, gradient, strict=True)}) == 1
        self._cut = slice(0, 0)  # the steps of `_columns`, which every layer asks for in turn
        self._columns: list[Tensor] = []

    def at(self, bias: Tensor, start: int, steps: int, shift: float) -> Tensor:
        """For the steps from `start` on: (steps, channels), or (channels,) for one step or where all are the same."""
        if steps == 1 or self._constant:
            return affine(bias, self._value[start], self._gradient[start], shift)
        cut = slice(start, start + steps)
        if cut != self._cut:
            self._cut, self._columns = cut, [_column(each[cut], bias) for each in (self._value, self._gradient)]
        value, gradient = self._columns
        return gradient * bias + ((value - gradient) * bias.detach() + shift)


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    """(steps, 1), number by number: a list would be copied from the host, which a CUDA graph cannot hold."""
    return torch.stack([like.new_full((1,), value) for value in values])


def traces_of_one(leak: float, steps: int) -> list[float]:
    """L_1 to L_T, with L_t = 1 + leak L_{t-1} and L_0 = 0: the trace of a constant one."""
    last, traces = 0.0, []
    for _ in range(steps):
        last = 1 + leak * last
        traces.append(last)
    return traces
