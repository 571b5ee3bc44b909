"""SAF as the paper writes it (Saiin et al., TMLR 2024, arXiv 2310.02772), for `harness agree saf --reference`."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from harness_saf import SAFOptions
from harness_spiking.reference import Below, PlainNetwork, clamped_slope, seen_as


def losses(net: PlainNetwork, options: SAFOptions) -> Iterator[Tensor]:
    """SAF-E: the loss of each step. SAF-F: that of the last one alone. The past is a constant to each."""
    leak, threshold, steps = options.leak, options.threshold, len(net.inputs)
    theory, feedback = options.resolved_convention == "theory", options.feedback
    a: list[Tensor | float] = [0.0] * net.depth  # a[t-1] of each population, (B, ...)
    trace_of_input: Tensor | float = 0.0
    first: Tensor | float = 0.0  # U[t-1] of the first layer, feedback left out
    before: Tensor | float = 0.0  # of the readout, one step ago
    L = 0.0
    for t, x in enumerate(net.inputs, start=1):
        last, earlier, L = a[-1], L, 1 + leak * L  # L_t = 1 + leak L_{t-1}: the trace of a constant one
        trace_of_input = leak * trace_of_input + x  # x^[t] = leak x^[t-1] + x[t]
        h, below = trace_of_input, Below()
        for layer in range(net.depth):
            # U[t] = W P a_below[t] + L_t b; officially this step's b alone has a gradient
            U = net.linear(layer, h, L)
            if not theory:
                U = seen_as(U, net.linear(layer, h))
            if layer == 0 and not theory:
                U = leak * first + net.linear(0, x)  # U[t] = leak U[t-1] + W x[t] + b
                first = U.detach()
            if layer == 0 and feedback and isinstance(last, Tensor):
                # + W up(a_last[t-1]) + L_{t-1} b
                U = U + seen_as(net.returned(last, earlier), net.returned(last, earlier if theory else 1.0))
            U = net.joined(layer, U, below)
            z = U - threshold * (leak * a[layer] + 1)  # = u[t] - V_th, with u[t] = U[t] - leak V_th a[t-1]
            slope = None
            if options.surrogate == "clamp":  # a[T] / L_T as clamp(U[T] / (L_T V_th), 0, 1)
                slope = clamped_slope(U / (L * threshold)) / threshold
            trace = leak * a[layer] + net.fire(layer, z, slope)  # a[t] = leak a[t-1] + s[t], s[t] = H(z)
            a[layer], h = trace.detach(), net.sent(layer, trace)  # h = P a[t]
            below.add(U, h)
        if options.variant == "final":
            if t == steps:
                yield net.loss(net.readout(h, L) / L)  # of the rates a[T] / L_T: (W P a[T] + L_T b) / L_T
        elif theory:
            yield net.loss(net.readout(h - leak * before)) / steps  # W P s[t] + b, s[t] = a[t] - leak a[t-1]
            before = h.detach()
        else:
            total = seen_as(net.readout(h, L), net.readout(h))  # O[t] = W P a[t] + L_t b
            yield net.loss(total - leak * before) / steps  # o[t] = O[t] - leak O[t-1] = W P s[t] + b
            before = total.detach()
