"""The functions of `eager` on a GPU, one Triton kernel each: tensors are read once and written once, for all K steps.

They return what the eager ones return, in place where those are, but what is not to be kept is left as it was and comes
back empty. They leave to the eager ones what no kernel is there for: double precision, a foreign surrogate, and spikes
that an instrument listens for, because most never reach memory here. No call waits for the GPU, and only the first of a
kind compiles: run a pass before it is captured in a graph.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import torch
import triton
from torch import Tensor

from harness import HarnessError
from harness_spiking.connections import Outlet, Window, is_ordered
from harness_spiking.kernels import eager, fused_kernels, history
from harness_spiking.kernels.fused_channels import standardised as standardised
from harness_spiking.kernels.fused_channels import standardised_backward_ as standardised_backward_
from harness_spiking.kernels.fused_channels import sum_per_channel as sum_per_channel
from harness_spiking.neuron import Neuron
from harness_spiking.surrogates import Arctan, Rectangle, Sigmoid, Surrogate, Triangle
from harness_torch.marks import listened
from harness_torch.training.layout import empty

name = "triton"

CODES: dict[type[Surrogate], triton.language.constexpr] = {
    Sigmoid: fused_kernels.SIGMOID,
    Rectangle: fused_kernels.RECTANGLE,
    Triangle: fused_kernels.TRIANGLE,
    Arctan: fused_kernels.ARCTAN,
}

BLOCK, WARPS = 1024, 4  # neurons of a program: its 128 threads load 16 bytes at a time, or twice 16
TILE = 512  # neurons of a program that pools: one warp, so that a window is summed without a barrier
WIDEST_WINDOW = 64  # neurons
WIDEST_PART = 16  # neurons of a window that a program differentiates: nothing is summed, so others take the rest
INDEXED_BY_32_BITS = 2**31 - 2 * BLOCK


def integrate(
    currents: Tensor,
    shift: Tensor | None,
    carried: Tensor | None,
    neuron: Neuron,
    steps: int,
    outlet: Outlet,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    """See `eager.integrate`."""
    if not _fits(currents, neuron):
        return eager.integrate(currents, shift, carried, neuron, steps, outlet, keep)
    if _too_wide(outlet):
        spikes, kept = integrate(currents, shift, carried, neuron, steps, Outlet(), keep)
        return _through(outlet, spikes), kept
    seen, _, kept = _integrate(currents, shift, carried, None, neuron, steps, outlet, keep)
    return seen, kept


def integrate_traced(
    currents: Tensor,
    shift: Tensor | None,
    carried: Tensor | None,
    trace: Tensor,
    neuron: Neuron,
    steps: int,
    outlet: Outlet,
    keep: bool,
    own: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """See `eager.integrate_traced`."""
    if not _fits(currents, neuron):
        return eager.integrate_traced(currents, shift, carried, trace, neuron, steps, outlet, keep, own)
    if _too_wide(outlet) and own:
        spikes, _, kept = _integrate(currents, shift, carried, trace, neuron, steps, Outlet(), keep, own)
        seen = _through(outlet, spikes)
        return seen, seen[:0], kept
    if _too_wide(outlet):
        seen, kept = integrate(currents, shift, carried, neuron, steps, outlet, keep)
        return seen, eager.trace_(seen, trace, neuron.leak), kept
    return _integrate(currents, shift, carried, trace, neuron, steps, outlet, keep, own)


def _integrate(
    currents: Tensor,
    shift: Tensor | None,
    carried: Tensor | None,
    trace: Tensor | None,
    neuron: Neuron,
    steps: int,
    outlet: Outlet,
    keep: bool,
    own: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes, traces (none without `trace`) and what is kept."""
    before = {"carried": carried, "trace": trace}
    _in_order(currents=currents, **{label: None if x is None else x[None] for label, x in before.items()})
    kept = currents if len(currents) == steps else _empty(steps if keep else 0, currents, None)
    seen = _empty(steps, currents, outlet.window)
    returned = 0 if trace is None or own else steps
    alone = trace is not None and returned == 1 and trace.dtype == currents.dtype
    traces = trace[None] if trace is not None and alone else _empty(returned, seen, None)
    tile = Tile.of(currents, outlet)
    with torch.cuda.device_of(currents):
        fused_kernels.integrate[tile.grid](
            currents,
            None if shift is None else shift.contiguous(),
            carried,
            trace,
            _mask(outlet, currents),
            seen,
            None if alone or not returned else traces,
            kept if keep else None,
            steps,
            _stride(currents),
            _stride(shift),
            currents[0].numel(),
            seen[0].numel(),
            tile.cells,
            *_sizes(currents, outlet),
            neuron.leak,
            neuron.threshold,
            neuron.leak * neuron.threshold,
            surrogate=CODES[type(neuron.surrogate)],
            own=own,
            pooled=tile.window > 1,
            window=tile.window,
            share=tile.share,
            block=tile.block,
            index=_index(currents),
            num_warps=tile.warps,
        )
    return seen, traces, kept if keep else kept[:0]


def accumulate(
    potentials: Tensor, shift: Tensor | None, carried: Tensor, neuron: Neuron, outlet: Outlet, keep: bool
) -> tuple[Tensor, Tensor]:
    """See `eager.accumulate`."""
    if not _fits(potentials, neuron):
        return eager.accumulate(potentials, shift, carried, neuron, outlet, keep)
    if not _too_wide(outlet):
        return _accumulate(potentials, shift, carried, neuron, outlet, keep, potentials.dtype)
    # In single precision, so that only the mean is rounded.
    traces, kept = _accumulate(potentials, shift, carried, neuron, Outlet(), keep, torch.float32)
    return _through(outlet, traces).to(potentials.dtype), kept


def _accumulate(
    potentials: Tensor,
    shift: Tensor | None,
    carried: Tensor,
    neuron: Neuron,
    outlet: Outlet,
    keep: bool,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """The same, with traces of that type."""
    _in_order(potentials=potentials, carried=carried[None])
    alone = len(potentials) == 1 and carried.dtype == dtype and outlet.plain
    seen = carried[None] if alone else _empty(len(potentials), potentials, outlet.window, dtype)
    tile = Tile.of(potentials, outlet)
    with torch.cuda.device_of(potentials):
        fused_kernels.accumulate[tile.grid](
            potentials,
            None if shift is None else shift.contiguous(),
            carried,
            _mask(outlet, potentials),
            None if alone else seen,
            len(potentials),
            _stride(shift),
            carried.numel(),
            seen[0].numel(),
            tile.cells,
            *_sizes(potentials, outlet),
            neuron.leak,
            neuron.leak * neuron.threshold,
            surrogate=CODES[type(neuron.surrogate)],
            keep=keep,
            bits=history.BITS.get(carried.dtype, 0),
            pooled=tile.window > 1,
            window=tile.window,
            share=tile.share,
            block=tile.block,
            index=_index(potentials),
            num_warps=tile.warps,
        )
    return seen, potentials if keep else potentials[:0]


def backward_(gradient: Tensor, kept: Tensor, neuron: Neuron, outlet: Outlet) -> Tensor:
    """See `eager.backward_`."""
    if not _fits(kept, neuron):
        return eager.backward_(gradient, kept, neuron, outlet)
    return _differentiate_(gradient, kept, neuron, outlet, steps=1, leak=0.0, detach_reset=True, later=None)


def reverse_(
    gradients: Tensor,
    kept: Tensor,
    neuron: Neuron,
    outlet: Outlet,
    detach_reset: bool,
    later: Tensor | None = None,
) -> Tensor:
    """See `eager.reverse_`."""
    if not _fits(kept, neuron):
        return eager.reverse_(gradients, kept, neuron, outlet, detach_reset, later)
    return _differentiate_(gradients, kept, neuron, outlet, len(kept), neuron.leak, detach_reset, later)


def _differentiate_(
    gradients: Tensor,
    kept: Tensor,
    neuron: Neuron,
    outlet: Outlet,
    steps: int,
    leak: float,
    detach_reset: bool,
    later: Tensor | None,
) -> Tensor:
    _in_order(kept=kept)
    gradients = _ordered(gradients)
    tile = Tile.of(kept, outlet, WIDEST_PART)
    with torch.cuda.device_of(kept):
        fused_kernels.differentiate[(*tile.grid, len(kept) // steps, tile.parts)](
            gradients,
            kept,
            None if later is None else _ordered(later[None]),
            _mask(outlet, kept),
            steps,
            kept[0].numel(),
            gradients[0].numel(),
            tile.cells,
            *_sizes(kept, outlet),
            leak,
            leak * neuron.threshold,
            surrogate=CODES[type(neuron.surrogate)],
            pooled=tile.window > 1,
            detach_reset=detach_reset,
            window=tile.window,
            share=tile.share,
            block=tile.block,
            index=_index(kept),
            num_warps=tile.warps,
        )
    return kept


class Tile(NamedTuple):
    """How the neurons of one step are dealt out to programs: `block` windows to each, of `window` neurons or places."""

    cells: int  # windows, those that the border cuts off included
    window: int  # a power of two
    block: int
    warps: int
    parts: int = 1  # programs that share a window
    share: float | None = None  # of a neuron in the mean of its window, if there is a number that is exact

    @property
    def grid(self) -> tuple[int]:
        return (triton.cdiv(self.cells, self.block),)

    @classmethod
    def of(cls, x: Tensor, outlet: Outlet, widest: int = WIDEST_WINDOW) -> Tile:
        """widest: how many neurons of a window a program takes at the most."""
        channels, height, width, down, right = _sizes(x, outlet)
        cells = x.shape[1] * channels * triton.cdiv(height, down) * triton.cdiv(width, right)
        count, power = down * right, triton.next_power_of_2(down * right)
        if count == 1:
            return cls(cells, 1, BLOCK, WARPS)
        window = min(power, widest)
        return cls(cells, window, TILE // window, 1, triton.cdiv(count, window), 1 / count if count == power else None)


def _fits(x: Tensor, neuron: Neuron) -> bool:
    """Whether there is a kernel for these: steps of dense layers (K, B, F) or of maps (K, B, C, H, W)."""
    known = x.dtype in (torch.float32, torch.bfloat16) and x.dim() in (3, 5) and type(neuron.surrogate) in CODES
    return known and not listened()


def _sizes(x: Tensor, outlet: Outlet) -> tuple[int, ...]:
    """C, H, W of (K, B, C, H, W), then the window; a dense layer is a map of one place."""
    return (*x.shape[2:], 1, 1)[:3] + (outlet.window or (1, 1))


def _too_wide(outlet: Outlet) -> bool:
    return prod(outlet.window or (1,)) > WIDEST_WINDOW


def _through(outlet: Outlet, x: Tensor) -> Tensor:
    return outlet.out(x.flatten(0, 1)).unflatten(0, (len(x), -1)).to(x.dtype)  # a mask may be wider


def _index(x: Tensor) -> triton.language.dtype:
    """Divisions by 64 bits are slow, and few populations need them: steps are told apart by pointers."""
    return triton.language.int32 if x[0].numel() < INDEXED_BY_32_BITS else triton.language.int64


def _stride(x: Tensor | None) -> int:
    """From a step to the next one; nothing where one holds for all."""
    return 0 if x is None or len(x) == 1 else x[0].numel()


def _empty(steps: int, like: Tensor, window: Window, dtype: torch.dtype | None = None) -> Tensor:
    """(K, B, C, h, w) for so many steps, in the order of `like`; h and w are those of H and W after pooling."""
    _, rows, *sizes = like.shape
    if window is not None:
        sizes[1:] = [sizes[1] // window[0], sizes[2] // window[1]]
    return empty((steps * rows, *sizes), like, dtype).unflatten(0, (steps, rows))


def _mask(outlet: Outlet, like: Tensor) -> Tensor | None:
    """(B, C, H, W) in the order of `like` (K, B, C, H, W)."""
    return None if outlet.mask is None else _ordered(outlet.mask.expand_as(like[0])[None])


def _ordered(x: Tensor) -> Tensor:
    """The same in the order that kernels expect, copied only if it is in another."""
    if is_ordered(x):
        return x
    return empty((x.shape[0] * x.shape[1], *x.shape[2:]), x).unflatten(0, x.shape[:2]).copy_(x)


def _in_order(**tensors: Tensor | None) -> None:
    """Raises HarnessError for what is to be overwritten in an order that kernels do not know."""
    for label, x in tensors.items():
        if x is not None and not is_ordered(x):
            raise HarnessError(
                f"{label} {tuple(x.shape)} has strides {x.stride()}; fused kernels expect steps one after another and "
                "maps with channels last: allocate it with operations.empty, or choose kernels=eager"
            )
