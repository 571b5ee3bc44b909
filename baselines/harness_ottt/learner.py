"""Online training through time (Xiao et al., NeurIPS 2022, arXiv 2210.04195).

The forward pass is the LIF network's; beside its potential each neuron carries the trace of its spikes,
a[t] = leak a[t-1] + s[t]. Potentials are constants to the next step, so that gradients are local in time:

    e[t] = phi(u[t] - V_th) P' W_above' e_above[t],    dW += e[t] (P a_below[t])'

P commutes with the trace, so only P a is carried, at the resolution of the next layer's input.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor

from harness import Batch, ClassLogProbs, Problem, Training
from harness_ottt import OTTTOptions, reference
from harness_spiking import reference as plainly
from harness_spiking import training as shared
from harness_spiking.agree import SPIKES
from harness_spiking.biases import StepBiases, traces_of_one
from harness_spiking.drive import Drive, InputTrace
from harness_spiking.network import Network
from harness_spiking.operations import (
    Affine,
    Outlet,
    Window,
    affine,
    join,
    linear,
    linear_backward,
    pool,
    split,
)
from harness_spiking.passes import Current, current, placed, propagate, upsampled
from harness_spiking.training import Rows, State
from harness_spiking.weights import Weights
from harness_torch.training import facts

Signal = tuple[Tensor, Tensor]  # spikes and their trace, as the next layer sees them


class OTTT:
    """OTTT_A (update accumulated) and OTTT_O (online)."""

    agreement = SPIKES

    def __init__(self, options: OTTTOptions) -> None:
        self.options = options

    def init(self, problem: Problem, training: Training, base: Mapping[str, Tensor] | None) -> State:
        del base
        return shared.begin(problem, training, self.options)

    def update(self, state: State, batch: Batch) -> tuple[State, Mapping[str, Tensor]]:
        return shared.update(state, batch, self._learn)

    def reference(self, state: State, batch: Batch) -> tuple[State, Mapping[str, Tensor]]:
        """`update`, as the paper writes it."""
        online = self.options.update == "online"
        return plainly.update(state, batch, lambda net: reference.losses(net, self.options), online)

    def _learn(self, state: State, rows: Rows) -> Tensor:
        options, network = self.options, state.network
        online = options.update == "online"
        return shared.learn_every_step(state, rows, lambda part: Forward(network, part, options), options.chunk, online)

    def over_time(self, network: Network) -> Tensor:
        """What the readout of each step counts in a prediction, (T,)."""
        return shared.uniform(network)

    def predict(self, state: State, inputs: Tensor) -> ClassLogProbs:
        return shared.predict(state.network, inputs, self.over_time(state.network))

    def describe(self, state: State) -> Mapping[str, object]:
        described = shared.describe(state)
        if self.options.presynaptic == "spike":
            return described
        carried = {str(_carried(state.network, each)).removeprefix("torch.") for each in _windows(state.network)}
        trace = " and ".join(sorted(carried))
        return {**described, "trace": trace, "convention": self.options.resolved_convention}

    def save(self, state: State) -> Mapping[str, Tensor]:
        return facts.save(state)


def build(options: OTTTOptions) -> OTTT:
    return OTTT(options)


def _windows(network: Network) -> list[Window]:
    """What pools each population before its trace is taken; feedback returns the last one as it is."""
    windows = [layer.pool for layer in network.architecture.layers]
    return [*windows[:-1], None] if network.feedback else windows


def _carried(network: Network, window: Window) -> torch.dtype:
    """Type in which a trace goes from one chunk of steps to the next: the next layer's input's where it is exact.

    With leak 1/2 and n places in a window, a trace is less than 2 and a multiple of 1 / (2^(T-1) n): where n is a power
    of two, T + log2 n significant bits. bfloat16 has eight. The factor of neurons that are not dropped needs more.
    """
    places = prod(window or (1,))
    bits = network.steps + places.bit_length() - 1
    exact = network.neuron.leak == 0.5 and places.bit_count() == 1 and bits <= 8 and not network.dropout
    return network.compute if exact and network.kernels.name != "eager" else network.dtype


class Forward:
    """Rows on their way through time. Everything carried from step to step is a constant to autograd."""

    def __init__(self, network: Network, rows: Rows, options: OTTTOptions) -> None:
        self.network, self.neuron = network, network.neuron
        self.frames = network.frames(rows.inputs)  # (T, B, ...), or (1, B, ...) for an input that stays the same
        self.traced = options.presynaptic == "trace"
        self.fused = options.forward == "fused" or not self.traced  # a spike is both the value's and the gradient's
        self.theory = options.resolved_convention == "theory"
        # How often a bias counts in a step's gradient: in theory L_t, the trace of a constant one; officially once.
        self.counts = traces_of_one(self.neuron.leak, network.steps) if self.theory else [1.0] * network.steps
        self.biases = StepBiases([1.0] * network.steps, self.counts)
        self.start = self.stop = 0  # the steps that go together now
        self.outlets = rows.outlets(network)
        layers, windows, count = network.architecture.layers, _windows(network), len(rows.targets)
        self.carried = [network.population(layer, count).sub_(self.neuron.threshold) for layer in layers]
        self.traced_outlets = [each._replace(window=to) for each, to in zip(self.outlets, windows, strict=True)]
        self.traces = [
            network.population(layer, count, _carried(network, window), window)
            for layer, window in zip(layers, windows, strict=True)
        ]
        self.features: Signal | None = None  # what the last population sent a step ago, for feedback
        self.input_trace = InputTrace(self.neuron.leak)

    def use(self, weights: Weights) -> None:
        """Compute with this version of the weights; a still input's first layer is computed with it once."""
        self.weights = weights
        self.drive = Drive(self.frames[0], weights.layers[0]) if len(self.frames) == 1 else None

    def settle(self) -> None:
        """Hand over the gradient of a still input's current, and let the weights go."""
        if self.drive is not None:
            self.drive.settle()
        del self.weights, self.drive

    def logits(self, steps: int) -> Tensor:
        """So many more time steps; returns the readouts (steps * B, classes), officially seen by their gradient as of
        traces.
        """
        self.start, self.stop = self.stop, self.stop + steps
        first = self._encode()
        if self.features is not None:
            first = Current(first.whole() + self._returned(self.features))
        shift = self.neuron.shift
        spikes, trace = propagate(self.network, self.weights, first, self._connect, self._fire, _narrow, shift)
        readout = self.weights.readout
        if self.theory:
            return current(spikes, readout, readout.bias).whole()
        return self._linear((spikes, trace), readout, readout.bias).whole()

    def _connect(self, signal: Signal, to: Affine, biased: bool) -> Current:
        return self._linear(signal, to, self._of_bias(to.bias) if biased else None)

    def _fire(self, index: int, flow: Current) -> Signal:
        outlet, steps = self.outlets[index], self.stop - self.start
        returns = self.network.feedback and index == len(self.traces) - 1
        trace = self.traces[index] if self.traced else None
        signal = _Fire.apply(*flow, self.carried[index], trace, self.network, self.traced_outlets[index], steps)
        if returns:
            self.features = signal[0].detach(), signal[1].detach().clone()
            signal = pool(signal[0], outlet.window), pool(signal[1], outlet.window)
        return signal

    def _of_bias(self, bias: Tensor | None) -> Tensor | None:
        """b, shifted for the neurons: (channels,), or (steps, channels) where it counts differently at each step."""
        return None if bias is None else self.biases.at(bias, self.start, self.stop - self.start, self.neuron.shift)

    def _encode(self) -> Current:
        """The first layer's current; its gradient sees the input's trace in theory, officially the input."""
        first, counts = self.weights.layers[0], self.counts[self.start : self.stop]
        if self.drive is not None:
            return Current(self.drive.at([1.0] * len(counts), counts, self.neuron.shift))
        frames = self.frames[self.start : self.stop]
        x = frames.flatten(0, 1)
        if not self.theory:
            return current(x, first, self._of_bias(first.bias), self.network.adds_shifts)
        return _fused((x, self.input_trace(frames)), first, self._of_bias(first.bias), self.network.adds_shifts)

    def _returned(self, features: Signal) -> Tensor:
        """What feedback adds to the first layer's current: W up(s_last[t-1]) + b."""
        feedback = self.weights.feedback
        assert feedback is not None
        assert feedback.bias is not None
        bias = affine(feedback.bias, 1.0, self.counts[self.start - 1], 0.0)
        spikes, trace = (upsampled(each, self.network) for each in features)
        return self._linear((spikes, trace), feedback, bias).whole()

    def _linear(self, signal: Signal, to: Affine, bias: Tensor | None) -> Current:
        through = _fused if self.fused else _official
        return through(signal, to, bias, self.network.adds_shifts)


def _official(signal: Signal, to: Affine, bias: Tensor | None, apart: bool) -> Current:
    """The value from spikes without gradient, the graph from the trace: two linear operations, as published."""
    spikes, trace = signal
    graph = current(trace, to, bias, apart)
    with torch.no_grad():
        value = current(spikes, to, bias, apart).value
    return Current(_Replace.apply(graph.value, value), graph.shift)


def _fused(signal: Signal, to: Affine, bias: Tensor | None, apart: bool) -> Current:
    """The same in one linear operation: the trace is only kept for the gradient."""
    within, shift = placed(to, bias, apart)
    spikes, trace = (each.to(to.weight.dtype) for each in signal)
    return Current(_Traced.apply(spikes, trace, to.weight, within, to.stride, to.scale), shift)


def _narrow(signal: Signal, window: tuple[int, int]) -> Signal:
    return pool(signal[0], window), pool(signal[1], window)


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
    def forward(
        ctx: Any, x: Tensor, trace: Tensor, weight: Tensor, bias: Tensor | None, stride: int, scale: float
    ) -> Tensor:
        ctx.save_for_backward(trace, weight)
        ctx.rest = stride, scale
        return linear(x, weight, bias, stride, scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        trace, weight = ctx.saved_tensors
        return None, *linear_backward(gradient, trace, weight, ctx.needs_input_grad[1:4], *ctx.rest), None, None


class _Fire(torch.autograd.Function):
    """Currents (K * B, ...), carried potential and trace to spikes and traces as the next layer sees them; overwrites
    all three.

    carried: w[t-1] = u[t-1] - V_th s[t-1] - V_th (B, ...). The current turns into u[t] - V_th = leak w[t-1] + current,
    then into what the surrogate keeps.
    """

    @staticmethod
    def forward(
        ctx: Any,
        value: Tensor,
        shift: Tensor | None,
        carried: Tensor,
        trace: Tensor | None,
        network: Network,
        outlet: Outlet,
        steps: int,
    ) -> tuple[Tensor, Tensor]:
        currents = split(value.detach(), steps)
        neuron, kernels = network.neuron, network.kernels
        if trace is None:
            spikes, kept = kernels.integrate(currents, shift, carried, neuron, steps, outlet, True)
            seen = join(spikes)
            traced = seen.clone()
        else:
            fired = kernels.integrate_traced(currents, shift, carried, trace, neuron, steps, outlet, True)
            seen, traced, kept = join(fired[0]), join(fired[1]).detach(), fired[2]
        ctx.save_for_backward(kept)
        ctx.set_materialize_grads(False)
        ctx.network, ctx.outlet, ctx.shifted = network, outlet, shift is not None
        return seen, traced

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        (kept,) = ctx.saved_tensors
        given = [each for each in gradients if each is not None]  # a layer above looks at spikes or at traces
        gradient = given[0] if len(given) == 1 else given[0] + given[1]
        kernels = ctx.network.kernels
        errors = kernels.backward_(split(gradient, len(kept)), kept, ctx.network.neuron, ctx.outlet)
        return join(errors), kernels.sum_per_channel(errors) if ctx.shifted else None, *[None] * 5
