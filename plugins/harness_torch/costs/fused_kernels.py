"""Work of operators that hold a whole layer: recurrent kernels, attention, dense linear algebra.

Recurrent kernels and attention count as the layer written out in single operators would. Factorisations have no exact
count; they take the leading terms of the textbook algorithm, in MACs of two flops each (Golub and Van Loan, Matrix
Computations, 4th edition, 2013: LU 3.2, Cholesky 4.2, QR 5.2, symmetric eigenproblem 8.3, SVD 8.6).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from torch import Tensor

from harness_torch.costs.operator_calls import Call, Work

# Element-wise operations per hidden unit and step, by cuDNN's number of the cell: without biases, for the biases.
# RNN: h = act(a + b). GRU: two gates of sum and sigmoid; n = tanh(a + r b); h = n + z (h - n).
# LSTM: four gates of sum and activation; c = f c + i g; h = o tanh(c).
CELLS: Mapping[int, tuple[int, int]] = {0: (2, 2), 1: (2, 2), 2: (13, 8), 3: (10, 6)}
LSTM, GRU = 2, 3


# --- recurrent ----------------------------------------------------------------------------------------------------


def _count_steps(inputs: Tensor) -> int:
    """Count time steps times rows: inputs (T, B, I), or packed (sum of lengths, I)."""
    return inputs.numel() // inputs.shape[-1]


def _count_cell(mode: int, bias: bool) -> int:
    plain, biases = CELLS[mode]
    return plain + (biases if bias else 0)


def _make_onednn_layer(first: str, second: str) -> Callable[[Call], Work]:
    """One layer, one direction: input-to-hidden and hidden-to-hidden weights, both used once per step and row."""

    def work(call: Call) -> Work:
        steps = _count_steps(call["input"])
        weights = call[first].numel() + call[second].numel()
        units = steps * call["hidden_size"]
        return Work(steps * weights, units * _count_cell(call["mode"], call["has_biases"]))

    return work


def _cudnn_rnn(call: Call) -> Work:
    """All layers and directions at once; every matrix, projections included, is used once per step and row."""
    steps = _count_steps(call["input"])
    matrices = sum(weight.numel() for weight in call["weight"] if weight.dim() == 2)
    directions = 2 if call["bidirectional"] else 1
    units = steps * call["hidden_size"] * call["num_layers"] * directions
    biased = any(weight.dim() == 1 for weight in call["weight"])
    return Work(steps * matrices, units * _count_cell(call["mode"], biased))


def _cudnn_rnn_backward(call: Call) -> Work:
    """Gradients of activations, except the input's where they are not wanted, and of weights likewise."""
    macs, elementwise = _cudnn_rnn(call)
    wants_input, _, _, wants_weights = call["output_mask"]
    first = call["weight"][:: call["weight_stride0"]][: 2 if call["bidirectional"] else 1]
    skipped = 0 if wants_input else _count_steps(call["input"]) * sum(weight.numel() for weight in first)
    return Work(macs * (1 + wants_weights) - skipped, 2 * elementwise)


def _make_fused_cell(mode: int, units: str) -> Callable[[Call], Work]:
    """Gates of a single step; the matrix products before it are operators of their own."""
    return lambda call: Work(0, call[units].numel() * _count_cell(mode, call["input_bias"] is not None))


def _make_fused_cell_backward(mode: int, units: str) -> Callable[[Call], Work]:
    return lambda call: Work(0, 2 * call[units].numel() * _count_cell(mode, call["has_bias"]))


def _double_work(forward: Callable[[Call], Work]) -> Callable[[Call], Work]:
    """Backward of a layer: the gradients of its inputs and of its weights each cost as much as the forward."""

    def work(call: Call) -> Work:
        macs, elementwise = forward(call)
        return Work(2 * macs, 2 * elementwise)

    return work


# --- attention ----------------------------------------------------------------------------------------------------


def _measure_scores(call: Call) -> tuple[int, int, int]:
    """Measure attention: number of scores (B H L S), length of a key, length of a value; query (B, H, L, E), key (B, H,
    S, E).
    """
    query, keys, values = call["query"], call["key"], call["value"]
    return query.numel() // query.shape[-1] * keys.shape[-2], query.shape[-1], values.shape[-1]


def _attention(call: Call) -> Work:
    """Scores, softmax, weighted sum. Causal masks are counted as if all were computed."""
    scores, width, depth = _measure_scores(call)
    masked = call.get("attn_mask") is not None or call.get("attn_bias") is not None
    return Work(scores * (width + depth), scores * (6 + masked))


def _attention_backward(call: Call) -> Work:
    """Scores once more; gradients of values, weights, queries, keys: five products."""
    scores, width, depth = _measure_scores(call)
    return Work(scores * (3 * width + 2 * depth), scores * 8)


# --- linear algebra -----------------------------------------------------------------------------------------------


def _measure_matrices(tensor: Tensor) -> tuple[int, int, int]:
    """Measure a stack of matrices: their number, longer side, shorter side."""
    *batch, rows, columns = tensor.shape
    return math.prod(batch), max(rows, columns), min(rows, columns)


def _svd(call: Call) -> Work:
    """Golub-Reinsch: 4 m n^2 - 4 n^3 / 3 flops for the values alone, 14 m n^2 + 8 n^3 with thin U and V."""
    count, m, n = _measure_matrices(call["A"])
    return Work(count * (7 * m * n**2 + 4 * n**3 if call["compute_uv"] else 2 * m * n**2 - 2 * n**3 // 3))


def _eigh(call: Call) -> Work:
    """Symmetric QR: 4 n^3 / 3 flops for the values alone, 9 n^3 with vectors."""
    count, n, _ = _measure_matrices(call["A"])
    return Work(count * (9 * n**3 // 2 if call["compute_v"] else 2 * n**3 // 3))


def _qr(call: Call) -> Work:
    """Householder: 2 n^2 (m - n / 3) flops for R, as many again for thin Q."""
    count, m, n = _measure_matrices(call["A"])
    triangular = n**2 * (3 * m - n) // 3
    return Work(count * triangular * (1 if call["mode"] == "r" else 2))


def _householder_product(call: Call) -> Work:
    """Thin Q from its Householder vectors: 2 n^2 (m - n / 3) flops."""
    count, m, n = _measure_matrices(call["input"])
    return Work(count * (n**2 * (3 * m - n) // 3))


def _make_cubic(matrix: str, thirds: int) -> Callable[[Call], Work]:
    """n^3 MACs times thirds / 3: one third for LU, three for an inverse."""

    def work(call: Call) -> Work:
        count, n, _ = _measure_matrices(call[matrix])
        return Work(count * thirds * n**3 // 3)

    return work


def _cholesky(call: Call) -> Work:
    """n^3 / 3 flops."""
    count, n, _ = _measure_matrices(call["self"])
    return Work(count * n**3 // 6)


def _make_substitution(matrix: str, right: str, times: int) -> Callable[[Call], Work]:
    """n^2 / 2 MACs per triangle and right-hand side; `times` triangles."""

    def work(call: Call) -> Work:
        size: int = call[matrix].shape[-1]
        return Work(times * size * call[right].numel() // 2)

    return work


def _solve(call: Call) -> Work:
    """LU, then two triangles."""
    count, n, _ = _measure_matrices(call["A"])
    return Work(count * n**3 // 3 + n * call["B"].numel())


KERNELS: Mapping[str, Callable[[Call], Work]] = {
    "mkldnn_rnn_layer": _make_onednn_layer("weight0", "weight1"),
    "mkldnn_rnn_layer_backward": _double_work(_make_onednn_layer("weight1", "weight2")),
    "_cudnn_rnn": _cudnn_rnn,
    "_cudnn_rnn_backward": _cudnn_rnn_backward,
    "_thnn_fused_lstm_cell": _make_fused_cell(LSTM, "cx"),
    "_thnn_fused_lstm_cell_backward_impl": _make_fused_cell_backward(LSTM, "cx"),
    "_thnn_fused_gru_cell": _make_fused_cell(GRU, "hx"),
    "_thnn_fused_gru_cell_backward": _make_fused_cell_backward(GRU, "grad_hy"),
    "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
    "_scaled_dot_product_cudnn_attention": _attention,
    "_scaled_dot_product_flash_attention_backward": _attention_backward,
    "_scaled_dot_product_flash_attention_for_cpu_backward": _attention_backward,
    "_scaled_dot_product_efficient_attention_backward": _attention_backward,
    "_scaled_dot_product_cudnn_attention_backward": _attention_backward,
    "_linalg_svd": _svd,
    "_linalg_eigh": _eigh,
    "linalg_qr": _qr,
    "linalg_householder_product": _householder_product,
    "linalg_cholesky_ex": _cholesky,
    "linalg_lu_factor_ex": _make_cubic("A", 1),
    "linalg_inv_ex": _make_cubic("A", 3),
    "_linalg_det": _make_cubic("A", 1),
    "_linalg_slogdet": _make_cubic("A", 1),
    "_linalg_solve_ex": _solve,
    "linalg_solve_triangular": _make_substitution("self", "B", 1),
    "triangular_solve": _make_substitution("A", "self", 1),
    "_cholesky_solve_helper": _make_substitution("A", "self", 2),
    "cholesky_solve": _make_substitution("input2", "self", 2),
    "linalg_lu_solve": _make_substitution("LU", "B", 2),
}
