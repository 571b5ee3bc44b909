"""What the learners of the family share: their state, losses, predictions and the facts they report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import Batch, ClassLogProbs, Problem, Training
from harness_spiking import network as networks
from harness_spiking.config import SpikingOptions
from harness_spiking.lif import simulate
from harness_spiking.network import Network
from harness_spiking.operations import Outlet
from harness_spiking.passes import masks, outlets
from harness_spiking.weights import Weights
from harness_torch import time_steps
from harness_torch.training import facts, inference, step
from harness_torch.training.convolution import suited


@dataclass(kw_only=True)
class State(step.State):
    """A network in training. generator: of dropout masks."""

    network: Network
    options: SpikingOptions


def begin(problem: Problem, training: Training, options: SpikingOptions) -> State:
    """The state before the first update: the same network for every method. Raises Unsupported."""
    network = networks.build(problem, training, options)
    graph = options.graph and options.kernels == "auto"
    return step.begin(partial(State, network=network), network.parameters, training, options, graph)


class Rows(NamedTuple):
    """Rows of a mini-batch: inputs (B, ...), targets (B,), and the masks that drop neurons, one per population."""

    inputs: Tensor
    targets: Tensor
    masks: tuple[Tensor, ...] = ()

    @staticmethod
    def of(inputs: Tensor, targets: Tensor, *masks: Tensor) -> Rows:
        """From tensors one by one."""
        return Rows(inputs, targets, masks)

    @property
    def tensors(self) -> list[Tensor]:
        """One by one."""
        return [self.inputs, self.targets, *self.masks]

    def outlets(self, network: Network) -> list[Outlet]:
        """What follows each population."""
        return outlets(network, self.masks)


def update(state: State, batch: Batch, learn: Callable[[State, Rows], Tensor]) -> tuple[State, Mapping[str, Tensor]]:
    """One mini-batch: schedule, masks, then `learn`, which returns the loss; on a GPU as one CUDA graph."""
    rows = Rows(batch.inputs, batch.targets, masks(state.network, len(batch.targets), state.generator))
    return state, step.update(state, lambda *tensors: {"loss": learn(state, Rows.of(*tensors))}, rows.tensors)


class Loss:
    """(1 - loss_lambda) cross-entropy + loss_lambda mean squared error to one-hot targets, for targets (B,)."""

    def __init__(self, targets: Tensor, network: Network, loss_lambda: float) -> None:
        classes = torch.arange(network.architecture.readout[0], device=targets.device)
        self.targets, self.share = targets, loss_lambda
        # F.one_hot looks at its values, which would make the host wait for the device.
        self.one_hot = (targets[:, None] == classes).to(network.dtype)

    def __call__(self, logits: Tensor) -> Tensor:
        """The mean loss of logits (B, classes), or of those of K steps (K * B, classes); a scalar."""
        steps = len(logits) // len(self.targets)
        targets, one_hot = self.targets, self.one_hot
        if steps > 1:
            targets, one_hot = targets.repeat(steps), one_hot.repeat(steps, 1)
        return (1 - self.share) * F.cross_entropy(logits, targets) + self.share * F.mse_loss(logits, one_hot)


class Forward(Protocol):
    """Rows on their way through time, for methods whose gradients are local in time."""

    def use(self, weights: Weights) -> None:
        """From the next step on."""
        ...

    def logits(self, steps: int) -> Tensor:
        """So many more time steps; returns their readouts (steps * B, classes)."""
        ...

    def settle(self) -> None:
        """Hand over what these weights' steps have collected for them."""
        ...


def learn_every_step(state: State, rows: Rows, forward: Callable[[Rows], Forward], chunk: int, online: bool) -> Tensor:
    """A loss at each of the T steps and a backward pass through each chunk of steps alone; returns the mean loss.

    online: T optimiser steps, each with weights standardised anew; otherwise one, on the summed gradients. Nothing that
    is held grows with T.
    """
    if online:
        return _learn_online(state, rows, forward(rows))
    weights = Weights(state.network)
    return learn_parts(
        state, rows, weights, lambda part, share: _learn_through_time(state, part, forward(part), weights, chunk, share)
    )


def _learn_through_time(
    state: State, rows: Rows, forward: Forward, weights: Weights, chunk: int, share: float
) -> Tensor:
    forward.use(weights)
    steps = state.network.steps
    loss = Loss(rows.targets, state.network, state.options.shared_loss)
    total = loss.one_hot.new_zeros(())
    for start in (chunk * index for index in time_steps(-(-steps // chunk))):
        count = min(chunk, steps - start)
        total += _learn_steps(forward, loss, count, share * count / steps)
    forward.settle()
    return total


def _learn_steps(forward: Forward, loss: Loss, count: int, weight: float) -> Tensor:
    value = loss(forward.logits(count)) * weight
    value.backward()
    return value.detach()


def _learn_online(state: State, rows: Rows, forward: Forward) -> Tensor:
    steps = state.network.steps
    loss = Loss(rows.targets, state.network, state.options.shared_loss)
    total = loss.one_hot.new_zeros(())
    for _ in time_steps(steps):
        total += _learn_and_descend(state, forward, loss, 1 / steps)
    return total


def _learn_and_descend(state: State, forward: Forward, loss: Loss, weight: float) -> Tensor:
    """A step with weights of its own, let go at its end."""
    weights = Weights(state.network)
    forward.use(weights)
    value = _learn_steps(forward, loss, 1, weight)
    forward.settle()
    descend(state, weights)
    return value


def learn_once(
    state: State,
    rows: Rows,
    logits: Callable[[Weights, Rows], Tensor],
    version: Callable[[Network], Weights] = Weights,
) -> Tensor:
    """One loss of `logits(weights, rows)` and one backward pass for each micro-batch, one optimiser step; the loss.

    version: makes the weights, for a method that has parameters of its own among them.
    """
    weights = version(state.network)
    return learn_parts(state, rows, weights, lambda part, share: go_back(state, part, logits(weights, part), share))


def learn_parts(state: State, rows: Rows, weights: Weights, learn: Callable[[Rows, float], Tensor]) -> Tensor:
    """`learn` of each micro-batch and its share of the mini-batch, then one optimiser step; the sum of their losses."""
    total = step.accumulate(
        state, lambda share, *part: learn(Rows.of(*part), share), rows.tensors, state.options.micro_batch
    )
    descend(state, weights)
    return total


def go_back(state: State, rows: Rows, logits: Tensor, share: float) -> Tensor:
    """A backward pass from the loss of logits (B, classes), or of those of all steps (T * B, classes); the loss."""
    value = Loss(rows.targets, state.network, state.options.shared_loss)(logits) * share
    value.backward()
    return value.detach()


def descend(state: State, weights: Weights) -> None:
    """One optimiser step on what these weights collected."""
    weights.pull()
    step.descend(state)


def uniform(network: Network) -> Tensor:
    """Equal weights over time, (T,)."""
    return network.parameters["readout.bias"].new_full((network.steps,), 1 / network.steps)


def leaking(network: Network) -> Tensor:
    """Weights over time proportional to leak^(T - t), (T,): those of the weighted firing rate."""
    powers = [network.neuron.leak ** (network.steps - 1 - t) for t in range(network.steps)]
    return network.parameters["readout.bias"].new_tensor(powers) / sum(powers)


def predict(network: Network, inputs: Tensor, over_time: Tensor) -> ClassLogProbs:
    """The plain LIF network with the trained weights: softmax of its readout averaged over time."""
    return inference.classes(simulate(network, inputs, over_time))


def uniform_readout(state: State, inputs: Tensor) -> ClassLogProbs:
    """The plain LIF network with every step's readout weighted alike, for methods whose own readout is weighted."""
    return predict(state.network, inputs, uniform(state.network))


def describe(state: State) -> Mapping[str, object]:
    """What a record says of the network, of what computed it, and of what options left to a default come to."""
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
