"""Random numbers for lanes: each trial draws from a stream of its own, whichever others there are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Drops(NamedTuple):
    """The rate of each trial, below 1, and 1 / log(1 - rate) on the device, (L, 1)."""

    rates: tuple[float, ...]
    scales: Tensor

    @staticmethod
    def build(rates: Sequence[float], device: str | torch.device) -> Drops:
        """Build the drops of trials with these rates."""
        scales = [[1 / math.log1p(-rate) if rate else -1.0] for rate in rates]  # without zeros nothing is drawn
        return Drops(tuple(rates), torch.tensor(scales, dtype=torch.float64, device=device))


class Noise:
    """Streams of L trials. The first axis of drawn numbers is a multiple of L, in the order of the trials."""

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self.generators = list(generators)

    @staticmethod
    def seeded(seeds: Sequence[int], device: str | torch.device) -> Noise:
        """Streams that start at these seeds."""
        return Noise([torch.Generator(device).manual_seed(seed) for seed in seeds])

    def normal(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Standard normal numbers, of the type and on the device of another tensor."""
        return self._fill(shape, like, Tensor.normal_)

    def uniform(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Numbers from [0, 1)."""
        return self._fill(shape, like, Tensor.uniform_)

    def signs(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Numbers that are -1 or 1."""
        return self._fill(shape, like, _draw_signs)

    def masks(self, count: int, drops: Drops, like: Tensor) -> Tensor:
        """Masks (L, count): zeros with the probability of each trial's rate, and ones elsewhere.

        The number of ones before the next zero, which is geometric, is drawn: few numbers where rates are low.
        """
        needed = [_bound_zeros(count, rate) for rate in drops.rates]
        drawn = torch.ones(len(needed), max(needed), device=like.device)  # single precision whatever the network's is
        for part, size, generator in zip(drawn, needed, self.generators, strict=True):
            part[:size].uniform_(generator=generator)
        # In double precision, so that no vectorised logarithm moves a zero. What was not drawn lies beyond the end.
        gaps = drawn.double().neg_().log1p_().mul_(drops.scales).clamp_(max=count)
        places = gaps.long().add_(1).cumsum_(1).sub_(1).clamp_(max=count)
        return like.new_ones(len(needed), count + 1).scatter_(1, places, 0.0)[:, :count]

    def _fill(self, shape: Sequence[int], like: Tensor, draw: Callable[..., Tensor]) -> Tensor:
        drawn = torch.empty(tuple(shape), device=like.device)  # single precision, so that others see the same numbers
        for part, generator in zip(drawn.chunk(len(self.generators)), self.generators, strict=True):
            draw(part, generator=generator)
        return drawn.to(like.dtype)


def _bound_zeros(count: int, rate: float) -> int:
    """Bound the number of zeros: eight deviations above its mean, so that the end is reached; 0 where rates are 0."""
    return min(count, math.ceil(rate * count + 8 * (rate * count) ** 0.5 + 16)) if rate else 0


def _draw_signs(part: Tensor, generator: torch.Generator) -> Tensor:
    return part.bernoulli_(0.5, generator=generator).mul_(2).sub_(1)
