"""Linear operations between neurons, and the gradient that leaves a population of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from harness_spiking.surrogates import Surrogate

Window = tuple[int, int] | None


def channels_last(tensor: Tensor) -> Tensor:
    """The layout that convolutions are fastest in, for maps and kernels; other tensors merely contiguous."""
    return tensor.contiguous(memory_format=torch.channels_last if tensor.dim() == 4 else torch.contiguous_format)


def empty(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Uninitialised, in that layout, with the type and device of another tensor."""
    layout = torch.channels_last if len(shape) == 4 else torch.contiguous_format
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=layout)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolution of equal size where the weight has four axes, dense layer where it has two."""
    if weight.dim() == 2:
        return F.linear(x.flatten(1), weight, bias)
    return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


def linear_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, needs: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of `linear` with respect to input, weight and bias, where needed."""
    if weight.dim() == 2:
        into_x = (gradient @ weight).reshape(x.shape) if needs[0] else None
        return into_x, gradient.T @ x.flatten(1) if needs[1] else None, gradient.sum(0) if needs[2] else None
    padding = weight.shape[-1] // 2
    return torch.ops.aten.convolution_backward(
        gradient, x, weight, [weight.shape[0]], [1, 1], [padding] * 2, [1, 1], False, [0, 0], 1, list(needs)
    )


def pool(x: Tensor, window: Window) -> Tensor:
    """Average pooling; without a window, x itself."""
    return x if window is None else F.avg_pool2d(x, window)


def unpool(gradient: Tensor, like: Tensor, window: Window) -> Tensor:
    """The gradient that average pooling sends back: (B, C, h, w) to the shape of `like`, (B, C, H, W)."""
    if window is None:
        return gradient
    (rows, columns), (height, width) = window, gradient.shape[-2:]
    mean = channels_last(gradient / (rows * columns))
    spread = F.interpolate(mean, (height * rows, width * columns), mode="nearest-exact")
    border = (like.shape[-2] - height * rows, like.shape[-1] - width * columns)  # too narrow for a window
    return F.pad(spread, (0, border[1], 0, border[0])) if any(border) else spread


def spike_backward_(gradient: Tensor, saved: Tensor, window: Window, surrogate: Surrogate) -> Tensor:
    """From the gradient of pooled spikes (B, C, h, w) to that of potentials (B, C, H, W), in place of `saved`."""
    return surrogate.backward_(unpool(gradient, saved, window), saved)


def affine(x: Tensor, value: float, gradient: float, shift: float) -> Tensor:
    """A new tensor, value * x + shift, whose derivative with respect to x counts as `gradient`.

    With it, biases and a static input take part in a recursion whose past is a constant to autograd.
    """
    constant = (x.detach() * (value - gradient)).add_(shift)
    return constant.add_(x, alpha=gradient)
