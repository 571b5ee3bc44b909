"""Weights in eight bits, activations as they are: row i of W is s_i Q_i with s_i = max_j |W_ij| / 127, Q_i = W_i / s_i
rounded.

All input, recurrent and readout weights are stored so; biases and embeddings, and with them a tied readout, stay
floats. Fine-tuning trains floats, which are rounded when deployed. A prediction multiplies with s Q in floats: that
saves bytes, not operations.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from harness import Fit
from harness_int8 import Int8Options
from harness_recurrent import forms
from harness_recurrent import reference as plainly
from harness_recurrent.compression import Base, Compression, Smaller
from harness_recurrent.training import State
from harness_recurrent.weights import list_removable


class Int8(Compression):
    """The base, deployed in eight bits."""

    options: Int8Options

    def compress(self, base: Base) -> Smaller:
        """Keep the base as it is: floats are trained on."""
        return Smaller(base.tensors, {"bits": 8})

    def size(self, base: Base) -> int:
        """All nodes are left."""
        return min(base.widths)

    def reference_prepare(self, state: State, fit: Fit) -> State:
        """Prepare the base as it is; weights are rounded to eight bits when deployed."""
        return plainly.prepare(self, state, fit, lambda plain, _: Smaller(plain.tensors, {"bits": 8}))

    def deployed(self, state: State) -> Mapping[str, Tensor]:
        made = dict(state.tensors)
        for name in list_removable(state.tensors, "all"):
            prefix = name.removesuffix("weight")
            made |= {f"{prefix}{part}": each for part, each in forms.quantise(made[name].detach()).items()}
        return made


def build(options: Int8Options) -> Int8:
    return Int8(options)
