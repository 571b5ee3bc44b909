"""The work of an operator, by the rule that covers it.

Every operator is one of: a product or kernel with a formula of its own; arithmetic on elements, with a number of passes
over them; known to do no arithmetic (it allocates, fills, copies, reorders or views); or uncovered, and then reported.

One element-wise operation is one arithmetic operation, comparison, selection, conversion by a function (exp, tanh) or
random draw for one element of the result, whatever it costs in cycles: an operator of three operands such as addcmul
counts one. A reduction counts one per element of its input. Operators that hold a whole layer count what the same layer
would in single operators. A complex number is one element; a product of complex numbers takes four real MACs (torch
convolves them by three real convolutions, and these are what is counted).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from harness_torch.costs.fused_kernels import KERNELS
from harness_torch.costs.layer_formulas import LAYERS
from harness_torch.costs.matrix_products import PRODUCTS
from harness_torch.costs.operator_calls import (
    Call,
    Work,
    count_elements,
    count_largest,
    count_produced,
    find_tensors,
    is_view,
)

COMPLEX = 4  # real MACs of a complex one: BLAS does not save one of them by sums, as Gauss did


def count_work(call: Call) -> Work | None:
    """Count the work of a call; None where no rule covers its operator."""
    formula = PRODUCTS.get(call.key) or KERNELS.get(call.key) or LAYERS.get(call.key)
    if formula is not None:
        macs, elementwise = formula(call)
        return Work(macs * (COMPLEX if _is_complex(call) else 1), elementwise)
    if costs_nothing(call) or call.key in COPIES:
        return Work()
    if call.key in POINTWISE:
        return Work(elementwise=count_produced(call))
    if call.key in PASSES:
        return Work(elementwise=PASSES[call.key] * count_largest(call))
    if call.key in SCATTERED:
        return Work(elementwise=count_elements(call[SCATTERED[call.key]]))
    # torch's own word for "one result per element"; it does not tag every variant in every version, hence the lists.
    if torch.Tag.pointwise in getattr(call.func, "tags", ()):
        return Work(elementwise=count_produced(call))
    return None


def _is_complex(call: Call) -> bool:
    return any(each.is_complex() for each in find_tensors(list(call.arguments.values())))


def costs_nothing(call: Call) -> bool:
    """Whether the operator touches no element at all: views, allocation, metadata, labels for a profiler."""
    return call.key in METADATA or call.name.startswith("profiler::") or is_view(call.func)


def _split_names(text: str) -> frozenset[str]:
    return frozenset(text.split())


METADATA = _split_names("""
    empty empty_like empty_strided empty_permuted new_empty new_empty_strided _efficientzerotensor resize resize_as
    resize_output set set_data detach squeeze unsqueeze t transpose swapaxes swapdims as_strided rename
    _unsafe_view unsafe_split unsafe_split_with_sizes unsafe_chunk lift lift_fresh _mkldnn_reshape record_stream
    requires_grad retain_grad size stride numel dim storage_offset is_contiguous is_pinned is_coalesced is_same_size
    sym_size sym_stride sym_numel sym_storage_offset is_strides_like_format is_non_overlapping_and_dense
    _nnz _coalesced _indices _values dense_dim sparse_dim _dimI _dimV _version _make_dep_token _fused_sdp_choice
    _has_compatible_shallow_copy_type _has_same_storage_numel _use_cudnn_rnn_flatten_weight _assert_tensor_metadata
    _sparse_coo_tensor_with_dims _sparse_coo_tensor_with_dims_and_tensors _sparse_coo_tensor_unsafe
    _sparse_compressed_tensor_unsafe _sparse_csr_tensor_unsafe sparse_resize sparse_resize_and_clear
    sparse_compressed_tensor _linalg_check_errors prim::device prim::layout
""")

# They move or write elements, and compute none.
COPIES = _split_names("""
    zeros zeros_like ones ones_like full full_like new_zeros new_ones new_full scalar_tensor zero fill fill_diagonal eye
    arange range linspace logspace tril_indices triu_indices
    clone copy _to_copy _to_cpu _copy_from _copy_from_and_resize _pin_memory lift_fresh_copy contiguous _lazy_clone
    _local_scalar_dense _conj_copy view_copy expand_copy permute_copy select_copy slice_copy as_strided_copy
    cat stack _stack _chunk_cat repeat repeat_interleave tile flip roll rot90 tril triu diag diag_embed block_diag
    index_select index _unsafe_index gather take take_along_dim masked_select embedding
    scatter index_copy index_fill put masked_scatter select_scatter slice_scatter diagonal_scatter as_strided_scatter
    select_backward slice_backward diagonal_backward trace_backward value_selecting_reduction_backward
    constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
    replication_pad3d _pad_circular pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle im2col
    max_unpool2d max_unpool3d upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d
    _upsample_nearest_exact2d _upsample_nearest_exact3d unfold_copy
    _pack_padded_sequence _pack_padded_sequence_backward _pad_packed_sequence _cudnn_rnn_flatten_weight
    _cudnn_init_dropout_state lu_unpack to_dense _to_dense to_dense_backward _to_sparse _to_sparse_csr _to_sparse_csc
    _to_sparse_bsr _to_sparse_bsc sparse_mask _sparse_mask_projection _convert_indices_from_csr_to_coo
    _convert_indices_from_coo_to_csr _assert_async _functional_assert_async _assert_scalar complex view_as_complex_copy
""")

POINTWISE = _split_names("""
    add sub rsub mul div true_divide floor_divide remainder fmod pow float_power square sqrt rsqrt reciprocal neg abs
    sign sgn signbit positive floor ceil round trunc frac exp exp2 expm1 log log2 log10 log1p logaddexp logaddexp2
    logit sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh sigmoid erf erfc erfinv lgamma digamma
    polygamma sinc i0 xlogy hypot heaviside copysign nextafter ldexp gcd lcm deg2rad rad2deg nan_to_num
    addcmul addcdiv lerp clamp clamp_min clamp_max clip maximum minimum fmax fmin where masked_fill
    eq ne lt le gt ge isnan isinf isfinite isposinf isneginf logical_and logical_or logical_xor logical_not
    bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift and or xor lshift rshift
    relu relu6 leaky_relu elu celu selu gelu silu mish softplus hardtanh hardsigmoid hardswish hardshrink softshrink
    threshold rrelu rrelu_with_noise rrelu_with_noise_functional log_sigmoid_forward glu _prelu_kernel
    sigmoid_backward tanh_backward threshold_backward leaky_relu_backward elu_backward gelu_backward silu_backward
    mish_backward softplus_backward hardtanh_backward hardsigmoid_backward hardswish_backward hardshrink_backward
    softshrink_backward log_sigmoid_backward glu_backward _prelu_kernel_backward logit_backward
    native_dropout_backward infinitely_differentiable_gelu_backward rrelu_with_noise_backward
    real imag angle conj_physical _conj_physical polar
    rand rand_like randn randn_like randint randint_like randperm random uniform normal normal_functional bernoulli
    exponential geometric cauchy log_normal poisson binomial _standard_gamma _sample_dirichlet
    bucketize searchsorted cross linalg_cross
""")

# Operations per element of the largest operand: reductions, then layers written out.
PASSES: Mapping[str, int] = {
    **dict.fromkeys(
        _split_names("""
            sum nansum mean prod norm linalg_vector_norm var std var_mean std_mean max min amax amin aminmax _aminmax
            argmax argmin any all logsumexp cumsum cumprod cummax cummin _cummax_helper _cummin_helper logcumsumexp
            _logcumsumexp count_nonzero nonzero equal trace _is_all_true _is_any_true median nanmedian mode kthvalue
            multinomial histc bincount isin _coalesce _sparse_sum sum_to_size dist
            adaptive_avg_pool2d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d
            _adaptive_avg_pool2d_backward _adaptive_avg_pool3d_backward
            masked_scatter_backward
        """),
        1,
    ),
    # max, difference, exp, sum, quotient
    "_softmax": 5,
    "_safe_softmax": 5,
    "_log_softmax": 5,
    # product, sum, difference, product
    "_softmax_backward_data": 4,
    "_log_softmax_backward_data": 4,
    # mean; difference, square, sum; difference, quotient; scale, shift
    "native_layer_norm": 8,
    "native_group_norm": 8,
    # normalised input (2), sums of g and g x (3), their share taken from g (3), scale
    "native_layer_norm_backward": 9,
    "native_group_norm_backward": 9,
    "_fused_rms_norm": 4,
    "_fused_rms_norm_backward": 7,
    # square, sum; scale
    "_weight_norm_interface": 3,
    "_weight_norm_interface_backward": 6,
    # draw, product, scale
    "native_dropout": 3,
    "_fused_dropout": 3,
    # difference, square (or the like), weight; gradient of it
    "smooth_l1_loss": 4,
    "smooth_l1_loss_backward": 4,
    "huber_loss": 4,
    "huber_loss_backward": 4,
    "mse_loss_backward": 3,
    # scale, and the look for numbers that are not finite
    "_amp_foreach_non_finite_check_and_unscale": 2,
    # two logarithms, two products, 1 - t and 1 - p, sum, weight
    "binary_cross_entropy": 8,
    "binary_cross_entropy_with_logits": 8,
    "soft_margin_loss": 5,
    "soft_margin_loss_backward": 5,
    "binary_cross_entropy_backward": 5,
    # taps of a stencil, a product and a sum each
    "upsample_linear1d": 4,
    "upsample_bilinear2d": 8,
    "upsample_bicubic2d": 32,
    "upsample_trilinear3d": 16,
    "upsample_linear1d_backward": 4,
    "upsample_bilinear2d_backward": 8,
    "upsample_bicubic2d_backward": 32,
    "upsample_trilinear3d_backward": 16,
}

# One addition per element of the named argument.
SCATTERED: Mapping[str, str] = {
    "scatter_add": "src",
    "scatter_reduce": "src",
    "index_add": "source",
    "index_reduce": "source",
    "embedding_dense_backward": "grad_output",
    "nll_loss_forward": "target",
    "nll_loss_backward": "target",
    "nll_loss2d_forward": "target",
    "nll_loss2d_backward": "target",
    **dict.fromkeys(
        _split_names("""
            max_pool2d_with_indices_backward max_pool3d_with_indices_backward fractional_max_pool2d_backward
            fractional_max_pool3d_backward adaptive_max_pool2d_backward
            adaptive_max_pool3d_backward reflection_pad1d_backward reflection_pad2d_backward reflection_pad3d_backward
            replication_pad1d_backward replication_pad2d_backward replication_pad3d_backward
            upsample_nearest1d_backward upsample_nearest2d_backward upsample_nearest3d_backward
        """),
        "grad_output",
    ),
    "unfold_backward": "grad_in",
    "col2im": "self",
}
