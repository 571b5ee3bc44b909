"""Scaled weight standardisation (Brock et al. 2021; Xiao et al. 2022), forward and backward in few passes.

    W' = gain (W - m) r,    r = (v n + 1e-4)^(-1/2)

per output channel of n entries, with m their mean and v their unbiased variance; the gain is learnt.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from harness_torch.training.layout import channels_last

EPSILON = 1e-4


def standardise(weight: Tensor, gain: Tensor, factor: float) -> Tensor:
    """W' times a factor, for a weight (outputs, inputs, ...) and gains (outputs,); differentiable."""
    standardised: Tensor = _Standardise.apply(weight, gain, factor)
    return standardised


class Moments(NamedTuple):
    """m and r, (outputs, 1, ...) each."""

    mean: Tensor
    inverse: Tensor


def moments_of(weight: Tensor) -> Moments:
    """Compute the moments of a weight (outputs, inputs, ...)."""
    axes, fan_in = tuple(range(1, weight.dim())), weight[0].numel()
    mean = weight.sum(axes, keepdim=True).div_(fan_in)
    # From the two moments: torch.var is many times slower.
    squares = torch.linalg.vector_norm(weight, dim=axes, keepdim=True).square_().addcmul_(mean, mean, value=-fan_in)
    return Moments(mean, squares.clamp_min_(0).mul_(fan_in / (fan_in - 1)).add_(EPSILON).rsqrt_())


def forward(weight: Tensor, gain: Tensor, factor: float, moments: Moments) -> Tensor:
    """W' times the factor: c (W - m) with c = factor gain r."""
    mean, inverse = moments
    return channels_last(torch.sub(weight, mean).mul_(inverse * gain.view_as(mean) * factor))


def backward_(
    gradient: Tensor, scratch: Tensor, weight: Tensor, gain: Tensor, factor: float, moments: Moments
) -> tuple[Tensor, Tensor]:
    """Differentiate. With G the gradient and A = sum G (W - m) over a channel,

        dL/dW = c (G - mean G) - c A r^2 n / (n - 1) (W - m),    dL/dgain = factor r A.

    The first is written over G. scratch: like it, overwritten.
    """
    mean, inverse = moments
    axes, fan_in = tuple(range(1, weight.dim())), weight[0].numel()
    total = gradient.sum(axes, keepdim=True)
    centred = torch.mul(gradient, weight, out=scratch).sum(axes, keepdim=True).addcmul_(mean, total, value=-1)  # A
    scale = inverse * gain.view_as(mean) * factor
    slope = scale * centred * inverse.square() * (-fan_in / (fan_in - 1))
    offset = (scale * total / fan_in).addcmul_(slope, mean).neg_()
    into_weight = gradient.mul_(scale).addcmul_(weight, slope).add_(offset)
    return into_weight, centred.mul_(inverse).mul_(factor).view_as(gain)


class _Standardise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, gain: Tensor, factor: float) -> Tensor:
        moments = moments_of(weight)
        ctx.save_for_backward(weight, gain, *moments)
        ctx.factor = factor
        return forward(weight, gain, factor, moments)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        weight, gain, *moments = ctx.saved_tensors
        scratch = torch.empty_like(weight)
        return *backward_(gradient.clone(), scratch, weight, gain, ctx.factor, Moments(*moments)), None
