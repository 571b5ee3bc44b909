"""Padded convolutions, whose gradient with respect to the weight is a third of most updates.

On one thread of a CPU with AVX2 alone, torch takes half as long again for it as for the convolution, which is as many
operations. There it is the product of the errors with the patches that they saw, block by block, each about as large as
the input and small enough for the cache:

    dL/dW = sum_blocks errors' patches,    errors (B H W, outputs),    patches (B H W, k k inputs)

More threads, a single image and few channels are left to torch. See `tests/speed/weight_gradients.py`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST_BLOCK, LARGEST_BLOCK = 7 * 2**14, 2**18  # numbers: 448 KiB, of which products are quick, and 1 MiB
FEWEST_PAIRS = 2**11  # of input and output channels

Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """W * x + b for x (B, inputs, H, W), padded with half of the kernel of W (outputs, inputs, k, k), k odd."""
    if torch.is_grad_enabled() and weight.requires_grad and by_patches(x, weight):
        convolved: Tensor = _Convolution.apply(x, weight, bias, stride)
        return convolved
    return F.conv2d(x, weight, bias, stride=stride, padding=weight.shape[-1] // 2)


def convolve_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, needs: tuple[bool, bool, bool], stride: int
) -> Gradients:
    """Gradients of `convolve` with respect to input, weight and bias, where needed."""
    if not (needs[1] and by_patches(x, weight)):
        return _compute_by_torch(gradient, x, weight, needs, stride)
    into_weight = _sum_patches(gradient, x, weight, stride)  # first, so that its blocks are gone before `into_x` comes
    into_x = _compute_by_torch(gradient, x, weight, (True, False, False), stride)[0] if needs[0] else None
    return into_x, into_weight, gradient.sum((0, 2, 3)) if needs[2] else None


def by_patches(x: Tensor, weight: Tensor) -> bool:
    """Whether the weight's gradient is computed from patches: where that was measured to be quicker."""
    return len(x) > 1 and weight.shape[0] * weight.shape[1] >= FEWEST_PAIRS and suited(x.device, x.dtype)


def suited(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether patches pay for tensors of this type on this device, with as many threads as there are now."""
    return (
        device.type == "cpu"
        and dtype == torch.float32
        and torch.get_num_threads() == 1
        and torch.backends.cpu.get_cpu_capability() == "AVX2"
    )


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return convolve(x, weight, bias, stride)  # torch's, for nothing in here asks for a gradient

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        return *convolve_backward(gradient, x, weight, ctx.needs_input_grad[:3], ctx.stride), None


def _compute_by_torch(
    gradient: Tensor, x: Tensor, weight: Tensor, needs: tuple[bool, bool, bool], stride: int
) -> Gradients:
    padding, strides = [weight.shape[-1] // 2] * 2, [stride, stride]
    found: Gradients = torch.ops.aten.convolution_backward(
        gradient, x, weight, [weight.shape[0]], strides, padding, [1, 1], False, [0, 0], 1, list(needs)
    )
    return found


def _sum_patches(gradient: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    (outputs, inputs, size, _), (rows, _, height, width) = weight.shape, gradient.shape
    images, errors = x.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1).reshape(-1, outputs)  # (B, H, W, inputs)
    (down, right), border = x.shape[2:], size // 2
    numbers = min(max(SMALLEST_BLOCK, x.numel()), LARGEST_BLOCK)
    blocks = -(-rows // max(1, numbers // (height * width * size * size * inputs)))
    block = -(-rows // blocks)
    framed = x.new_zeros(block, down + 2 * border, right + 2 * border, inputs)
    inside = framed[:, border : border + down, border : border + right]
    image, row, column, _ = framed.stride()
    seen = framed.as_strided(
        (block, height, width, size, size * inputs), (image, stride * row, stride * column, row, 1)
    )
    patches = torch.empty(seen.shape, dtype=x.dtype, device=x.device)
    total = x.new_zeros(outputs, size * size * inputs)
    for part, error in zip(images.split(block), errors.split(block * height * width), strict=True):
        if len(part) < block:
            inside, seen, patches = inside[: len(part)], seen[: len(part)], patches[: len(part)]
        inside.copy_(part)
        patches.copy_(seen)
        torch.addmm(total, error.T, patches.view(-1, total.shape[1]), out=total)  # counted, as `addmm_` is not
    return total.view(outputs, size, size, inputs).permute(0, 3, 1, 2)
