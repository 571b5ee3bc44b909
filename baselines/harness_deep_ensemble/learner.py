"""Networks side by side, each a point, and as prediction the mixture of their functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from harness import Batch
from harness_bayes import learner as shared
from harness_bayes import likelihoods, points, prediction
from harness_bayes.training import State, Trials
from harness_deep_ensemble import PointOptions, reference


class Ensemble(points.PointLearner[State]):
    """M networks of each trial; with one it is an ordinary network."""

    def begin(self, trials: Trials[PointOptions], base: Mapping[str, Tensor] | None = None) -> State:
        del base
        return points.begin(State, trials)

    def reference(self, state: State, batch: Batch) -> tuple[State, shared.Scalars]:
        """`update`, as the paper writes it, network by network."""
        return state, shared.descend_on(state, lambda: reference.loss(state, batch))

    def draw(self, state: State, inputs: Tensor, draws: int) -> shared.Mixture:
        """Predict with the function of each member."""
        del draws
        weights = points.weights_of(state)
        members = len(next(iter(weights.values())))
        outputs = prediction.outputs(state.network, weights, inputs)
        log_weights = outputs.new_full((members,), -math.log(members))
        return likelihoods.mixture(state.likelihood, outputs, state.fixed_log_noise, log_weights)


def build(options: PointOptions) -> Ensemble:
    return Ensemble(options)


def together(configs: Sequence[PointOptions]) -> shared.Cohort[State]:
    return shared.Cohort(Ensemble, configs)
