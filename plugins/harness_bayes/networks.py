"""Networks side by side: every tensor has a first axis of lanes, over which nothing loops.

J lanes are L trials x M networks of each (components, members, chains, draws), in this order. A dense layer's weight is
(J, inputs, outputs), a convolution's (J, outputs, inputs, k, k), a bias (J, outputs). Rows that all networks of a trial
share are (L, N, ...); within a network they are (J, N, features) or, as maps, (N, J * channels, height, width).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import Problem, Training, Unsupported, derive
from harness_bayes.architectures import BAYESIAN, resolve
from harness_bayes.config import NetworkOptions
from harness_torch.training import precision
from harness_torch.training.architectures import Architecture
from harness_torch.training.convolution import convolve

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "tanh": torch.tanh}

Linear = Callable[[str, Tensor, int], Tensor]  # (name of the layer, its input, stride) -> its output


class Network(NamedTuple):
    """Layers, activation, whether there are biases, types: the same for every lane."""

    architecture: Architecture
    activation: str
    bias: bool
    types: precision.Types

    @property
    def layers(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Name and weight's shape (outputs, inputs, ...) of each linear map, the readout last."""
        for index, layer in enumerate(self.architecture.layers):
            yield f"layers.{index}", layer.weight
        yield "readout", self.architecture.readout

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter of one lane, by name."""
        found: dict[str, tuple[int, ...]] = {}
        for name, weight in self.layers:
            found[f"{name}.weight"] = weight if len(weight) > 2 else weight[::-1]
            if self.bias:
                found[f"{name}.bias"] = weight[:1]
        return found

    @property
    def fan_in(self) -> dict[str, int]:
        """Inputs of each parameter's layer, by the parameter's name."""
        inputs = {name: prod(weight[1:]) for name, weight in self.layers}
        return {name: inputs[name.rpartition(".")[0]] for name in self.shapes}

    @property
    def size(self) -> int:
        """Numbers in one lane."""
        return sum(prod(shape) for shape in self.shapes.values())


def build(problem: Problem, training: Training, options: NetworkOptions, outputs: int) -> Network:
    """The network of a problem. Raises Unsupported for what the family cannot take."""
    if problem.time_axis:
        raise Unsupported("Bayesian networks take rows without a time axis; use a data set of vectors or images")
    types = precision.types(training.precision, BAYESIAN.networks)
    return Network(resolve(options.architecture, problem.input_shape, outputs), options.activation, options.bias, types)


def initial(
    network: Network, seeds: Sequence[int], networks: int, form: Literal["he", "glorot"] = "he"
) -> dict[str, Tensor]:
    """Weights before training of L x M lanes: M networks for each trial's seed.

    he: He-normal, and biases uniform within 1 / sqrt(inputs): with biases of zero all networks on one feature bend at
    the same point, and smaller weights leave them nearly linear, so that components and members are alike.
    glorot: Glorot-uniform with biases of zero, as Keras begins.
    Network k of a seed is the same whatever M, the method and the device: drawn on the CPU in float32.
    """
    draw = _draw_he if form == "he" else _draw_glorot
    lanes = [draw(network, derive(seed, "network", str(index))) for seed in seeds for index in range(networks)]
    return {name: torch.stack([lane[name] for lane in lanes]) for name in network.shapes}


def _draw_he(network: Network, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = {}
    for name, shape in network.shapes.items():
        if name.endswith("bias"):
            drawn[name] = (torch.rand(shape, generator=generator) * 2 - 1) / network.fan_in[name] ** 0.5
        else:
            drawn[name] = torch.randn(shape, generator=generator) * (2 / network.fan_in[name]) ** 0.5
    return drawn


def _draw_glorot(network: Network, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = {name: torch.zeros(shape) for name, shape in network.shapes.items()}
    for name, weight in network.layers:
        limit = (6 / (prod(weight[2:]) * (weight[0] + weight[1]))) ** 0.5  # weight: (outputs, inputs, ...)
        drawn[f"{name}.weight"].uniform_(-limit, limit, generator=generator)
    return drawn


def forward(network: Network, inputs: Tensor, linear: Linear) -> Tensor:
    """Outputs (J, N, outputs) of rows (L, N, ...), through `linear` maps that know their weights."""
    x = inputs.to(network.types.parameters)
    maps = len(network.architecture.layers[0].weight) > 2
    x = x.transpose(0, 1).flatten(1, 2) if maps else x.flatten(2)  # (N, L * channels, height, width) or (L, N, inputs)
    activate = ACTIVATIONS[network.activation]
    for index, layer in enumerate(network.architecture.layers):
        if len(layer.weight) == 2:
            x = _flatten_maps(network, x, index)
        x = activate(linear(f"layers.{index}", x, layer.stride))
        if layer.pool:
            x = F.avg_pool2d(x, layer.pool)
    return linear("readout", _flatten_maps(network, x, len(network.architecture.layers)), 1)


def _flatten_maps(network: Network, x: Tensor, index: int) -> Tensor:
    """Flatten the inputs of this layer to (J, N, features)."""
    if x.dim() == 3:
        return x
    channels = network.architecture.layers[index - 1].map[0]
    return x.unflatten(1, (-1, channels)).transpose(0, 1).flatten(2)


def apply(network: Network, weights: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """Outputs (J, N, outputs) of lanes with these weights (J, ...), for rows (L, N, ...)."""

    def linear(name: str, x: Tensor, stride: int) -> Tensor:
        return affine(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), stride, network.types.compute)

    return forward(network, inputs, linear)


def affine(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1, compute: torch.dtype | None = None
) -> Tensor:
    """W x + b in each lane; x may be shared by lanes that follow each other, (L, N, inputs) or (N, L * inputs, ...)."""
    dtype = x.dtype
    if compute is not None and compute != dtype:
        x, weight, bias = x.to(compute), weight.to(compute), None if bias is None else bias.to(compute)
    return (_apply_convolution(x, weight, bias, stride) if weight.dim() == 5 else _apply_dense(x, weight, bias)).to(
        dtype
    )


def _apply_dense(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    x = expand_lanes(x, len(weight))
    if weight.shape[2] == 1 and weight.requires_grad:  # going backward, products of vectors are slower as matrices
        y = (x * weight.mT).sum(2, keepdim=True)
        return y if bias is None else y + bias[:, None]
    return torch.bmm(x, weight) if bias is None else torch.baddbmm(bias[:, None], x, weight)


def expand_lanes(x: Tensor, lanes: int) -> Tensor:
    """Expand rows (L, ...) to so many lanes, a multiple of L: (J, ...), a view where L is 1 or J."""
    if len(x) == lanes:
        return x
    return x[:, None].expand(len(x), lanes // len(x), *x.shape[1:]).reshape(lanes, *x.shape[1:])


def _apply_convolution(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """Convolve with lanes as groups: each of x's blocks of channels is seen by as many lanes as share it."""
    together, shifts = weight.flatten(0, 1), None if bias is None else bias.flatten()
    if len(weight) == 1:
        return convolve(x, together, shifts, stride)
    groups = x.shape[1] // weight.shape[2]
    return F.conv2d(x, together, shifts, stride, padding=weight.shape[-1] // 2, groups=groups)


def flatten(weights: Mapping[str, Tensor]) -> Tensor:
    """All numbers of each lane, (J, m), in the order of the names."""
    return torch.cat([tensor.flatten(1) for tensor in weights.values()], 1)


def unflatten(network: Network, vectors: Tensor) -> dict[str, Tensor]:
    """The parameters by name, views of vectors (J, m)."""
    sizes = [prod(shape) for shape in network.shapes.values()]
    parts = vectors.split(sizes, 1)
    return {name: part.unflatten(1, shape) for (name, shape), part in zip(network.shapes.items(), parts, strict=True)}


def per_lane(values: Sequence[float] | Tensor, lanes: int, like: Tensor) -> Tensor:
    """One number for each trial, shaped so that it broadcasts over a parameter (J, ...): (J, 1, ...)."""
    numbers = torch.as_tensor(values, dtype=like.dtype, device=like.device).flatten()
    return expand_lanes(numbers, lanes).view(lanes, *[1] * (like.dim() - 1))
