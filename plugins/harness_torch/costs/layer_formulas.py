"""Element-wise work of pooling, normalisation, losses, lookups, sorting and fused optimiser steps.

Each counts as if it were written out in single operators; none of them has multiply-accumulates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from harness_torch.costs.operator_calls import Call, Work, count_elements, count_largest


def _mean_squared_error(call: Call) -> Work:
    """Difference, square; sum unless reduction is "none"."""
    return Work(elementwise=count_largest(call) * (3 if call["reduction"] else 2))


def _index_put(call: Call) -> Work:
    """A copy, or a sum where it accumulates."""
    return Work(elementwise=count_elements(call["values"]) if call["accumulate"] else 0)


def _embedding_bag(call: Call) -> Work:
    """One addition per looked-up element."""
    return Work(elementwise=call["indices"].numel() * call["weight"].shape[1])


def _embedding_bag_backward(call: Call) -> Work:
    """One addition per element of the rows that were looked up."""
    return Work(elementwise=call["indices"].numel() * call["grad"].shape[1])


def _pairwise_distances(call: Call) -> Work:
    """Difference, power, sum for each coordinate of each pair: x1 (..., P, M), x2 (..., R, M)."""
    return Work(elementwise=3 * count_elements(call.result) * call["x1"].shape[-1])


def _make_pool(window: str, over: str) -> Callable[[Call], Work]:
    """One operation per element of each window; without `over`, windows of the result."""

    def pooled(call: Call) -> Work:
        image = call[over] if over else call.result[0] if isinstance(call.result, tuple) else call.result
        kernel = call[window]
        dimensions = 3 if "3d" in call.key else 1 if "1d" in call.key else 2
        size = math.prod(kernel) if len(kernel) == dimensions else kernel[0] ** dimensions
        return Work(elementwise=image.numel() * size)

    return pooled


def _sort(call: Call) -> Work:
    """Rows of n take n log2 n comparisons each."""
    rows = call["self"]
    length = rows.shape[call["dim"]] if rows.dim() else 1
    return Work(elementwise=rows.numel() * math.ceil(math.log2(length)) if length else 0)


WITHOUT_STATISTICS = ("_native_batch_norm_legit_no_training", "_batch_norm_no_update")


def _batch_norm(call: Call) -> Work:
    """Statistics (4) in training; difference, quotient; scale and shift where there are weights."""
    training = call.get("training") is not False and call.key not in WITHOUT_STATISTICS
    passes = (4 if training else 0) + 2 + (2 if call.get("weight") is not None else 0)
    return Work(elementwise=call["input"].numel() * passes)


def _batch_norm_backward(call: Call) -> Work:
    """Gradient as of layer norm in training (9); without statistics, sums of g and g x (5) and the scale."""
    training = call.get("train") is not False and call.get("update") is not False
    return Work(elementwise=call["input"].numel() * (9 if training else 6))


def _sgd(call: Call) -> Work:
    """The step; momentum decays and takes the gradient; Nesterov, weight decay and maximisation one more each."""
    momentum = 0 if call["momentum"] == 0 else 1 if call["is_first_step"] else 2
    passes = 1 + momentum + bool(call["nesterov"]) + (call["weight_decay"] != 0) + bool(call["maximize"])
    return Work(elementwise=count_elements(call["self"]) * passes)


def _adam(call: Call) -> Work:
    """Two moments (3), root, its scale, epsilon, step; AMSGrad, weight decay and maximisation one more each."""
    passes = 7 + bool(call["amsgrad"]) + (call["weight_decay"] != 0) + bool(call["maximize"])
    return Work(elementwise=count_elements(call["self"]) * passes)


def _adagrad(call: Call) -> Work:
    """Squares summed, root, epsilon, step; weight decay and maximisation one more each."""
    return Work(elementwise=count_elements(call["self"]) * (4 + (call["weight_decay"] != 0) + bool(call["maximize"])))


LAYERS: Mapping[str, Callable[[Call], Work]] = {
    "mse_loss": _mean_squared_error,
    "index_put": _index_put,
    "_index_put_impl": _index_put,
    "_unsafe_index_put": _index_put,
    "_embedding_bag": _embedding_bag,
    "_embedding_bag_forward_only": _embedding_bag,
    **dict.fromkeys(
        (
            "avg_pool1d",
            "avg_pool2d",
            "avg_pool3d",
            "max_pool2d_with_indices",
            "max_pool3d_with_indices",
            "fractional_max_pool2d",
            "fractional_max_pool3d",
        ),
        _make_pool("kernel_size", over=""),
    ),
    "avg_pool2d_backward": _make_pool("kernel_size", over="grad_output"),
    "avg_pool3d_backward": _make_pool("kernel_size", over="grad_output"),
    "_embedding_bag_backward": _embedding_bag_backward,
    "_embedding_bag_dense_backward": _embedding_bag_backward,
    "_cdist_forward": _pairwise_distances,
    **dict.fromkeys(("sort", "argsort", "topk"), _sort),
    **dict.fromkeys(
        (
            "native_batch_norm",
            "cudnn_batch_norm",
            "_native_batch_norm_legit",
            "_native_batch_norm_legit_no_training",
            "_batch_norm_with_update",
            "_batch_norm_no_update",
        ),
        _batch_norm,
    ),
    "native_batch_norm_backward": _batch_norm_backward,
    "cudnn_batch_norm_backward": _batch_norm_backward,
    "batch_norm_backward": _batch_norm_backward,
    "_fused_sgd": _sgd,
    "_fused_adagrad": _adagrad,
    "_fused_adam": _adam,
    "_fused_adamw": _adam,
}
