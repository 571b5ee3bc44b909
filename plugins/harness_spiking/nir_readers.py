"""Readers of files of the Neuromorphic Intermediate Representation: SpikingJelly where it is installed, else NIR's own
definitions, one node after the other. Both read the file alone, and step as its metadata says.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import nir
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from harness import HarnessError
from harness_spiking.nir_graphs import DT, SUBTRACT


class Ran(NamedTuple):
    """Readouts (T, B, classes), and spikes (T, B, ...) by the name of their population."""

    readouts: Tensor
    spikes: Mapping[str, Tensor]


class File(NamedTuple):
    """The content of a file: the graph, and how it is stepped."""

    graph: nir.NIRGraph
    steps: int
    soft: bool
    held: bool
    over_time: Tensor

    def frames(self, inputs: Tensor) -> list[Tensor]:
        """The frames that the network sees, (B, ...) each, of rows (B, ...) or (B, T, ...)."""
        return [inputs] * self.steps if self.held else list(inputs.unbind(1))


Run: TypeAlias = Callable[[File, Tensor], Ran]
Step: TypeAlias = Callable[[Tensor], Tensor]


def read(path: Path) -> File:
    """A file that `nir_graphs` has made, which nobody may have written anew without its metadata."""
    graph = nir.read(path)
    said = graph.metadata
    held = said["frames"] != "one a step"
    return File(graph, int(said["steps"]), said["reset"] == SUBTRACT, held, torch.as_tensor(said["readout_over_time"]))


def best(leak: float) -> tuple[str, Run]:
    """A reader for neurons of this leak, and what it is called. SpikingJelly has none that forget all."""
    try:
        version = importlib.metadata.version("spikingjelly")
        import spikingjelly.activation_based.nir_exchange  # noqa: F401
    except ImportError:
        version = ""
    return (f"SpikingJelly {version}", by_spikingjelly) if version and leak > 0 else ("NIR's definitions", plainly)


# --- NIR's definitions ------------------------------------------------------------------------------------------------


class Neurons:
    """NIR's LIF and IF in forward Euler steps, from rest, with the reset that the file names."""

    def __init__(self, node: nir.LIF | nir.IF, soft: bool) -> None:
        leaky = isinstance(node, nir.LIF)
        share = DT / node.tau if leaky else np.zeros(())
        self.keep, self.take = torch.as_tensor(1 - share).float(), _tensor(node.r) * (_tensor(share) if leaky else DT)
        self.threshold, self.to, self.soft = _tensor(node.v_threshold), _tensor(node.v_reset), soft
        self.potential: Tensor | None = None
        self.fired: list[Tensor] = []

    def __call__(self, current: Tensor) -> Tensor:
        """Spikes (B, ...)."""
        before = torch.zeros_like(current) if self.potential is None else self.potential
        potential = self.keep * before + self.take * current
        fired = (potential > self.threshold).to(current.dtype)
        down = potential - self.threshold if self.soft else self.to.expand_as(potential)
        self.potential = torch.where(fired > 0, down, potential)
        self.fired.append(fired)
        return fired


def plainly(file: File, inputs: Tensor) -> Ran:
    """Each node as NIR defines it, along the one way from input to output."""
    steps = {name: _step(name, node, file.soft) for name, node in _chain(file.graph)}
    readouts = []
    with torch.no_grad():
        for frame in file.frames(inputs):
            signal = frame
            for step in steps.values():
                signal = step(signal)
            readouts.append(signal)
    spikes = {name: torch.stack(step.fired) for name, step in steps.items() if isinstance(step, Neurons)}
    return Ran(torch.stack(readouts), spikes)


def _chain(graph: nir.NIRGraph) -> Iterator[tuple[str, nir.NIRNode]]:
    """The nodes between input and output in their order."""
    after = dict(graph.edges)
    if len(after) != len(graph.edges):
        raise HarnessError("the NIR graph branches; expected one chain of nodes")
    name = after[next(name for name, node in graph.nodes.items() if isinstance(node, nir.Input))]
    while not isinstance(graph.nodes[name], nir.Output):
        yield name, graph.nodes[name]
        name = after[name]


def _step(name: str, node: nir.NIRNode, soft: bool) -> Step:
    if isinstance(node, (nir.LIF, nir.IF)):
        return Neurons(node, soft)
    if isinstance(node, nir.Affine):
        weight, bias = _tensor(node.weight), _tensor(node.bias)
        return lambda x: F.linear(x, weight, bias)
    if isinstance(node, nir.Conv2d):
        kernel, shift, stride, padding = (
            _tensor(node.weight),
            _tensor(node.bias),
            _pair(node.stride),
            _pair(node.padding),
        )
        return lambda x: F.conv2d(x, kernel, shift, stride, padding)
    if isinstance(node, nir.AvgPool2d):
        window, across = _pair(node.kernel_size), _pair(node.stride)
        return lambda x: F.avg_pool2d(x, window, across)
    if isinstance(node, nir.Flatten):
        return lambda x: x.flatten(1)
    raise HarnessError(f"the NIR graph's node {name} is {type(node).__name__}, which no network of ours has")


def _tensor(array: Any) -> Tensor:
    return torch.as_tensor(np.asarray(array)).float()


def _pair(value: Any) -> tuple[int, int]:
    first, second = np.broadcast_to(np.asarray(value), 2).tolist()
    return first, second


# --- SpikingJelly -----------------------------------------------------------------------------------------------------


def by_spikingjelly(file: File, inputs: Tensor) -> Ran:
    """As SpikingJelly reads the graph. It refuses to write a soft reset to NIR, but its neurons have one."""
    from spikingjelly.activation_based import neuron
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    network, state, readouts = import_from_nir(file.graph, dt=DT), None, []
    fired: dict[str, list[Tensor]] = {}
    for name, module in network.named_children():
        if isinstance(getattr(module, "module", None), neuron.BaseNode):
            module.module.v_reset = None if file.soft else module.module.v_reset
            heard = fired.setdefault(name, [])
            module.register_forward_hook(lambda _, __, given, heard=heard: heard.append(given[0]))
    with torch.no_grad():
        for frame in file.frames(inputs):
            readout, state = network(frame, state)
            readouts.append(readout)
    return Ran(torch.stack(readouts), {name: torch.stack(each) for name, each in fired.items()})
