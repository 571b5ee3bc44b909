"""A recurrent network trained as it is, by (truncated) back-propagation through time."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from harness import Batch, Prediction, Problem, Training
from harness_dense_rnn import reference
from harness_recurrent import network, prediction, room, training
from harness_recurrent.config import RecurrentOptions
from harness_recurrent.training import Scalars, State


class DenseRNN:
    """Init, update, predict."""

    def __init__(self, options: RecurrentOptions) -> None:
        self.options = options

    def init(self, problem: Problem, how: Training, base: Mapping[str, Tensor] | None) -> State:
        """Raises Unsupported for a problem without steps, MemoryError for one with too many."""
        del base
        net = network.build(problem, how, self.options)
        room.require_room(net, problem, how, self.options)
        return training.begin(net, network.draw_initial(net, self.options, how.seed), how, self.options)

    def update(self, state: State, batch: Batch) -> tuple[State, Scalars]:
        return state, training.update(state, batch)

    def reference(self, state: State, batch: Batch) -> tuple[State, Scalars]:
        """An update by the cells' equations, in float64."""
        return reference.update(state, batch)

    def predict(self, state: State, inputs: Tensor) -> Prediction:
        return prediction.predict(state.network, state.tensors, inputs)

    def describe(self, state: State) -> Mapping[str, object]:
        return training.describe(state)

    def save(self, state: State) -> Mapping[str, Tensor]:
        return training.save(state)


def build(options: RecurrentOptions) -> DenseRNN:
    return DenseRNN(options)
