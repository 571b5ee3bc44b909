"""Spike accumulation forwarding (Saiin et al., TMLR 2024, arXiv 2310.02772).

Layers exchange spike traces a[t] = leak a[t-1] + s[t] instead of spikes. With L_t = 1 + leak L_{t-1} and P the pooling,

    U[t] = W P a_below[t] + L_t b,    s[t] = H(U[t] - V_th (leak a[t-1] + 1))

gives the spikes of the LIF network from one linear operation per layer and step and one carried tensor per neuron.
Gradients are local in time: dL/dU[t] = phi(u[t] - V_th) dL/da[t], where u[t] = U[t] - leak V_th a[t-1].
With the loss at the final step alone there is one such gradient, and it is the whole of these equations' (theory).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from harness import Batch, ClassLogProbs, Problem, Training
from harness_saf import SAFOptions, reference
from harness_spiking import reference as plainly
from harness_spiking import training as shared
from harness_spiking.agree import SPIKES
from harness_spiking.biases import StepBiases, traces_of_one
from harness_spiking.drive import Drive, InputTrace
from harness_spiking.kernels import history
from harness_spiking.lif import chunks
from harness_spiking.network import Network
from harness_spiking.operations import Affine, Outlet, affine, join, pool, split
from harness_spiking.passes import Current, current, propagate, upsampled
from harness_spiking.surrogates import inside_range_
from harness_spiking.training import Rows, State
from harness_spiking.weights import Weights
from harness_torch import time_steps
from harness_torch.training import facts, inference


class SAF:
    """SAF-E (variant every) and SAF-F (final). What is deployed is the LIF network with the trained weights."""

    agreement = SPIKES

    def __init__(self, options: SAFOptions) -> None:
        self.options = options
        self.views: dict[str, Callable[[State, Tensor], ClassLogProbs]] = {"training-forward": self.training_forward}
        if options.variant == "final":
            self.views["uniform-readout"] = shared.uniform_readout

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
        if options.variant == "final":
            return shared.learn_once(state, rows, lambda weights, part: self._final_logits(network, part, weights))
        online = options.update == "online"
        return shared.learn_every_step(state, rows, lambda part: Forward(network, part, options), options.chunk, online)

    def _final_logits(self, network: Network, rows: Rows, weights: Weights) -> Tensor:
        forward = Forward(network, rows, self.options)
        forward.use(weights, once=True)
        return forward.final_logits()

    def over_time(self, network: Network) -> Tensor:
        """What the readout of each step counts in a prediction, (T,)."""
        return shared.leaking(network) if self.options.variant == "final" else shared.uniform(network)

    def predict(self, state: State, inputs: Tensor) -> ClassLogProbs:
        return shared.predict(state.network, inputs, self.over_time(state.network))

    @torch.no_grad()
    def training_forward(self, state: State, inputs: Tensor) -> ClassLogProbs:
        """Predictions of the accumulating network that training sees."""
        return inference.classes(
            torch.cat([self._readout(state.network, rows) for rows in chunks(state.network, inputs)])
        )

    def _readout(self, network: Network, inputs: Tensor) -> Tensor:
        rows = Rows(inputs, inputs.new_zeros(len(inputs)))
        if self.options.variant == "final":
            return self._final_logits(network, rows, Weights(network))
        forward = Forward(network, rows, self.options)
        forward.use(Weights(network))
        return torch.stack([forward.logits(1) for _ in range(network.steps)]).mean(0)

    def describe(self, state: State) -> Mapping[str, object]:
        carried = state.network.carried(self.options.chunk)
        trace = str(carried).removeprefix("torch.")
        return {**shared.describe(state), "trace": trace, "convention": self.options.resolved_convention}

    def save(self, state: State) -> Mapping[str, Tensor]:
        return facts.save(state)


def build(options: SAFOptions) -> SAF:
    return SAF(options)


class Forward:
    """Rows on their way through time. Everything carried from step to step is a constant to autograd."""

    def __init__(self, network: Network, rows: Rows, options: SAFOptions) -> None:
        self.network, self.neuron, self.options = network, network.neuron, options
        self.frames = network.frames(rows.inputs)  # (T, B, ...), or (1, B, ...) for an input that stays the same
        self.outlets = rows.outlets(network)
        self.theory = options.resolved_convention == "theory"
        self.of_one = traces_of_one(self.neuron.leak, network.steps)  # L_1 to L_T
        self.counts = self.of_one if self.theory else [1.0] * network.steps  # officially this step's b alone counts
        self.biases = StepBiases(self.of_one, self.counts)
        self.start = self.stop = 0  # the steps that go together now
        dtype = network.carried(options.chunk)
        self.traces = [network.population(layer, len(rows.targets), dtype) for layer in network.architecture.layers]
        self.input_trace = InputTrace(self.neuron.leak)
        self.potential: Tensor | float = 0.0  # U[t] of the first layer, feedback left out
        self.before: Tensor | None = None  # what the readout saw, or said, one step ago

    def use(self, weights: Weights, once: bool = False) -> None:
        """Compute with this version of the weights; a still input's first layer is computed with it once.

        once: there will be one backward pass alone.
        """
        self.weights = weights
        self.drive = Drive(self.frames[0], weights.layers[0], once) if len(self.frames) == 1 else None

    def settle(self) -> None:
        """Hand over the gradient of a still input's current, and let the weights go."""
        if self.drive is not None:
            self.drive.settle()
        del self.weights, self.drive

    def step(self, steps: int) -> Tensor:
        """So many time steps of all spiking layers; returns P a[t] of the last one, (steps * B, ...)."""
        self.start, self.stop = self.stop, self.stop + steps
        first = self._encode()
        if self.network.feedback and self.start:
            first = Current(first.whole() + self._returned())
        shift = -self.neuron.threshold
        return propagate(self.network, self.weights, first, self._connect, self._fire, pool, shift)

    def _connect(self, trace: Tensor, to: Affine, biased: bool) -> Current:
        """U[t] - V_th from the traces of the layer below; a new tensor that the neurons overwrite."""
        bias = self._of_bias(to.bias, -self.neuron.threshold) if biased else None
        return current(trace, to, bias, self.network.adds_shifts)

    def _fire(self, index: int, flow: Current) -> Tensor:
        carried, outlet, steps = self.traces[index], self.outlets[index], self.stop - self.start
        if not torch.is_grad_enabled():
            traces, _ = _accumulate(flow, carried, self.network, outlet, steps, False)
            return join(traces)
        clamp = self.of_one[self.start] if self.options.surrogate == "clamp" else None
        fired: Tensor = _Fire.apply(*flow, carried, self.network, outlet, steps, clamp)
        return fired

    def _of_bias(self, bias: Tensor | None, shift: float = 0.0) -> Tensor | None:
        """L_t b + shift, (channels,) or (steps, channels)."""
        return None if bias is None else self.biases.at(bias, self.start, self.stop - self.start, shift)

    def _encode(self) -> Current:
        """U[t] - V_th of the first layer, from the input trace in theory; officially from the input of each step."""
        if self.drive is not None and (self.theory or self.options.update == "accumulated"):
            now = slice(self.start, self.stop)
            return Current(self.drive.at(self.of_one[now], self.counts[now], -self.neuron.threshold))
        if self.drive is not None:
            return Current(self._potentials([self.drive.value]))
        first, steps, frames = self.weights.layers[0], self.stop - self.start, self.frames[self.start : self.stop]
        if self.theory:
            return self._connect(self.input_trace(frames), first, True)
        currents = current(frames.flatten(0, 1), first, first.bias).whole()
        return Current(self._potentials(split(currents, steps).unbind()))

    def _potentials(self, currents: Any) -> Tensor:
        """U[t] = leak U[t-1] + W x[t] + b, less V_th, with the past a constant."""
        potentials = []
        for each in currents:
            potential = each + (self.neuron.leak * self.potential - self.neuron.threshold)
            self.potential = potential.detach() + self.neuron.threshold
            potentials.append(potential)
        return potentials[0] if len(potentials) == 1 else torch.cat(potentials)

    def _returned(self) -> Tensor:
        """What feedback adds to U[t] of the first layer: W up(a_last[t-1]) + L_{t-1} b."""
        feedback = self.weights.feedback
        assert feedback is not None
        assert feedback.bias is not None
        trace = self.outlets[-1]._replace(window=None).out(history.decode(self.traces[-1], self.network.dtype))
        of_one = self.of_one[self.start - 1]
        bias = affine(feedback.bias, of_one, of_one if self.theory else 1.0, 0.0)
        return current(upsampled(trace, self.network), feedback, bias).whole()

    def logits(self, steps: int) -> Tensor:
        """So many more steps: W P s[t] + b (steps * B, classes). The gradient for W sees P s[t] in theory, officially
        P a[t].
        """
        hidden, readout = self.step(steps), self.weights.readout
        if self.theory:
            return current(self._less_before(hidden, steps), readout, readout.bias).whole()
        return self._less_before(current(hidden, readout, self._of_bias(readout.bias)).whole(), steps)

    def _less_before(self, traces: Tensor, steps: int) -> Tensor:
        """x[t] - leak x[t-1] with the past a constant, for x (steps * B, ...)."""
        rows, constant = len(traces) // steps, traces.detach()
        before = torch.zeros_like(constant[:rows]) if self.before is None else self.before
        self.before = constant[-rows:].clone()
        return traces.sub(before if steps == 1 else torch.cat([before, constant[:-rows]]), alpha=self.neuron.leak)

    def final_logits(self) -> Tensor:
        """All steps, the last one with gradient: the readout of weighted firing rates, (W P a[T] + L_T b) / L_T."""
        before, chunk = self.network.steps - 1, self.options.chunk
        with torch.no_grad():
            for index in time_steps(-(-before // chunk)):
                self.step(min(chunk, before - index * chunk))
        hidden, readout = self.step(1), self.weights.readout
        return current(hidden, readout, self._of_bias(readout.bias)).whole() / self.of_one[-1]


class _Fire(torch.autograd.Function):
    """U[t] - V_th (K * B, ...) and the trace a (B, ...) before to P a[t]; overwrites both, the potentials with what the
    surrogate keeps.

    clamp: L_T, where the derivative is that of the rate a[T] / L_T = clamp(U[T] / (L_T V_th), 0, 1): 1 / V_th inside
    the range; None for the surrogate's.
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
        inside = _inside(flow, network, clamp) if keep and clamp else None
        traces, kept = _accumulate(flow, carried, network, outlet, steps, keep and inside is None)
        if keep:
            ctx.save_for_backward(kept if inside is None else split(inside, steps))
        ctx.network, ctx.outlet, ctx.shifted, ctx.clamped = network, outlet, shift is not None, inside is not None
        return join(traces).detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (kept,) = ctx.saved_tensors
        kernels = ctx.network.kernels
        if ctx.clamped:
            inside = join(kept)
            into_rate = ctx.outlet.back(gradient, inside) * inside
            threshold = ctx.network.neuron.threshold
            errors = split(into_rate if threshold == 1 else into_rate.div_(threshold), len(kept))
        else:
            errors = kernels.backward_(split(gradient, len(kept)), kept, ctx.network.neuron, ctx.outlet)
        return join(errors), kernels.sum_per_channel(errors) if ctx.shifted else None, *[None] * 5


def _inside(flow: Current, network: Network, of_one: float) -> Tensor:
    whole = flow.whole()
    return inside_range_(whole.to(network.dtype, copy=True), network.neuron.threshold, of_one)


def _accumulate(
    flow: Current, carried: Tensor, network: Network, outlet: Outlet, steps: int, keep: bool
) -> tuple[Tensor, Tensor]:
    """Traces as the next layer sees them (K, B, ...) and what the surrogate keeps; overwrites what flows in."""
    return network.kernels.accumulate(split(flow.value, steps), flow.shift, carried, network.neuron, outlet, keep)
