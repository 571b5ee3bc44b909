"""Functions of `fused` per output channel, one Triton kernel each; without a kernel they are left to `eager`."""

from __future__ import annotations

from math import prod

import torch
import triton
from torch import Tensor

from harness_spiking.connections import is_ordered
from harness_spiking.kernels import channel_kernels, eager
from harness_spiking.standardisation import EPSILON, Moments

LONGEST_ROW = 2**14  # of a weight's channel, which a program holds in registers
PART, TILE, CHANNELS = 256, 32, 64  # rows that a program sums, rows at a time, and its channels


def standardised(weight: Tensor, gain: Tensor, factor: float) -> tuple[Tensor, Moments]:
    """See `eager.standardised`."""
    if not _rows_without_gaps(weight):
        return eager.standardised(weight, gain, factor)
    out, (mean, inverse) = torch.empty_like(weight), weight.new_empty(2, len(weight), *[1] * (weight.dim() - 1))
    fan_in = weight[0].numel()
    with torch.cuda.device_of(weight):
        channel_kernels.standardise[(len(weight),)](
            weight,
            gain.contiguous(),
            out,
            mean,
            inverse,
            fan_in,
            factor,
            EPSILON,
            block=triton.next_power_of_2(fan_in),
            num_warps=_warps(fan_in),
        )
    return out, Moments(mean, inverse)


def standardised_backward_(
    gradient: Tensor, scratch: Tensor, weight: Tensor, gain: Tensor, factor: float, moments: Moments
) -> tuple[Tensor, Tensor]:
    """See `eager.standardised_backward_`."""
    if not (_rows_without_gaps(weight) and gradient.stride() == weight.stride() and gradient.dtype == weight.dtype):
        return eager.standardised_backward_(gradient, scratch, weight, gain, factor, moments)
    into_gain, fan_in = torch.empty_like(gain), weight[0].numel()
    with torch.cuda.device_of(weight):
        channel_kernels.standardise_backward[(len(weight),)](
            gradient,
            weight,
            gain.contiguous(),
            *moments,
            into_gain,
            fan_in,
            factor,
            block=triton.next_power_of_2(fan_in),
            num_warps=_warps(fan_in),
        )
    return gradient, into_gain


def sum_per_channel(errors: Tensor) -> Tensor:
    """See `eager.sum_per_channel`: in parts, whose sums are added up, so that the order is always the same."""
    narrow = errors.dtype in (torch.float32, torch.bfloat16)
    if not (narrow and is_ordered(errors)):
        return eager.sum_per_channel(errors)
    steps, batch, channels, *space = errors.shape
    rows = batch * prod(space)
    parts = triton.cdiv(rows, PART)
    sums = torch.empty((steps, parts, channels), dtype=torch.float32, device=errors.device)
    with torch.cuda.device_of(errors):
        channel_kernels.sum_rows[(parts, triton.cdiv(channels, CHANNELS), steps)](
            errors, sums, rows, channels, parts, part=PART, tile=TILE, block=CHANNELS
        )
    return sums.sum(1)


def _rows_without_gaps(weight: Tensor) -> bool:
    """Whether channels of a weight in single precision lie one after the other, each in a piece, not too long."""
    dense = weight.is_contiguous() or (weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last))
    return dense and weight.dtype == torch.float32 and 1 < weight[0].numel() <= LONGEST_ROW


def _warps(fan_in: int) -> int:
    return 4 if fan_in <= 1024 else 8
