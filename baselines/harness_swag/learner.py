"""SWAG (Maddox et al. 2019, algorithm 1): a Gaussian of the weights w_1, ..., w_n that training passes through.

    mean = (1 / n) sum_i w_i,    Sigma = diag / 2 + D D^T / (2 (K - 1))
    w = mean + diag^(1/2) e_1 / sqrt(2) + D e_2 / sqrt(2 (K - 1)),    e_1, e_2 standard normal

diag: the variances of the w_i. D: as columns the last K = min(n, rank) deviations w_i - (1 / i) sum_{j <= i} w_j. Each
member has its own, and all members weigh alike (Wilson and Izmailov 2020).

A noise that is learned is not drawn: it is that of the last update.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from harness import Batch, Training, Unsupported
from harness_bayes import learner as shared
from harness_bayes import networks, points, prediction
from harness_bayes.noise import Noise
from harness_bayes.training import Trials
from harness_swag import SwagOptions, reference
from harness_swag.state import Collection, State


class Swag(points.PointLearner[State]):
    """Trains MAP networks and collects their weights; predicts with draws of functions around each mean."""

    def begin(self, trials: Trials[SwagOptions], base: Mapping[str, Tensor] | None = None) -> State:
        """Raises Unsupported for a budget in which `every` leaves fewer than two networks to collect."""
        del base
        options = trials.options[0]
        first, every = _plan_collection(trials.trainings[0], trials.problems[0].train_size, options)

        def make(**fields: Any) -> State:
            like = next(iter(fields["parameters"].values()))
            collection = Collection.empty(len(like), options.rank, fields["network"].size, like)
            pace = {"first": first, "every": every, "planned": first}  # where the schedule ends
            return State(collection=collection, **{**fields, **pace})

        return points.begin(make, trials)

    def update(self, state: State, batch: Batch) -> tuple[State, shared.Scalars]:
        state, scalars = super().update(state, batch)
        collect(state)
        return state, scalars

    def reference(self, state: State, batch: Batch) -> tuple[State, shared.Scalars]:
        """`update`, as the paper writes it. Raises Unsupported for options that this does not cover."""
        scalars = shared.descend_on(state, lambda: reference.loss(state, batch))
        collect(state)
        return state, scalars

    def draw(self, state: State, inputs: Tensor, draws: int) -> shared.Mixture:
        """Predict with so many functions around each mean; before two are collected, with the networks in training."""
        members, noise = len(state.collection.mean), state.draws()
        some = state.collection.count > 1
        return prediction.predict(
            state.network,
            state.likelihood,
            (lambda count: draw_functions(state, noise, count)) if some else (lambda _: points.weights_of(state)),
            inputs,
            inputs.new_full((members,), -math.log(members), dtype=state.network.types.parameters),
            draws if some else 1,
            state.fixed_log_noise,
        )

    def describe(self, state: State) -> Mapping[str, object]:
        return {**super().describe(state), "collected": state.collection.count, "collected_every": state.every}


class Cohort(shared.Cohort[State]):
    """Trials side by side, whose networks are collected together."""

    def update(self, state: State, batch: Batch) -> tuple[State, shared.Scalars]:
        state, scalars = super().update(state, batch)
        collect(state)
        return state, scalars

    def lane(self, state: State, index: int) -> State:
        alone = super().lane(state, index)
        alone.collection = state.collection.lane(index, len(state.seeds))
        return alone


def build(options: SwagOptions) -> Swag:
    return Swag(options)


def together(configs: Sequence[SwagOptions]) -> Cohort:
    return Cohort(Swag, configs)


@torch.no_grad()
def collect(state: State) -> None:
    """Collect the networks after an update, if it is their turn: counted on the host, outside of a captured graph."""
    since = state.updates - state.first
    if since > 0 and since % state.every == 0:
        state.collection.add(networks.flatten(points.weights_of(state)))


def draw_functions(state: State, noise: Noise, count: int) -> dict[str, Tensor]:
    """Draw so many functions of each Gaussian, as weights (J * count, ...), those of one Gaussian together."""
    held, lanes = state.collection, len(state.collection.mean)
    deviation = (held.squares / (2 * held.count)).sqrt()  # (J, m)
    wide = noise.normal((lanes, count, state.network.size), held.mean) * deviation[:, None]
    along = noise.normal((lanes, count, held.rank), held.mean) / math.sqrt(2 * (held.rank - 1))
    vectors = held.mean[:, None] + wide + along @ held.deviations[:, : held.rank]  # (J, count, m)
    return networks.unflatten(state.network, vectors.flatten(0, 1))


def _plan_collection(trial: Training, rows: int, options: SwagOptions) -> tuple[int, int]:
    """Plan the collection: updates without it, and from one collected network to the next."""
    epoch = max(1, round(rows / trial.batch_size))
    if trial.updates is None:
        return 0, options.every or epoch
    first = int(options.start * trial.updates)
    left = trial.updates - first
    if options.every is None:
        return first, max(1, min(epoch, left // options.rank))
    if left // options.every < 2:
        raise Unsupported(
            f"every={options.every}: of {trial.updates} updates {left} are for collection, which needs two networks at "
            "least; give a smaller every, an earlier start or a longer budget"
        )
    return first, options.every
