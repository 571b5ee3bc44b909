"""Backpropagation through time with surrogate gradients (Neftci et al., IEEE Signal Processing Magazine 2019).

    delta[t] = phi(u[t] - V_th) dL/ds[t] + leak delta[t+1],    dW = sum_t delta[t] (P s_below[t])'

With detach_reset=no, the reset's own derivative, -V_th leak delta[t+1], is added to dL/ds[t].
The recursion itself is `harness_spiking.lif`: layer by layer, all steps of a layer in one linear operation, unless time
is cut into parts (`recomputed`).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from harness import Batch, ClassLogProbs, Problem, Training
from harness_bptt import BPTTOptions, packed, recomputed, reference
from harness_spiking import lif
from harness_spiking import reference as plainly
from harness_spiking import training as shared
from harness_spiking.agree import SPIKES
from harness_spiking.kernels import eager
from harness_spiking.network import Network
from harness_spiking.training import Rows, State
from harness_spiking.weights import Weights
from harness_torch.training import facts


class BPTT:
    """The exact gradient of the mean loss over time, at a memory that grows with the number of steps, or, with
    recompute, with its root.
    """

    agreement = SPIKES

    def __init__(self, options: BPTTOptions) -> None:
        self.options = options

    def init(self, problem: Problem, training: Training, base: Mapping[str, Tensor] | None) -> State:
        del base
        state = shared.begin(problem, training, self.options)
        if self.options.saved == "packed" or state.network.feedback or state.network.hard_reset:
            state.network = state.network._replace(kernels=eager)  # what there is no kernel for; so the record says
        return state

    def update(self, state: State, batch: Batch) -> tuple[State, Mapping[str, Tensor]]:
        return shared.update(state, batch, self._learn)

    def reference(self, state: State, batch: Batch) -> tuple[State, Mapping[str, Tensor]]:
        """`update`, as the papers write it."""
        return plainly.update(state, batch, lambda net: reference.losses(net, self.options))

    def _learn(self, state: State, rows: Rows) -> Tensor:
        if self.options.in_parts:
            return recomputed.learn(state, rows, self.options)
        return shared.learn_once(state, rows, lambda weights, part: self._logits(state.network, part, weights))

    def _logits(self, network: Network, rows: Rows, weights: Weights) -> Tensor:
        """Of all steps, (T * B, classes)."""
        frames, outlets = network.frames(rows.inputs), rows.outlets(network)
        run = packed.run if self.options.saved == "packed" else lif.run
        return run(network, weights, frames, self.options.detach_reset, outlets).flatten(0, 1)

    def over_time(self, network: Network) -> Tensor:
        """What the readout of each step counts in a prediction, (T,)."""
        return shared.uniform(network)

    def predict(self, state: State, inputs: Tensor) -> ClassLogProbs:
        return shared.predict(state.network, inputs, self.over_time(state.network))

    def describe(self, state: State) -> Mapping[str, object]:
        described, options = shared.describe(state), self.options
        if options.recompute is None:
            return described
        return {**described, "recompute": options.kept_every(state.network.steps)}

    def save(self, state: State) -> Mapping[str, Tensor]:
        return facts.save(state)


def build(options: BPTTOptions) -> BPTT:
    return BPTT(options)
