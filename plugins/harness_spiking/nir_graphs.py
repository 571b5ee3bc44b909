"""A spiking network as a graph of the Neuromorphic Intermediate Representation (Pedersen et al., Nature Communications
2024), in which networks go from one simulator to another.

NIR's neuron lives in continuous time, tau dv/dt = (v_leak - v) + R I. In forward Euler steps of `DT`, with v_leak = 0,

    v[t] = (1 - DT / tau) v[t-1] + (DT R / tau) I[t],

so that it is ours with tau = DT / (1 - leak) and R = 1 / (1 - leak); without a leak it is NIR's IF with R = 1 / DT.
Continuously, a potential never passes the threshold, so that subtracting that is resetting to zero: NIR has one reset,
and who reads it in steps chooses. Which one was trained stands in the graph's metadata, with the number of steps and
what the readout of each counts in a prediction.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness import Unsupported
from harness_spiking.connections import Affine
from harness_spiking.network import Network
from harness_spiking.weights import effective
from harness_torch.training.architectures import Layer

DT = 1e-4  # seconds; what readers of NIR assume

SUBTRACT, ZERO = "subtract", "zero"

NO_FEEDBACK = (
    "feedback=yes cannot be said: spikes return through maps that are made larger, for which NIR has no node, and how "
    "much later they arrive its readers decide; only networks without feedback are exported"
)
NO_BLOCKS = (
    "residual blocks are not written: of what NIR can say this format has a chain of layers alone, and the current of "
    "a block joins that of an earlier layer"
)


def refuse(network: Network) -> None:
    """Raises Unsupported for what NIR cannot say, or its readers read differently."""
    if network.feedback:
        raise Unsupported(NO_FEEDBACK)
    if any(layer.skip for layer in network.architecture.layers):
        raise Unsupported(NO_BLOCKS)


@torch.no_grad()
def graph(network: Network, frame: tuple[int, ...], over_time: Tensor) -> nir.NIRGraph:
    """One chain of nodes, potentials in units of 1. frame: shape of what the first layer sees. over_time: (T,)."""
    nodes = dict(_nodes(network, frame))
    names = list(nodes)
    said = {
        "steps": network.steps,
        "dt": DT,
        "reset": ZERO if network.hard_reset else SUBTRACT,
        "frames": "one a step" if network.time_axis else "the same at every step",
        "readout_over_time": _numpy(over_time),
    }
    return nir.NIRGraph(nodes, list(pairwise(names)), metadata=said)


def _nodes(network: Network, frame: tuple[int, ...]) -> Iterator[tuple[str, nir.NIRNode]]:
    maps, unit, shape = effective(network), network.neuron.surrogate.scale, frame
    yield "input", nir.Input({"input": np.array(frame)})
    for index, layer in enumerate(network.architecture.layers):
        to = maps.layers[index]
        if len(layer.map) == 1 and len(shape) > 1:
            yield f"flatten_{index}", _flatten(shape)
        yield f"layer_{index}", _linear(to, unit, layer, shape)
        yield f"neurons_{index}", _neurons(network, layer.map)
        if layer.pool is not None:
            yield f"pool_{index}", nir.AvgPool2d(*(np.array(each) for each in (layer.pool, layer.pool, (0, 0))))
        shape = layer.output
    if len(shape) > 1:
        yield "flatten_readout", _flatten(shape)
    readout = maps.readout
    yield "readout", nir.Affine(_numpy(readout.weight) * np.float32(readout.scale), _numpy(readout.bias))
    yield "output", nir.Output({"output": np.array([len(readout.weight)])})


def _linear(to: Affine, unit: float, layer: Layer, shape: tuple[int, ...]) -> nir.NIRNode:
    """A convolution or a dense layer with standardised weights, divided by the unit of potentials."""
    weight, bias = _numpy(to.weight) / np.float32(unit), _numpy(to.bias) / np.float32(unit)
    if len(layer.map) == 1:
        return nir.Affine(weight, bias)
    padding = tuple(side // 2 for side in layer.weight[2:])
    return nir.Conv2d(shape[1:], weight, (to.stride, to.stride), padding, (1, 1), 1, bias)


def _neurons(network: Network, shape: tuple[int, ...]) -> nir.NIRNode:
    neuron = network.neuron
    threshold, zero = _full(shape, neuron.threshold / neuron.surrogate.scale), _full(shape, 0.0)
    if neuron.leak == 1:
        return nir.IF(_full(shape, 1 / DT), threshold, zero)
    resistance = 1 / (1 - neuron.leak)
    return nir.LIF(_full(shape, DT * resistance), _full(shape, resistance), zero, threshold, zero)


def _flatten(shape: tuple[int, ...]) -> nir.Flatten:
    """A node that flattens one row: NIR knows no batch."""
    return nir.Flatten({"input": np.array(shape)}, 0, -1)


def _full(shape: tuple[int, ...], value: float) -> NDArray[np.float32]:
    return np.full(shape, value, np.float32)


def _numpy(tensor: Tensor | None) -> NDArray[np.float32]:
    assert tensor is not None  # a network's maps have biases
    array: NDArray[np.float32] = tensor.detach().float().contiguous().numpy()
    return array
