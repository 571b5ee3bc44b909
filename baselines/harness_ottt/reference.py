"""OTTT as the paper writes it (Xiao et al., NeurIPS 2022, arXiv 2210.04195), for `harness agree ottt --reference`."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from harness_ottt import OTTTOptions
from harness_spiking.reference import Below, PlainNetwork, seen_as


def losses(net: PlainNetwork, options: OTTTOptions) -> Iterator[Tensor]:
    """The loss of each step, whose gradient is local in time:

        e[t] = phi(u[t] - V_th) P' W_above' e_above[t],    dW += e[t] (P a_below[t])',    db += e[t]

    With presynaptic=spike (SLTT) the spike s_below[t] stands for its trace a_below[t].
    """
    leak, threshold, steps = options.leak, options.threshold, len(net.inputs)
    theory, traced = options.resolved_convention == "theory", options.presynaptic == "trace"
    v: list[Tensor | float] = [0.0] * net.depth  # u[t-1] - V_th s[t-1] of each population, (B, ...)
    a: list[Tensor | float] = [0.0] * net.depth  # a[t-1]
    back: tuple[Tensor, Tensor] | None = None  # s[t-1] and a[t-1] of the last population, for feedback
    trace_of_input: Tensor | float = 0.0
    L = 0.0
    for x in net.inputs:
        earlier, L = L, 1 + leak * L  # L_t = 1 + leak L_{t-1}: the trace of a constant one
        trace_of_input = leak * trace_of_input + x  # x^[t] = leak x^[t-1] + x[t]
        count, count_before = (L, earlier) if theory else (1.0, 1.0)  # how often b is in the gradient
        h, seen = x, trace_of_input if theory else x  # the value of a linear map is of h, its gradient of `seen`
        below = Below()
        for layer in range(net.depth):
            current = seen_as(net.linear(layer, h), net.linear(layer, seen, count))  # I[t] = W P s_below[t] + b
            if layer == 0 and back is not None:  # + W up(s_last[t-1]) + b
                current = current + seen_as(net.returned(back[0]), net.returned(back[1], count_before))
            current = net.joined(layer, current, below)
            u = leak * v[layer] + current  # u[t] = leak (u[t-1] - V_th s[t-1]) + I[t], the past a constant
            s = net.fire(layer, u - threshold)  # s[t] = H(u[t] - V_th), ds/du = phi(u[t] - V_th)
            trace = leak * a[layer] + s if traced else s  # a[t] = leak a[t-1] + s[t]
            v[layer], a[layer] = (u - threshold * s).detach(), trace.detach()
            h, seen = net.sent(layer, s), net.sent(layer, trace)
            below.add(current, h, seen)
        if options.feedback:
            back = s.detach(), trace.detach()
        o = net.readout(h)  # o[t] = W P s[t] + b; officially its gradient sees P a[t], as every other layer's
        yield net.loss(o if theory else seen_as(o, net.readout(seen))) / steps
