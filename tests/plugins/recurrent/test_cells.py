"""Cells over sequences against a plain loop in float64, with autograd of it, in every form of the weights."""

from __future__ import annotations

import pytest
import torch
from plain_cells import CELLS, GATES, loop, tensors_of
from torch import Tensor, nn
from torch.autograd import gradcheck

from harness_recurrent import cells, config, forms

T, B, D, M = 5, 3, 4, 6
RECURRENT = tuple(cell for cell in CELLS if cell != "mingru")


def inputs(cell: str, steps: int = T, **like) -> tuple[Tensor, tuple[Tensor, ...]]:
    generator = torch.Generator().manual_seed(1)
    like = {"dtype": torch.float64, **like}
    x = torch.randn(steps, B, D, generator=generator, dtype=torch.float64).to(**like)
    zeros = cells.build_start(cell, B, M, x)
    return x, tuple(torch.randn(each.shape, generator=generator, dtype=torch.float64).to(**like) for each in zeros)


def leaves(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors; those of floating point become leaves that want a gradient."""
    return {
        name: each.detach().clone().requires_grad_() if each.is_floating_point() else each
        for name, each in tensors.items()
    }


def with_form(tensors: dict[str, Tensor], part: str, form: dict[str, Tensor]) -> dict[str, Tensor]:
    kept = {name: each for name, each in tensors.items() if name != f"{part}.weight"}
    return kept | {f"{part}.{name}": each for name, each in form.items()}


def form_of(kind: str, weight: Tensor) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    mask = torch.rand(weight.shape, generator=generator) < 0.4
    return {
        "dense": lambda: {"weight": weight},
        "masked": lambda: {"weight": weight, "mask": mask},
        "csr": lambda: forms.to_csr(weight, mask),
        "columns": lambda: {"weight": weight[:, :3], "columns": torch.tensor([4, 0, 3])},
        "low-rank": lambda: {"left": weight[:, :2], "right": weight[:2]},
        "int8": lambda: forms.quantise(weight),
    }[kind]()


# --- dense --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, T])
@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_and_its_gradients_are_those_of_the_plain_loop(cell: str, steps: int) -> None:
    x, state = inputs(cell, steps)
    sides = []
    for side in (cells.run_cell, loop):
        tensors, given, start = (
            leaves(tensors_of(cell, D, M)),
            x.clone().requires_grad_(),
            leaves(dict(enumerate(state))),
        )
        outputs, last = side(cell, given, tensors, tuple(start.values()))
        loss = (outputs * torch.arange(outputs.numel()).view_as(outputs)).sum() + sum((each**2).sum() for each in last)
        loss.backward()
        sides.append([outputs, *last, given.grad, *(each.grad for each in (*tensors.values(), *start.values()))])
    torch.testing.assert_close(*sides)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_those_of_finite_differences(cell: str) -> None:
    tensors, (x, state) = tensors_of(cell, D, M), inputs(cell)

    def function(given: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        outputs, last = cells.run_cell(cell, given, dict(zip(tensors, rest, strict=False)), rest[len(tensors) :])
        return outputs, *last

    assert gradcheck(function, [each.requires_grad_() for each in (x, *tensors.values(), *state)])


@pytest.mark.parametrize("cell", CELLS)
def test_a_loss_of_the_last_state_alone_has_its_gradients(cell: str) -> None:
    x, state = inputs(cell)
    gradients = []
    for side in (cells.run_cell, loop):
        tensors = leaves(tensors_of(cell, D, M))
        side(cell, x, tensors, state)[1][-1].square().sum().backward()
        gradients.append({name: each.grad for name, each in tensors.items() if each.grad is not None})
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("cell", ["irnn", "elman", "mingru"])
def test_only_what_wants_a_gradient_gets_one(cell: str) -> None:
    (x, state), tensors = inputs(cell), tensors_of(cell, D, M)
    tensors["input.bias"].requires_grad_()
    cells.run_cell(cell, x, tensors, state)[0].sum().backward()
    assert [name for name, each in tensors.items() if each.grad is not None] == ["input.bias"]
    assert x.grad is None


@pytest.mark.parametrize("cell", CELLS)
def test_a_sequence_in_two_windows_is_the_whole_sequence(cell: str) -> None:
    (x, state), tensors = inputs(cell), tensors_of(cell, D, M)
    whole, last = cells.run_cell(cell, x, tensors, state)
    first, between = cells.run_cell(cell, x[:2], tensors, state)
    second, end = cells.run_cell(cell, x[2:], tensors, between)
    torch.testing.assert_close((torch.cat([first, second]), end), (whole, last))


@pytest.mark.parametrize("cell", CELLS)
def test_without_a_gradient_nothing_is_kept(cell: str) -> None:
    (x, state), tensors = inputs(cell), leaves(tensors_of(cell, D, M))
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda each: kept.append(each) or each, lambda each: each):
        with torch.no_grad():
            outputs, _ = cells.run_cell(cell, x, tensors, state)
        assert not kept
        assert outputs.grad_fn is None
        cells.run_cell(cell, x, tensors, state)
    assert kept


@pytest.mark.parametrize("cell", CELLS)
def test_rows_may_lie_in_memory_as_they_like(cell: str) -> None:
    (x, state), tensors = inputs(cell), tensors_of(cell, D, M)
    apart = x.transpose(0, 1).contiguous().transpose(0, 1)
    assert not apart.is_contiguous()
    torch.testing.assert_close(cells.run_cell(cell, apart, tensors, state), cells.run_cell(cell, x, tensors, state))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("cell", CELLS)
def test_types_are_those_that_come(cell: str, dtype: torch.dtype) -> None:
    x, state = inputs(cell, dtype=dtype)
    tensors = leaves(tensors_of(cell, D, M, dtype=dtype))
    outputs, last = cells.run_cell(cell, x, tensors, state)
    outputs.sum().backward()
    assert {each.dtype for each in (outputs, *last, *(each.grad for each in tensors.values()))} == {dtype}
    plainly, _ = loop(
        cell, x.double(), {name: each.double() for name, each in tensors.items()}, tuple(s.double() for s in state)
    )
    torch.testing.assert_close(outputs.double(), plainly, atol=0.1 if dtype is torch.bfloat16 else 1e-5, rtol=0)


LAYERS = {"irnn": lambda: nn.RNN(D, M, nonlinearity="relu"), "elman": lambda: nn.RNN(D, M)}
LAYERS |= {"gru": lambda: nn.GRU(D, M), "lstm": lambda: nn.LSTM(D, M)}


@pytest.mark.parametrize("cell", RECURRENT)
def test_a_cell_is_torchs_layer_with_one_bias(cell: str) -> None:
    layer, tensors = LAYERS[cell]().double(), tensors_of(cell, D, M)
    second = torch.zeros_like(tensors["input.bias"])
    if cell == "gru":
        second[-M:] = tensors["recurrent.bias"]
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    values = (tensors["input.weight"], tensors["recurrent.weight"], tensors["input.bias"], second)
    layer.load_state_dict(dict(zip(names, values, strict=True)))
    x, state = inputs(cell)
    first = tuple(each[None] for each in state)
    outputs, _ = layer(x, first if cell == "lstm" else first[0])
    torch.testing.assert_close(cells.run_cell(cell, x, tensors, state)[0], outputs)


def test_sequences_start_at_zeros_of_the_type_asked_for() -> None:
    like = torch.ones(1, dtype=torch.bfloat16)
    assert [len(cells.build_start(cell, B, M, like)) for cell in CELLS] == [1, 1, 1, 2, 1]
    for each in cells.build_start("lstm", B, M, like):
        assert (each.shape, each.dtype, each.any().item()) == ((B, M), torch.bfloat16, False)
    assert dict(config.GATES) == GATES


# --- other forms --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["masked", "csr", "columns", "low-rank", "int8"])
@pytest.mark.parametrize("cell", RECURRENT)
def test_a_form_runs_as_the_dense_matrix_that_it_is_equal_to(
    cell: str, kind: str, recwarn: pytest.WarningsRecorder
) -> None:
    (x, state), tensors = inputs(cell), tensors_of(cell, D, M)
    form = form_of(kind, tensors["recurrent.weight"])
    dense = tensors | {"recurrent.weight": forms.to_dense(form, M)}
    found = cells.run_cell(cell, x, with_form(tensors, "recurrent", form), state)
    torch.testing.assert_close(found, loop(cell, x, dense, state))
    assert not recwarn.list


@pytest.mark.parametrize("kind", ["masked", "columns", "low-rank"])
@pytest.mark.parametrize("cell", RECURRENT)
def test_a_form_trains_as_the_dense_matrix_that_it_is_equal_to(cell: str, kind: str) -> None:
    x, state = inputs(cell)
    gradients = []
    for dense in (False, True):
        tensors = tensors_of(cell, D, M)
        form = leaves(form_of(kind, tensors["recurrent.weight"]))
        own = leaves({name: each for name, each in tensors.items() if name != "recurrent.weight"})
        used = {"weight": forms.to_dense(form, M)} if dense else form
        run = loop if dense else cells.run_cell
        run(cell, x, with_form(own, "recurrent", used), state)[0].square().sum().backward()
        gradients.append({name: each.grad for name, each in (own | form).items() if each.is_floating_point()})
    torch.testing.assert_close(*gradients)
    if kind == "masked":
        assert not gradients[0]["weight"][~form["mask"]].any()


@pytest.mark.parametrize("kind", ["masked", "int8", "csr"])
@pytest.mark.parametrize("cell", CELLS)
def test_what_reads_the_input_has_forms_too(cell: str, kind: str) -> None:
    (x, state), tensors = inputs(cell), tensors_of(cell, D, M)
    form = form_of(kind, tensors["input.weight"])
    dense = tensors | {"input.weight": forms.to_dense(form, D)}
    found = cells.run_cell(cell, x, with_form(tensors, "input", form), state)
    torch.testing.assert_close(found, loop(cell, x, dense, state))


# --- on a GPU -----------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("cell", CELLS)
def test_on_a_gpu_a_cell_is_the_plain_loop(cell: str, dtype: torch.dtype, recwarn: pytest.WarningsRecorder) -> None:
    x, state = inputs(cell, dtype=dtype, device="cuda")
    tensors = leaves(tensors_of(cell, D, M, dtype=dtype, device="cuda"))
    outputs, _ = cells.run_cell(cell, x, tensors, state)
    outputs.sum().backward()
    assert all(each.grad is not None for each in tensors.values())
    plainly, _ = loop(
        cell, x.double(), {name: each.double() for name, each in tensors.items()}, tuple(s.double() for s in state)
    )
    torch.testing.assert_close(outputs.double(), plainly, atol=0.1 if dtype is torch.bfloat16 else 1e-2, rtol=0)
    assert not recwarn.list


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["masked", "csr", "columns", "low-rank", "int8"])
@pytest.mark.parametrize("cell", RECURRENT)
def test_on_a_gpu_a_form_is_the_dense_matrix(cell: str, kind: str) -> None:
    (x, state), tensors = inputs(cell, device="cuda"), tensors_of(cell, D, M)
    form = form_of(kind, tensors["recurrent.weight"])
    dense = tensors | {"recurrent.weight": forms.to_dense(form, M)}
    there = {name: each.cuda() for name, each in with_form(tensors, "recurrent", form).items()}
    found, _ = cells.run_cell(cell, x, there, state)
    plainly, _ = loop(cell, x.cpu(), dense, tuple(each.cpu() for each in state))
    torch.testing.assert_close(found.cpu(), plainly)
