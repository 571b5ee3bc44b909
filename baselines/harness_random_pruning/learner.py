"""Random nodes: J uniform among all sets of k nodes, or of k living ones (S_jj > 0).

Draws follow from the trial's seed, the number of the draw and the layer, so that layers and draws are independent, and
the same for every size: with one node more the others stay.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness import Fit, Unsupported, derive
from harness_random_pruning import RandomOptions, reference
from harness_recurrent import nodes
from harness_recurrent import reference as plainly
from harness_recurrent.compression import Base
from harness_recurrent.covariance import find_dead
from harness_recurrent.training import State


class RandomPruning(nodes.NodePruning):
    """Draws nodes without replacement."""

    options: RandomOptions

    def choose(self, base: Base, layer: int, count: int, S: Tensor, tau: Tensor) -> Sequence[int]:
        """Raises Unsupported where fewer nodes live than are kept."""
        del tau
        candidates = torch.arange(len(S))
        if self.options.among == "living":
            candidates = candidates[~find_dead(S).cpu()]
            _require_living(count, len(candidates), layer, nodes.ACTIVE[self.options.covariance])
        order = torch.randperm(len(candidates), generator=self._seed_draw(base, layer))
        return candidates[order[:count]].tolist()

    def reference_prepare(self, state: State, fit: Fit) -> State:
        """Prepare by the plain equations: least squares on the states."""
        return plainly.prepare(self, state, fit, reference.compress)

    def _seed_draw(self, base: Base, layer: int) -> torch.Generator:
        seed = derive(base.generator.initial_seed(), "draw", str(self.options.draw), str(layer))
        return torch.Generator().manual_seed(seed)


def _require_living(count: int, living: int, layer: int, active: str) -> None:
    if count > living:
        raise Unsupported(
            f"among=living: {count} nodes are to be kept of layer {layer}, and {living} are {active}; "
            f"give nodes={living} or fewer, or among=all"
        )


def build(options: RandomOptions) -> RandomPruning:
    return RandomPruning(options)
