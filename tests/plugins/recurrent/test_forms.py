"""Forms of weights: what they compute, what is said of them, by hand and by the dense matrix."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from harness_recurrent import forms

# Two rows of three, three zeros.
WEIGHT = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 4.0]])
MASK = WEIGHT != 0
FORMS: dict[str, dict[str, Tensor]] = {
    "dense": {"weight": WEIGHT},
    "masked": {"weight": WEIGHT + 1.0, "mask": MASK},
    "csr": forms.to_csr(WEIGHT, MASK),
    "columns": {"weight": WEIGHT[:, [2, 0]], "columns": torch.tensor([2, 0])},
    "low-rank": {"left": torch.tensor([[1.0], [2.0]]), "right": torch.tensor([[1.0, 2.0, 3.0]])},
    "int8": forms.quantise(WEIGHT),
}
DENSE = {
    **dict.fromkeys(("dense", "csr", "columns", "int8"), WEIGHT),
    "masked": torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.0, 5.0]]),
    "low-rank": torch.tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]]),
}
DENSE["masked"] = (WEIGHT + 1.0) * MASK


@pytest.mark.parametrize("kind", FORMS)
def test_a_form_is_known_by_its_names_and_multiplies_as_its_dense_matrix(kind: str) -> None:
    rows = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.25, -1.0]])
    mapped = forms.bind(FORMS[kind])
    assert forms.find_form(FORMS[kind]) == forms.find_form({**FORMS[kind], "bias": torch.ones(2)}) == kind
    torch.testing.assert_close(forms.to_dense(FORMS[kind], 3), DENSE[kind], atol=0.05, rtol=0)
    torch.testing.assert_close(mapped(rows), rows @ forms.to_dense(FORMS[kind], 3).T)
    assert (mapped.dense is None) == (kind in ("csr", "columns", "low-rank"))
    assert mapped.dense is None or torch.equal(mapped.dense, forms.to_dense(FORMS[kind]))


def test_a_low_rank_map_may_add_what_it_is_given() -> None:
    tensors = {"left": torch.randn(4, 2), "right": torch.randn(2, 4), "identity": torch.tensor(True)}
    rows = torch.randn(3, 4)
    torch.testing.assert_close(forms.bind(tensors)(rows), rows + rows @ (tensors["left"] @ tensors["right"]).T)
    torch.testing.assert_close(forms.to_dense(tensors), torch.eye(4) + tensors["left"] @ tensors["right"])


# Values of four bytes, indices of four (columns of eight), masks of one; a row pointer more than there are rows.
@pytest.mark.parametrize(
    ("kind", "nonzeros", "size", "macs"),
    [
        ("dense", 3, 6 * 4, 6),
        ("masked", 2, 6 * 4 + 6, 6),  # -1 became 0
        ("csr", 3, 3 * 4 + 3 * 4 + 3 * 4, 3),
        ("columns", 3, 4 * 4 + 2 * 8, 4),
        ("low-rank", 5, 5 * 4, 5),
        ("int8", 3, 6 + 2 * 4, 6),
    ],
)
def test_what_a_form_takes(kind: str, nonzeros: int, size: int, macs: int) -> None:
    tensors = FORMS[kind]
    assert (forms.count_nonzeros(tensors), forms.count_bytes(tensors), forms.count_macs(tensors)) == (
        nonzeros,
        size,
        macs,
    )
    biased = {**tensors, "bias": torch.tensor([1.0, 0.0])}
    found = forms.count_nonzeros(biased), forms.count_bytes(biased), forms.count_macs(biased)
    assert found == (nonzeros + 1, size + 8, macs)


def test_compressed_rows_of_the_specifications_size() -> None:
    weight, mask = torch.randn(128, 128), torch.zeros(128 * 128, dtype=torch.bool)
    mask[torch.randperm(128 * 128)[: 42 * 42]] = True
    tensors = forms.to_csr(weight, mask.view(128, 128))
    assert forms.count_bytes(tensors) == 1764 * (4 + 4) + 129 * 4
    assert (forms.count_macs(tensors), forms.count_nonzeros(tensors)) == (1764, 1764)
    assert (tensors["positions"].dtype, tensors["rows"].dtype) == (torch.int32, torch.int32)
    torch.testing.assert_close(forms.to_dense(tensors, 128), weight * mask.view(128, 128))


def test_rows_without_any_weight_and_maps_without_any() -> None:
    mask = torch.tensor([[False, False, False], [True, False, False]])
    rows = torch.randn(4, 3)
    torch.testing.assert_close(forms.bind(forms.to_csr(WEIGHT + 1, mask))(rows), rows @ ((WEIGHT + 1) * mask).T)
    nothing = forms.to_csr(WEIGHT, torch.zeros_like(mask))
    assert torch.equal(forms.bind(nothing)(rows), torch.zeros(4, 2))
    assert torch.equal(forms.to_dense(nothing, 3), torch.zeros(2, 3))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", FORMS)
def test_a_form_computes_in_the_type_of_its_weights(kind: str, dtype: torch.dtype) -> None:
    tensors = {name: each.to(dtype) if each.is_floating_point() else each for name, each in FORMS[kind].items()}
    rows = torch.tensor([[1.0, -2.0, 0.5]], dtype=dtype)
    found = forms.bind(tensors)(rows)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), rows.float() @ DENSE[kind].T, atol=0.2, rtol=0.01)


def test_a_sparse_map_takes_gradients_back_to_its_rows() -> None:
    rows = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    tensors = forms.to_csr(WEIGHT.double(), MASK)
    assert torch.autograd.gradcheck(forms.bind(tensors), (rows,))


def test_quantised_weights_are_nearest_multiples_of_the_scale_of_their_row() -> None:
    weight = torch.randn(5, 7, dtype=torch.float64) * torch.tensor([1e-3, 1.0, 50.0, 0.0, 1.0]).double()[:, None]
    tensors = forms.quantise(weight)
    assert (tensors["weight"].dtype, tensors["scale"].shape) == (torch.int8, (5, 1))
    error = (forms.to_dense(tensors) - weight).abs()
    assert (error <= weight.abs().amax(1, keepdim=True) / 127 / 2 + 1e-12).all()
    assert tensors["weight"].abs().amax(1).tolist() == [127, 127, 127, 0, 127]
    assert torch.equal(forms.quantise(-weight)["weight"], -tensors["weight"])


@pytest.mark.parametrize("position", [-1, 3])
def test_a_column_that_is_not_there_is_an_error(position: int) -> None:
    tensors = forms.to_csr(WEIGHT, MASK)
    tensors["positions"][1] = position
    with pytest.raises(RuntimeError, match="col_indices"):
        forms.bind(tensors)(torch.ones(2, 3))


def test_names_of_no_form_are_named() -> None:
    with pytest.raises(ValueError, match=r"weights named values, rows are of no form; expected .*positions"):
        forms.find_form({"values": WEIGHT, "rows": WEIGHT})
    with pytest.raises(ValueError, match="weights named nothing"):
        forms.bind({})
    with pytest.raises(ValueError, match="columns do not say how many inputs"):
        forms.to_dense(FORMS["columns"])


def test_names_under_a_prefix() -> None:
    tensors = {"cells.1.input.weight": WEIGHT, "cells.10.input.weight": MASK, "readout.weight": MASK}
    assert list(forms.select_under(tensors, "cells.1")) == ["input.weight"]
    assert forms.select_under(tensors, "cells.1")["input.weight"] is WEIGHT


def test_a_bias_may_stand_before_a_masked_weight():
    weight, mask = torch.ones(2, 3), torch.tensor([[True, False, True], [False, False, True]])
    assert forms.count_nonzeros({"bias": torch.ones(2), "weight": weight, "mask": mask}) == 5
