"""The neurons, step by step: `eager` in torch operations, which defines the truth, `fused` in Triton on a GPU.

Both are modules with the same functions, those of `Kernels`.
"""

from __future__ import annotations

import os
import sysconfig
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Protocol

import torch
from torch import Tensor

from harness_spiking.connections import Outlet
from harness_spiking.neuron import Neuron
from harness_spiking.standardisation import Moments


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
        own: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]: ...

    def accumulate(
        self, potentials: Tensor, shift: Tensor | None, carried: Tensor, neuron: Neuron, outlet: Outlet, keep: bool
    ) -> tuple[Tensor, Tensor]: ...

    def backward_(self, gradient: Tensor, kept: Tensor, neuron: Neuron, outlet: Outlet) -> Tensor: ...

    def reverse_(
        self,
        gradients: Tensor,
        kept: Tensor,
        neuron: Neuron,
        outlet: Outlet,
        detach_reset: bool,
        later: Tensor | None = None,
    ) -> Tensor: ...

    def sum_per_channel(self, errors: Tensor) -> Tensor: ...

    def standardised(self, weight: Tensor, gain: Tensor, factor: float) -> tuple[Tensor, Moments]: ...

    def standardised_backward_(
        self, gradient: Tensor, scratch: Tensor, weight: Tensor, gain: Tensor, factor: float, moments: Moments
    ) -> tuple[Tensor, Tensor]: ...


def choose(wanted: str, device: str, eager: bool) -> Kernels:
    """The fused kernels on a GPU where Triton runs; eager ones elsewhere, where asked for, and while being profiled."""
    fused = wanted == "auto" and not eager and torch.device(device).type == "cuda" and _triton_runs()
    return import_module(f"harness_spiking.kernels.{'fused' if fused else 'eager'}")


def _triton_runs() -> bool:
    """Before its first launch Triton compiles a module in C, with these: see `triton.runtime.build`."""
    compilers = [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"]
    scheme = sysconfig.get_default_scheme()
    headers = sysconfig.get_paths("posix_prefix" if scheme == "posix_local" else scheme)["include"]  # as Debian has it
    return find_spec("triton") is not None and any(map(which, compilers)) and Path(headers, "Python.h").is_file()
