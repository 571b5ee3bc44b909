"""Random nodes by the equations, in plain float64, for `harness agree random-pruning --reference`.

    A = argmin mean |h - A h_J|^2 + sum_j tau_j |A_:j|^2

Which nodes are drawn is chance, so draws are the method's; what they leave comes from the states, by least squares.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from harness import derive
from harness_random_pruning import RandomOptions
from harness_recurrent import reference as plainly
from harness_recurrent.compression import Smaller
from harness_recurrent.reference import Plain

Floats = NDArray[np.float64]


def compress(plain: Plain, options: RandomOptions) -> Smaller:
    """The network with nodes at random."""
    chosen: list[list[int]] = []
    maps: list[Floats] = []
    lost: list[float] = []
    for layer, states in enumerate(plain.states):
        last = options.covariance == "last-step" and not plain.network.tokens
        h = (states[-1] if last else states.flatten(0, 1)).cpu().numpy()
        J = drawn(plain, options, layer, h)
        A = reconstruction(h, J, penalties(h, options.lam, len(J))) if options.reconstruct else np.eye(h.shape[1])[:, J]
        chosen, maps = [*chosen, J], [*maps, A]
        lost.append(float(((h - h[:, J] @ A.T) ** 2).sum() / (h**2).sum()))
    tensors = plainly.kept(plain, chosen, [torch.from_numpy(A).to(plain.x) for A in maps])
    return Smaller(tensors, {"nodes": _one(chosen), "information_loss": _one(lost)})


def drawn(plain: Plain, options: RandomOptions, layer: int, h: Floats) -> list[int]:
    """The first k of all nodes, or of the living ones, in a random order."""
    alive = [node for node in range(h.shape[1]) if options.among == "all" or h[:, node].any()]
    seed = derive(plain.generator.initial_seed(), "draw", str(options.draw), str(layer))
    order = torch.randperm(len(alive), generator=torch.Generator().manual_seed(seed)).tolist()
    return sorted(alive[place] for place in order[: plain.nodes])


def penalties(states: Floats, lam: float, k: int) -> Floats:
    """tau_j = l k tau'_j, l = lam Tr S / m, tau' the shares of (S (S + l I)^-1)_jj; not below 1e-10 Tr S / m."""
    m = states.shape[1]
    if not lam:
        return np.zeros(m)
    S = states.T @ states / len(states)
    l = lam * np.trace(S) / m  # noqa: E741
    scores = np.diag(S @ np.linalg.inv(S + l * np.eye(m)))
    return np.maximum(l * k * scores / scores.sum(), 1e-10 * np.trace(S) / m)


def reconstruction(states: Floats, kept: Sequence[int], tau: Floats) -> Floats:
    """A (m, k) of states (n, m), by least squares with k rows more, one for the penalty of each column."""
    known = np.concatenate([states[:, kept] / np.sqrt(len(states)), np.diag(np.sqrt(tau[kept]))])
    wanted = np.concatenate([states / np.sqrt(len(states)), np.zeros((len(kept), states.shape[1]))])
    return np.linalg.lstsq(known, wanted, rcond=None)[0].T


def _one(each: list[list[int]] | list[float]) -> object:
    return each[0] if len(each) == 1 else each
