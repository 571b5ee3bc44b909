"""Nodes by scores: the k highest, ties to the smallest index.

    magnitude   |Z_:j|^2 + sum over gates g of |W_x,g[j]|^2 + |W_h,g[j]|^2, Z all maps that read h
    activity    S_jj
    leverage    (S (S + lambda I)^-1)_jj, lambda = lam Tr S / m

The weight from a node to itself leads both into and out of it, and counts as both.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from harness import Fit
from harness_node_pruning import NodeScoreOptions, reference
from harness_recurrent import nodes, selection
from harness_recurrent import reference as plainly
from harness_recurrent.compression import Base
from harness_recurrent.training import State


class NodePruning(nodes.NodePruning):
    """Keeps the nodes of the highest scores."""

    options: NodeScoreOptions

    def choose(self, base: Base, layer: int, count: int, S: Tensor, tau: Tensor) -> Sequence[int]:
        del tau
        order = self._score_nodes(base, layer, S).sort(descending=True, stable=True).indices
        return order[:count].tolist()

    def reference_prepare(self, state: State, fit: Fit) -> State:
        """Prepare by the plain equations: weight by weight, and by least squares on the states."""
        return plainly.prepare(self, state, fit, reference.compress)

    def _score_nodes(self, base: Base, layer: int, S: Tensor) -> Tensor:
        """Score the nodes of a layer, (m,)."""
        if self.options.score == "activity":
            return S.diagonal()
        if self.options.score == "leverage":
            return selection.leverage(S, selection.ridge(S, self.options.lam))
        return score_magnitude(base, layer)


def score_magnitude(base: Base, layer: int) -> Tensor:
    """Squares of all weights that lead into a node, of every gate, and out of it, (m,)."""
    scores = nodes.stack_readers(base, layer).square().sum(0)
    for part in ("input.weight", "recurrent.weight"):
        if (weight := base.tensors.get(f"cells.{layer}.{part}")) is not None:
            scores = scores + weight.square().sum(1).unflatten(0, (-1, len(scores))).sum(0)  # (G m,) to (m,)
    return scores


def build(options: NodeScoreOptions) -> NodePruning:
    return NodePruning(options)
