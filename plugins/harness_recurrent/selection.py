"""Searches for the hidden nodes J to keep, |J| = k, that make L(J) = Tr M E_J small.

E_J = S - S_{:,J} (S_JJ + diag tau_J)^-1 S_{J,:} is the loss of the covariance S with the kept nodes, and M weighs it by
the readers. Searches are exact, and a step costs O(m^2), since keeping or leaving a node changes E by a matrix of rank
one. Ties go to the node of smallest index. All tensors are float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from harness_recurrent.reconstruction import JITTER, cholesky, matrix, measure_reading, residual

FLOOR = 1e-10  # of tau, in Tr S / m: dead nodes have no leverage, and S_JJ alone would be singular
TIE = 1e-10  # gains that differ by less are equal: which is larger is rounding
REFRESH = 256  # steps until diagonals that were updated by differences are computed afresh
CONSTRAINT = 5 / 3  # sum over draws of 1 / tau'_v <= 5/3 m k; a draw fails with probability 3/5 at most
TRIES = 1000


class Sample(NamedTuple):
    """Distinct nodes of k draws, and tau (m,) that the draws go with."""

    nodes: list[int]
    tau: Tensor


# --- the loss ---------------------------------------------------------------------------------------------------------


def weight_matrix(S: Tensor, readers: Tensor, theta: float) -> Tensor:
    """M = theta I / Tr S + (1 - theta) Z^T Z / Tr Z S Z^T, (m, m): L is 1 when nothing is kept.

    readers: Z (rows, m), all maps that read the states, one below the other. Raises ValueError if all nodes are dead.
    """
    Z, whole = readers.to(S), float(S.trace())
    if not whole > 0:
        raise ValueError("some hidden node has to be active, and all of them are zero in every row: train the network")
    M = theta / whole * torch.eye(len(S), dtype=S.dtype, device=S.device)
    return M + (1 - theta) / heard * (Z.T @ Z) if (heard := measure_reading(S, Z)) > 0 else M


def degrees_of_freedom(S: Tensor, lam: float) -> float:
    """N(lam) = Tr S (S + lam I)^-1."""
    return float(shares(torch.linalg.eigvalsh(S), lam).sum())


def leverage(S: Tensor, lam: float) -> Tensor:
    """tau'_j = (S (S + lam I)^-1)_jj / N(lam), (m,), of sum 1."""
    values, vectors = torch.linalg.eigh(S)
    scores = vectors.square() @ shares(values, lam)
    return scores / scores.sum()


def ridge(S: Tensor, lam_rel: float) -> float:
    """Lambda from its value relative to the mean of the diagonal: lam_rel Tr S / m."""
    return lam_rel * float(S.diagonal().mean())


def regularisation(S: Tensor, lam_rel: float, k: int) -> Tensor:
    """tau_j = lam k tau'_j with lam = lam_rel Tr S / m, floored, (m,); zeros where lam_rel is 0."""
    if not lam_rel:
        return torch.zeros_like(S.diagonal())
    lam = ridge(S, lam_rel)
    return (lam * k * leverage(S, lam)).clamp(min=ridge(S, FLOOR))


def shares(values: Tensor, lam: float) -> Tensor:
    """Shares s / (s + lam) of eigenvalues s; those within rounding of the largest count as 0: N(0) is the rank."""
    values = values.where(values > values.amax() * len(values) * torch.finfo(values.dtype).eps, 0)
    return values / (values + lam).where(values > 0, 1)


# --- searches ---------------------------------------------------------------------------------------------------------


def greedy(S: Tensor, M: Tensor, k: int, tau: Tensor) -> list[int]:
    """Forward: one node after the other, each that lowers L most, in this order; tau (m,).

    Keeping p takes u u^T off E, u = E_p / sqrt(E_pp + tau_p), and (E M E)_pp / (E_pp + tau_p) off L: a Cholesky
    factorisation of S + diag tau that chooses its pivots by L. E is never written, only the factor's rows are.
    """
    _check_count(S, k)
    nodes: list[int] = []
    left = torch.ones_like(tau, dtype=torch.bool)
    factor, floor = S.new_empty(k, len(S)), ridge(S, JITTER)  # (k, m), rows u
    for step in range(k):
        done = factor[:step]
        if step % REFRESH == 0:
            diagonal, squares = _compute_diagonals(S - done.T @ done, M)
        pivots = diagonal + tau
        p = _find_first(_compute_gains(squares, pivots, floor).where(left, -1))
        nodes.append(p)
        left[p], pivot = False, float(pivots[p])
        u = (S[p] - done[:, p] @ done) / pivot**0.5 if pivot > floor else torch.zeros_like(diagonal)
        w = M @ u
        factor[step], diagonal = u, (diagonal - u * u).clamp(min=0)
        squares = _update_squares(squares, u, w, S @ w - (done @ w) @ done, -1)
    return nodes


def backward(S: Tensor, M: Tensor, k: int, tau: Tensor) -> list[int]:
    """Elimination: from all nodes, that which raises L least goes first; the nodes that stay, in ascending order.

    With P = (S_JJ + diag tau_J)^-1 and A = S_{:,J} P, leaving j raises L by a_j^T M a_j / P_jj.
    """
    _check_count(S, k)
    P = torch.cholesky_inverse(cholesky(S + tau.diag()))
    A = S @ P  # (m, m); columns of those that went are zero
    squares = (M @ A * A).sum(0)
    stays = torch.ones_like(tau, dtype=torch.bool)
    for _ in range(len(S) - k):
        j = _find_first(-(squares / P.diagonal()).where(stays, torch.inf))
        stays[j] = False
        r, a = P[j] / P[j, j], A[:, j].clone()
        v = A.T @ (M @ a)
        squares = (squares - 2 * r * v + r * r * v[j]).clamp(min=0)
        A.addr_(a, r, alpha=-1)
        P.addr_(P[j].clone(), r, alpha=-1)
    return stays.nonzero().flatten().tolist()


def swap(S: Tensor, M: Tensor, nodes: Sequence[int], tau: Tensor, sweeps: int = 10) -> list[int]:
    """Sweeps that give each node's place to the one that lowers L most there, until none does; L never rises.

    Leaving j adds u u^T to E, u = a_j / sqrt(P_jj), which is O(m^2); so a sweep is O(k m^2), and starts from J afresh.
    """
    kept = list(nodes)
    for _ in range(sweeps):
        before = list(kept)
        search = _Swaps(S, M, kept, tau)
        for place in range(len(kept)):
            search.improve(place)
        if kept == before:
            break
    return kept


class _Swaps:
    """State of a sweep of swaps: the nodes, P (k, k), A (m, k), E (m, m), and the diagonals of E and of E M E."""

    def __init__(self, S: Tensor, M: Tensor, kept: list[int], tau: Tensor) -> None:
        self.kept, self.M, self.tau, self.floor = kept, M, tau, ridge(S, JITTER)
        self.P = torch.cholesky_inverse(cholesky(S[kept][:, kept] + tau[kept].diag()))
        self.A, self.E = matrix(S, kept, tau), residual(S, kept, tau)
        self.diagonal, self.squares = _compute_diagonals(self.E, M)

    def improve(self, place: int) -> None:
        """Give the place to a node outside that lowers L more than the one that has it."""
        u = self.A[:, place] / self.P[place, place].sqrt()
        w = self.M @ u
        diagonal, squares = self.diagonal + u * u, _update_squares(self.squares, u, w, self.E @ w, 1)
        gains = _compute_gains(squares, diagonal + self.tau, self.floor)
        gains[self.kept] = -1
        p = _find_first(gains)
        if gains[p] > (u @ w) * (1 + TIE):  # the cost of leaving, and the gain of staying
            self.diagonal, self.squares = diagonal, squares
            self._remove_place(place, u)
            self._fill_place(place, p)

    def _remove_place(self, place: int, u: Tensor) -> None:
        r = self.P[place] / self.P[place, place]
        self.A.addr_(self.A[:, place].clone(), r, alpha=-1)
        self.P.addr_(self.P[place].clone(), r, alpha=-1)
        self.E.addr_(u, u)

    def _fill_place(self, place: int, p: int) -> None:
        root = (self.E[p, p] + self.tau[p]).sqrt()
        u, b = self.E[p] / root, self.A[p] / root
        b[place] = -1 / root  # the inverse by blocks, with the new node where the old one was
        w = self.M @ u
        self.squares = _update_squares(self.squares, u, w, self.E @ w, -1)
        self.diagonal = (self.diagonal - u * u).clamp(min=0)
        self.A.addr_(u, b, alpha=-1)
        self.P.addr_(b, b)
        self.E.addr_(u, u, alpha=-1)
        self.kept[place] = p


def sample(S: Tensor, M: Tensor, k: int, lam: float, generator: torch.Generator, draws: int = 1) -> Sample:
    """The best of so many samples of the theory: k draws v from tau', whose distinct values are the nodes.

    A node drawn c_j times has tau_j = lam k tau'_j / c_j. A sample is drawn again until the sum of 1 / tau'_v over its
    draws is 5/3 m k at most. Raises ValueError where that never happens.
    """
    scores, best, least = leverage(S, lam), None, torch.inf
    for _ in range(draws):
        counts = _admissible_counts(scores, k, generator)
        nodes, tau = counts.nonzero().flatten().tolist(), lam * k * scores / counts.clamp(min=1)
        loss = float((M * residual(S, nodes, tau)).sum())
        if best is None or loss < least:
            best, least = Sample(nodes, tau), loss
    if best is None:
        raise ValueError(f"a sample takes one draw at least, and {draws} were asked for")
    return best


def draw(S: Tensor, lam: float, k: int, generator: torch.Generator) -> list[int]:
    """Exactly k distinct nodes, one after the other by their leverage among those that are left."""
    _check_count(S, k)
    likely = leverage(S, lam).clamp(min=torch.finfo(S.dtype).tiny)
    return torch.multinomial(likely, k, generator=generator).tolist()


def _admissible_counts(scores: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Count how often each node is drawn, (m,), in k draws that keep the constraint."""
    for _ in range(TRIES):
        counts = torch.multinomial(scores, k, replacement=True, generator=generator).bincount(minlength=len(scores))
        if (counts / scores)[counts > 0].sum() <= CONSTRAINT * len(scores) * k:
            return counts
    raise ValueError(f"none of {TRIES} samples of {k} nodes kept the sum of 1 / tau' at 5/3 m k: take another lambda")


def _compute_diagonals(E: Tensor, M: Tensor) -> tuple[Tensor, Tensor]:
    """The diagonals of E and of E M E, (m,)."""
    return E.diagonal().clamp(min=0), (E @ M * E).sum(1).clamp(min=0)


def _update_squares(squares: Tensor, u: Tensor, w: Tensor, v: Tensor, sign: int) -> Tensor:
    """The diagonal of E M E once u u^T is added to E, or taken off it; w = M u, v = E w."""
    return (squares + sign * 2 * u * v + (u @ w) * u * u).clamp(min=0)


def _compute_gains(squares: Tensor, pivots: Tensor, floor: float) -> Tensor:
    """Gains: the fall of L with each node; zero where a node is a sum of kept ones already."""
    return torch.where(pivots > floor, squares / pivots, 0)


def _find_first(values: Tensor) -> int:
    """The smallest index of the largest value; a value larger by rounding alone is equal."""
    largest = float(values.amax())
    return int((values >= largest - TIE * abs(largest)).to(torch.uint8).argmax())


def _check_count(S: Tensor, k: int) -> None:
    if not 1 <= k <= len(S):
        raise ValueError(f"from 1 to {len(S)} nodes can be kept of {len(S)}, and {k} were asked for")
