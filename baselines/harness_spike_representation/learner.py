"""Spike Representation: T steps without gradient, then one backward pass on rates (see `clamp`, `dsr`, `rates`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from harness import Batch, ClassLogProbs, Problem, Training
from harness_spike_representation import Neuron, SpikeRepresentationOptions, clamp, dsr, rates, reference
from harness_spike_representation import neuron as published
from harness_spiking import losses
from harness_spiking import reference as plainly
from harness_spiking.connections import Outlet
from harness_spiking.learner import Learner, LIFLearner, Rows, State, begin, leaking, predict_uniformly
from harness_spiking.lif import chunks
from harness_spiking.network import Network
from harness_spiking.passes import make_outlets
from harness_spiking.weights import Maps, Weights, effective
from harness_torch.training import inference


class Clamp(LIFLearner[SpikeRepresentationOptions]):
    """The clamp form. It deploys the LIF network with the trained weights, read out by weights leak^(T - t)."""

    def __init__(self, options: SpikeRepresentationOptions) -> None:
        super().__init__(_with_threshold(options))
        self.views = {"uniform-readout": predict_uniformly}

    def learn(self, state: State, rows: Rows) -> Tensor:
        return losses.learn_once(state, rows, lambda weights, part: self._logits(state.network, part, weights))

    def _logits(self, network: Network, rows: Rows, weights: Weights) -> Tensor:
        """The readout of weighted rates (B, classes)."""
        frames, following = network.frames(rows.inputs), rows.outlets(network)

        def begin(index: int) -> clamp.Population:
            return clamp.Population(network, index, len(rows.targets), following[index])

        left = rates.simulate(network, weights, frames, begin, network.neuron.shift, self.options.chunk)
        return rates.logits(network, weights, rates.mean(frames, clamp.shares(network)), left, following)

    def reference(self, state: State, batch: Batch) -> tuple[State, Mapping[str, Tensor]]:
        """`update`, as the paper writes it."""
        return plainly.update(state, batch, reference.clamp_losses)

    def over_time(self, network: Network) -> Tensor:
        return leaking(network)


class DSR(Learner[SpikeRepresentationOptions]):
    """The form DSR. It deploys the network of its own neurons with the trained weights and thresholds."""

    def init(self, problem: Problem, training: Training, base: Mapping[str, Tensor] | None) -> State:
        """The network that every method starts from, with a threshold for each population."""
        del base
        state = begin(problem, training, _with_threshold(self.options))
        like, start = state.network.parameters["readout.bias"], self._neuron(state.network).threshold
        thresholds = {
            f"layers.{index}.threshold": like.new_tensor(start).requires_grad_()
            for index in range(len(state.network.architecture.layers))
        }
        state.network.parameters.update(thresholds)
        state.optimiser.add_param_group({"params": list(thresholds.values())})
        return state

    def _neuron(self, network: Network) -> Neuron:
        return published(self.options, network.steps)

    def reference(self, state: State, batch: Batch) -> tuple[State, Mapping[str, Tensor]]:
        """`update`, as the paper writes it, with a gradient of its own at every step."""
        neuron = self._neuron(state.network)
        scale = reference.dsr_scale(neuron)
        return plainly.update(state, batch, lambda net: reference.dsr_losses(net, neuron), output_scale=scale)

    def learn(self, state: State, rows: Rows) -> Tensor:
        network, neuron = state.network, self._neuron(state.network)
        scale = dsr.output_scale(neuron)
        dsr.bound_(network, neuron.bound)

        def logits(weights: Weights, part: Rows) -> Tensor:
            thresholds = cast(dsr.Thresholded, weights).thresholds
            return self._logits(network, part.inputs, weights, thresholds, part.outlets(network), self.options.chunk)

        return losses.learn_once(state, rows, logits, lambda each: dsr.Thresholded(each, scale))

    def _logits(
        self,
        network: Network,
        inputs: Tensor,
        maps: Maps,
        thresholds: list[Tensor],
        following: list[Outlet],
        chunk: int,
    ) -> Tensor:
        """The readout of the last population's weighted mean output (B, classes)."""
        frames, neuron = network.frames(inputs), self._neuron(network)

        def begin(index: int) -> dsr.Population:
            return dsr.Population(network, index, len(inputs), following[index], neuron, thresholds[index])

        left = rates.simulate(network, maps, frames, begin, 0.0, chunk)
        plain_mean = rates.mean(frames, [1 / network.steps] * network.steps)
        return rates.logits(network, maps, plain_mean, left, following)

    @torch.no_grad()
    def predict(self, state: State, inputs: Tensor) -> ClassLogProbs:
        """The readout that training sees."""
        network, neuron = state.network, self._neuron(state.network)
        maps, following = effective(network, dsr.output_scale(neuron)), make_outlets(network)
        thresholds = [
            network.parameters[f"layers.{index}.threshold"].clamp(min=neuron.bound)
            for index in range(len(network.architecture.layers))
        ]
        parts = chunks(network, inputs)
        return inference.classes(
            torch.cat([self._logits(network, part, maps, thresholds, following, network.steps) for part in parts])
        )

    def describe(self, state: State) -> Mapping[str, object]:
        return {**super().describe(state), "neuron": self._neuron(state.network)._asdict()}


def _with_threshold(options: SpikeRepresentationOptions) -> SpikeRepresentationOptions:
    """The form's default in the place of none."""
    return replace(options, threshold=options.threshold or 1.0)


def build(options: SpikeRepresentationOptions) -> Clamp | DSR:
    return DSR(options) if options.form == "dsr" else Clamp(options)
