"""Random nodes by the equations, in plain float64, for `harness agree random-pruning --reference`.

    A = argmin mean |h - A h_J|^2 + sum_j tau_j |A_:j|^2

The draws are the method's own, since chance alone decides them; the weights come from the states, by least squares.
"""

from __future__ import annotations

import torch

from harness import derive
from harness_random_pruning import RandomOptions
from harness_recurrent import reference as plainly
from harness_recurrent.compression import Smaller
from harness_recurrent.reference import Floats, Plain


def compress(plain: Plain, options: RandomOptions) -> Smaller:
    """The network with nodes at random."""
    return plainly.compress_nodes(plain, options, lambda layer, h: draw_nodes(plain, options, layer, h))


def draw_nodes(plain: Plain, options: RandomOptions, layer: int, h: Floats) -> list[int]:
    """The first k of all nodes, or of the living ones, in a random order."""
    alive = [node for node in range(h.shape[1]) if options.among == "all" or h[:, node].any()]
    seed = derive(plain.generator.initial_seed(), "draw", str(options.draw), str(layer))
    order = torch.randperm(len(alive), generator=torch.Generator().manual_seed(seed)).tolist()
    return sorted(alive[place] for place in order[: plain.nodes])
