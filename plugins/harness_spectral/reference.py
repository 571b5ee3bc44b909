"""Spectral pruning as it is written down, for `harness agree spectral-pruning --reference`: all is tried."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from harness_recurrent import reference as plainly
from harness_recurrent.compression import Smaller
from harness_recurrent.reference import Plain
from harness_spectral import SpectralOptions

TIE = 1e-10  # gains less apart are equal, and the node of smaller index wins
FLOOR = 1e-10  # of tau, as a share of a node's mean square
JITTER = 1e-12  # likewise: the rest of a node is rounding below


def compress(plain: Plain, options: SpectralOptions) -> Smaller:
    """The network with the nodes that naive searches find in every layer."""
    chosen: list[list[int]] = []
    maps: list[Tensor] = []
    lost: list[float] = []
    for layer, states in enumerate(plain.states):
        S = second_moments(states, options.covariance == "last-step" and not plain.network.tokens)
        tau, M = regularisation(S, options.lam, plain.nodes), weight_losses(S, plain.readers(layer), options.theta)
        search = search_forward if options.search == "greedy" else search_backward
        J = sorted(search(S, M, tau, plain.nodes))
        A = reconstruct(S, J, tau) if options.reconstruct else torch.eye(len(S)).to(S)[:, J]
        R = S - A @ S[J] - S[:, J] @ A.T + A @ S[J][:, J] @ A.T  # mean of r r^T, r = h - A h_J
        chosen, maps, lost = [*chosen, J], [*maps, A], [*lost, float(R.trace() / S.trace())]
    return Smaller(
        plainly.keep_nodes(plain, chosen, maps),
        {"nodes": plainly.unwrap_single(chosen), "information_loss": plainly.unwrap_single(lost)},
    )


def second_moments(states: Tensor, last: bool) -> Tensor:
    """S = 1 / (n T) sum over sequences and steps of h h^T, of states (T, N, m); or over sequences, at the last step."""
    rows = states[-1] if last else states.flatten(0, 1)
    return torch.einsum("ni,nj->ij", rows, rows) / len(rows)


def regularisation(S: Tensor, lam: float, k: int) -> Tensor:
    """tau_j = l k tau'_j with l = lam Tr S / m and tau'_j = (S (S + l I)^-1)_jj / Tr S (S + l I)^-1."""
    if not lam:
        return torch.zeros(len(S)).to(S)
    m = len(S)
    l = lam * S.trace() / m  # noqa: E741
    scores = (S @ torch.linalg.inv(S + l * torch.eye(m).to(S))).diagonal()
    return (l * k * scores / scores.sum()).clamp(min=float(FLOOR * S.trace() / m))


def weight_losses(S: Tensor, Z: Tensor, theta: float) -> Tensor:
    """M = theta I / Tr S + (1 - theta) Z^T Z / Tr Z S Z^T."""
    return theta * torch.eye(len(S)).to(S) / S.trace() + (1 - theta) * Z.T @ Z / (Z @ S @ Z.T).trace()


def reconstruct(S: Tensor, J: list[int], tau: Tensor) -> Tensor:
    """A_J = S_{:,J} (S_JJ + diag tau_J)^-1, (m, k)."""
    return S[:, J] @ torch.linalg.inv(S[J][:, J] + tau[J].diag())


def loss(S: Tensor, M: Tensor, tau: Tensor, J: list[int]) -> float:
    """L(J) = Tr M E_J, E_J = S - A_J S_{J,:}."""
    E = S - reconstruct(S, J, tau) @ S[J] if J else S
    return float((M * E).sum())


def search_forward(S: Tensor, M: Tensor, tau: Tensor, k: int) -> list[int]:
    """From none: the node with which L(J) is least, k times."""
    J: list[int] = []
    for _ in range(k):
        others = [p for p in range(len(S)) if p not in J]
        before = loss(S, M, tau, J)
        J.append(_find_best(others, lambda p, J=J, before=before: before - loss(S, M, tau, [*J, p])))  # type: ignore[misc]
    return J


def search_backward(S: Tensor, M: Tensor, tau: Tensor, k: int) -> list[int]:
    """From all: without the node that raises L(J) least, m - k times."""
    J = list(range(len(S)))
    while len(J) > k:
        J.remove(_find_best(J, lambda p, J=J: -loss(S, M, tau, [j for j in J if j != p])))  # type: ignore[misc]
    return J


def _find_best(nodes: list[int], gain: Callable[[int], float]) -> int:
    """The first of those whose gain is largest, up to rounding."""
    gains = [gain(p) for p in nodes]
    return next(p for p, each in zip(nodes, gains, strict=True) if each >= max(gains) - TIE * abs(max(gains)))
