"""Nodes by a score of their own, whatever the others are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness import Method, hookimpl, option
from harness_recurrent.config import NodeOptions
from harness_recurrent.offers import offer_compression

harness_interface = 2


@dataclass(frozen=True)
class NodeScoreOptions(NodeOptions):
    """Options of node pruning: the score that nodes are kept for."""

    score: Literal["magnitude", "activity", "leverage"] = option(
        "magnitude",
        "what a node is kept for: the squares of all weights into and out of it; the mean square of its state; or its "
        "leverage, which is how little the others tell of it, at the regularisation lam",
    )

    @property
    def reconstruction_options(self) -> tuple[str, ...]:
        """Activity and leverage are of states, and leverage is regularised."""
        return {"magnitude": ("lam", "covariance"), "activity": ("lam",), "leverage": ()}[self.score]


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield offer_compression(
        "node-pruning",
        "keeps the hidden nodes of the highest score, each scored by itself: magnitude, activity or leverage",
        factory="harness_node_pruning.learner:build",
        config=NodeScoreOptions,
    )
