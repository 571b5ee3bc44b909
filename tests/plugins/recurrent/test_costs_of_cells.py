"""Multiply-accumulates of cells as the harness counts them, operator by operator, against counts by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from deploying import deployed
from plain_cells import CELLS, GATES, tensors_of
from torch import Tensor

from harness_recurrent import cells, forms
from harness_torch.instruments.operation_counts import Inference, Operations

T, B, D, M, K = 6, 5, 4, 10, 3
RECURRENT = tuple(cell for cell in CELLS if cell != "mingru")


def given(cell: str) -> tuple[Tensor, dict[str, Tensor], tuple[Tensor, ...]]:
    x = torch.randn(T, B, D)
    tensors = {name: each.float() for name, each in tensors_of(cell, D, M).items()}
    return x, tensors, cells.build_start(cell, B, M, x)


def update(run: Callable[[], Any]) -> dict[str, Any]:
    gauge = Operations()
    with gauge.session(), gauge.measure("update", B):
        run()
    return dict(gauge.readings())


@pytest.mark.parametrize("cell", CELLS)
def test_an_update_of_dense_cells(cell: str) -> None:
    x, tensors, state = given(cell)
    for each in tensors.values():
        each.requires_grad_()
    readings = update(lambda: cells.run_cell(cell, x, tensors, state)[0].sum().backward())
    read, back = T * B * GATES[cell] * M * D, 0 if cell == "mingru" else T * B * GATES[cell] * M * M
    assert readings["uncovered"] == {}
    assert readings["forward_macs"] == read + back
    # Gradients of both weights, and errors that go back by all steps but the first. oneDNN's kernel does not ask
    # whether anybody wants the gradients of x and of the first state.
    errors = read + back if cell == "lstm" else back * (T - 1) // T
    assert readings["backward_macs"] == read + back + errors


@pytest.mark.parametrize("cell", ["irnn", "elman"])
def test_gradients_of_the_input_and_the_first_state_cost_what_they_are(cell: str) -> None:
    x, tensors, (h,) = given(cell)
    readings = update(
        lambda: cells.run_cell(cell, x.requires_grad_(), tensors, (h.requires_grad_(),))[0].sum().backward()
    )
    assert readings["backward_macs"] == T * B * (M * D + M * M)


FORMS: dict[str, tuple[Callable[[Tensor], dict[str, Tensor]], Callable[[int], int]]] = {
    # Tensors of a weight (G M, M); MACs of one row by the number of gates.
    "dense": (lambda weight: {"weight": weight}, lambda gates: gates * M * M),
    "masked": (lambda weight: {"weight": weight, "mask": weight > 0.5}, lambda gates: gates * M * M),
    "csr": (lambda weight: forms.to_csr(weight, torch.arange(M).expand_as(weight) < K), lambda gates: gates * M * K),
    "columns": (lambda weight: {"weight": weight[:, :K], "columns": torch.arange(K)}, lambda gates: gates * M * K),
    "low-rank": (lambda weight: {"left": weight[:, :K], "right": weight[:K]}, lambda gates: gates * M * K + K * M),
    "int8": (forms.quantise, lambda gates: gates * M * M),
}


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("cell", RECURRENT)
def test_a_prediction_with_any_form(cell: str, kind: str) -> None:
    x, tensors, state = given(cell)
    make, expected = FORMS[kind]
    form, gates = make(tensors.pop("recurrent.weight")), GATES[cell]
    tensors |= {f"recurrent.{name}": each for name, each in form.items()}

    def predict() -> None:
        with torch.inference_mode():
            cells.run_cell(cell, x, tensors, state)

    readings = deployed(Inference(), predict, B)
    assert readings["inference_uncovered"] == {}
    assert readings["inference_macs"] == T * (gates * M * D + expected(gates))
    assert forms.count_macs(form) == expected(gates)


@pytest.mark.parametrize("kind", ["masked", "columns", "low-rank"])
@pytest.mark.parametrize("cell", RECURRENT)
def test_an_update_of_forms_that_train(cell: str, kind: str) -> None:
    x, tensors, state = given(cell)
    make, expected = FORMS[kind]
    form = make(tensors.pop("recurrent.weight"))
    used = tensors | {f"recurrent.{name}": each.clone() for name, each in form.items()}
    trained = [each.requires_grad_() for each in used.values() if each.is_floating_point()]
    readings = update(lambda: cells.run_cell(cell, x, used, state)[0].sum().backward())
    assert all(each.grad is not None for each in trained)
    assert readings["uncovered"] == {}
    assert readings["forward_macs"] == T * B * (GATES[cell] * M * D + expected(GATES[cell]))
