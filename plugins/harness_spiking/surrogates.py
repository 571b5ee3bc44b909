"""Surrogate derivatives of the step function that decides whether a neuron spikes.

A surrogate sees potentials multiplied by its `scale`, so that neither pass spends an operation on that factor: weights,
biases and thresholds carry it (see `weights.effective`). With x = scale (u - V_th) and phi the surrogate derivative
with respect to u - V_th,

    ds/dx = phi / scale = f(x),

and f is the same at every scale: a steeper surrogate is a narrower and higher one.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from harness_spiking.config import SurrogateName

ROUNDINGS = 64  # more than a linear operation over one patch of an image comes to


class Surrogate(Protocol):
    """The tensor that a backward pass needs of the forward one, and its use. Both overwrite their last argument."""

    @property
    def scale(self) -> float:
        """Factor on the potentials that `save_` is given."""
        ...

    @property
    def peak(self) -> float:
        """f(0), its largest value."""
        ...

    def save_(self, x: Tensor) -> Tensor:
        """Compute the tensor to keep for the backward pass, in place of the scaled x."""
        ...

    def backward_(self, gradient: Tensor, saved: Tensor) -> Tensor:
        """Gradient * f(x), in place of `saved`. The gradient may broadcast."""
        ...


class Sigmoid(NamedTuple):
    """f(x) = sigmoid(x) (1 - sigmoid(x)): peak 1/4, area 1."""

    scale: float

    @property
    def peak(self) -> float:
        return 0.25

    def save_(self, x: Tensor) -> Tensor:
        return x.sigmoid_()

    def backward_(self, gradient: Tensor, saved: Tensor) -> Tensor:
        return torch.ops.aten.sigmoid_backward.grad_input(gradient, saved, grad_input=saved)


class Rectangle(NamedTuple):
    """f(x) = 1 where |x| <= 1: peak 1, area 2."""

    scale: float

    @property
    def peak(self) -> float:
        return 1.0

    def save_(self, x: Tensor) -> Tensor:
        return x.abs_().le_(1)

    def backward_(self, gradient: Tensor, saved: Tensor) -> Tensor:
        return saved.mul_(gradient)


class Triangle(NamedTuple):
    """f(x) = max(0, 1 - |x|): peak 1, area 1."""

    scale: float

    @property
    def peak(self) -> float:
        return 1.0

    def save_(self, x: Tensor) -> Tensor:
        return x.abs_().neg_().add_(1).clamp_(min=0)

    def backward_(self, gradient: Tensor, saved: Tensor) -> Tensor:
        return saved.mul_(gradient)


class Arctan(NamedTuple):
    """f(x) = 1 / (2 (1 + (pi x / 2)^2)), the derivative of arctan(pi x / 2) / pi: peak 1/2, area 1."""

    scale: float

    @property
    def peak(self) -> float:
        return 0.5

    def save_(self, x: Tensor) -> Tensor:
        return x.mul_(torch.pi / 2).square_().add_(1).mul_(2).reciprocal_()

    def backward_(self, gradient: Tensor, saved: Tensor) -> Tensor:
        return saved.mul_(gradient)


SURROGATES: dict[SurrogateName, type[Sigmoid | Rectangle | Triangle | Arctan]] = {
    "sigmoid": Sigmoid,
    "rectangle": Rectangle,
    "triangle": Triangle,
    "arctan": Arctan,
}


def inside_range_(potential: Tensor, threshold: float, of_one: float) -> Tensor:
    """One where 0 <= U / (L V_th) <= 1, else zero, in place of U - V_th (B, ...): where a firing rate that is that
    clamped to [0, 1] follows U, with a slope of 1 / V_th by U / L.

    of_one: L, the trace of a constant one. The range has both its ends, up to rounding: on a constant part of an image,
    standardised weights make U zero but for that, and no method's own rounding shall decide.
    """
    slack = ROUNDINGS * torch.finfo(potential.dtype).eps * of_one * threshold
    middle, half = (of_one / 2 - 1) * threshold, of_one / 2 * threshold
    return potential.sub_(middle).abs_().le_(half + slack)  # two comparisons to bool are many times slower on a CPU
