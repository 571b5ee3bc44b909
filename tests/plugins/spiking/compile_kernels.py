"""Compile what `fused` would launch, for a GPU of the compute capability named in the command line; none is needed.

Prints a line per variant: kernel and bytes of machine code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from harness_spiking.kernels import fused, fused_kernels
from harness_spiking.neuron import Neuron
from harness_spiking.operations import Outlet, empty
from harness_spiking.surrogates import SURROGATES

TYPES = {"float32": "fp32", "bfloat16": "bf16", "uint8": "u8", "uint16": "u16", "bool": "i1"}


class Compiled:
    """Stands for a kernel: a launch compiles it for the arguments, specialised as Triton's launcher does."""

    def __init__(self, kernel: triton.JITFunction, target: GPUTarget):
        self.kernel, self.target = kernel, target

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        return self.launch

    def launch(self, *arguments: object, num_warps: int, **constants: object) -> None:
        names = self.kernel.arg_names
        values = dict(zip(names, arguments, strict=False)) | constants
        signature, constexprs, attributes = {}, {}, {}
        for place, name in enumerate(names):
            value = values[name]
            if isinstance(value, torch.Tensor):
                signature[name] = "*" + TYPES[str(value.dtype).removeprefix("torch.")]
            elif isinstance(value, float):
                signature[name] = "fp32"
            elif name in constants or value is None or value == 1:
                signature[name], constexprs[name] = "constexpr", value
            else:
                signature[name] = "i32"
            if isinstance(value, torch.Tensor) or (signature[name] == "i32" and value % 16 == 0):
                attributes[(place,)] = [["tt.divisibility", 16]]
        source = ASTSource(self.kernel, signature, constexprs, attributes)
        compiled = triton.compile(source, target=self.target, options={"num_warps": num_warps})
        print(self.kernel.__name__, len(compiled.asm["cubin"]))


def launch(rows: tuple[int, ...], window: tuple[int, int] | None, dtype: torch.dtype, steps: int, index: int) -> None:
    """Every function once. index: picks surrogate, history, and which of the optional tensors there are."""
    surrogate = list(SURROGATES.values())[index % 4](1.0)
    neuron, present, past = Neuron(0.5, 1.0, surrogate), index % 2 == 0, list(TYPES)[index % 4]
    x = empty((steps * rows[0], *rows[1:]), torch.zeros((), dtype=dtype)).unflatten(0, (steps, -1))
    shift = torch.zeros(steps, rows[1]) if present else None
    outlet = Outlet(window, torch.ones_like(x[0]) if present and len(rows) == 4 else None)
    carried = x[0].float() if present else None
    seen, kept = fused.integrate(x, shift, carried, neuron, steps, outlet, keep=True)
    fused.integrate(x[:1], None, carried, neuron, steps, outlet, keep=False)
    fused.accumulate(x, shift, x[0].to(getattr(torch, past)), neuron, outlet, keep=present)
    fused.backward_(seen, kept, neuron, outlet)
    fused.reverse_(seen, kept, neuron, outlet, detach_reset=present)


def main(capability: int) -> None:
    target = GPUTarget("cuda", capability, 32)
    for kernel in ("integrate", "accumulate", "differentiate"):
        setattr(fused_kernels, kernel, Compiled(getattr(fused_kernels, kernel), target))
    launch((8, 64), None, torch.float32, 1, 0)
    launch((2, 16, 4, 4), None, torch.bfloat16, 3, 1)
    launch((2, 64, 5, 6), (2, 2), torch.bfloat16, 6, 2)
    launch((2, 48, 4, 4), (4, 4), torch.float32, 6, 3)
    fused.INDEXED_BY_32_BITS = 0
    launch((2, 64, 5, 6), (2, 2), torch.float32, 1, 4)


if __name__ == "__main__":
    main(int(sys.argv[1]))
