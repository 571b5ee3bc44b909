"""What neurons compute, step by step: `eager` in torch operations, which defines the truth, `fused` in Triton on a GPU,
`compiled` by torch.compile on a CPU.

All have the same functions: integrate, integrate_traced, accumulate, backward_, reverse_.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

import torch
from torch import Tensor

from harness import Unsupported
from harness_spiking.neuron import Neuron
from harness_spiking.operations import Outlet


class Kernels(Protocol):
    """See `harness_spiking.kernels.eager` for what each function computes."""

    name: str

    def integrate(
        self,
        currents: Tensor,
        shift: Tensor | None,
        carried: Tensor | None,
        neuron: Neuron,
        steps: int,
        outlet: Outlet,
        keep: bool,
    ) -> tuple[Tensor, Tensor]: ...

    def integrate_traced(
        self,
        currents: Tensor,
        shift: Tensor | None,
        carried: Tensor | None,
        trace: Tensor,
        neuron: Neuron,
        steps: int,
        outlet: Outlet,
        keep: bool,
        every: bool = True,
    ) -> tuple[Tensor, Tensor, Tensor]: ...

    def accumulate(
        self, potentials: Tensor, shift: Tensor | None, carried: Tensor, neuron: Neuron, outlet: Outlet, keep: bool
    ) -> tuple[Tensor, Tensor]: ...

    def backward_(self, gradient: Tensor, kept: Tensor, neuron: Neuron, outlet: Outlet) -> Tensor: ...

    def reverse_(
        self, gradients: Tensor, kept: Tensor, neuron: Neuron, outlet: Outlet, detach_reset: bool
    ) -> Tensor: ...


def choose(wanted: str, device: str, eager: bool) -> Kernels:
    """The fused kernels on a GPU that has Triton, compiled ones where they are asked for; eager ones elsewhere, and
    while being profiled. Raises Unsupported where loops for the CPU cannot be compiled.
    """
    if wanted == "compiled" and torch.device(device).type != "cpu":
        raise Unsupported(f"kernels=compiled makes loops for the CPU, and this is {device}; use kernels=auto")
    if wanted == "compiled" and not eager:
        compiled: Kernels = import_module("harness_spiking.kernels.compiled").Compiled()
        return compiled
    fused = wanted == "auto" and not eager and torch.device(device).type == "cuda" and find_spec("triton") is not None
    return import_module(f"harness_spiking.kernels.{'fused' if fused else 'eager'}")
