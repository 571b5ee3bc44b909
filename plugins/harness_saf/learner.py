"""Spike accumulation forwarding (Saiin et al., TMLR 2024, arXiv 2310.02772).

Layers exchange spike traces a[t] = leak a[t-1] + s[t] instead of spikes. With L_t = 1 + leak L_{t-1} and P the pooling,

    U[t] = W P a_below[t] + L_t b,    s[t] = H(U[t] - V_th (leak a[t-1] + 1))

gives the spikes of the LIF network from one linear operation per layer and step and one carried tensor per neuron.
Gradients are local in time: dL/dU[t] = phi(u[t] - V_th) dL/da[t], where u[t] = U[t] - leak V_th a[t-1].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from harness import Batch, ClassLogProbs, Problem, Training
from harness_saf import SAFOptions
from harness_spiking import training as shared
from harness_spiking.lif import chunks
from harness_spiking.network import Network, Neuron
from harness_spiking.operations import Window, affine, linear, pool, spike_backward_
from harness_spiking.training import Loss, State
from harness_spiking.weights import Affine, Weights
from harness_torch import time_steps


class SAF:
    """SAF-E (variant every) and SAF-F (final). What is deployed is the LIF network with the trained weights."""

    def __init__(self, options: SAFOptions) -> None:
        self.options = options
        self.views: Mapping[str, Callable[[State, Tensor], ClassLogProbs]] = {"training-forward": self.training_forward}

    def init(self, problem: Problem, training: Training, base: Mapping[str, Tensor] | None) -> State:
        del base
        return shared.begin(problem, training, self.options)

    def update(self, state: State, batch: Batch) -> tuple[State, Mapping[str, Tensor]]:
        state.advance_schedule()
        forward = self._forward(state.network, batch.inputs)
        loss = Loss(batch.targets, state.network, self.options.loss_lambda)
        if self.options.variant == "final":
            return state, {"loss": learn_final_step(state, forward, loss)}
        online = self.options.update == "online"
        return state, {"loss": shared.learn_every_step(state, forward, loss, online)}

    def predict(self, state: State, inputs: Tensor) -> ClassLogProbs:
        final = self.options.variant == "final"
        over_time = shared.leaking(state.network) if final else shared.uniform(state.network)
        return shared.predict(state.network, inputs, over_time)

    @torch.no_grad()
    def training_forward(self, state: State, inputs: Tensor) -> ClassLogProbs:
        """Predictions of the accumulating network that training sees."""
        return shared.point(torch.cat([self._readout(state.network, rows) for rows in chunks(state.network, inputs)]))

    def _readout(self, network: Network, inputs: Tensor) -> Tensor:
        forward = self._forward(network, inputs)
        weights = forward.weights()
        if self.options.variant == "final":
            return forward.final_logits(weights)
        return torch.stack([forward.logits(weights) for _ in range(network.steps)]).mean(0)

    def _forward(self, network: Network, inputs: Tensor) -> Forward:
        frozen = self.options.update == "accumulated"
        return Forward(network, network.frames(inputs), self.options.convention == "theory", frozen)

    def describe(self, state: State) -> Mapping[str, object]:
        return shared.describe(state)

    def save(self, state: State) -> Mapping[str, Tensor]:
        return shared.save(state)


def build(options: SAFOptions) -> SAF:
    return SAF(options)


def learn_final_step(state: State, forward: Forward, loss: Loss) -> Tensor:
    """SAF-F: one loss on the weighted firing rates, one backward pass through the last step; returns the loss."""
    weights = forward.weights()
    value = loss(forward.final_logits(weights))
    value.backward()
    shared.descend(state, weights)
    return value.detach()


class Forward:
    """One mini-batch on its way through time. Everything carried from step to step is a constant to autograd.

    frames: (T, B, ...), or (1, B, ...) for an input that stays the same. frozen: the weights do not change on the way.
    """

    def __init__(self, network: Network, frames: Tensor, theory: bool, frozen: bool) -> None:
        self.network, self.neuron, self.frames = network, network.neuron, frames
        self.still, self.theory, self.frozen = len(frames) == 1, theory, frozen
        self.time = 0
        self.of_one = 0.0  # L_t, the trace of a constant one
        self.traces = [network.population(layer, frames) for layer in network.architecture.layers]
        self.input: Tensor | float = 0.0  # trace of the input
        self.potential: Tensor | float = 0.0  # U[t] of the first layer
        self.before: Tensor | float = 0.0  # what the readout saw, or said, one step ago

    def weights(self) -> Weights:
        """The present version of the weights; a still input's first layer is computed with it."""
        return Weights(self.network, self.frames[0] if self.still else None)

    def step(self, weights: Weights) -> Tensor:
        """One time step of all spiking layers; returns P a[t] of the last one, (B, ...)."""
        self.of_one = 1 + self.neuron.leak * self.of_one
        hidden = self._fire(0, self._encode(self.frames[0 if self.still else self.time], weights))
        for index in range(1, len(self.traces)):
            hidden = self._fire(index, self._accumulate(hidden, weights.layers[index]))
        self.time += 1
        return hidden

    def _fire(self, index: int, potential: Tensor) -> Tensor:
        window = self.network.architecture.layers[index].pool
        return _Fire.apply(potential, self.traces[index], self.neuron, window)

    def _accumulate(self, trace: Tensor, layer: Affine) -> Tensor:
        """U[t] - V_th from the trace of the layer below; (B, ...), a new tensor that the neurons overwrite."""
        weight, bias = layer
        return linear(trace, weight, self._of_bias(bias, -self.neuron.threshold))

    def _of_bias(self, bias: Tensor, shift: float = 0.0) -> Tensor:
        """L_t b + shift; the official convention counts this step's b alone in the gradient."""
        return affine(bias, self.of_one, self.of_one if self.theory else 1.0, shift)

    def _encode(self, frame: Tensor, weights: Weights) -> Tensor:
        """U[t] - V_th of the first layer, from the input trace in theory; officially from the input of this step."""
        leak, threshold = self.neuron.leak, self.neuron.threshold
        if weights.drive is not None and (self.theory or self.frozen):
            return self._of_bias(weights.drive, -threshold)
        if self.theory:
            self.input = frame + leak * self.input
            return self._accumulate(self.input, weights.layers[0])
        current = linear(frame, *weights.layers[0]) if weights.drive is None else weights.drive
        potential = current + (leak * self.potential - threshold)
        self.potential = potential.detach() + threshold
        return potential

    def logits(self, weights: Weights) -> Tensor:
        """One more step: W P s[t] + b (B, classes). Its gradient for W sees P s[t] in theory, officially P a[t]."""
        hidden, (weight, bias) = self.step(weights), weights.readout
        leak, before = self.neuron.leak, self.before
        if self.theory:
            self.before = hidden.detach().clone()
            return linear(hidden - leak * before, weight, bias)
        accumulated = linear(hidden, weight, self._of_bias(bias))
        self.before = accumulated.detach()
        return accumulated - leak * before

    def final_logits(self, weights: Weights) -> Tensor:
        """All steps, the last one with gradient: the readout of weighted firing rates, (W P a[T] + L_T b) / L_T."""
        with torch.no_grad():
            for _ in time_steps(self.network.steps - 1):
                self.step(weights)
        hidden, (weight, bias) = self.step(weights), weights.readout
        return linear(hidden, weight, self._of_bias(bias)) / self.of_one


class _Fire(torch.autograd.Function):
    """U[t] - V_th and the trace a[t-1] to P a[t]; overwrites both, the potential with what the surrogate keeps."""

    @staticmethod
    def forward(ctx: Any, potential: Tensor, trace: Tensor, neuron: Neuron, window: Window) -> Tensor:
        leak, threshold, surrogate = neuron
        z = potential.sub_(trace, alpha=leak * threshold)
        spikes = torch.ge(z, 0, out=torch.empty_like(z))
        torch.add(spikes, trace, alpha=leak, out=trace)
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(surrogate.save_(z))
        ctx.surrogate, ctx.window = surrogate, window
        return trace.detach() if window is None else pool(trace, window)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (saved,) = ctx.saved_tensors
        return spike_backward_(gradient, saved, ctx.window, ctx.surrogate), None, None, None
