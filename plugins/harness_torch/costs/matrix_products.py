"""Multiply-accumulates of matrix products and convolutions.

Dense: a product of (m, k) with (k, n) is m k n, zeros in it and padding of convolutions included. Sparse operands count
by stored elements. An addition (of a bias, an accumulator) is one element-wise operation per element.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from harness_torch.costs.operator_calls import Call, Work, count_elements, count_stored, is_sparse


def count_product(left: Tensor, right: Tensor) -> int:
    """Count the MACs of left (..., m, k) times right (..., k, n)."""
    if is_sparse(left) and is_sparse(right):
        return _count_stored_pairs(left, right)
    if is_sparse(right):
        return count_stored(right) * left.shape[-2]
    return count_stored(left) * right.shape[-1]


def _count_stored_pairs(left: Tensor, right: Tensor) -> int:
    """Count the pairs of stored elements that meet: left (m, k), right (k, n), both sparse."""
    columns, rows = left.to_sparse_coo()._indices()[1], right.to_sparse_coo()._indices()[0]
    inner = left.shape[1]
    return int((columns.bincount(minlength=inner) * rows.bincount(minlength=inner)).sum())


def _count_added(call: Call) -> int:
    """Count the additions of addmm and its kin, whose accumulator is not read where beta is zero."""
    return count_elements(call.result) if call.get("beta") != 0 else 0


def _make_product(left: str, right: str) -> Callable[[Call], Work]:
    return lambda call: Work(count_product(call[left], call[right]))


def _make_accumulation(left: str, right: str) -> Callable[[Call], Work]:
    return lambda call: Work(count_product(call[left], call[right]), _count_added(call))


def _activated_product(call: Call) -> Work:
    """A product, a bias and an activation in one."""
    return Work(count_product(call["mat1"], call["mat2"]), _count_added(call) + count_elements(call.result))


def _make_vector_product(matrix: str) -> Callable[[Call], Work]:
    return lambda call: Work(count_stored(call[matrix]), _count_added(call) if "beta" in call.arguments else 0)


def _outer_product(call: Call) -> Work:
    return Work(call["vec1"].numel() * call["vec2"].numel(), _count_added(call))


def _linear(call: Call) -> Work:
    bias = call["bias"] is not None
    return Work(call["input"].numel() * call["weight"].shape[0], count_elements(call.result) if bias else 0)


def _sampled_product(call: Call) -> Work:
    """A dense product of which only the stored elements of `self` are taken."""
    return Work(
        count_stored(call["self"]) * call["mat1"].shape[-1], count_stored(call["self"]) if call["beta"] != 0 else 0
    )


def _convolution(call: Call) -> Work:
    """Each output element takes one MAC per weight of its filter; transposed, each input element gives as many."""
    image = call["input"] if "input" in call.arguments else call["self"]
    elsewhere = image if call.get("transposed") else call.result
    bias = count_elements(call.result) if call.get("bias") is not None else 0
    return Work(_count_filter_macs(elsewhere, call["weight"]), bias)


def _convolution_backward(call: Call) -> Work:
    """The gradients of input and of weight each cost as much as the forward; that of the bias is a sum."""
    gradient = call["grad_output"]
    forward = _count_filter_macs(call["input"] if call["transposed"] else gradient, call["weight"])
    wants_input, wants_weight, wants_bias = call["output_mask"]
    return Work(forward * (wants_input + wants_weight), gradient.numel() if wants_bias else 0)


def _count_filter_macs(image: Tensor, weight: Tensor) -> int:
    """Count MACs by weight (C_out, C_in / groups, *kernel), transposed (C_in, C_out / groups, *kernel)."""
    return image.numel() * math.prod(weight.shape[1:])


def _trilinear(call: Call) -> Work:
    """A sum over products of three factors: two multiplications for each, one of them with the addition."""
    shapes = [
        _insert_axes(call[factor].shape, call[places])
        for factor, places in (("i1", "expand1"), ("i2", "expand2"), ("i3", "expand3"))
    ]
    terms = math.prod(torch.broadcast_shapes(*shapes))
    return Work(terms, terms)


def _insert_axes(shape: torch.Size, places: list[int]) -> list[int]:
    """Insert axes of length one at these places of a shape."""
    lengths = list(shape)
    for place in sorted(places):
        lengths.insert(place, 1)
    return lengths


PRODUCTS: Mapping[str, Callable[[Call], Work]] = {
    "mm": _make_product("self", "mat2"),
    "bmm": _make_product("self", "mat2"),
    "_int_mm": _make_product("self", "mat2"),
    "_sparse_sparse_matmul": _make_product("self", "other"),
    "addmm": _make_accumulation("mat1", "mat2"),
    "_sparse_addmm": _make_accumulation("mat1", "mat2"),
    "baddbmm": _make_accumulation("batch1", "batch2"),
    "addbmm": _make_accumulation("batch1", "batch2"),
    "sparse_sampled_addmm": _sampled_product,
    "_addmm_activation": _activated_product,
    "mv": _make_vector_product("self"),
    "addmv": _make_vector_product("mat"),
    "dot": _make_vector_product("self"),
    "vdot": _make_vector_product("self"),
    "addr": _outer_product,
    "linear": _linear,
    "_trilinear": _trilinear,
    "convolution": _convolution,
    "_convolution": _convolution,
    "cudnn_convolution": _convolution,
    "mkldnn_convolution": _convolution,
    "_slow_conv2d_forward": _convolution,
    "_conv_depthwise2d": _convolution,
    "convolution_backward": _convolution_backward,
}
