"""What the learners of the family share: their state, losses, schedule, predictions and the facts they report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import ClassLogProbs, Problem, Training
from harness_spiking import network as networks
from harness_spiking.config import SpikingOptions
from harness_spiking.lif import simulate
from harness_spiking.network import Network
from harness_spiking.weights import Weights
from harness_torch import time_steps


@dataclass
class State:
    """A network in training. updates: mini-batches so far; planned: their total, None where it is not known."""

    network: Network
    optimiser: torch.optim.SGD
    learning_rate: float
    planned: int | None
    updates: int = 0

    def advance_schedule(self) -> None:
        """Cosine from the initial learning rate to zero, one step per mini-batch; constant where none is planned."""
        cosine = 1.0 if not self.planned else (1 + math.cos(math.pi * min(self.updates / self.planned, 1.0))) / 2
        self.optimiser.param_groups[0]["lr"] = self.learning_rate * cosine
        self.updates += 1


def begin(problem: Problem, training: Training, options: SpikingOptions) -> State:
    """The state before the first update: the same network for every method. Raises Unsupported."""
    network = networks.build(problem, training, options)
    optimiser = torch.optim.SGD(
        network.parameters.values(),
        lr=options.learning_rate,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
    )
    return State(network, optimiser, options.learning_rate, training.updates)


class Loss:
    """(1 - loss_lambda) cross-entropy + loss_lambda mean squared error to one-hot targets, for targets (B,)."""

    def __init__(self, targets: Tensor, network: Network, loss_lambda: float) -> None:
        classes = torch.arange(network.architecture.readout[0], device=targets.device)
        self.targets, self.share = targets, loss_lambda
        # F.one_hot looks at its values, which would make the host wait for the device.
        self.one_hot = (targets[:, None] == classes).to(network.parameters["readout.weight"].dtype)

    def __call__(self, logits: Tensor) -> Tensor:
        """The loss of logits (B, classes), a scalar."""
        return (1 - self.share) * F.cross_entropy(logits, self.targets) + self.share * F.mse_loss(logits, self.one_hot)


class Forward(Protocol):
    """A mini-batch on its way through time, for methods whose gradients are local in time."""

    def weights(self) -> Weights:
        """The present version of the weights."""
        ...

    def logits(self, weights: Weights) -> Tensor:
        """One more time step; returns the readout (B, classes)."""
        ...


def learn_every_step(state: State, forward: Forward, loss: Loss, online: bool) -> Tensor:
    """A loss, and a backward pass through that step alone, at each of the T steps; returns the mean loss.

    online: T optimiser steps, each with weights standardised anew; otherwise one, on the summed gradients. Nothing that
    is held grows with T.
    """
    total = loss.one_hot.new_zeros(())
    weights = None if online else forward.weights()
    for _ in time_steps(state.network.steps):
        total += _online_step(state, forward, loss) if weights is None else _learn_step(state, forward, loss, weights)
    if weights is not None:
        descend(state, weights)
    return total


def _online_step(state: State, forward: Forward, loss: Loss) -> Tensor:
    """A step with weights of its own, let go at its end."""
    weights = forward.weights()
    value = _learn_step(state, forward, loss, weights)
    descend(state, weights)
    return value


def _learn_step(state: State, forward: Forward, loss: Loss, weights: Weights) -> Tensor:
    value = loss(forward.logits(weights)) / state.network.steps
    value.backward()
    return value.detach()


def descend(state: State, weights: Weights) -> None:
    """One optimiser step on what these weights collected."""
    weights.pull()
    state.optimiser.step()


def uniform(network: Network) -> Tensor:
    """Equal weights over time, (T,)."""
    return network.parameters["readout.bias"].new_full((network.steps,), 1 / network.steps)


def leaking(network: Network) -> Tensor:
    """Weights over time proportional to leak^(T - t), (T,): those of the weighted firing rate."""
    powers = [network.neuron.leak ** (network.steps - 1 - t) for t in range(network.steps)]
    return network.parameters["readout.bias"].new_tensor(powers) / sum(powers)


def predict(network: Network, inputs: Tensor, over_time: Tensor) -> ClassLogProbs:
    """The plain LIF network with the trained weights: softmax of its readout averaged over time."""
    return point(simulate(network, inputs, over_time))


def point(logits: Tensor) -> ClassLogProbs:
    """Logits (N, classes) as a prediction of one component."""
    return ClassLogProbs(F.log_softmax(logits, dim=-1)[None], logits.new_zeros(1))


def describe(state: State) -> Mapping[str, object]:
    """What a record says of the network."""
    network = state.network
    return {
        "parameters": sum(tensor.numel() for tensor in network.parameters.values()),
        "architecture": network.architecture.text,
        "neurons": network.architecture.neurons,
        "steps": network.steps,
    }


def save(state: State) -> Mapping[str, Tensor]:
    """The parameters by name: layers.0.weight, layers.0.bias, layers.0.gain, ..., readout.weight, readout.bias."""
    return {name: tensor.detach().contiguous() for name, tensor in state.network.parameters.items()}
