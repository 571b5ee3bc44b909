"""Effective weights of each layer: standardised ones, computed once per version of the parameters.

A spiking layer's output counts 2.74-fold, which restores unit variance; the next layer's weights carry that factor, so
that traces and spikes enter a convolution as they are. Readout and feedback are not standardised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from harness_spiking.connections import Affine
from harness_spiking.network import Network
from harness_spiking.standardisation import standardise

OUTPUT_SCALE = 2.74


class Maps:
    """The linear maps of a network: of each layer, of what joins it through a residual block, of feedback and readout.

    projections: by the index of the layer that they join.
    """

    def __init__(
        self, layers: list[Affine], projections: dict[int, Affine], feedback: Affine | None, readout: Affine
    ) -> None:
        self.layers, self.projections, self.feedback, self.readout = layers, projections, feedback, readout


def effective(network: Network, output_scale: float = OUTPUT_SCALE) -> Maps:
    """Compute the effective weights of each layer: differentiable functions of the parameters.

    They are of the type of linear operations. Potentials of spiking layers are in units of 1 / surrogate scale.
    """
    parameters = network.parameters

    def standardised(name: str, factor: float) -> Tensor:
        weight, gain = parameters[f"{name}.weight"], parameters[f"{name}.gain"]
        if torch.is_grad_enabled():
            return standardise(weight, gain, factor)
        return network.kernels.standardised(weight, gain, factor)[0]  # to the last digit what is trained with

    return _maps(network, output_scale, standardised, lambda name, factor: parameters[name] * factor)


def _maps(
    network: Network,
    output_scale: float,
    standardised: Callable[[str, float], Tensor],
    scaled: Callable[[str, float], Tensor],
) -> Maps:
    """standardised(layer, factor): its standardised weight; scaled(parameter, factor): a parameter as it is."""
    unit, compute = network.neuron.surrogate.scale, network.compute
    layers, projections = [], {}
    for index, layer in enumerate(network.architecture.layers):
        name, factor = f"layers.{index}", unit * layer.factor
        weight = standardised(name, factor * (output_scale if index else 1.0))
        layers.append(Affine(weight.to(compute), scaled(f"{name}.bias", factor), layer.stride))
        if layer.skip and layer.skip.projection:
            weight = standardised(f"{name}.projection", unit * layer.skip.factor * output_scale)
            projections[index] = Affine(weight.to(compute), None)
    feedback = None
    if network.feedback:
        weight = scaled("feedback.weight", unit * output_scale)
        feedback = Affine(weight.to(compute), scaled("feedback.bias", unit))
    weight = scaled("readout.weight", 1.0).to(compute)
    readout = Affine(weight, scaled("readout.bias", 1.0), scale=output_scale)
    return Maps(layers, projections, feedback, readout)


class _Leaf(NamedTuple):
    """A leaf that holds a function of some parameters. back: from its gradient, whose memory it takes, to theirs."""

    leaf: Tensor
    parameters: tuple[Tensor, ...]
    back: Callable[[Tensor], tuple[Tensor, ...]]


class _Pull(torch.autograd.Function):
    """A function of the parameters whose gradient is what their leaves collected, in the memory they collected it in.

    Through autograd, because who hooks on to a parameter's gradient shall see it.
    """

    @staticmethod
    def forward(ctx: Any, leaves: list[_Leaf], *parameters: Tensor) -> Tensor:
        ctx.leaves = leaves
        return parameters[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        del gradient
        into: list[Tensor | None] = []
        for each in ctx.leaves:
            collected, each.leaf.grad = each.leaf.grad, None
            into += [None] * len(each.parameters) if collected is None else each.back(collected)
        return None, *into


class Weights(Maps):
    """One version of the effective weights, as leaves that collect the gradients of any number of backward passes.

    With linear operations in a narrower type, weights are narrowed once and collect in the parameters' own. Gradients
    that parameters had from before are let go.
    """

    def __init__(self, network: Network, output_scale: float = OUTPUT_SCALE) -> None:
        self._parameters, self._kernels = network.parameters, network.kernels
        self._leaves: list[_Leaf] = []
        if torch.is_grad_enabled():
            for parameter in self._parameters.values():
                parameter.grad = None
        maps = _maps(network, output_scale, self._standardised, self._scaled)
        super().__init__(maps.layers, maps.projections, maps.feedback, maps.readout)

    def _standardised(self, name: str, factor: float) -> Tensor:
        weight, gain = self._parameters[f"{name}.weight"], self._parameters[f"{name}.gain"]
        with torch.no_grad():
            leaf, moments = self._kernels.standardised(weight, gain, factor)
        leaf.requires_grad_()
        back = partial(
            self._kernels.standardised_backward_,
            scratch=leaf.detach(),
            weight=weight.detach(),
            gain=gain.detach(),
            factor=factor,
            moments=moments,
        )
        self._leaves.append(_Leaf(leaf, (weight, gain), back))
        return leaf

    def _scaled(self, name: str, factor: float) -> Tensor:
        parameter = self._parameters[name]
        value = parameter.detach()
        leaf = (value if factor == 1 else value * factor).requires_grad_()
        self._leaves.append(_Leaf(leaf, (parameter,), lambda into: (into.mul_(factor),)))
        return leaf

    @contextmanager
    def summed_apart(self) -> Iterator[None]:
        """Add gradients of backward passes inside to those of before as one sum, as a single pass does."""
        leaves = [each.leaf for each in self._leaves]
        before = [leaf.grad for leaf in leaves]
        for leaf in leaves:
            leaf.grad = None
        yield
        for leaf, sum_before in zip(leaves, before, strict=True):
            if sum_before is not None:
                leaf.grad = sum_before if leaf.grad is None else sum_before.add_(leaf.grad)

    def pull(self) -> None:
        """Send the collected gradients on to the parameters' `.grad`; ends this version, whose memory it takes."""
        parameters = [parameter for each in self._leaves for parameter in each.parameters]
        _Pull.apply(self._leaves, *parameters).backward()
