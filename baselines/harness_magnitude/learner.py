"""Magnitude pruning: keep the K weights with the largest scores, and train them on.

    score = |W_ij|  (Han et al., arXiv 1506.02626)  or  |W_ij| sqrt(S_jj), S = mean of x x^T of what W reads
    (Wanda, arXiv 2306.11695, whose weights compete in each row; here in each map, or all)

Gradually (Zhu and Gupta, arXiv 1710.01878): of N weights K + (N - K) (1 - t / T)^3 are left after update t of T, the
first part of fine-tuning. A weight that has gone stays zero, so that it never comes back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from harness import Batch, Fit
from harness_magnitude import MagnitudeOptions, reference
from harness_recurrent import reference as plainly
from harness_recurrent import weights
from harness_recurrent.compression import Base
from harness_recurrent.training import Scalars, State
from harness_recurrent.weights import KEPT, Kept, WeightPruning


class MagnitudePruning(WeightPruning):
    """Scores weights; gradual removal is part of its updates."""

    options: MagnitudeOptions

    def keep(self, base: Base, names: Sequence[str], total: int) -> Mapping[str, Kept]:
        scores = {name: self._score_weights(base, name) for name in names}
        if self.options.gradual:
            total = sum(score.numel() for score in scores.values())
        masks = weights.choose_largest(scores, total, self.options.scope)
        return {name: Kept(base.tensors[name], mask) for name, mask in masks.items()}

    def _score_weights(self, base: Base, name: str) -> Tensor:
        size = base.tensors[name].abs()
        return size * weights.select_moments(base, name).diagonal().sqrt() if self.options.score == "wanda" else size

    def update(self, state: State, batch: Batch) -> tuple[State, Scalars]:
        state, scalars = super().update(state, batch)
        if self.options.gradual:
            last = self._find_last_update(state)
            if state.updates == last or (state.updates < last and state.updates % self.options.interval == 0):
                self._thin_masks(state, state.updates / last)
        return state, scalars

    def reference_prepare(self, state: State, fit: Fit) -> State:
        """Prepare by the plain equations: weights are sorted one by one."""
        return plainly.prepare(self, state, fit, reference.compress)

    def reference(self, state: State, batch: Batch) -> tuple[State, Scalars]:
        """Update by the plain equations."""
        state, scalars = super().reference(state, batch)
        if self.options.gradual:
            reference.thin_weights(state, self.options, self._find_last_update(state))
        return state, scalars

    def _find_last_update(self, state: State) -> int:
        """The update after which as many have gone as shall go: the first interval's, where no end is planned."""
        if state.planned is None:
            return self.options.interval
        return max(1, math.ceil(self.options.ramp * state.planned))

    def _thin_masks(self, state: State, done: float) -> None:
        """Masks after this share of the ramp; in place, where replayed updates look for them."""
        for name, mask in self._choose_masks(state, done).items():
            state.constants[weights.name_mask(name)].copy_(mask)
            with torch.no_grad():
                state.parameters[name].mul_(mask)

    def _choose_masks(self, state: State, done: float) -> dict[str, Tensor]:
        names = weights.list_removable(state.parameters, self.options.weights)
        scores = {name: state.parameters[name].detach().abs() for name in names}
        whole, kept = sum(score.numel() for score in scores.values()), state.said[KEPT]
        left = kept + round((whole - kept) * (1 - done) ** 3)
        return weights.choose_largest(scores, left, self.options.scope)

    def deployed(self, state: State) -> Mapping[str, Tensor]:
        """Half-way through gradual removal: what would be left if all the rest went now."""
        tensors = state.tensors
        if self.options.gradual and KEPT in state.said and state.updates < self._find_last_update(state):
            for name, mask in self._choose_masks(state, 1.0).items():
                tensors |= {name: tensors[name] * mask, weights.name_mask(name): mask}
        return weights.store_weights(tensors, self.options.form)


def build(options: MagnitudeOptions) -> MagnitudePruning:
    return MagnitudePruning(options)
