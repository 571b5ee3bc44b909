"""Transforms of images on the device: normalisation once, augmentation of each batch for training.

Augmentation is index arithmetic on whole batches: fixed shapes, no loop over rows, no wait for the host.
Cutout is that of the published OTTT code (https://github.com/pkuxmq/OTTT-SNN, train_cifar.py, through torchtoolbox):
half of the images lose a rectangle of 2 % to 40 % of their area and with sides in a ratio of 0.4 to 2.5, both uniform,
which becomes one random grey value.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

# torch loads in a trial only: listing data sets imports nothing heavy.
if TYPE_CHECKING:
    import torch
    from torch import Tensor

BRIGHTEST = 255
CUT_SHARE = 0.5
CUT_AREA = (0.02, 0.4)
CUT_RATIO = (0.4, 2.5)


@dataclass(frozen=True)
class Normalise:
    """Bytes (N, ..., C, H, W) to float32 of the same shape: (pixel / 255 - mean) / std of each channel C."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, pixels: Tensor) -> Tensor:
        mean, std = (_make_column(values, pixels.device) for values in (self.mean, self.std))
        return pixels.float().div_(BRIGHTEST).sub_(mean).div_(std)

    def grey(self, values: Tensor) -> Tensor:
        """Normalise grey pixels (B, 1, ..., 1) to (B, ..., C, 1, 1)."""
        mean, std = (_make_column(each, values.device) for each in (self.mean, self.std))
        return (values / BRIGHTEST - mean) / std


@functools.lru_cache(maxsize=64)
def _make_column(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Make values (C,) a column (C, 1, 1); cached, because every copy from the host makes it wait for the device."""
    import torch

    return torch.tensor(values, device=device)[:, None, None]


class Draws(NamedTuple):
    """Random decisions for each of B images.

    down, right (B,): by how much the window is moved, in [-padding, padding]. flip (B,) bool. top, left, height, width
    (B,): the rectangle that is cut out, in the window before it is flipped; height is 0 where none is. value (B,): its
    grey, from 0 to 255.
    """

    down: Tensor
    right: Tensor
    flip: Tensor
    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    value: Tensor


@dataclass(frozen=True)
class Augment:
    """Normalised inputs (B, ..., C, H, W) to the same shape: a random window of the padded image, cut out, flipped.

    padding: by how many pixels of value zero, before normalisation, the image is surrounded. All frames of one input
    are treated alike.
    """

    normalise: Normalise
    padding: int
    flip: bool = False
    cutout: bool = False

    def __call__(self, inputs: Tensor, generator: torch.Generator | None) -> Tensor:
        return self.apply(inputs, self.draw(inputs, generator))

    def draw(self, inputs: Tensor, generator: torch.Generator | None) -> Draws:
        """Draw as many random numbers for every batch of a size, on the device of the inputs."""
        import torch

        height, width = inputs.shape[-2:]
        uniform = torch.rand(9, len(inputs), device=inputs.device, generator=generator)
        area = _scale_between(CUT_AREA, uniform[4]) * (height * width)
        ratio = _scale_between(CUT_RATIO, uniform[5])
        cut = (uniform[3] < CUT_SHARE) & self.cutout
        rows = area.mul(ratio).sqrt().long().clamp(max=height)
        columns = area.div(ratio).sqrt().long().clamp(max=width)
        return Draws(
            down=_draw_whole(uniform[0], 2 * self.padding) - self.padding,
            right=_draw_whole(uniform[1], 2 * self.padding) - self.padding,
            flip=(uniform[2] < 0.5) & self.flip,
            top=_draw_whole(uniform[6], height - rows),
            left=_draw_whole(uniform[7], width - columns),
            height=rows * cut,
            width=columns,
            value=_draw_whole(uniform[8], BRIGHTEST),
        )

    def apply(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Apply the draws to the inputs."""
        import torch

        size, height, width = len(inputs), *inputs.shape[-2:]
        one_each = (size, *[1] * (inputs.dim() - 1))
        mask = (size, *[1] * (inputs.dim() - 3), height, width)
        down, right, flip, top, left, tall, wide, value = (each[:, None] for each in draws)
        row = torch.arange(height, device=inputs.device).expand(size, -1)  # (B, H)
        column = torch.arange(width, device=inputs.device).expand(size, -1)  # (B, W)
        column = torch.where(flip, width - 1 - column, column)
        hole = _combine_axes((row >= top) & (row < top + tall), (column >= left) & (column < left + wide))  # (B, H, W)
        row, column = row + down, column + right
        inside = _combine_axes((row >= 0) & (row < height), (column >= 0) & (column < width))
        pixel = row.clamp(0, height - 1)[:, :, None] * width + column.clamp(0, width - 1)[:, None, :]  # (B, H, W)
        moved = _gather_pixels(inputs, pixel)
        dark = self.normalise.grey(torch.zeros(one_each, device=inputs.device))
        moved = torch.where(inside.view(mask), moved, dark)
        return torch.where(hole.view(mask), self.normalise.grey(value.view(one_each)), moved) if self.cutout else moved


def _scale_between(limits: tuple[float, float], uniform: Tensor) -> Tensor:
    low, high = limits
    return low + (high - low) * uniform


def _draw_whole(uniform: Tensor, largest: Tensor | int) -> Tensor:
    """Draw whole numbers from 0 to the largest, all as likely, from uniform ones in [0, 1)."""
    return (uniform * (largest + 1)).long().clamp(max=largest)


def _combine_axes(row: Tensor, column: Tensor) -> Tensor:
    """Combine rows (B, H) and columns (B, W) to pixels (B, H, W) at which both are true."""
    return row[:, :, None] & column[:, None, :]


def _gather_pixels(inputs: Tensor, pixel: Tensor) -> Tensor:
    """Gather the pixels of each image by their place: inputs (B, ..., H, W), pixel (B, H, W) of numbers below H * W."""
    planes = math.prod(inputs.shape[1:-2])
    flat = inputs.reshape(len(inputs), planes, -1)  # (B, planes, H * W)
    index = pixel.flatten(1)[:, None].expand(-1, planes, -1)
    return flat.gather(2, index).view(inputs.shape)
