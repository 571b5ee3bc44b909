"""Linear maps between populations of neurons, and what leads from a population to the next layer's input and back."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from harness_torch.training.convolution import convolve, convolve_backward
from harness_torch.training.layout import channels_last

Window = tuple[int, int] | None


class Affine(NamedTuple):
    """A linear map: weight of a convolution (outputs, inputs, k, k) or of a dense layer (outputs, inputs).

    scale: factor on a dense layer's weight, which spares a scaled copy of it.
    """

    weight: Tensor
    bias: Tensor | None
    stride: int = 1
    scale: float = 1.0


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1, scale: float = 1.0) -> Tensor:
    """Padded convolution where the weight has four axes, dense layer where it has two. See `Affine`."""
    if weight.dim() == 4:
        return convolve(x, weight, bias, stride)
    if scale == 1:
        return F.linear(x.flatten(1), weight, bias)
    start = weight.new_zeros(()) if bias is None else bias
    return torch.addmm(start, x.flatten(1), weight.T, beta=int(bias is not None), alpha=scale)


def linear_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, needs: tuple[bool, bool, bool], stride: int = 1, scale: float = 1.0
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of `linear` with respect to input, weight and bias, where needed."""
    if weight.dim() == 4:
        return convolve_backward(gradient, x, weight, needs, stride)
    scaled = gradient if scale == 1 else gradient * scale
    into_x = (scaled @ weight).reshape(x.shape) if needs[0] else None
    return into_x, scaled.T @ x.flatten(1) if needs[1] else None, gradient.sum(0) if needs[2] else None


def pool(x: Tensor, window: Window) -> Tensor:
    """Average pooling; without a window, x itself."""
    return x if window is None else F.avg_pool2d(x, window)


def unpool(gradient: Tensor, like: Tensor, window: tuple[int, int]) -> Tensor:
    """The gradient that average pooling sends back: (B, C, h, w) to the shape of `like`, (B, C, H, W)."""
    (rows, columns), (height, width) = window, gradient.shape[-2:]
    mean = channels_last(gradient / (rows * columns))
    spread = F.interpolate(mean, (height * rows, width * columns), mode="nearest-exact")
    border = (like.shape[-2] - height * rows, like.shape[-1] - width * columns)  # too narrow for a window
    return F.pad(spread, (0, border[1], 0, border[0])) if any(border) else spread


class Outlet:
    """The way from a population (N, C, H, W) to the next layer: a dropout mask, then average pooling.

    mask: (B, C, H, W), the same at every step of a mini-batch; N is a multiple of B. plain: whether there is neither,
    so that the next layer sees the population as it is.
    """

    def __init__(self, window: Window = None, mask: Tensor | None = None) -> None:
        self.window, self.mask = window, mask
        self.plain = window is None and mask is None

    def with_window(self, window: Window) -> Outlet:
        """Make an outlet with the same mask before another pooling."""
        return Outlet(window, self.mask)

    def out(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, h, w); x itself where there is nothing to do."""
        kept = x if self.mask is None else _mask(x, self.mask)
        return kept if self.window is None else F.avg_pool2d(kept, self.window)

    def into(self, x: Tensor, out: Tensor) -> None:
        """Write `out` to a tensor that is there."""
        # Of a single row, CUDA's pooling writes the result in another order than `out` has.
        if self.window is None or self.mask is not None or len(x) == 1:
            out.copy_(self.out(x))
        else:
            torch.ops.aten.avg_pool2d.out(x, self.window, out=out)

    def back(self, gradient: Tensor, like: Tensor) -> Tensor:
        """The gradient of `out`: (N, C, h, w) to the shape of `like`, (N, C, H, W)."""
        spread = gradient if self.window is None else unpool(gradient, like, self.window)
        return spread if self.mask is None else _mask(spread, self.mask)


def _mask(x: Tensor, mask: Tensor) -> Tensor:
    return (x.unflatten(0, (-1, len(mask))) * mask).flatten(0, 1)


def is_ordered(x: Tensor) -> bool:
    """Whether steps (K, B, ...) follow each other without gaps, maps with channels last: the order of `empty`."""
    layout = torch.channels_last if x.dim() == 5 else torch.contiguous_format
    return x[0].is_contiguous(memory_format=layout) and (len(x) == 1 or x.stride(0) == x[0].numel())


def per_channel(values: Tensor, like: Tensor) -> Tensor:
    """Values (K, channels) in a shape that broadcasts over (K, B, channels, ...), the shape of `like`."""
    return values[:, None].reshape(len(values), 1, -1, *[1] * (like.dim() - 3))
