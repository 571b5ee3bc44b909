"""Optimal brain surgeon for single weights: the others of a row make up for the one that is removed.

Each map W (n, m) is replaced by the W' whose outputs differ least on the x that W reads: with S = mean of x x^T,

    minimise Tr (W - W') H (W - W')^T  over W' with K weights,    H = S + damp mean(diag S) I

Rows are apart. Taking weight p from a row costs w_p^2 / [H^-1]_pp, and the others change by -w_p [H^-1]_p / [H^-1]_pp;
then p leaves H (arXiv 2208.11580). `surgery` does this one by one; `removal` sweeps once over the columns, and only the
weights to the right of a column make up for it (SparseGPT, arXiv 2301.00774).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from harness import Fit
from harness_obs import ObsOptions, reference, removal, surgery
from harness_recurrent import reference as plainly
from harness_recurrent import weights
from harness_recurrent.compression import Base
from harness_recurrent.training import State
from harness_recurrent.weights import Kept, WeightPruning


class ObsPruning(WeightPruning):
    """Chooses weights and moves the others."""

    options: ObsOptions

    def keep(self, base: Base, names: Sequence[str], total: int) -> Mapping[str, Kept]:
        maps = {name: base.tensors[name] for name in names}
        hessians = {name: damp_hessian(weights.select_moments(base, name), self.options.damp) for name in names}
        if self.options.search == "blocks":
            counts = weights.divide_total(total, [weight.numel() for weight in maps.values()])
            return {
                name: removal.sweep_columns(maps[name], hessians[name], count, self.options.block)
                for name, count in zip(names, counts, strict=True)
            }
        masks = surgery.choose_masks(maps, hessians, total, self.options.scope)
        return {
            name: Kept(surgery.solve_weights(maps[name], hessians[name], masks[name]), masks[name]) for name in names
        }

    def reference_prepare(self, state: State, fit: Fit) -> State:
        """Prepare by the plain equations: every system is solved anew."""
        return plainly.prepare(self, state, fit, reference.compress)


def damp_hessian(S: Tensor, damp: float) -> Tensor:
    """The damped Hessian H of second moments S (m, m); the identity where all inputs were zero."""
    H, level = S.clone(), float(S.diagonal().mean())
    H.diagonal().add_(damp * level or 1.0)
    return H


def build(options: ObsOptions) -> ObsPruning:
    return ObsPruning(options)
