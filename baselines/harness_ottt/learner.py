"""Online training through time (Xiao et al., NeurIPS 2022, arXiv 2210.04195).

The forward pass is the LIF network's; beside its potential each neuron carries the trace of its spikes,
a[t] = leak a[t-1] + s[t]. Potentials are constants to the next step, so that gradients are local in time:

    e[t] = phi(u[t] - V_th) P' W_above' e_above[t],    dW += e[t] (P a_below[t])'

P commutes with the trace, so only P a is carried, at the resolution of the next layer's input.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from harness import Batch, ClassLogProbs, Problem, Training
from harness_ottt import OTTTOptions
from harness_spiking import training as shared
from harness_spiking.network import Network, Neuron
from harness_spiking.operations import Window, affine, linear, linear_backward, pool, spike_backward_
from harness_spiking.training import Loss, State
from harness_spiking.weights import Affine, Weights


class OTTT:
    """OTTT_A (update accumulated) and OTTT_O (online)."""

    def __init__(self, options: OTTTOptions) -> None:
        self.options = options

    def init(self, problem: Problem, training: Training, base: Mapping[str, Tensor] | None) -> State:
        del base
        return shared.begin(problem, training, self.options)

    def update(self, state: State, batch: Batch) -> tuple[State, Mapping[str, Tensor]]:
        state.advance_schedule()
        forward = Forward(state.network, state.network.frames(batch.inputs), self.options)
        loss = Loss(batch.targets, state.network, self.options.loss_lambda)
        online = self.options.update == "online"
        return state, {"loss": shared.learn_every_step(state, forward, loss, online)}

    def predict(self, state: State, inputs: Tensor) -> ClassLogProbs:
        return shared.predict(state.network, inputs, shared.uniform(state.network))

    def describe(self, state: State) -> Mapping[str, object]:
        return shared.describe(state)

    def save(self, state: State) -> Mapping[str, Tensor]:
        return shared.save(state)


def build(options: OTTTOptions) -> OTTT:
    return OTTT(options)


class Forward:
    """One mini-batch on its way through time. Everything carried from step to step is a constant to autograd.

    frames: (T, B, ...), or (1, B, ...) for an input that stays the same.
    """

    def __init__(self, network: Network, frames: Tensor, options: OTTTOptions) -> None:
        self.network, self.neuron, self.frames = network, network.neuron, frames
        self.still, self.theory = len(frames) == 1, options.convention == "theory"
        self.linear = _fused if options.forward == "fused" else _official
        self.time = 0
        self.of_one = 0.0  # L_t = 1 + leak L_{t-1}, the trace of a constant one
        layers = network.architecture.layers
        self.carried = [network.population(layer, frames) - self.neuron.threshold for layer in layers]
        self.traces = [pool(network.population(layer, frames), layer.pool) for layer in layers]
        self.input: Tensor | float = 0.0  # trace of the input

    def weights(self) -> Weights:
        """The present version of the weights; a still input's first layer is computed with it."""
        return Weights(self.network, self.frames[0] if self.still else None)

    def logits(self, weights: Weights) -> Tensor:
        """One time step; returns the readout (B, classes), officially seen by its gradient as one of traces."""
        self.of_one = 1 + self.neuron.leak * self.of_one
        current = self._encode(self.frames[0 if self.still else self.time], weights)
        spikes, trace = self._fire(0, current)
        for index in range(1, len(self.traces)):
            spikes, trace = self._fire(index, self.linear(spikes, trace, self._biased(weights.layers[index])))
        self.time += 1
        if self.theory:
            return linear(spikes, *weights.readout)
        return self.linear(spikes, trace, weights.readout)

    def _fire(self, index: int, current: Tensor) -> tuple[Tensor, Tensor]:
        window = self.network.architecture.layers[index].pool
        return _Fire.apply(current, self.carried[index], self.traces[index], self.neuron, window)

    def _biased(self, layer: Affine) -> Affine:
        """The layer with its bias shifted for the neurons; in theory the bias counts L_t-fold in the gradient."""
        weight, bias = layer
        return weight, affine(bias, 1.0, self._coefficient, self.neuron.shift)

    @property
    def _coefficient(self) -> float:
        return self.of_one if self.theory else 1.0

    def _encode(self, frame: Tensor, weights: Weights) -> Tensor:
        """The first layer's current; its gradient sees the input's trace in theory, officially the input."""
        if weights.drive is not None:
            return affine(weights.drive, 1.0, self._coefficient, self.neuron.shift)
        if not self.theory:
            weight, bias = self._biased(weights.layers[0])
            return linear(frame, weight, bias)
        self.input = frame + self.neuron.leak * self.input
        return _fused(frame, self.input, self._biased(weights.layers[0]))


def _official(spikes: Tensor, trace: Tensor, layer: Affine) -> Tensor:
    """The value from spikes without gradient, the graph from the trace: two linear operations, as published."""
    graph = linear(trace, *layer)
    with torch.no_grad():
        value = linear(spikes, *layer)
    return _Replace.apply(graph, value)


def _fused(spikes: Tensor, trace: Tensor, layer: Affine) -> Tensor:
    """The same in one linear operation: the trace is only kept for the gradient."""
    return _Traced.apply(spikes, trace, *layer)


class _Replace(torch.autograd.Function):
    """The value of one tensor with the gradient of another."""

    @staticmethod
    def forward(ctx: Any, graph: Tensor, value: Tensor) -> Tensor:
        del ctx, graph
        return value.detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        del ctx
        return gradient, None


class _Traced(torch.autograd.Function):
    """W x + b whose gradient is that of W trace + b."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, trace: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(trace, weight)
        return linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        trace, weight = ctx.saved_tensors
        return None, *linear_backward(gradient, trace, weight, ctx.needs_input_grad[1:])


class _Fire(torch.autograd.Function):
    """Current, carried potential and trace to pooled spikes and P a[t]; overwrites all three.

    carried: w[t-1] = u[t-1] - V_th s[t-1] - V_th. The current turns into u[t] - V_th = leak w[t-1] + current, then
    into what the surrogate keeps.
    """

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, carried: Tensor, trace: Tensor, neuron: Neuron, window: Window
    ) -> tuple[Tensor, Tensor]:
        leak, threshold, surrogate = neuron
        z = current.add_(carried, alpha=leak)
        spikes = torch.ge(z, 0, out=torch.empty_like(z))
        torch.sub(z, spikes, alpha=threshold, out=carried)
        spikes = pool(spikes, window)
        torch.add(spikes, trace, alpha=leak, out=trace)
        ctx.save_for_backward(surrogate.save_(z))
        ctx.set_materialize_grads(False)
        ctx.surrogate, ctx.window = surrogate, window
        return spikes, trace.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        (saved,) = ctx.saved_tensors
        (gradient,) = (each for each in gradients if each is not None)  # a layer above looks at spikes or at traces
        return spike_backward_(gradient, saved, ctx.window, ctx.surrogate), None, None, None, None
