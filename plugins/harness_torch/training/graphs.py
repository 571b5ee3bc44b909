"""A whole update as one CUDA graph: captured once its allocations and algorithms are steady, replayed from then on.

A graph replays fixed addresses, so each mini-batch is copied to where the captured one lay; tensors that are updated in
place (parameters, momentum, traces that live within the update) stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

WARMUP_UPDATES = 3  # algorithms are chosen, kernels compiled, the optimiser's state made

Outputs: TypeAlias = Mapping[str, Tensor]
Carried: TypeAlias = Sequence[Tensor]
Function: TypeAlias = Callable[..., tuple[Outputs, Carried]]


class Replay:
    """Calls a function of tensors, the first times as it is, then as a captured graph; always as it is on a CPU.

    The function, `function(*inputs, *carried) -> (outputs, carried)`, takes steps of the optimiser. Its outputs are
    tensors by name. Tensors that it carries go into the next call, detached from the graph of autograd that made them.
    generators: those that it draws from, beside torch's own; a graph draws anew at each replay.
    """

    def __init__(
        self, optimiser: torch.optim.Optimizer, captures: bool, generators: Sequence[torch.Generator] = ()
    ) -> None:
        self._optimiser, self._generators = optimiser, generators
        self._calls = 0
        # One for all calls: the allocator keeps freed memory for the stream it was freed on.
        self._stream = torch.cuda.Stream() if captures else None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor] = []
        self._carried: list[Tensor] = []
        self._outputs: Outputs = {}

    @property
    def captured(self) -> bool:
        """Whether calls replay the captured graph now."""
        return self._graph is not None

    def __call__(self, function: Function, inputs: Sequence[Tensor], carried: Carried = ()) -> tuple[Outputs, Carried]:
        """function(*inputs, *carried). Tensors of other shapes than the captured ones are computed with as they are.

        Carried tensors that are returned are for the next call alone, which overwrites them; a learner may hand in
        others instead, as at the start of a sequence.
        """
        self._calls += 1
        if self._stream is None:
            return function(*inputs, *carried)
        if self._calls <= WARMUP_UPDATES or not self._fits_graph(inputs, carried):
            return self._run_aside(self._stream, function, [*inputs, *carried])
        if self._graph is None:
            self._graph = self._capture(self._stream, function, inputs, carried)
        _copy_into([*self._inputs, *self._carried], [*inputs, *carried])
        self._graph.replay()
        return {name: output.clone() for name, output in self._outputs.items()}, self._carried

    def _fits_graph(self, inputs: Sequence[Tensor], carried: Carried) -> bool:
        kept = [*self._inputs, *self._carried]
        return self._graph is None or [x.shape for x in (*inputs, *carried)] == [x.shape for x in kept]

    def _run_aside(
        self, stream: torch.cuda.Stream, function: Function, tensors: Sequence[Tensor]
    ) -> tuple[Outputs, Carried]:
        """Run the function on the stream of the later capture: autograd keeps the stream of each operator."""
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            returned = function(*tensors)
        torch.cuda.current_stream().wait_stream(stream)
        return returned

    def _capture(
        self, stream: torch.cuda.Stream, function: Function, inputs: Sequence[Tensor], carried: Carried
    ) -> torch.cuda.CUDAGraph:
        self._inputs, self._carried = [x.clone() for x in inputs], [x.clone() for x in carried]
        # Gradients from before lie in memory that would be given away later, under the graph's feet.
        self._optimiser.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph, stream=stream):
            self._outputs, left = function(*self._inputs, *self._carried)
            _copy_into(self._carried, left)
        return graph


def _copy_into(kept: Sequence[Tensor], given: Sequence[Tensor]) -> None:
    """Copy tensors to where a graph reads from, unless they lie there already."""
    for to, tensor in zip(kept, given, strict=True):
        if to is not tensor:
            to.copy_(tensor)
