"""Recurrent weights of low rank."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness import Dataset, Method, UsageError, hookimpl, option
from harness_recurrent.config import GATES, Cell, CompressionOptions
from harness_recurrent.offers import offer_compression

harness_interface = 2


@dataclass(frozen=True)
class LowRankOptions(CompressionOptions):
    """Options of low rank: the approximation, and its rank."""

    kind: Literal["svd", "identity", "data"] = option(
        "svd",
        "closest to the weights; of irnn, closest to what the weights add to the identity, which stays; or closest in "
        "what they give on the states of training rows",
    )
    rank: int | None = option(
        None,
        "rank of each layer's recurrent weights; by default the largest with at most as many numbers as the recurrent "
        "weights of a layer of the size that is given",
        low=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._refuse_sizes()
        if self.cell == "mingru":
            raise UsageError("cell=mingru: it has no recurrent weights that could be of low rank; give another cell")
        if self.kind == "identity" and self.cell not in (None, "irnn"):
            raise UsageError(f"kind=identity: of cell=irnn, which starts from it, and this is cell={self.cell}")

    def refuse_on(self, dataset: Dataset) -> None:
        super().refuse_on(dataset)
        if self.kind == "identity" and self.resolve_cell(dataset.kind) != "irnn":
            raise UsageError(
                f"kind=identity: of cell=irnn, and {dataset.name} is {dataset.kind}, where cell is lstm; give kind=svd"
            )
        self._refuse_growth(self.resolve_cell(dataset.kind))

    def _refuse_sizes(self) -> None:
        if self.rank is None:
            return
        if self.given_sizes:
            raise UsageError(f"rank={self.rank} and {self.given_sizes[0]} each say how much is left; give one of them")
        if self.rank > self.hidden:
            raise UsageError(f"rank={self.rank}: a layer has hidden={self.hidden}; give at most as many")

    def _refuse_growth(self, cell: Cell) -> None:
        """Refuse a rank at which (G m + m) r, the numbers of the factors, exceed the G m^2 of the weights."""
        most = max(1, GATES[cell] * self.hidden // (GATES[cell] + 1))
        if self.rank is not None and self.rank > most:
            raise UsageError(
                f"rank={self.rank}: of cell={cell} with hidden={self.hidden} its factors have more numbers than the "
                f"weights that they stand for; give at most {most}"
            )


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield offer_compression(
        "low-rank",
        "recurrent weights as a product of two thin matrices, by a singular value decomposition",
        factory="harness_low_rank.learner:build",
        config=LowRankOptions,
        sizes=("rank",),
    )
