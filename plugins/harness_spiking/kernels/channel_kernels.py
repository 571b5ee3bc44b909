"""The kernels that `fused` launches per output channel: Triton programs that standardise weights, and that sum errors.

A weight's channel is a row of `fan_in` numbers without gaps, whatever their order. All sums are in single precision.
"""

# ruff: noqa: ANN001, ANN201, ANN202 - Triton reads the annotations, and knows pointers and numbers by what is passed
# mypy: allow-untyped-defs, allow-incomplete-defs

import triton
import triton.language as tl


@triton.jit
def standardise(weight, gain, out, means, inverses, fan_in, factor, epsilon, block: tl.constexpr):
    """A program has a channel: W' = factor gain (W - m) r, with m and r written down for the way back."""
    channel, place, inside = _row(fan_in, block)
    row = tl.load(weight + place, inside, 0)
    mean = tl.sum(row, 0) / fan_in
    centred = tl.where(inside, row - mean, 0)
    squares = tl.sum(centred * centred, 0)
    inverse = tl.rsqrt(squares * (fan_in / (fan_in - 1)) + epsilon)
    scale = tl.load(gain + channel) * factor * inverse
    tl.store(out + place, centred * scale, inside)
    tl.store(means + channel, mean)
    tl.store(inverses + channel, inverse)


@triton.jit
def standardise_backward(gradient, weight, gain, means, inverses, into_gain, fan_in, factor, block: tl.constexpr):
    """A program has a channel: from dL/dW' to dL/dW in its place, and dL/dgain."""
    channel, place, inside = _row(fan_in, block)
    inverse = tl.load(inverses + channel)
    slope = tl.load(gradient + place, inside, 0)
    centred = tl.where(inside, tl.load(weight + place, inside, 0) - tl.load(means + channel), 0)
    along = tl.sum(slope * centred, 0)  # A
    scale = tl.load(gain + channel) * factor * inverse
    back = along * inverse * inverse * (fan_in / (fan_in - 1))
    tl.store(gradient + place, scale * (slope - tl.sum(slope, 0) / fan_in - back * centred), inside)
    tl.store(into_gain + channel, factor * inverse * along)


@triton.jit
def _row(fan_in, block: tl.constexpr):
    """The channel of this program, where its numbers lie (block,), and which of them there are."""
    channel, inner = tl.program_id(0), tl.arange(0, block)
    return channel, channel.to(tl.int64) * fan_in + inner, inner < fan_in


@triton.jit
def sum_rows(values, sums, rows, channels, parts, part: tl.constexpr, tile: tl.constexpr, block: tl.constexpr):
    """Sum a step's values (rows, channels): a program sums `part` rows, `block` channels: (steps, parts, channels)."""
    step = tl.program_id(2).to(tl.int64)
    channel = tl.program_id(1) * block + tl.arange(0, block)
    first = tl.program_id(0).to(tl.int64) * part
    total = tl.zeros((tile, block), tl.float32)
    for start in range(0, part, tile):
        row = first + start + tl.arange(0, tile)
        inside = (row < rows)[:, None] & (channel < channels)[None, :]
        place = (step * rows + row)[:, None] * channels + channel[None, :]
        total += tl.load(values + place, inside, 0).to(tl.float32)
    place = (step * parts + tl.program_id(0)) * channels + channel
    tl.store(sums + place, tl.sum(total, 0), channel < channels)
