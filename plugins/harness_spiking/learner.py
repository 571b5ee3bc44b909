"""The learner that all methods of the family derive from: its state, one update, the deployed network, its facts.

A method derives from `Learner` and says how it learns from the rows of a mini-batch; `losses` has the backward passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Generic, NamedTuple, TypeVar

from torch import Tensor

from harness import Batch, ClassLogProbs, Problem, Training
from harness_spiking import network as networks
from harness_spiking.agree import SPIKES, FiredAlike
from harness_spiking.config import SpikingOptions
from harness_spiking.connections import Outlet
from harness_spiking.lif import simulate
from harness_spiking.network import Network
from harness_spiking.passes import draw_masks, make_outlets
from harness_torch.training import facts, inference, step
from harness_torch.training.convolution import suited

Options = TypeVar("Options", bound=SpikingOptions)


@dataclass(kw_only=True)
class State(step.State):
    """A network in training. generator: of dropout masks."""

    network: Network
    options: SpikingOptions


class Rows(NamedTuple):
    """Rows of a mini-batch: inputs (B, ...), targets (B,), and the masks that drop neurons, one per population."""

    inputs: Tensor
    targets: Tensor
    masks: tuple[Tensor, ...] = ()

    @staticmethod
    def of(inputs: Tensor, targets: Tensor, *masks: Tensor) -> Rows:
        """Take rows from tensors one by one."""
        return Rows(inputs, targets, masks)

    @property
    def tensors(self) -> list[Tensor]:
        """One by one."""
        return [self.inputs, self.targets, *self.masks]

    def outlets(self, network: Network) -> list[Outlet]:
        """Make the outlet of each population."""
        return make_outlets(network, self.masks)


class Learner(Generic[Options]):
    """One way to train a spiking network. A method adds `learn` and `predict`."""

    agreement: ClassVar[FiredAlike] = SPIKES
    views: Mapping[str, Callable[[State, Tensor], ClassLogProbs]] = {}

    def __init__(self, options: Options) -> None:
        self.options = options

    def init(self, problem: Problem, training: Training, base: Mapping[str, Tensor] | None) -> State:
        """The state before the first update: the same network for every method. Raises Unsupported."""
        del base
        return begin(problem, training, self.options)

    def update(self, state: State, batch: Batch) -> tuple[State, Mapping[str, Tensor]]:
        """One mini-batch: schedule, masks, then `learn`; on a GPU as one CUDA graph."""
        masks = draw_masks(state.network, len(batch.targets), state.generator)
        tensors = [batch.inputs, batch.targets, *masks]
        return state, step.update(state, lambda *rows: {"loss": self.learn(state, Rows.of(*rows))}, tensors)

    def learn(self, state: State, rows: Rows) -> Tensor:
        """Backward passes and optimiser steps; returns the mean loss."""
        raise NotImplementedError

    def predict(self, state: State, inputs: Tensor) -> ClassLogProbs:
        """Predict with the deployed network."""
        raise NotImplementedError

    def describe(self, state: State) -> Mapping[str, object]:
        """Describe the network, the kernels that computed it, and the values of options left to a default."""
        network, options = state.network, state.options
        device = network.parameters["readout.weight"].device
        return {
            **facts.describe(state),
            "architecture": network.architecture.text,
            "neurons": network.architecture.neurons,
            "steps": network.steps,
            "kernels": network.kernels.name,
            "weight_gradients": "patches" if suited(device, network.compute) else "torch",
            "loss_lambda": options.shared_loss,
            "dropout": network.dropout,
        }

    def save(self, state: State) -> Mapping[str, Tensor]:
        """The parameters by name."""
        return facts.save(state)


class LIFLearner(Learner[Options]):
    """A learner that deploys the plain LIF network with the trained weights."""

    def over_time(self, network: Network) -> Tensor:
        """Weigh the readouts of the steps in a prediction, (T,): all alike unless a method says otherwise."""
        return uniform(network)

    def predict(self, state: State, inputs: Tensor) -> ClassLogProbs:
        """The readout averaged over time."""
        return predict(state.network, inputs, self.over_time(state.network))


def begin(problem: Problem, training: Training, options: SpikingOptions) -> State:
    """A state with the initial network. Raises Unsupported for what the family cannot take."""
    network = networks.build(problem, training, options)
    graph = options.graph and options.kernels == "auto"
    return step.begin(partial(State, network=network), network.parameters, training, options, graph)


def predict(network: Network, inputs: Tensor, over_time: Tensor) -> ClassLogProbs:
    """Predict with the plain LIF network: softmax of its readout averaged over time with weights (T,)."""
    return inference.classes(simulate(network, inputs, over_time))


def predict_uniformly(state: State, inputs: Tensor) -> ClassLogProbs:
    """Predict with every step's readout weighted alike, for methods whose own readout is weighted."""
    return predict(state.network, inputs, uniform(state.network))


def uniform(network: Network) -> Tensor:
    """Equal weights over time, (T,)."""
    return network.parameters["readout.bias"].new_full((network.steps,), 1 / network.steps)


def leaking(network: Network) -> Tensor:
    """Weights over time proportional to leak^(T - t), (T,): those of the weighted firing rate."""
    powers = [network.neuron.leak ** (network.steps - 1 - t) for t in range(network.steps)]
    return network.parameters["readout.bias"].new_tensor(powers) / sum(powers)
