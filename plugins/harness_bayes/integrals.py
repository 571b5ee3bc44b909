"""The error of the approximate entropy by integration: over the plane of the means of one covariance, or over R.

A lattice integrates a function that falls off like a Gaussian and is analytic within a distance a of the real axis
with a relative error of about exp(-2 pi a / step) (Trefethen and Weideman, SIAM Review 56, 2014). Here a = pi / extent
of the means: nearer, all pi_k N_k lie in one half of the complex plane, so that their sum is not 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from harness_bayes.entropy import log_of_one_more, log_of_others, pairs
from harness_bayes.gaussians import Components, log_densities

LARGEST = 1 << 25  # nodes of a lattice: some seconds
BLOCK = 1 << 16  # nodes that are looked at together
FARTHEST = 13  # deviations; sqrt(N_k N_j) is at most sqrt(2) times as wide as the narrower of the two
STEEPEST = 0.95  # share of the way to where the sum may be 0
POINTS = 20  # of Gauss and Legendre in each panel
MOST_PANELS = 4096  # between two edges


class Lattice(NamedTuple):
    """Nodes low + steps * index with indices below counts."""

    low: Tensor  # (r,)
    steps: Tensor  # (r,)
    counts: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of nodes."""
        return math.prod(self.counts)

    def blocks(self) -> Iterator[Tensor]:
        """All nodes, at most BLOCK at a time, (nodes, r)."""
        for start in range(0, self.size, BLOCK):
            places = torch.arange(start, min(start + BLOCK, self.size), device=self.low.device)
            yield self.low + self.steps * torch.stack(torch.unravel_index(places, self.counts), -1)


def coincide(components: Components) -> bool:
    """Whether the components of one mixture all have the same covariance."""
    return bool((components.spread == components.spread[:1]).all())


def coincident_error(
    log_weights: Tensor, components: Components, tolerance: float = 1e-12, largest: int = LARGEST
) -> Tensor | None:
    """H~ - H of one mixture whose covariances coincide, in nats; None where that takes more than `largest` nodes.

    Whitened and rotated, the means span r = min(m, K - 1) dimensions, and the error depends on nothing else (theorem on
    coincident covariances of https://arxiv.org/abs/2202.13059, which has r = K - 1 and one integral for each k: here
    it is one over all). The tolerance is relative: errors of 1e-60 keep their digits.
    """
    centres = project_means(components)
    lattice = place_lattice(log_weights, centres, tolerance)
    if lattice.size > largest:
        return None
    total = log_weights.new_zeros(())
    for nodes in lattice.blocks():
        squares = (nodes[:, None] - centres).square().sum(-1)  # (nodes, K)
        total = total + _density_of_error(log_weights - squares / 2).sum()
    return total * lattice.steps.prod() / (2 * math.pi) ** (len(lattice.counts) / 2)


def project_means(components: Components) -> Tensor:
    """Project the whitened means of one mixture with coincident covariances to the space that they span, (K, r)."""
    seen = components.standardise(components.means, 0)  # (K, m); the first is 0
    others = torch.linalg.qr(seen[1:].mT).R.mT  # (K - 1, r)
    return torch.cat([torch.zeros_like(others[:1]), others])


def place_lattice(log_weights: Tensor, centres: Tensor, tolerance: float) -> Lattice:
    """Place nodes that tell the error to a relative tolerance: narrow enough, and as far out as it comes from.

    q H(r) <= sum over pairs of 2 sqrt(pi_k pi_j N_k N_j), each a normal density around the middle of the pair.
    """
    digits = 3 - math.log(tolerance)
    radius = math.sqrt(2 * digits)
    extents = centres.amax(0) - centres.amin(0)
    strip = (STEEPEST * math.pi / extents).clamp(max=radius)
    steps = 2 * math.pi * strip / (digits + strip.square() / 2)
    mine, other = (list(side) for side in zip(*pairs(len(centres)), strict=True))
    sizes = (log_weights[mine] + log_weights[other]) / 2 - (centres[mine] - centres[other]).square().sum(-1) / 8
    middles = ((centres[mine] + centres[other]) / 2)[sizes > sizes.amax() - digits]
    low, high = middles.amin(0) - radius, middles.amax(0) + radius
    counts = tuple(int(count) for count in ((high - low) / steps).ceil() + 1)
    return Lattice(low, steps, counts)


def integrated_error(log_weights: Tensor, components: Components, tolerance: float = 1e-12) -> Tensor:
    """H~ - H of one mixture over R, m = 1, with any variances, in nats, to a relative tolerance.

    Panels between the means and deviations of all components are halved until nothing changes.
    """
    edges = _place_edges(components)
    before, panels = edges.new_tensor(math.nan), 1
    while True:
        nodes, weights = _place_nodes(edges, panels)
        now = weights @ _density_of_error(log_weights + log_densities(components, nodes[:, None]))
        if abs(now - before) <= tolerance * now or panels > MOST_PANELS:
            return now
        before, panels = now, 2 * panels


def _place_edges(components: Components) -> Tensor:
    """Place edges from which all densities are seen at their own scale, sorted."""
    far = components.means.new_tensor([-FARTHEST, -6, -3, -1, 1, 3, 6, FARTHEST])
    return (components.means + components.spread.reshape(-1, 1) * far).flatten().sort().values


def _place_nodes(edges: Tensor, panels: int) -> tuple[Tensor, Tensor]:
    """Place nodes and weights of a rule by Gauss and Legendre with so many panels between two edges each."""
    nodes, weights = (torch.from_numpy(each).to(edges) for each in np.polynomial.legendre.leggauss(POINTS))
    parts = torch.arange(panels).to(edges) / panels
    widths = edges.diff()[:, None] / panels  # (edges - 1, 1)
    starts = edges[:-1, None] + edges.diff()[:, None] * parts  # (edges - 1, panels)
    placed = starts[..., None] + widths[..., None] * (nodes + 1) / 2
    return placed.flatten(), (widths[..., None] / 2 * weights).expand_as(placed).flatten()


def _density_of_error(logits: Tensor) -> Tensor:
    """Density q H(r) by log(pi_k N_k), (..., K) to (...)."""
    return (logits.exp() * log_of_one_more(log_of_others(logits) - logits)).sum(-1)
