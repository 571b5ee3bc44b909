"""The state of SWAG: networks in training, and the collection of the weights that they pass through."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from harness_bayes import training
from harness_swag import SwagOptions


@dataclass
class Collection:
    """The weights of J networks so far, as numbers (J, m). count: of the networks collected of each lane.

    squares: sum of squared differences from the mean. deviations: the last `rank`, (J, rank, m), zeros where there are
    fewer; the oldest is overwritten, so that they stand in no order.
    """

    mean: Tensor
    squares: Tensor
    deviations: Tensor
    count: int = 0

    @staticmethod
    def empty(lanes: int, rank: int, size: int, like: Tensor) -> Collection:
        """A collection of no network, of the type and on the device of another tensor."""
        mean, squares = like.new_zeros(lanes, size), like.new_zeros(lanes, size)
        return Collection(mean, squares, like.new_zeros(lanes, rank, size))

    @property
    def rank(self) -> int:
        """The number of deviations that there are."""
        return min(self.count, self.deviations.shape[1])

    def add(self, weights: Tensor) -> None:
        """Add weights (J, m) in Welford's way: differences of squares would lose deviations small beside the mean."""
        change = weights - self.mean
        self.deviations[:, self.count % self.deviations.shape[1]] = deviation = change * (self.count / (self.count + 1))
        self.count += 1
        self.mean += change / self.count
        self.squares += change * deviation

    def lane(self, index: int, trials: int) -> Collection:
        """The collection of one of so many trials."""
        tensors = {name: getattr(self, name).chunk(trials)[index] for name in ("mean", "squares", "deviations")}
        return replace(self, **tensors)


@dataclass(kw_only=True)
class State(training.State):
    """Networks in training. first: updates without collection. every: from one collected network to the next."""

    options: SwagOptions
    first: int
    every: int
    collection: Collection
