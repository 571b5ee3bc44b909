"""Losses of readouts, the backward passes from them, and the optimiser steps behind these."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from harness_spiking.forward import Forward
from harness_spiking.learner import Rows, State
from harness_spiking.network import Network
from harness_spiking.weights import Weights
from harness_torch import time_steps
from harness_torch.training import step


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


def learn_every_step(state: State, rows: Rows, forward: Callable[[Rows], Forward], chunk: int) -> Tensor:
    """A loss at each of the T steps, a backward pass through each chunk of steps alone, and one optimiser step on the
    summed gradients; returns the mean loss. Nothing that is held grows with T.
    """
    weights = Weights(state.network)

    def learn_part(part: Rows, share: float) -> Tensor:
        return _learn_through_time(state, part, forward(part), weights, chunk, share)

    return learn_parts(state, rows, weights, learn_part)


def _learn_through_time(
    state: State, rows: Rows, forward: Forward, weights: Weights, chunk: int, share: float
) -> Tensor:
    forward.use(weights)
    steps = state.network.steps
    loss = Loss(rows.targets, state.network, state.options.shared_loss)
    total = loss.one_hot.new_zeros(())
    for index in time_steps(-(-steps // chunk)):
        count = min(chunk, steps - chunk * index)
        total += _learn_steps(forward, loss, count, share * count / steps)
    forward.settle()
    return total


def _learn_steps(forward: Forward, loss: Loss, count: int, weight: float) -> Tensor:
    value = loss(forward.logits(count)) * weight
    value.backward()
    return value.detach()


def learn_online(state: State, rows: Rows, forward: Forward) -> Tensor:
    """A loss, a backward pass and an optimiser step at each of the T steps, with weights standardised anew; returns the
    mean loss.
    """
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
