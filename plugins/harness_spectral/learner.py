"""Spectral pruning (arXiv 2105.10832): choose J to minimise the loss of the hidden state.

    S = mean over rows and steps of h h^T,    A_J = S_{:,J} (S_JJ + diag tau_J)^-1
    L(J) = Tr M E_J,    E_J = S - A_J S_{J,:},    M = theta I / Tr S + (1 - theta) Z^T Z / Tr Z S Z^T

Z: all maps that read h. The search is exact and greedy (`harness_recurrent.selection`); the network with J is that of
`harness_recurrent.nodes`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from harness import Fit
from harness_recurrent import nodes, selection
from harness_recurrent import reference as plainly
from harness_recurrent.compression import Base
from harness_recurrent.training import State
from harness_spectral import SpectralOptions, reference


class SpectralPruning(nodes.NodePruning):
    """Chooses nodes by the information losses."""

    options: SpectralOptions

    def choose(self, base: Base, layer: int, count: int, S: Tensor, tau: Tensor) -> Sequence[int]:
        M = selection.weight_matrix(S, nodes.stack_readers(base, layer), self.options.theta)
        search = selection.greedy if self.options.search == "greedy" else selection.backward
        return search(S, M, count, tau)

    def reference_prepare(self, state: State, fit: Fit) -> State:
        """Prepare by the plain equations: a naive search, and explicit inverses."""
        return plainly.prepare(self, state, fit, reference.compress)


def build(options: SpectralOptions) -> SpectralPruning:
    return SpectralPruning(options)
