"""A spiking network as plain tensors: its architecture, its neurons, its parameters by name, and how they start."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from harness import Problem, Training, Unsupported
from harness_spiking import architectures
from harness_spiking.architectures import Architecture, Layer
from harness_spiking.config import DEFAULT_STEPS, SpikingOptions
from harness_spiking.operations import channels_last
from harness_spiking.surrogates import SURROGATES, Surrogate

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp64": torch.float64}
READOUT_STD = 0.01


class Neuron(NamedTuple):
    """Leaky integrate-and-fire neuron with soft reset, V_th subtracted at a spike.

        u[t] = leak (u[t-1] - V_th s[t-1]) + I[t],    s[t] = H(u[t] - V_th),    u[0] = s[0] = 0

    threshold: V_th times the surrogate's scale, the unit of all potentials in training and in inference.
    """

    leak: float
    threshold: float
    surrogate: Surrogate

    @property
    def shift(self) -> float:
        """What added to I makes w = u - V_th s - V_th the carried potential: w[0] = -V_th, u - V_th = leak w + I."""
        return -self.threshold * (1 - self.leak)


class Network(NamedTuple):
    """parameters: per layer `layers.0.weight`, `.bias`, `.gain` (channels,), and `readout.weight`, `readout.bias`."""

    architecture: Architecture
    neuron: Neuron
    steps: int
    time_axis: bool
    parameters: dict[str, Tensor]

    @property
    def windows(self) -> list[tuple[int, int] | None]:
        """Pooling window after each spiking layer."""
        return [layer.pool for layer in self.architecture.layers]

    def frames(self, inputs: Tensor) -> Tensor:
        """What the first layer sees: (T, B, ...) where time is an axis of the data, else (1, B, ...) for all steps."""
        inputs = inputs.to(self.parameters["readout.weight"].dtype)
        frames = inputs.transpose(0, 1) if self.time_axis else inputs[None]
        steps, rows, *shape = frames.shape
        return channels_last(frames.reshape(steps * rows, *shape)).unflatten(0, (steps, rows))

    def population(self, layer: Layer, frames: Tensor) -> Tensor:
        """Zeros, one per neuron of `layer` and row of `frames` (T, B, ...)."""
        return channels_last(frames.new_zeros((frames.shape[1], *layer.map)))


def build(problem: Problem, training: Training, options: SpikingOptions) -> Network:
    """The network of a problem with its initial weights. Raises Unsupported for what the family cannot take."""
    if problem.kind != "classification":
        raise Unsupported(f"spiking networks take classification, not {problem.kind}")
    if training.precision not in DTYPES:
        raise Unsupported(f"thresholds need {' or '.join(DTYPES)}, not {training.precision}")
    shape = problem.input_shape[1:] if problem.time_axis else problem.input_shape
    text = options.architecture or architectures.standard(shape)
    architecture = architectures.resolve(text, shape, problem.output_size)
    surrogate = SURROGATES["sigmoid"](options.surrogate_scale)
    neuron = Neuron(options.leak, options.threshold * surrogate.scale, surrogate)
    parameters = {
        name: channels_last(tensor.to(training.device, DTYPES[training.precision])).requires_grad_()
        for name, tensor in initial(architecture, training.seed).items()
    }
    return Network(architecture, neuron, _steps(problem, options), problem.time_axis, parameters)


def _steps(problem: Problem, options: SpikingOptions) -> int:
    if not problem.time_axis:
        return options.steps or DEFAULT_STEPS
    frames = problem.input_shape[0]
    if options.steps not in (None, frames):
        raise Unsupported(f"steps={options.steps}, but the data set has {frames} frames per example; leave steps out")
    return frames


def initial(architecture: Architecture, seed: int) -> dict[str, Tensor]:
    """Kaiming-normal weights (fan out, ReLU gain), zero biases, unit gains; readout N(0, 0.01). Seeds only from `seed`,
    on the CPU and in float32, so that every method and device starts from the same network.
    """
    generator = torch.Generator().manual_seed(seed)
    parameters = {}
    for index, layer in enumerate(architecture.layers):
        parameters[f"layers.{index}.weight"] = torch.randn(layer.weight, generator=generator) * _kaiming_std(layer)
        parameters[f"layers.{index}.bias"] = torch.zeros(layer.weight[0])
        parameters[f"layers.{index}.gain"] = torch.ones(layer.weight[0])
    parameters["readout.weight"] = torch.randn(architecture.readout, generator=generator) * READOUT_STD
    parameters["readout.bias"] = torch.zeros(architecture.readout[0])
    return parameters


def _kaiming_std(layer: Layer) -> float:
    outputs, _, *kernel = layer.weight
    fan_out = outputs * (kernel[0] * kernel[1] if kernel else 1)
    return (2 / fan_out) ** 0.5
