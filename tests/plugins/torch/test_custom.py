"""Operators that plugins bring along are counted by formulas that they bring along, too."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from deploying import deployed
from torch import Tensor, nn

from harness import (
    Batch,
    Budget,
    ClassLogProbs,
    Data,
    Dataset,
    Formula,
    Method,
    Problem,
    Reading,
    Unsupported,
    hookimpl,
)
from harness.planning.fingerprints import Fingerprints
from harness.planning.plan import plan_trials
from harness.suites.suite import Request
from harness.trials.trial import run_trial
from harness_torch import offers
from harness_torch.instruments.operation_counts import Inference, Operations
from harness_torch.instruments.synaptic_operations import SynapticOperations

B, I, O, STEPS = 10, 6, 2, 3  # noqa: E741 - rows, inputs, outputs


@torch.library.custom_op("harness_test::scan", mutates_args=())
def scan(x: Tensor, weight: Tensor, steps: int = 1) -> Tensor:
    """x W, as often as there are steps, in numpy: x (B, I), weight (I, O)."""
    total = sum(x.detach().numpy() @ weight.detach().numpy() for _ in range(steps))
    return torch.from_numpy(np.asarray(total))


@torch.library.custom_op("harness_test::scan_backward", mutates_args=())
def scan_backward(gradient: Tensor, x: Tensor, steps: int) -> Tensor:
    return steps * x.T @ gradient


def _backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:
    x, steps = ctx.kept
    return None, scan_backward(gradient, x, steps), None


def _keep(ctx: Any, inputs: Any, output: Any) -> None:
    x, _, steps = inputs
    ctx.kept = x, steps


scan.register_autograd(_backward, setup_context=_keep)


def scan_macs(x: Tensor, weight: Tensor, steps: int) -> int:
    return steps * len(x) * weight.numel()


def backward_macs(x: Tensor, result: Tensor) -> int:
    return len(x) * result.numel()


FORMULAS = (
    Formula("harness_test::scan", scan_macs, elementwise=lambda result, steps: steps * result.numel()),
    Formula("harness_test::scan_backward", macs=backward_macs),
)


def update(formulas: tuple[Formula, ...] = FORMULAS) -> dict[str, Any]:
    gauge, weight = Operations(), torch.ones(I, O, requires_grad=True)
    gauge.use_formulas(formulas)
    with gauge.session(), gauge.measure("update", B):
        scan(torch.ones(B, I), weight, STEPS).sum().backward()
        scan(torch.ones(B, I), weight).sum()
    return dict(gauge.readings())


def test_forward_and_backward_count_what_their_formulas_say() -> None:
    readings = update()
    assert readings["forward_macs"] == B * I * O * STEPS + B * I * O
    assert readings["backward_macs"] == B * I * O
    assert readings["uncovered"] == {}
    # the formulas', two sums, ones for the gradient are no arithmetic
    assert readings["elementwise_ops"] == B * O * STEPS + B * O + 2 * B * O
    assert not any(
        isinstance(reading, Reading) for reading in readings.values()
    )  # the formula stands for the numpy inside


def test_without_a_formula_they_are_listed() -> None:
    readings = update(())
    assert set(readings["uncovered"]) == {"harness_test::scan", "harness_test::scan_backward"}
    assert readings["total_macs"] == 0


def _raises(x: Tensor) -> int:
    raise IndexError("no such axis")


@pytest.mark.parametrize(
    ("macs", "reason"),
    [
        (_raises, "IndexError: no such axis"),
        (lambda x: -1, "macs is -1; expected a number of operations, 0 or more"),
        (lambda x: math.nan, "macs is nan; expected a number"),
        (lambda x: math.inf, "macs is inf; expected a number"),
        (lambda x: None, "macs is None; expected a number"),
        (lambda x: True, "macs is True; expected a number"),
        (lambda x: np.bool_(True), "macs is np.True_; expected a number"),
        (lambda x: "many", "macs is 'many'; expected a number"),
        (lambda length: length, "TypeError: it takes length; the operator has x, weight, steps, result"),
    ],
)
def test_a_formula_that_is_none_is_a_mark_with_the_reason(macs: Callable[..., int], reason: str) -> None:
    readings = update((Formula("harness_test::scan", macs), FORMULAS[1]))
    assert set(readings["uncovered"]) == {"harness_test::scan"}
    assert readings["total_macs"].value == B * I * O
    assert f"the formula of harness_test::scan: {reason}" in readings["total_macs"].at_least
    assert readings["backward_macs"].at_least == readings["total_macs"].at_least


def test_a_formula_takes_what_it_wants() -> None:
    """All by name, some of them, or only those without a default."""
    for macs in (
        lambda **known: len(known["x"]) * known["weight"].numel() * known["steps"],
        lambda x, weight, steps, result, bias=None: len(x) * weight.numel() * steps,
        lambda result: 0,
    ):
        readings = update((Formula("harness_test::scan", macs), FORMULAS[1]))
        assert readings["uncovered"] == {}
    assert readings["forward_macs"] == 0


@pytest.mark.parametrize(
    ("amount", "total"),
    [(np.int64(7), 14), (np.float32(7), 14), (7.0, 14), (0.5, 1), (0.25, 1), (1.25, 2), (1.75, 4), (0, 0), (0.0, 0)],
)
def test_what_two_calls_take_is_added_up_before_it_is_rounded(amount: Any, total: int) -> None:
    readings = update(
        (Formula("harness_test::scan", lambda: amount), Formula("harness_test::scan_backward", lambda: 0))
    )
    assert readings["uncovered"] == {}
    assert readings["forward_macs"] == readings["total_macs"] == total
    assert isinstance(readings["total_macs"], int)


def test_a_product_in_an_operator_of_one_s_own_hides_its_zeros() -> None:
    def predict(formulas: tuple[Formula, ...]) -> dict[str, Any]:
        gauge = SynapticOperations()
        gauge.use_formulas(formulas)
        layer = nn.Linear(I, O)
        return deployed(gauge, lambda: [layer(torch.ones(B, I)), scan(torch.ones(B, I), torch.ones(I, O))], B)

    with pytest.raises(Unsupported, match="harness_test::scan: a product inside one operator"):
        predict(FORMULAS)
    free = predict((Formula("harness_test::scan", lambda: 0),))
    assert (free["synaptic_ops"], free["synaptic_uncovered"]) == (I * O, {})


# --- a whole trial ----------------------------------------------------------------------------------------------------


class Scanned:
    """Least squares by an operator of its own."""

    def __init__(self, config):
        pass

    def init(self, problem, training, base):
        return torch.zeros(I, O, requires_grad=True)

    def update(self, state, batch):
        error = scan(batch.inputs, state, STEPS) - torch.nn.functional.one_hot(batch.targets, O)
        loss = error.square().mean()
        (gradient,) = torch.autograd.grad(loss, state)
        return (state.detach() - 0.1 * gradient).requires_grad_(), {"loss": loss.detach()}

    def predict(self, state, inputs):
        return ClassLogProbs(scan(inputs, state.detach()).log_softmax(-1)[None], torch.zeros(1))


def load(config, seed, folder):
    inputs = np.random.default_rng(seed).normal(size=(120, I)).astype(np.float32)
    splits = (Batch(inputs[at : at + 40], (inputs[at : at + 40, 0] > 0).astype(np.int64)) for at in (0, 40, 80))
    return Data(Problem("classification", (I,), O, 40), *splits)


class Plugin:
    def __init__(self, *formulas):
        self.formulas = formulas

    @hookimpl
    def harness_methods(self):
        yield Method("scanned", "x", Scanned, ("classification",))

    @hookimpl
    def harness_datasets(self):
        yield Dataset("rows", "x", "classification", load, default=True)

    @hookimpl
    def harness_instruments(self):
        return [each for each in offers.instruments() if each.name in ("operations", "inference_macs")]

    @hookimpl
    def harness_formulas(self):
        return self.formulas


def run(catalog_of, *formulas):
    catalog = catalog_of(Plugin(*formulas))
    request = Request(methods="scanned", seeds="[0]", device="cpu", budget=Budget("updates", 5), batch_size=B)
    (trial,) = plan_trials(catalog, request)
    return catalog, run_trial(catalog, trial)


def test_a_trial_counts_by_the_formulas_of_its_plugins(catalog_of) -> None:
    named = (Formula("harness_test::scan", f"{__name__}:scan_macs"), FORMULAS[1])
    for formulas in (FORMULAS, named):
        _, record = run(catalog_of, *formulas)
        assert (record.status, record.holes) == ("ok", {})
        assert record.readings["total_macs"] == B * I * O * STEPS + B * I * O
        assert record.readings["inference_macs"] == I * O
        assert record.readings["uncovered"] == record.readings["inference_uncovered"] == {}


def test_a_formula_that_cannot_be_imported_is_a_mark(catalog_of) -> None:
    _, record = run(catalog_of, Formula("harness_test::scan", "nowhere.at:all"), FORMULAS[1])
    assert (record.status, record.holes) == ("ok", {})
    assert record.readings["total_macs"] == B * I * O
    said = record.at_least["total_macs"]
    assert "the formula of harness_test::scan: formula harness_test::scan: 'nowhere.at:all' cannot be imported" in said


def test_a_formula_is_part_of_what_measures(catalog_of) -> None:
    catalog, _ = run(catalog_of)
    (name,) = [plugin.name for plugin in catalog.plugins if "test_custom" in str(plugin.module)]
    without = Fingerprints().digest_measures(catalog)
    catalog, _ = run(catalog_of, Formula("harness_test::scan", "harness_bptt:harness_methods"))
    assert Fingerprints().digest_measures(catalog)[name] != without[name]


def test_inference_counts_by_them_as_well() -> None:
    gauge = Inference()
    gauge.use_formulas(FORMULAS)
    read = deployed(gauge, lambda: scan(torch.ones(B, I), torch.ones(I, O), STEPS), B)
    assert read["inference_macs"] == I * O * STEPS
