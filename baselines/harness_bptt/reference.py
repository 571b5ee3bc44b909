"""BPTT as the papers write it (Neftci et al. 2019), for `harness agree bptt --reference`."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from harness_bptt import BPTTOptions
from harness_spiking.reference import Below, PlainNetwork


def losses(net: PlainNetwork, options: BPTTOptions) -> Iterator[Tensor]:
    """One, the mean over time, on the graph of all steps, through which autograd is

        delta[t] = phi(u[t] - V_th) P' W_above' delta_above[t] + leak delta[t+1],    dW = sum_t delta[t] (P s_below[t])'

    and, where the reset is no constant, phi(u[t] - V_th) times -leak V_th delta[t+1] more (soft reset).
    """
    yield sum(net.loss(o) for o in readouts(net, options)) / len(net.inputs)  # type: ignore[misc]


def readouts(net: PlainNetwork, options: BPTTOptions) -> Iterator[Tensor]:
    """Read out the LIF network at every step, (B, classes) each, all in one graph."""
    leak, threshold = options.leak, options.threshold
    v: list[Tensor | float] = [0.0] * net.depth  # what the reset leaves of u[t-1], (B, ...)
    last: Tensor | None = None  # s[t-1] of the last population, for feedback
    for x in net.inputs:
        h, below = x, Below()
        for layer in range(net.depth):
            current = net.linear(layer, h)  # I[t] = W P s_below[t] + b
            if layer == 0 and last is not None:
                current = current + net.returned(last)  # + W up(s_last[t-1]) + b
            current = net.joined(layer, current, below)
            u = leak * v[layer] + current
            s = net.fire(layer, u - threshold)  # s[t] = H(u[t] - V_th), ds/du = phi(u[t] - V_th)
            fell = s.detach() if options.detach_reset else s
            # soft reset: v[t] = u[t] - V_th s[t]; hard: v[t] = u[t] (1 - s[t])
            v[layer] = u * (1 - fell) if options.reset == "hard" else u - threshold * fell
            h = net.sent(layer, s)  # P s[t]
            below.add(current, h)
        last = s if options.feedback else None
        yield net.readout(h)  # o[t] = W P s[t] + b
