"""Nodes by their scores, weight by weight in plain float64, for `harness agree node-pruning --reference`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from harness_node_pruning import NodeScoreOptions
from harness_recurrent import reference as plainly
from harness_recurrent.compression import Smaller
from harness_recurrent.reference import Plain

Floats = NDArray[np.float64]


def compress(plain: Plain, options: NodeScoreOptions) -> Smaller:
    """The network with the nodes of the highest scores."""
    chosen: list[list[int]] = []
    maps: list[Floats] = []
    lost: list[float] = []
    for layer, states in enumerate(plain.states):
        last = options.covariance == "last-step" and not plain.network.tokens
        h = (states[-1] if last else states.flatten(0, 1)).cpu().numpy()
        J = highest(scores(plain, layer, h, options), plain.nodes)
        A = reconstruction(h, J, penalties(h, options.lam, len(J))) if options.reconstruct else np.eye(h.shape[1])[:, J]
        chosen, maps = [*chosen, J], [*maps, A]
        lost.append(float(((h - h[:, J] @ A.T) ** 2).sum() / (h**2).sum()))
    tensors = plainly.kept(plain, chosen, [torch.from_numpy(A).to(plain.x) for A in maps])
    one = len(chosen) == 1
    return Smaller(tensors, {"nodes": chosen[0] if one else chosen, "information_loss": lost[0] if one else lost})


def scores(plain: Plain, layer: int, h: Floats, options: NodeScoreOptions) -> Floats:
    """(m,)."""
    if options.score == "activity":
        return activity(h)
    if options.score == "leverage":
        return leverage(h, options.lam)
    names = [f"cells.{layer}.input.weight", f"cells.{layer}.recurrent.weight"]
    into = [plain.tensors[name].cpu().numpy() for name in names if name in plain.tensors]
    return magnitudes(into, [plain.readers(layer).cpu().numpy()], h.shape[1])


def penalties(states: Floats, lam: float, k: int) -> Floats:
    """tau_j = l k tau'_j, l = lam Tr S / m, tau' the shares of leverage scores; not below 1e-10 Tr S / m."""
    level = float((states**2).mean())  # Tr S / m
    if not lam:
        return np.zeros(states.shape[1])
    shares = leverage(states, lam) / leverage(states, lam).sum()
    return np.maximum(lam * level * k * shares, 1e-10 * level)


def reconstruction(states: Floats, kept: Sequence[int], tau: Floats) -> Floats:
    """A (m, k) of states (n, m), by least squares with k rows more, one for the penalty of each column."""
    known = np.concatenate([states[:, kept] / np.sqrt(len(states)), np.diag(np.sqrt(tau[kept]))])
    wanted = np.concatenate([states / np.sqrt(len(states)), np.zeros((len(kept), states.shape[1]))])
    return np.linalg.lstsq(known, wanted, rcond=None)[0].T


def magnitudes(into: Sequence[Floats], out_of: Sequence[Floats], m: int) -> Floats:
    """Sum of squares of the weights into a node, matrices (G m, any), and out of it, matrices (any, m)."""
    scores = np.zeros(m)
    for weight in into:
        for row in range(len(weight)):
            scores[row % m] += sum(number**2 for number in weight[row])
    for weight in out_of:
        for node in range(m):
            scores[node] += sum(number**2 for number in weight[:, node])
    return scores


def activity(states: Floats) -> Floats:
    """Mean square of each state, of states (n, m)."""
    return (states**2).mean(0)


def leverage(states: Floats, lam: float) -> Floats:
    """(S (S + lambda I)^-1)_jj, by an inverse; lambda = lam Tr S / m."""
    S = states.T @ states / len(states)
    m = len(S)
    return np.diag(S @ np.linalg.inv(S + lam * np.trace(S) / m * np.eye(m)))


def highest(scores: Floats, k: int) -> list[int]:
    """The k highest, one after the other, of equal ones the first."""
    return sorted(sorted(range(len(scores)), key=lambda node: (-scores[node], node))[:k])
