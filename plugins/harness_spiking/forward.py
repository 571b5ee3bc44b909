"""Rows on their way through time, for methods whose gradients are local in time."""

from __future__ import annotations

from torch import Tensor

from harness_spiking.biases import traces_of_one
from harness_spiking.drive import Drive, InputTrace
from harness_spiking.learner import Rows
from harness_spiking.network import Network
from harness_spiking.weights import Weights


class Forward:
    """One forward pass; everything carried from step to step is a constant to autograd. A method adds `logits`.

    frames: (T, B, ...), or (1, B, ...) for an input that stays the same. of_one: L_1 to L_T, the trace of a constant
    one. counts: how often a bias counts in the gradient of each step: in theory L_t, officially once. start, stop: the
    steps that go together now.
    """

    def __init__(self, network: Network, rows: Rows, theory: bool) -> None:
        self.network, self.neuron, self.theory = network, network.neuron, theory
        self.apart = network.adds_shifts
        self.frames = network.frames(rows.inputs)
        self.outlets = rows.outlets(network)
        self.of_one = traces_of_one(self.neuron.leak, network.steps)
        self.counts = self.of_one if theory else [1.0] * network.steps
        self.input_trace = InputTrace(self.neuron.leak)
        self.start = self.stop = 0

    def use(self, weights: Weights, once: bool = False) -> None:
        """Compute with this version of the weights; a still input's first layer is computed with it once.

        once: there will be one backward pass alone.
        """
        self.weights = weights
        self.drive = Drive(self.frames[0], weights.layers[0], once) if len(self.frames) == 1 else None

    def logits(self, steps: int) -> Tensor:
        """So many more time steps; returns their readouts (steps * B, classes)."""
        raise NotImplementedError

    def settle(self) -> None:
        """Hand over the gradient of a still input's current, and let the weights go."""
        if self.drive is not None:
            self.drive.settle()
        del self.weights, self.drive
