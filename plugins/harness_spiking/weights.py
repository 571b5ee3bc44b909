"""Scaled weight standardisation, computed once per version of the parameters (Brock et al. 2021; Xiao et al. 2022).

    W' = gain (W - mean W) / sqrt(var W * fan_in + 1e-4)      per output channel, unbiased variance, gain learnt

A spiking layer's output counts 2.74-fold, which restores unit variance; the next layer's weights carry that factor, so
that traces and spikes enter a convolution as they are. The readout is not standardised.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness_spiking.network import Network
from harness_spiking.operations import linear

OUTPUT_SCALE = 2.74
EPSILON = 1e-4

Affine = tuple[Tensor, Tensor]  # weight, bias


def standardise(weight: Tensor, gain: Tensor, factor: float) -> Tensor:
    """W' times a factor, for a weight (outputs, inputs, ...) and gains (outputs,)."""
    axes = tuple(range(1, weight.dim()))
    fan_in = weight[0].numel()
    mean = weight.mean(axes, keepdim=True)
    # From the two moments: torch.var is many times slower, and centred weights would be kept for the backward pass.
    squares = torch.linalg.vector_norm(weight, dim=axes, keepdim=True).square()
    variance = ((squares - fan_in * mean.square()) / (fan_in - 1)).clamp_min(0)
    scale = factor * gain.view_as(mean) * torch.rsqrt(variance * fan_in + EPSILON)
    return torch.addcmul(-mean * scale, weight, scale)


def effective(network: Network) -> list[Affine]:
    """What each layer computes with, the readout last: differentiable functions of the parameters.

    Potentials of spiking layers are in units of 1 / surrogate scale.
    """
    parameters, unit = network.parameters, network.neuron.surrogate.scale
    pairs = []
    for index in range(len(network.architecture.layers)):
        weight, bias, gain = (parameters[f"layers.{index}.{name}"] for name in ("weight", "bias", "gain"))
        pairs.append((standardise(weight, gain, unit * (OUTPUT_SCALE if index else 1.0)), bias * unit))
    return [*pairs, (parameters["readout.weight"] * OUTPUT_SCALE, parameters["readout.bias"] * 1.0)]


class Weights:
    """One version of the effective weights, as leaves that collect the gradients of any number of backward passes.

    layers: (weight, bias) of each spiking layer. readout: likewise. drive: W x + b of the first layer for an input `x`
    that stays the same, computed once; nothing is collected for layers[0] then. Where a parameter has a gradient from
    before, its memory is what the leaf collects in.
    """

    def __init__(self, network: Network, x: Tensor | None = None) -> None:
        self._collected: list[tuple[Tensor, Tensor]] = []
        self._parameters = network.parameters.values()
        first, *others, readout = effective(network)
        self.drive = None if x is None else self._collect(linear(x, *first), None)
        self.layers = [first if x is not None else self._collect_pair(first, network, "layers.0")]
        self.layers += [self._collect_pair(pair, network, f"layers.{index}") for index, pair in enumerate(others, 1)]
        self.readout = self._collect_pair(readout, network, "readout")

    def _collect(self, source: Tensor, parameter: Tensor | None) -> Tensor:
        leaf = source.detach().requires_grad_()
        if parameter is not None and parameter.grad is not None and torch.is_grad_enabled():
            leaf.grad = parameter.grad.zero_()
        self._collected.append((source, leaf))
        return leaf

    def _collect_pair(self, pair: Affine, network: Network, name: str) -> Affine:
        weight, bias = (network.parameters[f"{name}.{part}"] for part in ("weight", "bias"))
        return self._collect(pair[0], weight), self._collect(pair[1], bias)

    def pull(self) -> None:
        """Send what was collected on to the parameters' `.grad`. Ends this version."""
        reached = [(source, leaf.grad) for source, leaf in self._collected if leaf.grad is not None]
        for parameter in self._parameters:
            parameter.grad = None
        torch.autograd.backward([source for source, _ in reached], [gradient for _, gradient in reached])
