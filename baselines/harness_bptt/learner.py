"""Backpropagation through time with surrogate gradients (Neftci et al., IEEE Signal Processing Magazine 2019).

    delta[t] = phi(u[t] - V_th) dL/ds[t] + leak delta[t+1],    dW = sum_t delta[t] (P s_below[t])'

With detach_reset=no, the reset's own derivative, -V_th leak delta[t+1], is added to dL/ds[t].
The recursion itself is `harness_spiking.lif`: layer by layer, all steps of a layer in one linear operation, unless time
is cut into parts (`recomputed`).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from harness import Batch
from harness_bptt import BPTTOptions, packed, recomputed, reference
from harness_spiking import lif, losses
from harness_spiking import reference as plainly
from harness_spiking.learner import LIFLearner, Rows, State
from harness_spiking.network import Network
from harness_spiking.weights import Weights


class BPTT(LIFLearner[BPTTOptions]):
    """The exact gradient of the mean loss over time, at a memory that grows with the number of steps, or, with
    recompute, with its root.
    """

    def learn(self, state: State, rows: Rows) -> Tensor:
        if self.options.in_parts:
            return recomputed.learn(state, rows, self.options)
        return losses.learn_once(state, rows, lambda weights, part: self._logits(state.network, part, weights))

    def _logits(self, network: Network, rows: Rows, weights: Weights) -> Tensor:
        """Read out all steps, (T * B, classes)."""
        frames, outlets = network.frames(rows.inputs), rows.outlets(network)
        run = packed.run if self.options.saved == "packed" else lif.run
        return run(network, weights, frames, self.options.detach_reset, outlets).flatten(0, 1)

    def reference(self, state: State, batch: Batch) -> tuple[State, Mapping[str, Tensor]]:
        """`update`, as the papers write it."""
        return plainly.update(state, batch, lambda net: reference.losses(net, self.options))

    def describe(self, state: State) -> Mapping[str, object]:
        described, options = super().describe(state), self.options
        if options.recompute is None:
            return described
        return {**described, "recompute": options.kept_every(state.network.steps)}


def build(options: BPTTOptions) -> BPTT:
    return BPTT(options)
