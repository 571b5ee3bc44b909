"""Effective operations of a product: the pairs of a nonzero weight and a nonzero input that meet in it.

The definition is NeuroBench's (Yik et al., Nature Communications 2025): zero weights and zero inputs both save work,
biases and the zeros that a convolution pads with are no inputs. Computed from counts of nonzero elements along the axes
that a product sums out, in int64, so that no result is too large to be exact and nothing of the inputs' size is kept.
Of complex numbers the real and the imaginary parts meet, four pairs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from harness_torch.costs.operator_calls import Call, is_sparse


class Pairs(NamedTuple):
    """Pairs in a product. effective: of nonzeros. dense: their number if nothing were zero. factors: its operands."""

    effective: int
    dense: int
    factors: tuple[Tensor, Tensor]


def count_pairs(call: Call) -> Pairs | None:
    """Count the pairs of a matrix product or a convolution; None for any other operator."""
    rule = RULES.get(call.key)
    return None if rule is None else rule(call)


def count_matrix_pairs(left: Tensor, right: Tensor) -> Pairs:
    """Count the pairs of left (..., m, k) times right (..., k, n)."""
    a, b = (each.to_dense() if is_sparse(each) else each for each in (left, right))
    met = count_nonzeros(a, -2) * count_nonzeros(b, -1)  # (..., k) int64
    dense = met.numel() * a.shape[-2] * b.shape[-1] * _count_parts(a) * _count_parts(b)
    return Pairs(int(met.sum()), dense, (left, right))


def count_nonzeros(tensor: Tensor, axis: int) -> Tensor:
    """Count the elements along an axis that are not zero; of complex numbers each part for itself."""
    if not tensor.is_complex():
        return tensor.count_nonzero(axis)
    return tensor.real.count_nonzero(axis) + tensor.imag.count_nonzero(axis)


def _count_parts(tensor: Tensor) -> int:
    return 2 if tensor.is_complex() else 1


class Sliding(NamedTuple):
    """Slides of the kernel of a convolution, an entry per spatial axis. Transposed: spread of the inputs."""

    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    transposed: bool
    groups: int


def count_convolution_pairs(image: Tensor, weight: Tensor, out: Sequence[int], sliding: Sliding) -> Pairs:
    """Count the pairs of image (B, C_in, *size) and weight (C_out, C_in / groups, *kernel), or transposed (C_in,
    C_out / groups, *kernel), into maps of size `out`. Each tap of the kernel meets the inputs that it sees on its way.
    """
    inputs = count_nonzeros(image, 0)  # (C_in, *size)
    full = weight.shape[1] if sliding.transposed else weight.shape[0] // sliding.groups
    effective = dense = 0
    taps: Iterator[tuple[int, ...]] = itertools.product(*map(range, weight.shape[2:]))
    for tap, filters in zip(taps, _count_filters(weight, sliding).flatten(1).unbind(1), strict=True):
        places = tuple(_slice_inputs(tap, image.shape[2:], out, sliding))
        seen = inputs[(slice(None), *places)].flatten(1)  # (C_in, positions)
        effective += int((seen.sum(1) * filters).sum())
        dense += seen.numel() * len(image) * full * _count_parts(image) * _count_parts(weight)
    return Pairs(effective, dense, (image, weight))


def _count_filters(weight: Tensor, sliding: Sliding) -> Tensor:
    """Count the nonzero weights from each input channel at each tap, (C_in, *kernel)."""
    if sliding.transposed:
        return count_nonzeros(weight, 1)
    return count_nonzeros(weight.unflatten(0, (sliding.groups, -1)), 1).flatten(0, 1)


def _slice_inputs(tap: Sequence[int], size: Sequence[int], out: Sequence[int], sliding: Sliding) -> Iterator[slice]:
    """Slice the inputs that this tap meets, axis by axis: input + padding = output * stride + tap * dilation, or
    transposed, output + padding = input * stride + tap * dilation.
    """
    axes = zip(tap, size, out, sliding.stride, sliding.padding, sliding.dilation, strict=True)
    for at, inside, outside, stride, padding, dilation in axes:
        shift = at * dilation - padding
        # `few` is what counts up by one while the other counts by stride
        few, many = (inside, outside) if sliding.transposed else (outside, inside)
        first = max(0, -(shift // stride))
        last = min(few - 1, (many - 1 - shift) // stride)
        if last < first:
            yield slice(0)
        elif sliding.transposed:
            yield slice(first, last + 1)
        else:
            yield slice(first * stride + shift, last * stride + shift + 1, stride)


def _make_matrix_rule(left: str, right: str) -> Callable[[Call], Pairs]:
    return lambda call: count_matrix_pairs(call[left], call[right])


def _make_vector_rule(matrix: str) -> Callable[[Call], Pairs]:
    def rule(call: Call) -> Pairs:
        left = call[matrix]
        row = left if left.dim() == 2 else left[None]
        vector = call["tensor" if left.dim() == 1 else "vec"]
        return count_matrix_pairs(row, vector[:, None])._replace(factors=(left, vector))

    return rule


def _count_linear_pairs(call: Call) -> Pairs:
    image, weight = call["input"], call["weight"]
    found = count_matrix_pairs(image.reshape(-1, image.shape[-1]), weight.T)
    return found._replace(factors=(image, weight))


def _read_convolution(call: Call) -> Pairs:
    image = call["input"] if "input" in call.arguments else call["self"]
    weight, axes = call["weight"], call["weight"].dim() - 2
    stride, padding = (_repeat_over_axes(call.get(name), axes) for name in ("stride", "padding"))
    dilation = _repeat_over_axes(call.get("dilation") or 1, axes)
    groups = call.get("groups") or (image.shape[1] // weight.shape[1])
    sliding = Sliding(stride, padding, dilation, bool(call.get("transposed")), groups)
    return count_convolution_pairs(image, weight, call.result.shape[2:], sliding)


def _repeat_over_axes(value: int | Sequence[int], axes: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * axes if len(values) == 1 else values


RULES: Mapping[str, Callable[[Call], Pairs]] = {
    "mm": _make_matrix_rule("self", "mat2"),
    "_int_mm": _make_matrix_rule("self", "mat2"),
    "bmm": _make_matrix_rule("self", "mat2"),
    "addmm": _make_matrix_rule("mat1", "mat2"),
    "_addmm_activation": _make_matrix_rule("mat1", "mat2"),
    "_sparse_addmm": _make_matrix_rule("mat1", "mat2"),
    "_sparse_sparse_matmul": _make_matrix_rule("self", "other"),
    "baddbmm": _make_matrix_rule("batch1", "batch2"),
    "addbmm": _make_matrix_rule("batch1", "batch2"),
    "mv": _make_vector_rule("self"),
    "addmv": _make_vector_rule("mat"),
    "dot": _make_vector_rule("self"),
    "linear": _count_linear_pairs,
    "convolution": _read_convolution,
    "_convolution": _read_convolution,
    "cudnn_convolution": _read_convolution,
    "mkldnn_convolution": _read_convolution,
    "_slow_conv2d_forward": _read_convolution,
    "_conv_depthwise2d": _read_convolution,
}
