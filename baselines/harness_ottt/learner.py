"""Online training through time (Xiao et al., NeurIPS 2022, arXiv 2210.04195).

The forward pass is the LIF network's; beside its potential each neuron carries the trace of its spikes,
a[t] = leak a[t-1] + s[t]. Potentials are constants to the next step, so that gradients are local in time:

    e[t] = phi(u[t] - V_th) P' W_above' e_above[t],    dW += e[t] (P a_below[t])'

P commutes with the trace, so only P a is carried, at the resolution of the next layer's input.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor

from harness import Batch
from harness_ottt import OTTTOptions, reference
from harness_spiking import losses
from harness_spiking import reference as plainly
from harness_spiking.biases import StepBiases, scale_and_shift
from harness_spiking.connections import Affine, Outlet, Window, linear, linear_backward, pool
from harness_spiking.forward import Forward
from harness_spiking.learner import LIFLearner, Rows, State
from harness_spiking.network import Network
from harness_spiking.passes import Current, compute_current, propagate, upsample

Signal = tuple[Tensor, Tensor]  # spikes and their trace, as the next layer sees them


class OTTT(LIFLearner[OTTTOptions]):
    """OTTT_A (update accumulated) and OTTT_O (online)."""

    def learn(self, state: State, rows: Rows) -> Tensor:
        options, network = self.options, state.network
        if options.online:
            return losses.learn_online(state, rows, TracedForward(network, rows, options))
        return losses.learn_every_step(state, rows, lambda part: TracedForward(network, part, options), options.chunk)

    def reference(self, state: State, batch: Batch) -> tuple[State, Mapping[str, Tensor]]:
        """`update`, as the paper writes it."""
        return plainly.update(state, batch, lambda net: reference.losses(net, self.options), self.options.online)

    def describe(self, state: State) -> Mapping[str, object]:
        described = super().describe(state)
        if self.options.presynaptic == "spike":
            return described
        types = (_choose_type(state.network, window) for window in _list_windows(state.network))
        trace = " and ".join(sorted({str(each).removeprefix("torch.") for each in types}))
        return {**described, "trace": trace, "convention": self.options.resolved_convention}


def build(options: OTTTOptions) -> OTTT:
    return OTTT(options)


class TracedForward(Forward):
    """The LIF network's forward pass beside which every population carries the trace of its spikes."""

    def __init__(self, network: Network, rows: Rows, options: OTTTOptions) -> None:
        super().__init__(network, rows, options.resolved_convention == "theory")
        self.traced = options.presynaptic == "trace"  # else a spike is both the value's and the gradient's
        fused = options.forward == "fused" or not self.traced
        self._compute = _compute_fused if fused else _compute_official
        self.shift = self.neuron.shift
        self.biases = StepBiases([1.0] * network.steps, self.counts)
        layers, windows, count = network.architecture.layers, _list_windows(network), len(rows.targets)
        self.returned_outlet = self.outlets[-1] if network.feedback else None
        self.outlets = [each.with_window(to) for each, to in zip(self.outlets, windows, strict=True)]
        self.potentials = [network.population(layer, count).sub_(self.neuron.threshold) for layer in layers]
        self.traces = [
            network.population(layer, count, _choose_type(network, window), window)
            for layer, window in zip(layers, windows, strict=True)
        ]
        self.features: Signal | None = None  # what the last population sent a step ago, for feedback

    def logits(self, steps: int) -> Tensor:
        """So many more time steps; returns the readouts (steps * B, classes), officially seen by their gradient as of
        traces.
        """
        self.start, self.stop = self.stop, self.stop + steps
        self._scale_bias = self.biases.at(self.start, self.stop)  # b + shift, as often as it counts
        first = self._encode()
        if self.features is not None:
            first = Current(first.whole() + self._returned(self.features))
        signal = propagate(self.network, self.weights, first, self._connect, self._fire, _narrow, self.shift)
        readout = self.weights.readout
        if self.theory:
            return compute_current(signal[0], readout, readout.bias).whole()
        return self._compute(signal, readout, readout.bias, self.apart).whole()

    def _encode(self) -> Current:
        """The first layer's current; its gradient sees the input's trace in theory, officially the input."""
        first, counts = self.weights.layers[0], self.counts[self.start : self.stop]
        if self.drive is not None:
            return Current(self.drive.at([1.0] * len(counts), counts, self.shift))
        frames = self.frames[self.start : self.stop]
        x, bias = frames.flatten(0, 1), None if first.bias is None else self._scale_bias(first.bias, self.shift)
        if not self.theory:
            return compute_current(x, first, bias, self.apart)
        return _compute_fused((x, self.input_trace(frames)), first, bias, self.apart)

    def _returned(self, features: Signal) -> Tensor:
        """Compute the term that feedback adds to the first layer's current: W up(s_last[t-1]) + b."""
        feedback = self.weights.feedback
        assert feedback is not None
        assert feedback.bias is not None
        bias = scale_and_shift(feedback.bias, 0.0, 1.0, self.counts[self.start - 1])
        spikes, trace = (upsample(each, self.network) for each in features)
        return self._compute((spikes, trace), feedback, bias, self.apart).whole()

    def _connect(self, signal: Signal, to: Affine, biased: bool) -> Current:
        """The current from the signal of the layer below, shifted for the neurons."""
        bias = self._scale_bias(to.bias, self.shift) if biased and to.bias is not None else None
        return self._compute(signal, to, bias, self.apart)

    def _fire(self, index: int, flow: Current) -> Signal:
        """Spikes and traces (steps * B, ...); overwrites the population's potential and trace."""
        outlet, steps = self.outlets[index], self.stop - self.start
        trace = self.traces[index] if self.traced else None
        signal: Signal = _Fire.apply(*flow, self.potentials[index], trace, self.network, outlet, steps)
        if self.returned_outlet is None or index < len(self.outlets) - 1:
            return signal
        self.features = signal[0].detach(), signal[1].detach().clone()
        return pool(signal[0], self.returned_outlet.window), pool(signal[1], self.returned_outlet.window)


def _list_windows(network: Network) -> list[Window]:
    """The pooling of each population before its trace is taken; feedback returns the last one as it is."""
    windows = [layer.pool for layer in network.architecture.layers]
    return [*windows[:-1], None] if network.feedback else windows


def _choose_type(network: Network, window: Window) -> torch.dtype:
    """Type in which a trace goes from one chunk of steps to the next: the next layer's input's where it is exact.

    With leak 1/2 and n places in a window, a trace is less than 2 and a multiple of 1 / (2^(T-1) n): where n is a power
    of two, T + log2 n significant bits. bfloat16 has eight. The factor of neurons that are not dropped needs more.
    """
    places = prod(window or (1,))
    bits = network.steps + places.bit_length() - 1
    exact = network.neuron.leak == 0.5 and places.bit_count() == 1 and bits <= 8 and not network.dropout
    return network.compute if exact and network.kernels.name != "eager" else network.dtype


def _compute_official(signal: Signal, to: Affine, bias: Tensor | None, apart: bool) -> Current:
    """The value from spikes without gradient, the graph from the trace: two linear operations, as published."""
    spikes, trace = signal
    graph = compute_current(trace, to, bias, apart)
    with torch.no_grad():
        value = compute_current(spikes, to, bias, apart).value
    return Current(_Replace.apply(graph.value, value), graph.shift)


def _compute_fused(signal: Signal, to: Affine, bias: Tensor | None, apart: bool) -> Current:
    """Compute both in one linear operation: the trace is only kept for the gradient."""
    spikes, trace = signal
    return compute_current(spikes, to, bias, apart, partial(_Traced.apply, trace.to(to.weight.dtype)))


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
        ctx: Any, trace: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, scale: float
    ) -> Tensor:
        ctx.save_for_backward(trace, weight)
        ctx.rest = stride, scale
        return linear(x, weight, bias, stride, scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        trace, weight = ctx.saved_tensors
        needs = ctx.needs_input_grad[0], *ctx.needs_input_grad[2:4]
        into_trace, *others = linear_backward(gradient, trace, weight, needs, *ctx.rest)
        return into_trace, None, *others, None, None


class _Fire(torch.autograd.Function):
    """Currents (K * B, ...), carried potential and trace to spikes and traces as the next layer sees them; overwrites
    all three.

    carried: w[t-1] = u[t-1] - V_th s[t-1] - V_th (B, ...). The current turns into u[t] - V_th = leak w[t-1] + current,
    then into what the surrogate keeps. trace: None where spikes stand for it.
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
        currents, neuron = value.detach(), network.neuron
        currents = currents[None] if steps == 1 else currents.unflatten(0, (steps, -1))
        if trace is None:
            spikes, kept = network.kernels.integrate(currents, shift, carried, neuron, steps, outlet, True)
            traces = spikes.clone()
        else:
            spikes, traces, kept = network.kernels.integrate_traced(
                currents, shift, carried, trace, neuron, steps, outlet, True
            )
        ctx.save_for_backward(kept)
        ctx.set_materialize_grads(False)
        ctx.network, ctx.outlet, ctx.shifted = network, outlet, shift is not None
        if steps == 1:
            return spikes[0], traces[0].detach()
        return spikes.flatten(0, 1), traces.flatten(0, 1).detach()

    @staticmethod
    def backward(ctx: Any, into_spikes: Tensor | None, into_traces: Tensor | None) -> tuple[Tensor | None, ...]:
        (kept,) = ctx.saved_tensors
        network, steps = ctx.network, len(kept)
        gradient = into_traces if into_spikes is None else into_spikes  # a layer above looks at spikes or at traces
        if into_spikes is not None and into_traces is not None:
            gradient = into_spikes + into_traces
        assert gradient is not None
        gradients = gradient[None] if steps == 1 else gradient.unflatten(0, (steps, -1))
        errors = network.kernels.backward_(gradients, kept, network.neuron, ctx.outlet)
        into_shift = network.kernels.sum_per_channel(errors) if ctx.shifted else None
        return errors[0] if steps == 1 else errors.flatten(0, 1), into_shift, *[None] * 5
