"""A whole update as one CUDA graph: captured once its allocations and algorithms are steady, replayed from then on.

A graph replays fixed addresses, so each mini-batch is copied to where the captured one lay; what is updated in place
(parameters, momentum, traces that live within the update) stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

WARMUP_UPDATES = 3  # algorithms are chosen, kernels compiled, the optimiser's state made


class Replay:
    """Calls a function of tensors that returns a tensor, the first times as it is, then as a captured graph.

    The function takes steps of the optimiser.
    """

    def __init__(self, optimiser: torch.optim.Optimizer) -> None:
        self._optimiser = optimiser
        self._calls = 0
        # One for all calls: the allocator keeps for each stream what was freed on it.
        self._stream = torch.cuda.Stream()
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor] = []
        self._output: Tensor | None = None

    @property
    def captured(self) -> bool:
        """Whether what runs now is the graph."""
        return self._graph is not None

    def __call__(self, function: Callable[..., Tensor], inputs: list[Tensor]) -> Tensor:
        """function(*inputs). Tensors of other shapes than the captured ones are computed with as they are."""
        self._calls += 1
        if self._calls <= WARMUP_UPDATES or not self._fits(inputs):
            return self._aside(function, inputs)
        if self._graph is None:
            self._capture(function, inputs)
        for kept, given in zip(self._inputs, inputs, strict=True):
            kept.copy_(given)
        assert self._graph is not None
        assert self._output is not None
        self._graph.replay()
        return self._output.clone()

    def _fits(self, inputs: list[Tensor]) -> bool:
        return self._graph is None or [x.shape for x in inputs] == [x.shape for x in self._inputs]

    def _aside(self, function: Callable[..., Tensor], inputs: list[Tensor]) -> Tensor:
        """On the stream of what is captured later: autograd keeps the stream of each operator."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            output = function(*inputs)
        torch.cuda.current_stream().wait_stream(self._stream)
        return output

    def _capture(self, function: Callable[..., Tensor], inputs: list[Tensor]) -> None:
        self._inputs = [tensor.clone() for tensor in inputs]
        # Gradients from before lie in memory that would be given away later, under the graph's feet.
        self._optimiser.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            self._output = function(*self._inputs)
        self._graph = graph
