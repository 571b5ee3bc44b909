"""One way from a trained network to a smaller one, which is then trained on, deployed and counted as what it is.

A method says how the tensors of the smaller network come from those of the base; the rest is here:

    class Mine(Compression):
        def compress(self, base: Base) -> Smaller: ...
        def count(self, base: Base, nodes: int) -> int: ...     # unless it keeps whole nodes
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from harness import Batch, Fit, Prediction, Problem, Training, Unsupported, derive
from harness_recurrent import equations, network, prediction, training
from harness_recurrent.network import Network
from harness_recurrent.statistics import Statistics
from harness_recurrent.training import Scalars, State
from harness_torch.training import facts


@dataclass
class Base:
    """The network to compress. tensors: of the trained network, float64. generator: seeded by the trial, on the CPU."""

    network: Network
    tensors: dict[str, Tensor]
    statistics: Statistics
    generator: torch.Generator

    @cached_property
    def widths(self) -> list[int]:
        """Nodes of each layer."""
        return [network.width(self.network, self.tensors, layer) for layer in range(self.network.layers)]

    @property
    def size(self) -> int:
        """Numbers in all."""
        return sum(tensor.numel() for tensor in self.tensors.values())


class Smaller(NamedTuple):
    """A smaller network: its tensors, and facts for the record on how they came to be.

    later: makes further facts, which are computed for the record alone, when nothing is timed.
    """

    tensors: Mapping[str, Tensor]
    said: Mapping[str, Any] = {}
    later: Callable[[], Mapping[str, Any]] = dict


class Compression:
    """Starts from the base's arrays, makes them smaller in `prepare`, and trains the smaller network."""

    def __init__(self, options: Any) -> None:
        self.options = options

    def compress(self, base: Base) -> Smaller:
        """Tensors of the smaller network. Raises Unsupported where the base does not allow it."""
        raise NotImplementedError

    def count(self, base: Base, nodes: int) -> int:
        """Numbers of the network that is left at this size: with layers of so many nodes."""
        return count_numbers(base, nodes)

    def deployed(self, state: State) -> Mapping[str, Tensor]:
        """Tensors of the deployed network: those that are trained, unless a method stores them otherwise."""
        return state.tensors

    def init(self, problem: Problem, training_: Training, base: Mapping[str, Tensor] | None) -> State:
        """The state with the base itself. Raises Unsupported for arrays of another network, or an untrained one."""
        net = network.build(problem, training_, self.options)
        if base is None:
            raise Unsupported("a compression starts from a trained network, and there is none")
        network.check_arrays(base, net, self.options)
        _refuse_untrained(base, net, self.options, training_.seed)
        return training.begin(net, base, training_, self.options)

    def prepare(self, state: State, fit: Fit) -> State:
        """The smaller network, ready for its first update."""
        return self.begin_smaller(state, self.compress(build_base(state, fit)))

    def begin_smaller(self, state: State, smaller: Smaller) -> State:
        """The state of a smaller network before its first update; that of the base is its teacher's, if it has one."""
        teacher = {name: tensor.detach() for name, tensor in state.parameters.items()} if self.options.teacher else {}
        said = {"said": dict(smaller.said), "later": smaller.later}
        return training.begin(state.network, smaller.tensors, state.terms, self.options, teacher=teacher, **said)

    def update(self, state: State, batch: Batch) -> tuple[State, Scalars]:
        return state, training.update(state, batch)

    def reference(self, state: State, batch: Batch) -> tuple[State, Scalars]:
        """An update by the equations, in float64; see `harness_torch.agreement.sides`."""
        return equations.update(state, batch)

    def predict(self, state: State, inputs: Tensor) -> Prediction:
        return prediction.predict(state.network, self._make_deployed(state), inputs)

    def describe(self, state: State) -> Mapping[str, object]:
        return training.describe(state, self._make_deployed(state))

    def save(self, state: State) -> Mapping[str, Tensor]:
        return facts.detach(self._make_deployed(state))

    def _make_deployed(self, state: State) -> Mapping[str, Tensor]:
        """Make the deployed tensors, once for weights that have not changed: predictions shall not be timed with it."""
        stamp = (state.updates, *(tensor._version for tensor in state.parameters.values()))
        if state.made is None or state.made[0] != stamp:
            with torch.no_grad():
                state.made = stamp, self.deployed(state)
        return state.made[1]

    def size(self, base: Base) -> int:
        """Nodes that are left of each layer, or that stand for as many weights; the most that `parameters` allows.

        Raises Unsupported where not even one is allowed.
        """
        if self.options.kept is not None:
            return min(self.options.kept, min(base.widths))
        most = self.options.parameters
        fitting = [nodes for nodes in range(1, min(base.widths) + 1) if self.count(base, nodes) <= most]
        if not fitting:
            least = self.count(base, 1)
            raise Unsupported(
                f"parameters={most}: the smallest network that this leaves has {least}; give at least that"
            )
        return max(fitting)


def build_base(state: State, fit: Fit) -> Base:
    """Build the base from a state that `init` made, with the statistics of the training rows."""
    tensors = {name: tensor.detach().to(torch.float64, copy=True) for name, tensor in state.parameters.items()}
    seen = {name: tensor.detach() for name, tensor in state.parameters.items()}
    statistics = Statistics(state.network, seen, fit.train, state.terms.batch_size)
    generator = torch.Generator().manual_seed(derive(state.terms.seed, "compression"))
    return Base(state.network, tensors, statistics, generator)


def count_numbers(base: Base, nodes: int) -> int:
    """Numbers of the network with so many nodes in each layer."""
    total = sum(count_tensor_numbers(base, name, nodes) for name in base.tensors)
    if base.network.tokens and "readout.weight" not in base.tensors:
        total += base.network.outputs * nodes  # a readout that no longer is the embedding
    return total


def count_tensor_numbers(base: Base, name: str, nodes: int) -> int:
    """Numbers of one tensor, in the network with so many nodes in each layer."""
    tensor = base.tensors[name]
    rows, columns = tensor.shape[0], tensor.shape[1] if tensor.dim() == 2 else 1
    layer = int(name.split(".")[1]) if name.startswith("cells.") else None
    if layer is not None:
        rows = rows // base.widths[layer] * nodes
    reads = name.endswith("recurrent.weight") or name == "readout.weight" or (layer and name.endswith("input.weight"))
    return rows * (nodes if reads else columns)


def _refuse_untrained(base: Mapping[str, Tensor], net: Network, options: Any, seed: int) -> None:
    start = network.draw_initial(net, options, seed)
    if all(torch.equal(base[name].cpu(), start[name].to(base[name].dtype)) for name in start):
        raise Unsupported(
            "the base is untrained: its weights are those it started with; give it updates that change them"
        )
