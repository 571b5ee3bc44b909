"""Nodes by their scores, weight by weight in plain float64, for `harness agree node-pruning --reference`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness_node_pruning import NodeScoreOptions
from harness_recurrent import reference as plainly
from harness_recurrent.compression import Smaller
from harness_recurrent.reference import Floats, Plain


def compress(plain: Plain, options: NodeScoreOptions) -> Smaller:
    """The network with the nodes of the highest scores."""
    return plainly.compress_nodes(
        plain, options, lambda layer, h: plainly.find_highest(score_nodes(plain, layer, h, options), plain.nodes)
    )


def score_nodes(plain: Plain, layer: int, h: Floats, options: NodeScoreOptions) -> Floats:
    """Scores of the nodes of a layer, (m,)."""
    if options.score == "activity":
        return score_activity(h)
    if options.score == "leverage":
        return plainly.leverage(h, options.lam)
    names = [f"cells.{layer}.input.weight", f"cells.{layer}.recurrent.weight"]
    into = [plain.tensors[name].cpu().numpy() for name in names if name in plain.tensors]
    return score_magnitude(into, [plain.readers(layer).cpu().numpy()], h.shape[1])


def score_magnitude(into: Sequence[Floats], out_of: Sequence[Floats], m: int) -> Floats:
    """Sum of squares of the weights into a node, matrices (G m, any), and out of it, matrices (any, m)."""
    scores = np.zeros(m)
    for weight in into:
        for row in range(len(weight)):
            scores[row % m] += sum(number**2 for number in weight[row])
    for weight in out_of:
        for node in range(m):
            scores[node] += sum(number**2 for number in weight[:, node])
    return scores


def score_activity(states: Floats) -> Floats:
    """Mean square of each state, of states (n, m)."""
    return (states**2).mean(0)
