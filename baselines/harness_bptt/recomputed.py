"""BPTT that keeps the state of every k-th step alone, and computes what lies between again (Chen et al. 2016).

Time is cut into segments of k steps. All but the last pass without a graph; what is left of them is the state that
each began with. Then, the last one first, every segment is run again with its graph, differentiated and let go: T / k
states and the graph of k steps are held at a time, about 2 sqrt(T) in place of T, for a second forward pass of all
segments but the last.

A segment goes in chunks of steps, each with a graph of its own. The state that leads from one chunk to the next is a
leaf in between, whose gradient is handed back. So the order of every sum is that of the chunks, wherever segments end:
gradients are to the last bit those of the same chunks with nothing recomputed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from harness_bptt import BPTTOptions
from harness_spiking import lif, losses, stepwise
from harness_spiking.learner import Rows, State
from harness_spiking.network import Network
from harness_spiking.passes import compute_current
from harness_spiking.spikes import unheard
from harness_spiking.weights import Weights
from harness_torch import time_steps

Carried = tuple[Tensor, ...]  # the state between two steps; nothing at rest
Steps = tuple[int, int]  # from the first one to behind the last


class Chunk(NamedTuple):
    """Steps with their graph: the state before them, as leaves, their readouts (K * B, classes), the state behind."""

    before: Carried
    logits: Tensor
    behind: Carried


def segments(steps: int, every: int, chunk: int) -> list[list[Steps]]:
    """The chunks of each segment of `every` steps."""
    return [
        [(at, min(at + chunk, start + every, steps)) for at in range(start, min(start + every, steps), chunk)]
        for start in range(0, steps, every)
    ]


def learn(state: State, rows: Rows, options: BPTTOptions) -> Tensor:
    """One mini-batch; returns the loss."""
    weights, network = Weights(state.network), state.network
    cut = segments(network.steps, options.kept_every(network.steps), options.steps_together(network.steps))

    def learn_part(part: Rows, share: float) -> Tensor:
        way = _choose(network)(network, weights, part, options.detach_reset)
        with weights.summed_apart():
            return _Passes(way, cut).learn(lambda logits: losses.go_back(state, part, logits, share))

    return losses.learn_parts(state, rows, weights, learn_part)


class _Passes:
    """Forward and back through the segments of one micro-batch."""

    def __init__(self, way: LayerByLayer | StepByStep, cut: list[list[Steps]]) -> None:
        self.way, self.cut = way, cut
        self.starts: list[Carried] = []  # the state that each segment begins with, up to the one that is at work

    def learn(self, go_back: Callable[[Tensor], Tensor]) -> Tensor:
        """go_back: takes all readouts (T * B, classes) and returns their loss, having differentiated it."""
        chunks = self._forward()
        logits = torch.cat(self.outputs).requires_grad_()
        loss = go_back(logits)
        assert logits.grad is not None
        self._backward(chunks, list(logits.grad.split([len(each) for each in self.outputs])))
        self.way.settle()
        return loss

    def _forward(self) -> list[Chunk]:
        """All steps once; returns the last segment, with its graph."""
        self.outputs: list[Tensor] = []
        chunks: list[Chunk] = []
        carried: Carried = ()
        for index in time_steps(len(self.cut)):
            self.starts.append(carried)
            if index + 1 < len(self.cut):
                carried = self._pass(self.cut[index], carried)
            else:
                chunks = self._with_graph(self.cut[index], self.starts.pop())
                self.outputs += [chunk.logits.detach() for chunk in chunks]
        return chunks

    @torch.no_grad()
    def _pass(self, steps: list[Steps], carried: Carried) -> Carried:
        for start, stop in steps:
            logits, carried = self.way.advance(start, stop, carried, True)
            self.outputs.append(logits)
        return carried

    def _with_graph(self, steps: list[Steps], carried: Carried) -> list[Chunk]:
        chunks = []
        for start, stop in steps:
            before = tuple(each.detach().requires_grad_() for each in carried)
            known = (start, stop) != steps[-1]  # the next segment's start has been kept
            chunks.append(Chunk(before, *self.way.advance(start, stop, before, known)))
            carried = chunks[-1].behind
        return chunks

    def _backward(self, chunks: list[Chunk], gradients: list[Tensor]) -> None:
        handed = _differentiate(chunks, gradients, ())
        while self.starts:
            with unheard():
                chunks = self._with_graph(self.cut[len(self.starts) - 1], self.starts.pop())
            handed = _differentiate(chunks, gradients, handed)


def _differentiate(chunks: list[Chunk], gradients: list[Tensor], handed: Carried) -> Carried:
    """Back through these chunks, the last one first, which are let go, as are the readouts' gradients; returns that of
    the state before them. handed: that of the state behind, nothing where no step follows.
    """
    while chunks:
        before, logits, behind = chunks.pop()
        roots = [logits, *behind] if handed else [logits]
        torch.autograd.backward(roots, [gradients.pop(), *handed])
        handed = tuple(map(_gradient, before))
    return handed


def _gradient(leaf: Tensor) -> Tensor:
    assert leaf.grad is not None
    return leaf.grad


class LayerByLayer:
    """Chunks of steps that go through a layer together. The state: each population's potential."""

    def __init__(self, network: Network, weights: Weights, rows: Rows, detach_reset: bool) -> None:
        self.network, self.weights, self.detach_reset = network, weights, detach_reset
        self.frames, self.following = network.frames(rows.inputs), rows.outlets(network)
        self.held = len(self.frames) < network.steps
        if self.held:  # computed once, differentiated once
            self.source = lif.constant(network, weights, self.frames)
            self.current = self.source.detach().requires_grad_()

    def advance(self, start: int, stop: int, carried: Carried, known: bool) -> tuple[Tensor, Carried]:
        """The readouts (K * B, classes) of the steps from `start` on, before `stop`, and the state behind them.

        known: whether the values of that state are wanted, or its place in the graph alone.
        """
        before = None if self._alone(start, stop) else carried or self._rest()
        h, behind = lif.through_layers(
            self.network,
            self.weights,
            self._source(start, stop),
            self.held,
            stop - start,
            before,
            self.detach_reset,
            self.following,
            known,
        )
        return compute_current(h, self.weights.readout, self.weights.readout.bias).whole(), tuple(behind)

    def _source(self, start: int, stop: int) -> Tensor:
        if not self.held:
            return self.frames[start:stop]
        if self._alone(start, stop):
            return self.source
        return self.current if torch.is_grad_enabled() else self.current.detach()

    def _alone(self, start: int, stop: int) -> bool:
        """Whether one chunk is all, which is then plain BPTT."""
        return (start, stop) == (0, self.network.steps)

    def _rest(self) -> Carried:
        layers, rows = self.network.architecture.layers, self.frames.shape[1]
        return tuple(self.network.population(layer, rows).sub_(self.network.neuron.threshold) for layer in layers)

    def settle(self) -> None:
        """Send a still input's gradient on to the first layer."""
        if self.held and self.current.grad is not None:
            self.source.backward(self.current.grad)


class StepByStep:
    """One step at a time, with feedback or a hard reset; see `harness_spiking.stepwise`."""

    def __init__(self, network: Network, weights: Weights, rows: Rows, detach_reset: bool) -> None:
        self.network, self.weights, self.detach_reset = network, weights, detach_reset
        self.frames, self.following = network.frames(rows.inputs), rows.outlets(network)

    def advance(self, start: int, stop: int, carried: Carried, known: bool) -> tuple[Tensor, Carried]:
        """See `LayerByLayer.advance`. Autograd's own operations have all values."""
        del known
        assert stop == start + 1
        frame = self.frames[start if len(self.frames) > 1 else 0]
        return stepwise.step(self.network, self.weights, frame, carried, self.detach_reset, self.following)

    def settle(self) -> None:
        """Nothing is left to do."""


def _choose(network: Network) -> type[LayerByLayer | StepByStep]:
    return StepByStep if network.feedback or network.hard_reset else LayerByLayer
