"""Random nodes: the level that any other choice of nodes has to exceed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness import Method, hookimpl, option
from harness_recurrent.config import NodeOptions, require_defaults
from harness_recurrent.offers import offer_compression

harness_interface = 2


@dataclass(frozen=True)
class RandomOptions(NodeOptions):
    """Options of random pruning: the nodes that are drawn from, and the number of the draw."""

    among: Literal["all", "living"] = option(
        "all", "nodes that are drawn from: all of them, or those alone that are ever active in training rows"
    )
    draw: int = option(0, "which of a seed's draws: another draw of nodes from the same base", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kept is not None and self.kept >= self.hidden:
            require_defaults(self, ("draw",), f"all hidden={self.hidden} nodes are kept, and none is drawn")

    @property
    def reconstruction_options(self) -> tuple[str, ...]:
        """Options of the reconstruction alone: with among=living, `covariance` also decides which nodes live."""
        return ("lam",) if self.among == "living" else super().reconstruction_options


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield offer_compression(
        "random-pruning",
        "keeps hidden nodes drawn at random, and rebuilds the weights around them like any other choice",
        factory="harness_random_pruning.learner:build",
        config=RandomOptions,
    )
