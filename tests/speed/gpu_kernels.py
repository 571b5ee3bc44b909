"""Spiking neurons on a GPU, eager against fused, and against SpikingJelly's multi-step neuron where that is installed.

    python -m tests.speed.gpu_kernels [--steps 1 6] [--type bfloat16]

Per kernel and size of a layer: nanoseconds per neuron and step, and the bytes that must move (each tensor once) per
second. Median times of Triton's benchmark, which empties the cache in between; the calls are not captured in a graph,
so that small layers show the cost of launching. Run it on a GPU that does nothing else.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from harness_spiking.connections import Outlet
from harness_spiking.kernels import Kernels, eager, history
from harness_spiking.neuron import Neuron
from harness_spiking.surrogates import Sigmoid
from harness_torch.training.layout import empty

LAYERS = (  # rows of one step, and the window of the pooling after them: the VGG of the papers at batch 128
    ((128, 512), None),
    ((128, 512, 8, 8), (2, 2)),
    ((128, 256, 16, 16), None),
    ((128, 64, 32, 32), None),
    ((128, 64, 32, 32), (2, 2)),
)
NEURON = Neuron(0.5, 4.0, Sigmoid(4.0))  # leak 1/2, V_th 1, surrogate of steepness 4, in units of 1 / 4

Bench = Callable[[Callable[[], object]], float]  # to milliseconds


class Case(NamedTuple):
    """A call of kernels, how many bytes it must move, and how many neuron-steps it computes."""

    name: str
    call: Callable[[Kernels], object]
    bytes: int
    neuron_steps: int


class Row(NamedTuple):
    """Measurements of one kernel."""

    name: str
    layer: str
    who: str
    nanoseconds: float
    bytes_per_second: float

    def __str__(self) -> str:
        return f"{self.name:12} {self.layer:28} {self.who:13} {self.nanoseconds:10.5f} {self.bytes_per_second:10.3g}"


def cases(rows: tuple[int, ...], window: tuple[int, int] | None, steps: int, like: Tensor) -> Iterator[Case]:
    """Every kernel for a layer. What a call overwrites is not restored: its time does not depend on values."""
    currents = _normal(steps, rows, like)
    width, count, outlet = like.element_size(), steps * prod(rows), Outlet(window)
    seen, kept = eager.integrate(currents.clone(), None, None, NEURON, steps, outlet, keep=True)
    gradients, w = seen.clone(), currents[0].float()
    past = torch.zeros_like(currents[0], dtype=history.narrowest(0.5, steps))
    into, out = count * width, seen.numel() * width

    def carry(kernels: Kernels) -> object:
        return kernels.integrate(currents, None, w, NEURON, steps, outlet, True)

    yield Case("integrate", carry, 2 * into + out + 8 * w.numel(), count)
    trace = torch.zeros_like(seen[0])
    yield Case(
        "traced",
        lambda kernels: kernels.integrate_traced(currents, None, w, trace, NEURON, steps, outlet, True),
        2 * into + 2 * out + 8 * w.numel() + 2 * trace.nbytes,
        count,
    )
    yield Case(
        "accumulate",
        lambda kernels: kernels.accumulate(currents, None, past, NEURON, outlet, True),
        2 * into + out + 2 * past.numel(),
        count,
    )
    yield Case(
        "no gradient",
        lambda kernels: kernels.accumulate(currents, None, past, NEURON, outlet, False),
        into + out + 2 * past.numel(),
        count,
    )
    yield Case("backward_", lambda kernels: kernels.backward_(gradients, kept, NEURON, outlet), 2 * into + out, count)
    yield Case(
        "reverse_", lambda kernels: kernels.reverse_(gradients, kept, NEURON, outlet, True), 2 * into + out, count
    )

    def both(kernels: Kernels) -> object:
        seen, kept = kernels.integrate(currents, None, None, NEURON, steps, outlet, True)
        return kernels.reverse_(seen, kept, NEURON, outlet, True)

    yield Case("both ways", both, 4 * into + 2 * out, count)


def peer(rows: tuple[int, ...], window: tuple[int, int] | None, steps: int, like: Tensor) -> Callable[[], object]:
    """The same both ways by SpikingJelly: its multi-step neuron, then average pooling."""
    from spikingjelly.activation_based import functional, neuron, surrogate

    node = neuron.LIFNode(
        2.0, False, 1.0, None, surrogate.Sigmoid(4.0), detach_reset=True, step_mode="m", store_v_seq=False
    ).to(like.device)
    currents = _normal(steps, rows, like).requires_grad_()

    def run() -> object:
        functional.reset_net(node)
        spikes = node(currents)
        if window is not None:
            spikes = torch.nn.functional.avg_pool2d(spikes.flatten(0, 1), window)
        return torch.autograd.grad(spikes, currents, spikes)

    return run


def measure(kernels: dict[str, Kernels], layers: object, steps: list[int], like: Tensor, bench: Bench) -> Iterator[Row]:
    """All kernels and layers; SpikingJelly, which has one neuron for both directions, beside `both ways`."""
    for rows, window in layers:
        for count in steps:
            layer = f"{count} x {'x'.join(map(str, rows))}{'' if window is None else ' pooled'}"
            for case in cases(rows, window, count, like):
                runs = {who: lambda each=each: case.call(each) for who, each in kernels.items()}  # noqa: B023
                if case.name == "both ways" and find_spec("spikingjelly") is not None:
                    runs["spikingjelly"] = peer(rows, window, count, like)
                for who, run in runs.items():
                    seconds = bench(run) / 1e3
                    yield Row(case.name, layer, who, seconds * 1e9 / case.neuron_steps, case.bytes / seconds)


def _normal(steps: int, rows: tuple[int, ...], like: Tensor) -> Tensor:
    batch = empty((steps * rows[0], *rows[1:]), like)
    return batch.normal_().mul_(NEURON.threshold).unflatten(0, (steps, -1))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.speed.gpu_kernels", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 6], help="time steps T")
    parser.add_argument("--type", choices=["float32", "bfloat16"], default="bfloat16", help="type of the currents")
    arguments = parser.parse_args()
    if not torch.cuda.is_available() or find_spec("triton") is None:
        print("gpu_kernels needs a CUDA device and Triton, and found none here; nothing was measured", file=sys.stderr)
        return 2
    import triton.testing

    from harness_spiking.kernels import fused

    def bench(run: Callable[[], object]) -> float:
        return triton.testing.do_bench(run, return_mode="median")

    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, triton {triton.__version__}, {arguments.type}")
    if find_spec("spikingjelly") is not None:
        from spikingjelly.activation_based import functional

        print("spikingjelly:", functional.neuron_implementation("lif", torch.device("cuda")))
    print(f"{'kernel':12} {'layer':28} {'who':13} {'ns':>10} {'bytes/s':>10}")
    like = torch.zeros((), dtype=getattr(torch, arguments.type), device="cuda")
    for row in measure({"eager": eager, "fused": fused}, LAYERS, arguments.steps, like, bench):
        print(row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
