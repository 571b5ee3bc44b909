"""A spike trace with leak 1/2 as the bits of an integer: exact, and as narrow as the number of steps allows.

    a[t] = a[t-1] / 2 + s[t] = h[t] / 2^(bits - 1),    h[t] = (h[t-1] >> 1) | (s[t] << (bits - 1))

The highest bit is the latest spike, so that bits 7, 6, ... of a byte are s[t], s[t-1], ...; up to `bits` steps nothing
is lost. For any other leak, or for more steps, the history is the trace itself in single precision.
"""

from __future__ import annotations

import torch
from torch import Tensor

BITS = {torch.uint8: 8, torch.uint16: 16}


def narrowest(leak: float, steps: int) -> torch.dtype:
    """The narrowest type in which a trace over so many steps is exact; single precision where no integer is."""
    exact = [dtype for dtype, bits in BITS.items() if leak == 0.5 and steps <= bits]
    return exact[0] if exact else torch.float32


def decode(history: Tensor, dtype: torch.dtype) -> Tensor:
    """The trace in a floating-point type; a trace that is kept as such, as it is."""
    if history.dtype not in BITS:
        return history.to(dtype)
    return history.float().div_(2.0 ** (BITS[history.dtype] - 1)).to(dtype)


def push_(history: Tensor, fired: Tensor, leak: float) -> Tensor:
    """One step further, in place: fired holds 1 where a neuron spiked, 0 elsewhere."""
    if history.dtype not in BITS:
        return torch.add(fired, history, alpha=leak, out=history)
    latest = BITS[history.dtype] - 1
    return history.copy_((history.int() >> 1) | (fired.int() << latest))
