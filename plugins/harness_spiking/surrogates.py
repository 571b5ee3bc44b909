"""Surrogate derivatives of the step function that decides whether a neuron spikes.

A surrogate sees potentials multiplied by its `scale`, so that neither pass spends an operation on that factor: weights,
biases and thresholds carry it (see `weights.effective`), and with z' = scale (u - V_th)

    ds/dz' = phi(z) / scale,    phi the surrogate derivative with respect to z = u - V_th.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Surrogate(Protocol):
    """What a backward pass needs of the forward one, and how it uses it. Both overwrite their last argument."""

    @property
    def scale(self) -> float:
        """Factor on the potentials that `save_` is given."""
        ...

    def save_(self, z: Tensor) -> Tensor:
        """What to keep for the backward pass, in place of the scaled z."""
        ...

    def backward_(self, gradient: Tensor, saved: Tensor) -> Tensor:
        """Gradient * ds/dz', in place of `saved`. The gradient may broadcast."""
        ...


class Sigmoid(NamedTuple):
    """phi(z) = a sigmoid(a z) (1 - sigmoid(a z)) with a = scale: peak a / 4, area 1."""

    scale: float

    def save_(self, z: Tensor) -> Tensor:
        return z.sigmoid_()

    def backward_(self, gradient: Tensor, saved: Tensor) -> Tensor:
        return torch.ops.aten.sigmoid_backward.grad_input(gradient, saved, grad_input=saved)


SURROGATES: dict[str, Callable[[float], Surrogate]] = {"sigmoid": Sigmoid}
