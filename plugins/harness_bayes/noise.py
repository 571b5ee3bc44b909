"""Random numbers for lanes: each trial draws from a stream of its own, whichever others there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class Noise:
    """Streams of L trials. The first axis of what is drawn is a multiple of L, in the order of the trials."""

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
        return self._fill(shape, like, _flip)

    def _fill(self, shape: Sequence[int], like: Tensor, draw: Callable[..., Tensor]) -> Tensor:
        drawn = torch.empty(tuple(shape), dtype=like.dtype, device=like.device)
        for part, generator in zip(drawn.chunk(len(self.generators)), self.generators, strict=True):
            draw(part, generator=generator)
        return drawn


def _flip(part: Tensor, generator: torch.Generator) -> Tensor:
    return part.bernoulli_(0.5, generator=generator).mul_(2).sub_(1)
