"""Columns of recurrent matrices: every node stays, and few of them are read back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness import Method, UsageError, hookimpl, option
from harness_recurrent.config import CompressionOptions, require_defaults
from harness_recurrent.offers import offer_compression

harness_interface = 2


@dataclass(frozen=True)
class ColumnOptions(CompressionOptions):
    """Options of column sparsification: the score that columns stay for, and whether they make up for the others."""

    score: Literal["norm", "spectral"] = option(
        "norm",
        "columns that stay: those of the largest norm, all gates together, or those that, rewritten, best give what "
        "the whole matrix gives on the states of training rows",
    )
    reconstruct: bool | None = option(
        None, "whether the columns left are rewritten to make up for those that are gone; by default if score=spectral"
    )
    lam: float = option(1e-4, "regularisation of the reconstruction, as a share of a node's mean square", low=0, high=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cell == "mingru":
            raise UsageError("cell=mingru: it has no recurrent weights whose columns could go; give another cell")
        if self.score == "norm" and not self.reconstructs:
            require_defaults(self, ("lam",), "of the reconstruction, and there is none", ", or give reconstruct=yes")

    @property
    def reconstructs(self) -> bool:
        """`reconstruct`, resolved."""
        return self.score == "spectral" if self.reconstruct is None else self.reconstruct


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield offer_compression(
        "column-sparsification",
        "keeps few columns of the recurrent weights: the layer stays as wide as it is, and few nodes are read back",
        factory="harness_columns.learner:build",
        config=ColumnOptions,
    )
