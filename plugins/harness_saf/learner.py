"""Spike accumulation forwarding (Saiin et al., TMLR 2024, arXiv 2310.02772).

Layers exchange spike traces a[t] = leak a[t-1] + s[t] instead of spikes. With L_t = 1 + leak L_{t-1} and P the pooling,

    U[t] = W P a_below[t] + L_t b,    s[t] = H(U[t] - V_th (leak a[t-1] + 1))

gives the spikes of the LIF network from one linear operation per layer and step and one carried tensor per neuron.
Gradients are local in time: dL/dU[t] = phi(u[t] - V_th) dL/da[t], where u[t] = U[t] - leak V_th a[t-1].
With the loss at the final step alone there is one such gradient, and it is the whole of these equations' (theory).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from harness import Batch, ClassLogProbs
from harness_saf import SAFOptions, reference
from harness_spiking import losses
from harness_spiking import reference as plainly
from harness_spiking.biases import StepBiases, scale_and_shift
from harness_spiking.connections import Affine, Outlet, pool
from harness_spiking.forward import Forward
from harness_spiking.kernels import history
from harness_spiking.learner import LIFLearner, Rows, State, leaking, predict_uniformly, uniform
from harness_spiking.lif import chunks
from harness_spiking.network import Network
from harness_spiking.passes import Current, compute_current, propagate, upsample
from harness_spiking.surrogates import inside_range_
from harness_spiking.weights import Weights
from harness_torch import time_steps
from harness_torch.training import inference


class SAF(LIFLearner[SAFOptions]):
    """SAF-E (variant every) and SAF-F (final). What is deployed is the LIF network with the trained weights."""

    def __init__(self, options: SAFOptions) -> None:
        super().__init__(options)
        weighted = {"uniform-readout": predict_uniformly} if options.variant == "final" else {}
        self.views = {"training-forward": self.predict_by_traces} | weighted

    def learn(self, state: State, rows: Rows) -> Tensor:
        options, network, chunk = self.options, state.network, self.options.chunk
        if options.variant == "final":
            return losses.learn_once(state, rows, lambda weights, part: self._final_logits(network, part, weights))
        if options.online:
            return losses.learn_online(state, rows, AccumulatedForward(network, rows, options))
        return losses.learn_every_step(state, rows, lambda part: AccumulatedForward(network, part, options), chunk)

    def _final_logits(self, network: Network, rows: Rows, weights: Weights) -> Tensor:
        forward = AccumulatedForward(network, rows, self.options)
        forward.use(weights, once=True)
        return forward.final_logits()

    def reference(self, state: State, batch: Batch) -> tuple[State, Mapping[str, Tensor]]:
        """`update`, as the paper writes it."""
        return plainly.update(state, batch, lambda net: reference.losses(net, self.options), self.options.online)

    def over_time(self, network: Network) -> Tensor:
        return leaking(network) if self.options.variant == "final" else uniform(network)

    @torch.no_grad()
    def predict_by_traces(self, state: State, inputs: Tensor) -> ClassLogProbs:
        """Predictions of the accumulating network that training sees."""
        return inference.classes(
            torch.cat([self._mean_readout(state.network, rows) for rows in chunks(state.network, inputs)])
        )

    def _mean_readout(self, network: Network, inputs: Tensor) -> Tensor:
        rows = Rows(inputs, inputs.new_zeros(len(inputs)))
        if self.options.variant == "final":
            return self._final_logits(network, rows, Weights(network))
        forward = AccumulatedForward(network, rows, self.options)
        forward.use(Weights(network))
        return torch.stack([forward.logits(1) for _ in range(network.steps)]).mean(0)

    def describe(self, state: State) -> Mapping[str, object]:
        trace = str(state.network.carried(self.options.chunk)).removeprefix("torch.")
        return {**super().describe(state), "trace": trace, "convention": self.options.resolved_convention}


def build(options: SAFOptions) -> SAF:
    return SAF(options)


class AccumulatedForward(Forward):
    """Layer by layer from the trace below to the trace of a population, which is all that a step leaves to the next."""

    def __init__(self, network: Network, rows: Rows, options: SAFOptions) -> None:
        super().__init__(network, rows, options.resolved_convention == "theory")
        self.chunk, self.online = options.chunk, options.online
        self.biases = StepBiases(self.of_one, self.counts)
        self.clamp = self.of_one[-1] if options.surrogate == "clamp" else None
        dtype = network.carried(options.chunk)
        self.traces = [network.population(layer, len(rows.targets), dtype) for layer in network.architecture.layers]
        self.potential: Tensor | float = 0.0  # U[t] of the first layer, feedback left out
        self.before: Tensor | None = None  # what the readout saw, or said, one step ago

    def logits(self, steps: int) -> Tensor:
        """So many more steps: W P s[t] + b (steps * B, classes). The gradient for W sees P s[t] in theory, officially
        P a[t].
        """
        traces, readout = self._step(steps), self.weights.readout
        if self.theory:
            return compute_current(self._less_before(traces, steps), readout, readout.bias).whole()
        return self._less_before(self._read_out(traces), steps)

    def _less_before(self, x: Tensor, steps: int) -> Tensor:
        """x[t] - leak x[t-1] with the past a constant, for x (steps * B, ...)."""
        rows, constant = len(x) // steps, x.detach()
        before = torch.zeros_like(constant[:rows]) if self.before is None else self.before
        self.before = constant[-rows:].clone()
        return x.sub(before if steps == 1 else torch.cat([before, constant[:-rows]]), alpha=self.neuron.leak)

    def final_logits(self) -> Tensor:
        """All steps, the last one with gradient: the readout of weighted firing rates, (W P a[T] + L_T b) / L_T."""
        before = self.network.steps - 1
        with torch.no_grad():
            for index in time_steps(-(-before // self.chunk)):
                self._step(min(self.chunk, before - index * self.chunk))
        return self._read_out(self._step(1)) / self.of_one[-1]

    def _read_out(self, traces: Tensor) -> Tensor:
        """W P a[t] + L_t b (steps * B, classes)."""
        readout = self.weights.readout
        assert readout.bias is not None
        return compute_current(traces, readout, self._scale_bias(readout.bias, 0.0)).whole()

    def _step(self, steps: int) -> Tensor:
        """So many time steps of all spiking layers; returns P a[t] of the last one, (steps * B, ...)."""
        self.start, self.stop = self.stop, self.stop + steps
        self._scale_bias = self.biases.at(self.start, self.stop)  # L_t b + shift
        first = self._encode()
        if self.network.feedback and self.start:
            first = Current(first.whole() + self._returned())
        shift = -self.neuron.threshold
        return propagate(self.network, self.weights, first, self._connect, self._fire, pool, shift)

    def _encode(self) -> Current:
        """U[t] - V_th of the first layer, from the input trace in theory; officially from the input of each step."""
        now = slice(self.start, self.stop)
        if self.drive is not None and (self.theory or not self.online):
            return Current(self.drive.at(self.of_one[now], self.counts[now], -self.neuron.threshold))
        if self.drive is not None:
            return Current(self._add_up([self.drive.value]))
        first, frames = self.weights.layers[0], self.frames[now]
        if self.theory:
            return self._connect(self.input_trace(frames), first, True)
        currents = compute_current(frames.flatten(0, 1), first, first.bias).whole()
        return Current(self._add_up(currents.unflatten(0, (len(frames), -1)).unbind()))

    def _add_up(self, currents: Iterable[Tensor]) -> Tensor:
        """U[t] = leak U[t-1] + W x[t] + b, less V_th, with the past a constant."""
        potentials = []
        for each in currents:
            potential = each + (self.neuron.leak * self.potential - self.neuron.threshold)
            self.potential = potential.detach() + self.neuron.threshold
            potentials.append(potential)
        return potentials[0] if len(potentials) == 1 else torch.cat(potentials)

    def _returned(self) -> Tensor:
        """Compute the term that feedback adds to U[t] of the first layer: W up(a_last[t-1]) + L_{t-1} b."""
        feedback = self.weights.feedback
        assert feedback is not None
        assert feedback.bias is not None
        last = history.decode(self.traces[-1], self.network.dtype)
        trace = upsample(self.outlets[-1].with_window(None).out(last), self.network)
        value, count = self.of_one[self.start - 1], self.counts[self.start - 1]
        return compute_current(trace, feedback, scale_and_shift(feedback.bias, 0.0, value, count)).whole()

    def _connect(self, trace: Tensor, to: Affine, biased: bool) -> Current:
        """U[t] - V_th from the traces of the layer below; a new tensor that the neurons overwrite."""
        bias = self._scale_bias(to.bias, -self.neuron.threshold) if biased and to.bias is not None else None
        return compute_current(trace, to, bias, self.apart)

    def _fire(self, index: int, flow: Current) -> Tensor:
        """P a[t] (steps * B, ...) from U[t] - V_th and the trace a step before, which it overwrites."""
        steps = self.stop - self.start
        fired: Tensor = _Fire.apply(*flow, self.traces[index], self.network, self.outlets[index], steps, self.clamp)
        return fired


class _Fire(torch.autograd.Function):
    """U[t] - V_th (K * B, ...) and the trace a (B, ...) before to P a[t]; overwrites both, the potentials with what the
    surrogate keeps.

    clamp: L_T, where the derivative is that of the rate a[T] / L_T = clamp(U[T] / (L_T V_th), 0, 1): 1 / V_th inside
    the range; None for the surrogate's. Only the last step is then differentiated.
    """

    @staticmethod
    def forward(
        ctx: Any,
        potential: Tensor,
        shift: Tensor | None,
        carried: Tensor,
        network: Network,
        outlet: Outlet,
        steps: int,
        clamp: float | None,
    ) -> Tensor:
        flow, keep = Current(potential.detach(), shift), any(ctx.needs_input_grad)
        inside = _find_inside(flow, network, clamp) if keep and clamp is not None else None
        potentials = flow.value[None] if steps == 1 else flow.value.unflatten(0, (steps, -1))
        traces, kept = network.kernels.accumulate(
            potentials, shift, carried, network.neuron, outlet, keep and inside is None
        )
        if keep:
            ctx.save_for_backward(kept if inside is None else inside[None])
        ctx.network, ctx.outlet, ctx.shifted, ctx.clamped = network, outlet, shift is not None, inside is not None
        return traces[0].detach() if steps == 1 else traces.flatten(0, 1).detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (kept,) = ctx.saved_tensors
        network, outlet, steps = ctx.network, ctx.outlet, len(kept)
        if ctx.clamped:
            errors = _reverse_clamp(gradient, kept[0], network, outlet)[None]
        else:
            into_traces = gradient[None] if steps == 1 else gradient.unflatten(0, (steps, -1))
            errors = network.kernels.backward_(into_traces, kept, network.neuron, outlet)
        into_shift = network.kernels.sum_per_channel(errors) if ctx.shifted else None
        return errors[0] if steps == 1 else errors.flatten(0, 1), into_shift, *[None] * 5


def _find_inside(flow: Current, network: Network, of_one: float) -> Tensor:
    """One where 0 <= U[T] / (L_T V_th) <= 1, else zero (B, ...)."""
    return inside_range_(flow.whole().to(network.dtype, copy=True), network.neuron.threshold, of_one)


def _reverse_clamp(gradient: Tensor, inside: Tensor, network: Network, outlet: Outlet) -> Tensor:
    errors = outlet.back(gradient, inside) * inside
    return errors if network.neuron.threshold == 1 else errors.div_(network.neuron.threshold)
