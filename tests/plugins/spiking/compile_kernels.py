"""Compile what `fused` would launch, for a GPU of the compute capability named in the command line; none is needed.

Prints a line per launch: kernel and bytes of machine code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
import triton
from triton.backends.compiler import GPUTarget

from harness_spiking.connections import Outlet
from harness_spiking.kernels import channel_kernels, fused, fused_kernels
from harness_spiking.neuron import Neuron
from harness_spiking.surrogates import SURROGATES
from harness_torch.training.layout import channels_last, empty

KERNELS = {
    fused_kernels: ("integrate", "accumulate", "differentiate"),
    channel_kernels: ("standardise", "standardise_backward", "sum_rows"),
}
HISTORIES = (torch.uint8, torch.uint16, torch.float32, torch.bfloat16)


class Driver:
    """As much of a GPU as Triton asks for before it launches."""

    def __init__(self, capability: int):
        self.target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


class Compiled:
    """Stands for a kernel, and stops short of its launch."""

    def __init__(self, kernel: triton.JITFunction):
        self.kernel = kernel

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        def launch(*arguments: object, **constants: object) -> None:
            compiled = self.kernel.run(*arguments, grid=grid, warmup=True, **constants)
            print(self.kernel.__name__, len(compiled.asm["cubin"]))

        return launch


def launch(rows: tuple[int, ...], window: tuple[int, int] | None, dtype: torch.dtype, steps: int, index: int) -> None:
    """Every function once. index: picks surrogate, history, and which of the optional tensors there are."""
    surrogate = list(SURROGATES.values())[index % 4](1.0)
    neuron, present, past = Neuron(0.5, 1.0, surrogate), index % 2 == 0, HISTORIES[index % 4]
    x = empty((steps * rows[0], *rows[1:]), torch.zeros((), dtype=dtype)).unflatten(0, (steps, -1))
    shift = torch.zeros(steps, rows[1]) if present else None
    outlet = Outlet(window, torch.ones_like(x[0], dtype=torch.bool) if present and len(rows) == 4 else None)
    carried = x[0].float() if present else None
    seen, kept = fused.integrate(x, shift, carried, neuron, steps, outlet, keep=True)
    fused.integrate(x[:1], None, carried, neuron, steps, outlet, keep=False)
    fused.integrate_traced(x, shift, carried, seen[0].clone(), neuron, steps, outlet, keep=True)
    fused.integrate_traced(x, None, carried, seen[0].float(), neuron, steps, outlet, keep=True)
    fused.integrate_traced(x, None, carried, x[0].float(), neuron, steps, outlet, keep=False, own=True)
    fused.accumulate(x, shift, x[0].to(past), neuron, outlet, keep=present)
    fused.backward_(seen, kept, neuron, outlet)
    fused.reverse_(seen, kept, neuron, outlet, detach_reset=present)
    fused.reverse_(seen, kept, neuron, outlet, detach_reset=present, later=x[0])
    fused.sum_per_channel(kept)


def launch_on_weights(shape: tuple[int, ...]) -> None:
    weight, gain = channels_last(torch.zeros(shape)), torch.zeros(shape[0])
    out, moments = fused.standardised(weight, gain, 2.74)
    fused.standardised_backward_(torch.zeros_like(weight), out, weight, gain, 2.74, moments)


def main(capability: int) -> None:
    triton.runtime.driver.set_active(Driver(capability))
    for module, names in KERNELS.items():
        for name in names:
            setattr(module, name, Compiled(getattr(module, name)))
    launch((8, 64), None, torch.float32, 1, 0)
    launch((2, 16, 4, 4), None, torch.bfloat16, 3, 1)
    launch((2, 64, 5, 6), (2, 2), torch.bfloat16, 6, 2)
    launch((2, 48, 4, 4), (4, 4), torch.float32, 6, 3)
    launch((1, 1, 1, 2), (1, 2), torch.bfloat16, 1, 3)
    launch((1, 16, 7, 8), (3, 5), torch.float32, 2, 1)
    launch_on_weights((8, 512, 3, 3))
    launch_on_weights((7, 20))
    fused.INDEXED_BY_32_BITS = 0
    launch((2, 64, 5, 6), (2, 2), torch.float32, 1, 4)


if __name__ == "__main__":
    main(int(sys.argv[1]))
