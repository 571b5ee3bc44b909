"""Layouts of tensors in memory: channels last, which convolutions are fastest in."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def channels_last(tensor: Tensor) -> Tensor:
    """The layout that convolutions are fastest in, for maps and kernels; other tensors merely contiguous.

    Of five axes the first is of lanes, each laid out like this. With one channel every layout is the same in memory,
    and convolutions choose theirs by the strides.
    """
    if tensor.dim() == 5:
        return channels_last(tensor.flatten(0, 1)).unflatten(0, tensor.shape[:2])
    if tensor.dim() != 4:
        return tensor.contiguous()
    laid = tensor.contiguous(memory_format=torch.channels_last)
    _, channels, height, width = laid.shape
    return laid if channels > 1 else laid.as_strided(laid.shape, (height * width, 1, width, 1))


def empty(shape: tuple[int, ...], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Uninitialised, in that layout, with the type (unless given) and device of another tensor."""
    if len(shape) == 5:
        return empty((shape[0] * shape[1], *shape[2:]), like, dtype).unflatten(0, shape[:2])
    layout = torch.channels_last if len(shape) == 4 else torch.contiguous_format
    return torch.empty(shape, dtype=dtype or like.dtype, device=like.device, memory_format=layout)


def leaves(named: Mapping[str, Tensor], device: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """Parameters: these tensors on the device, of this type and in that layout, as leaves that collect gradients.

    A tensor that has all that already is taken as it is, not copied.
    """
    return {name: channels_last(tensor.detach().to(device, dtype)).requires_grad_() for name, tensor in named.items()}
