"""Spike Representation as the papers write it (Xiao et al., NeurIPS 2022, section 3; DSR: Meng et al., CVPR 2022, arXiv
2205.00459), for `harness agree spike-representation --reference`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt
from statistics import NormalDist

import torch
from torch import Tensor

from harness_spike_representation import Neuron
from harness_spiking.reference import Below, PlainNetwork, clamped_slope, seen_as


def clamp_losses(net: PlainNetwork) -> Iterator[Tensor]:
    """One loss of weighted rates r = sum_t w[t] s[t], w[t] proportional to leak^(T - t), with the gradient of

    r = clamp(z, 0, 1),    z = (W P r_below + b) / V_th
    """
    threshold, w = net.options.threshold, shares(net.options.leak, len(net.inputs))
    rates = lif_rates(net, w)
    h, below = mean(net.inputs, w), Below()  # the mean input stands for the rates below the first layer
    for layer in range(net.depth):
        current = net.joined(layer, net.linear(layer, h), below)  # W P r_below + b
        z = current / threshold
        r = seen_as(rates[layer], clamped_slope(z) * z)  # dr/dz = 1[0 <= z <= 1]
        h = net.sent(layer, r)
        below.add(current, h)
    yield net.loss(net.readout(h))  # W P r + b


@torch.no_grad()
def lif_rates(net: PlainNetwork, w: Sequence[float]) -> list[Tensor]:
    """Rates of each population r, (B, ...), in the LIF network.

    u[t] = leak (u[t-1] - V_th s[t-1]) + W P s_below[t] + b.
    """
    v: list[Tensor | float] = [0.0] * net.depth
    rates: list[Tensor | float] = [0.0] * net.depth
    for share, x in zip(w, net.inputs, strict=True):
        h, below = x, Below()
        for layer in range(net.depth):
            current = net.joined(layer, net.linear(layer, h), below)
            u = net.options.leak * v[layer] + current
            s = net.fire(layer, u - net.options.threshold)
            v[layer], rates[layer] = u - net.options.threshold * s, rates[layer] + share * s
            h = net.sent(layer, s)
            below.add(current, h)
    return [torch.as_tensor(rate) for rate in rates]


def dsr_losses(net: PlainNetwork, neuron: Neuron) -> Iterator[Tensor]:
    """One loss of W P r + b, r = sum_t w[t] out[t] of the last population, by the published rule in every layer.

    Layers see the outputs of all steps, and each step has a gradient of its own.
    """
    w = shares(neuron.decay, len(net.inputs))
    h, below = list(net.inputs), [Below() for _ in w]  # by step
    for layer in range(net.depth):
        threshold = net.parameters[f"layers.{layer}.threshold"]
        with torch.no_grad():
            threshold.clamp_(min=neuron.bound)
        each = [net.joined(layer, net.linear(layer, h[t]), below[t]) for t in range(len(w))]
        outputs = fire(net, layer, each, threshold.double(), neuron, w)
        h = [net.sent(layer, out) for out in outputs]
        for t in range(len(w)):
            below[t].add(each[t], h[t])
    yield net.loss(net.readout(mean(h, w)))


def fire(
    net: PlainNetwork, layer: int, currents: Sequence[Tensor], V: Tensor, neuron: Neuron, w: Sequence[float]
) -> list[Tensor]:
    """out[1] to out[T], (B, ...) each, of currents I[1] to I[T]:

        m[t] = decay m[t-1] + gain I[t],    fired = H(m - fire_at V),    m -= V fired,    out[t] = V fired / dt

    whose gradient is, with x = sum_t w[t] I[t] and g = T sum_t w[t] dL/dout[t],

        lif:  dL/dI[t] = g 1[0 < x < V tau / dt] / (tau T),    dL/dV = dt sum g 1[x > V tau / dt]
        if:   dL/dI[t] = g 1[0 <= x <= V] / T,                 dL/dV = sum g 1[x > V],    w[t] = 1 / T, tau = dt = 1

    Where x is zero but for rounding, as on constant parts of an image while biases are zero, the last digit decides.
    """
    x, ceiling, steps = mean(currents, w).detach(), (V * neuron.constant / neuron.step).detach(), len(w)
    inside = (x > 0) & (x < ceiling) if neuron.leaky else (x >= 0) & (x <= ceiling)
    # The function R whose derivatives times g these are; out[t] is seen as T w[t] R, through which g reaches it.
    R = inside.to(x) * sum(currents) / (neuron.constant * steps) + (x > ceiling).to(x) * neuron.step * V
    m, outputs = torch.zeros_like(x), []
    for share, current in zip(w, currents, strict=True):
        m = neuron.decay * m + neuron.gain * current.detach()
        fired = net.fire(layer, m - neuron.fire_at * V.detach()).detach()
        m = m - V.detach() * fired
        outputs.append(seen_as(V * fired / neuron.step, steps * share * R))
    return outputs


def dsr_scale(neuron: Neuron) -> float:
    """Scale outputs to unit variance, where x is N(0, 1) and out is clamp(x, 0, c) / tau, c = V tau / dt."""
    normal, c = NormalDist(), neuron.threshold * neuron.constant / neuron.step
    beyond = 1 - normal.cdf(c)
    first = normal.pdf(0) - normal.pdf(c) + c * beyond  # E clamp
    second = normal.cdf(c) - 0.5 - c * normal.pdf(c) + c**2 * beyond  # E clamp^2
    return neuron.constant / sqrt(second - first**2)


def shares(decay: float, steps: int) -> list[float]:
    """w[1] to w[T], proportional to decay^(T - t), with the sum 1."""
    powers = [decay ** (steps - t) for t in range(1, steps + 1)]
    return [power / sum(powers) for power in powers]


def mean(values: Sequence[Tensor], w: Sequence[float]) -> Tensor:
    """sum_t w[t] values[t], (B, ...)."""
    return sum((share * value for share, value in zip(w, values, strict=True)), torch.zeros_like(values[0]))
