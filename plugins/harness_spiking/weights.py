"""Scaled weight standardisation, computed once per version of the parameters (Brock et al. 2021; Xiao et al. 2022).

    W' = gain (W - mean W) / sqrt(var W * fan_in + 1e-4)      per output channel, unbiased variance, gain learnt

A spiking layer's output counts 2.74-fold, which restores unit variance; the next layer's weights carry that factor, so
that traces and spikes enter a convolution as they are. Readout and feedback are not standardised.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness_spiking.network import Network
from harness_spiking.operations import Affine, channels_last

OUTPUT_SCALE = 2.74
EPSILON = 1e-4


def standardise(weight: Tensor, gain: Tensor, factor: float) -> Tensor:
    """W' times a factor, for a weight (outputs, inputs, ...) and gains (outputs,)."""
    standardised: Tensor = _Standardise.apply(weight, gain, factor)
    return standardised


class _Standardise(torch.autograd.Function):
    """W' = c (W - m) with c = factor gain r and r = (v n + eps)^(-1/2), of which two numbers per channel are kept.

    With G the gradient and A = sum G (W - m) over a channel of n entries,

        dL/dgain = factor r A,    dL/dW = c (G - mean G) - c A r^2 n / (n - 1) (W - m).
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, gain: Tensor, factor: float) -> Tensor:
        axes = tuple(range(1, weight.dim()))
        fan_in = weight[0].numel()
        mean = weight.mean(axes, keepdim=True)
        # From the two moments: torch.var is many times slower.
        squares = torch.linalg.vector_norm(weight, dim=axes, keepdim=True).square_()
        variance = squares.sub_(mean.square() * fan_in).clamp_min_(0).div_(fan_in - 1)
        inverse = torch.rsqrt(variance * fan_in + EPSILON)
        scale = factor * gain.view_as(mean) * inverse
        ctx.save_for_backward(weight, gain, mean, inverse)
        ctx.factor = factor
        return channels_last(torch.addcmul(-mean * scale, weight, scale))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        weight, gain, mean, inverse = ctx.saved_tensors
        axes = tuple(range(1, weight.dim()))
        fan_in = weight[0].numel()
        total = gradient.sum(axes, keepdim=True)
        centred = (gradient * weight).sum(axes, keepdim=True) - mean * total  # A
        scale = ctx.factor * gain.view_as(mean) * inverse
        slope = -scale * centred * inverse.square() * (fan_in / (fan_in - 1))
        into_weight = torch.addcmul(-scale * total / fan_in - slope * mean, gradient, scale)
        return into_weight.addcmul_(weight, slope), (ctx.factor * inverse * centred).view_as(gain), None


class Maps:
    """The linear maps of a network: of each layer, of what joins it through a residual block, of feedback and readout.

    projections: by the index of the layer that they join.
    """

    def __init__(
        self, layers: list[Affine], projections: dict[int, Affine], feedback: Affine | None, readout: Affine
    ) -> None:
        self.layers, self.projections, self.feedback, self.readout = layers, projections, feedback, readout


def effective(network: Network, output_scale: float = OUTPUT_SCALE) -> Maps:
    """What each layer computes with: differentiable functions of the parameters, in the type of linear operations.

    Potentials of spiking layers are in units of 1 / surrogate scale.
    """
    maps, dtype = _scaled(network, output_scale), network.compute
    return Maps(
        [each.narrowed(dtype) for each in maps.layers],
        {index: each.narrowed(dtype) for index, each in maps.projections.items()},
        maps.feedback.narrowed(dtype) if maps.feedback else None,
        maps.readout.narrowed(dtype),
    )


def _scaled(network: Network, output_scale: float) -> Maps:
    """The same in the type of the parameters."""
    parameters, unit = network.parameters, network.neuron.surrogate.scale
    layers, projections = [], {}
    for index, layer in enumerate(network.architecture.layers):
        weight, bias, gain = (parameters[f"layers.{index}.{name}"] for name in ("weight", "bias", "gain"))
        factor = unit * layer.factor
        scaled = standardise(weight, gain, factor * (output_scale if index else 1.0))
        layers.append(Affine(scaled, bias * factor, layer.stride))
        if layer.skip and layer.skip.projection:
            weight, gain = (parameters[f"layers.{index}.projection.{name}"] for name in ("weight", "gain"))
            projections[index] = Affine(standardise(weight, gain, unit * layer.skip.factor * output_scale), None)
    feedback = None
    if network.feedback:
        feedback = Affine(parameters["feedback.weight"] * (unit * output_scale), parameters["feedback.bias"] * unit)
    readout = Affine(parameters["readout.weight"] * output_scale, parameters["readout.bias"] * 1.0)
    return Maps(layers, projections, feedback, readout)


class Weights(Maps):
    """One version of the effective weights, as leaves that collect the gradients of any number of backward passes.

    The memory of a parameter's gradient from before is what its leaf collects in. With linear operations in a narrower
    type, weights are narrowed once and collect in the parameters' own.
    """

    def __init__(self, network: Network, output_scale: float = OUTPUT_SCALE) -> None:
        self._collected: list[tuple[Tensor, Tensor]] = []
        self._parameters = network.parameters
        self._compute = network.compute
        maps = _scaled(network, output_scale)
        super().__init__(
            [self._leaves(each, f"layers.{index}") for index, each in enumerate(maps.layers)],
            {index: self._leaves(each, f"layers.{index}.projection") for index, each in maps.projections.items()},
            self._leaves(maps.feedback, "feedback") if maps.feedback else None,
            self._leaves(maps.readout, "readout"),
        )

    def _leaves(self, source: Affine, name: str) -> Affine:
        weight = self._collect(source.weight, self._parameters[f"{name}.weight"])
        bias = None if source.bias is None else self._collect(source.bias, self._parameters[f"{name}.bias"])
        return Affine(weight, bias, source.stride).narrowed(self._compute)

    def _collect(self, source: Tensor, parameter: Tensor) -> Tensor:
        leaf = source.detach().requires_grad_()
        if parameter.grad is not None and torch.is_grad_enabled():
            leaf.grad = parameter.grad.zero_()
        self._collected.append((source, leaf))
        return leaf

    def pull(self) -> None:
        """Send what was collected on to the parameters' `.grad`. Ends this version."""
        reached = [(source, leaf.grad) for source, leaf in self._collected if leaf.grad is not None]
        for parameter in self._parameters.values():
            parameter.grad = None
        torch.autograd.backward([source for source, _ in reached], [gradient for _, gradient in reached])
