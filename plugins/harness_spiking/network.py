"""A spiking network as plain tensors: its architecture, its neurons, its parameters by name, and how they start."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from harness import Problem, Training, Unsupported
from harness_spiking import kernels
from harness_spiking.architectures import SPIKING, resolve
from harness_spiking.config import DEFAULT_STEPS, SpikingOptions
from harness_spiking.kernels import Kernels, eager, history
from harness_spiking.neuron import Neuron
from harness_spiking.surrogates import SURROGATES, Sigmoid
from harness_torch.training import precision
from harness_torch.training.architectures import Architecture, Layer, standard
from harness_torch.training.layout import channels_last, empty, leaves

READOUT_STD = 0.01


class Network(NamedTuple):
    """The network and its parameters, the same for every method that trains on a problem.

    parameters: per layer `layers.0.weight`, `.bias`, `.gain` (channels,), of a residual block's second layer also
    `.projection.weight` and `.projection.gain` where channels or maps change; `feedback.weight`, `feedback.bias` with
    feedback; `readout.weight`, `readout.bias`. compute: type of the linear operations. dropout: share of neurons.
    """

    architecture: Architecture
    neuron: Neuron
    steps: int
    time_axis: bool
    parameters: dict[str, Tensor]
    kernels: Kernels
    compute: torch.dtype = torch.float32
    dropout: float = 0.0
    hard_reset: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """Type of parameters and potentials."""
        return self.parameters["readout.weight"].dtype

    @property
    def feedback(self) -> bool:
        """Whether the last layer's spikes return to the first one."""
        return "feedback.weight" in self.parameters

    @property
    def adds_shifts(self) -> bool:
        """Whether neurons add a bias in passing, for which a convolution on a GPU takes a pass of its own."""
        return self.kernels.name != "eager"

    def carried(self, chunk: int) -> torch.dtype:
        """Type in which the trace of spikes goes from one chunk of steps to the next.

        With one step at a time the trace is carried as the next layer's input, in that one's type where it is exact;
        with more, fused neurons take the narrowest integer that holds the spikes.
        """
        if self.kernels.name == "eager":
            return self.dtype
        if chunk > 1:
            return history.narrowest(self.neuron.leak, self.steps)
        exact = history.narrowest(self.neuron.leak, self.steps) == torch.uint8  # bfloat16 has eight significant bits
        return self.compute if exact else self.dtype

    def frames(self, inputs: Tensor) -> Tensor:
        """Make frames for the first layer: (T, B, ...) where the data has an axis of time, else (1, B, ...) for all."""
        inputs = inputs.to(self.dtype)
        frames = inputs.transpose(0, 1) if self.time_axis else inputs[None]
        steps, rows, *shape = frames.shape
        return channels_last(frames.reshape(steps * rows, *shape)).unflatten(0, (steps, rows))

    def population(
        self, layer: Layer, rows: int, dtype: torch.dtype | None = None, window: tuple[int, int] | None = None
    ) -> Tensor:
        """Zeros, one per row and neuron of `layer`, or per window of neurons."""
        sizes, like = list(layer.map), self.parameters["readout.weight"]
        if window is not None:
            sizes[1:] = [size // across for size, across in zip(sizes[1:], window, strict=True)]
        return empty((rows, *sizes), like, dtype).zero_()


def build(problem: Problem, training: Training, options: SpikingOptions) -> Network:
    """The network of a problem with its initial weights. Raises Unsupported for what the family cannot take."""
    if problem.kind != "classification":
        raise Unsupported(f"spiking networks take classification, not {problem.kind}")
    types = precision.types(training.precision, SPIKING.networks)
    wants_eager = training.eager or training.precision == "fp64"
    shape = problem.input_shape[1:] if problem.time_axis else problem.input_shape
    architecture = resolve(options.architecture or standard(shape), shape, problem.output_size, options.feeds_back)
    surrogate = SURROGATES.get(options.spike_derivative, Sigmoid)(options.scale)
    initially = initial(architecture, training.seed, options.feeds_back)
    return Network(
        architecture,
        Neuron(options.leak, options.threshold * surrogate.scale, surrogate),
        _steps(problem, options),
        problem.time_axis,
        leaves(initially, training.device, types.parameters),
        kernels.choose(options.kernels, training.device, wants_eager) if options.fusible else eager,
        types.compute,
        options.dropout or 0.0,
        options.reset == "hard",
    )


def _steps(problem: Problem, options: SpikingOptions) -> int:
    if not problem.time_axis:
        return options.steps or DEFAULT_STEPS
    frames = problem.input_shape[0]
    if options.steps not in (None, frames):
        raise Unsupported(
            f"steps={options.steps}, but the data set has {frames} frames per example; leave steps out, or have the "
            f"data set make as many, as nmnist[steps={options.steps}] does"
        )
    return frames


def initial(architecture: Architecture, seed: int, feedback: bool = False) -> dict[str, Tensor]:
    """Kaiming-normal weights (fan out, ReLU gain), zero biases, unit gains; readout N(0, 0.01); feedback zero.

    Seeds only from `seed`, on the CPU and in float32, so that every method and device starts from the same network.
    """
    generator = torch.Generator().manual_seed(seed)
    parameters = {}
    for index, layer in enumerate(architecture.layers):
        parameters[f"layers.{index}.weight"] = _kaiming(layer.weight, generator)
        parameters[f"layers.{index}.bias"] = torch.zeros(layer.weight[0])
        parameters[f"layers.{index}.gain"] = torch.ones(layer.weight[0])
        if layer.skip and layer.skip.projection:
            parameters[f"layers.{index}.projection.weight"] = _kaiming(layer.skip.projection, generator)
            parameters[f"layers.{index}.projection.gain"] = torch.ones(layer.weight[0])
    if feedback:
        first, last = architecture.layers[0], architecture.layers[-1]
        parameters["feedback.weight"] = torch.zeros(first.weight[0], last.weight[0], 3, 3)
        parameters["feedback.bias"] = torch.zeros(first.weight[0])
    parameters["readout.weight"] = torch.randn(architecture.readout, generator=generator) * READOUT_STD
    parameters["readout.bias"] = torch.zeros(architecture.readout[0])
    return parameters


def _kaiming(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    outputs, _, *kernel = shape
    fan_out = outputs * (kernel[0] * kernel[1] if kernel else 1)
    return torch.randn(shape, generator=generator) * (2 / fan_out) ** 0.5
