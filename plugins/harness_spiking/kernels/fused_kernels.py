"""Kernels of `fused`: Triton programs that run all K steps of a block of neurons with their state in registers.

A tensor of one step is a flat array, maps with channels last: neuron ((row * height + y) * width + x) * channels + c.
Everything is computed and compared with the threshold in single precision, whatever type memory holds. `reset` is
leak * threshold. Pointers that are not needed are None.
"""

# ruff: noqa: ANN001, ANN201, ANN202 - Triton reads the annotations, and knows pointers and numbers by what is passed
# mypy: allow-untyped-defs, allow-incomplete-defs

import triton
import triton.language as tl

SIGMOID = tl.constexpr(0)
RECTANGLE = tl.constexpr(1)
TRIANGLE = tl.constexpr(2)
ARCTAN = tl.constexpr(3)

HALF_PI = tl.constexpr(1.5707963267948966)


@triton.jit
def integrate(
    currents,  # (K, N) at `current_stride` from step to step, or one for all: 0
    shift,  # (K, channels) at `shift_stride`, or one for all: 0
    carried,  # (N,)
    trace,  # of what the next layer sees, (N,), or (n,) if pooled; `own`: of the spikes themselves, (N,)
    mask,  # (N,)
    seen,  # (K, N), or (K, n) if pooled
    traces,  # as `seen`; None where `trace` is all that is wanted
    kept,  # (K, N)
    steps,
    current_stride,
    shift_stride,
    neurons,  # N
    pooled_neurons,  # n
    cells,  # windows of one step, those that the border cuts off included; neurons where nothing is pooled
    channels,
    height,
    width,
    down,
    right,
    leak,
    threshold,
    reset,
    surrogate: tl.constexpr,
    own: tl.constexpr,  # whether `trace` is that of the spikes themselves
    pooled: tl.constexpr,
    window: tl.constexpr,  # down * right, rounded up to a power of two
    share: tl.constexpr,  # 1 / (down * right) where that is exact, else None
    block: tl.constexpr,
    index: tl.constexpr,
):
    """A program has `block` windows, and all neurons of each of them: (window, block)."""
    cell = tl.program_id(0).to(index) * block + tl.arange(0, block)
    inner = tl.arange(0, window)
    neuron, inside, outlet, whole = _places(cell, inner, cells, channels, height, width, down, right, pooled)
    # A population at rest is one with z = 0 that has just fired: w = -threshold.
    if carried is None:
        z = tl.zeros((window, block), tl.float32)
        fired = tl.full((window, block), 1, tl.float32)
    else:
        z = tl.load(carried + neuron, inside, 0).to(tl.float32)
        fired = tl.zeros((window, block), tl.float32)
    if mask is not None:
        factor = tl.load(mask + neuron, inside, 0).to(tl.float32)
    if own:
        past = tl.load(trace + neuron, inside, 0).to(tl.float32)
    elif trace is not None:
        past = tl.load(trace + outlet, whole, 0).to(tl.float32)
    for _ in range(steps):
        current = tl.load(currents + neuron, inside, 0).to(tl.float32)
        if shift is not None:
            current += tl.load(shift + cell % channels, cell < cells, 0).to(tl.float32)[None, :]
            shift += shift_stride
        z = (current + leak * z) - reset * fired
        fired = (z >= 0).to(tl.float32)
        out = fired
        if mask is not None:
            out = fired * factor
        if pooled:
            out = _shared(tl.sum(tl.where(inside, out, 0), 0), down * right, share)
        out = out.to(seen.dtype.element_ty)
        tl.store(seen + outlet, out, whole)
        if own:
            past = fired + leak * past
        elif trace is not None:
            past = out.to(tl.float32) + leak * past
            if traces is not None:
                tl.store(traces + outlet, past, whole)
                traces += pooled_neurons
        if kept is not None:
            tl.store(kept + neuron, _save(z, surrogate), inside)
            kept += neurons
        currents += current_stride
        seen += pooled_neurons
    if carried is not None:
        tl.store(carried + neuron, z - threshold * fired, inside)
    if own:
        tl.store(trace + neuron, past, inside)
    elif trace is not None:
        tl.store(trace + outlet, past, whole)


@triton.jit
def accumulate(
    potentials,  # (K, N), overwritten by what the surrogate keeps
    shift,  # (K, channels) at `shift_stride`, or one for all: 0
    carried,  # (N,)
    mask,  # (N,)
    seen,  # (K, N), or (K, n) if pooled; None where `carried` is all that the next layer sees
    steps,
    shift_stride,
    neurons,
    pooled_neurons,
    cells,
    channels,
    height,
    width,
    down,
    right,
    leak,
    reset,
    surrogate: tl.constexpr,
    keep: tl.constexpr,
    bits: tl.constexpr,  # of a history that is an integer, else 0
    pooled: tl.constexpr,
    window: tl.constexpr,
    share: tl.constexpr,
    block: tl.constexpr,
    index: tl.constexpr,
):
    """A program has `block` windows, and all neurons of each of them: (window, block)."""
    cell = tl.program_id(0).to(index) * block + tl.arange(0, block)
    inner = tl.arange(0, window)
    neuron, inside, outlet, whole = _places(cell, inner, cells, channels, height, width, down, right, pooled)
    history = tl.load(carried + neuron, inside, 0)
    trace = history.to(tl.float32)
    if bits:
        history = history.to(tl.int32)
        trace = trace * (2.0 / (1 << bits))
    if mask is not None:
        factor = tl.load(mask + neuron, inside, 0).to(tl.float32)
    for _ in range(steps):
        potential = tl.load(potentials + neuron, inside, 0).to(tl.float32)
        if shift is not None:
            potential += tl.load(shift + cell % channels, cell < cells, 0).to(tl.float32)[None, :]
            shift += shift_stride
        z = potential - reset * trace
        fired = z >= 0
        trace = fired.to(tl.float32) + leak * trace
        if bits:
            history = (history >> 1) | (fired.to(tl.int32) << (bits - 1))
        if seen is not None:
            out = trace
            if mask is not None:
                out = trace * factor
            if pooled:
                out = _shared(tl.sum(tl.where(inside, out, 0), 0), down * right, share)
            tl.store(seen + outlet, out, whole)
            seen += pooled_neurons
        if keep:
            tl.store(potentials + neuron, _save(z, surrogate), inside)
        potentials += neurons
    if bits:
        tl.store(carried + neuron, history, inside)
    else:
        tl.store(carried + neuron, trace, inside)


@triton.jit
def differentiate(
    gradients,  # (K, n): with respect to what the next layer sees
    kept,  # (K, N), overwritten by the gradients with respect to z
    later,  # (N,): the gradient with respect to the z of the step that follows the last one
    mask,  # (N,)
    steps,
    neurons,
    pooled_neurons,
    cells,
    channels,
    height,
    width,
    down,
    right,
    leak,
    reset,
    surrogate: tl.constexpr,
    pooled: tl.constexpr,
    detach_reset: tl.constexpr,
    window: tl.constexpr,  # a power of two, of which there may be several in down * right
    share: tl.constexpr,
    block: tl.constexpr,
    index: tl.constexpr,
):
    """A program has `block` windows, `window` neurons of each, and `steps` steps of K, the last one first; K / steps of
    them stand abreast, and as many as it takes for all neurons of a window.
    """
    cell = tl.program_id(0).to(index) * block + tl.arange(0, block)
    inner = tl.program_id(2) * window + tl.arange(0, window)
    neuron, inside, outlet, whole = _places(cell, inner, cells, channels, height, width, down, right, pooled)
    last = tl.program_id(1).to(tl.int64) * steps + steps - 1
    gradients += last * pooled_neurons
    kept += last * neurons
    if mask is not None:
        factor = tl.load(mask + neuron, inside, 0).to(tl.float32)
    if later is None:
        delta = tl.zeros((window, block), tl.float32)
    else:
        delta = tl.load(later + neuron, inside, 0).to(tl.float32)
    for _ in range(steps):
        gradient = tl.load(gradients + outlet, whole, 0).to(tl.float32)
        if pooled:
            gradient = _shared(gradient, down * right, share)[None, :]
        if mask is not None:
            gradient = gradient * factor
        if not detach_reset:
            gradient = gradient - reset * delta
        saved = tl.load(kept + neuron, inside, 0).to(tl.float32)
        delta = _slope(gradient, saved, surrogate) + leak * delta
        tl.store(kept + neuron, delta, inside)
        gradients -= pooled_neurons
        kept -= neurons


@triton.jit
def _places(cell, inner, cells, channels, height, width, down, right, pooled: tl.constexpr):
    """Places of a block of windows: neurons (window, block) at some places in each, and which of them there are; where
    means go (block,), and which windows have one, because no border cuts them off. Without pooling, neurons twice.
    """
    if pooled:
        # Remainders by multiplication: an integer division takes as long as dozens of additions.
        place, wide, tall = cell // channels, tl.cdiv(width, right), tl.cdiv(height, down)
        line = place // wide
        row = line // tall
        channel, x, y = cell - place * channels, place - line * wide, line - row * tall
        below = inner // right
        across = x[None, :] * right + (inner - below * right)[:, None]
        along = y[None, :] * down + below[:, None]
        neuron = ((row[None, :] * height + along) * width + across) * channels + channel[None, :]
        inside = (cell < cells)[None, :] & (inner < down * right)[:, None] & (along < height) & (across < width)
        outlet = ((row * (height // down) + y) * (width // right) + x) * channels + channel
        whole = (cell < cells) & (y < height // down) & (x < width // right)
    else:
        neuron = cell[None, :]
        inside = (cell < cells)[None, :]
        outlet = neuron
        whole = inside
    return neuron, inside, outlet, whole


@triton.jit
def _shared(total, count, share: tl.constexpr):
    """The total over the count, as precisely as torch has it: a division, which takes long, if no share is exact."""
    if share is not None:
        total *= share
    else:
        total = tl.div_rn(total, count.to(tl.float32))
    return total


@triton.jit
def _save(x, surrogate: tl.constexpr):
    """`save_` of the surrogate."""
    if surrogate == SIGMOID:
        saved = tl.sigmoid(x)
    elif surrogate == RECTANGLE:
        saved = (tl.abs(x) <= 1).to(tl.float32)
    elif surrogate == TRIANGLE:
        saved = tl.maximum(1 - tl.abs(x), 0)
    else:
        tl.static_assert(surrogate == ARCTAN)
        saved = 0.5 / (1 + (HALF_PI * x) * (HALF_PI * x))
    return saved


@triton.jit
def _slope(gradient, saved, surrogate: tl.constexpr):
    """`backward_` of the surrogate."""
    if surrogate == SIGMOID:
        saved = (1 - saved) * saved
    return gradient * saved
