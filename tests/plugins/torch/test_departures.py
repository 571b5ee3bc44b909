"""Work that leaves torch is not counted, and the counts say so: they are at least what was seen, and never the best."""

from __future__ import annotations

import ctypes
import os
import threading
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
    Record,
    hookimpl,
)
from harness.planning.plan import plan_trials
from harness.report import render, summarise
from harness.suites.suite import Request
from harness.trials.trial import run_trial
from harness_torch import offers
from harness_torch.instruments.operation_counts import Inference, Operations
from harness_torch.instruments.synaptic_operations import SynapticOperations

ROWS = 100
NUMBERS = np.ones(ROWS, np.float32)


def reason(run: Callable[[Tensor], Any], formulas: tuple[Formula, ...] = ()) -> str:
    """Find the reason in the counts of an update that also computes with torch."""
    gauge, x = Operations(), torch.ones(ROWS, requires_grad=True)
    gauge.use_formulas(formulas)
    with gauge.session(), gauge.measure("update", ROWS):
        (x * 2).sum()
        run(x.detach())
    readings = gauge.readings()
    said = {name: reading.at_least for name, reading in readings.items() if isinstance(reading, Reading)}
    assert len(set(said.values())) <= 1
    assert not said or {"total_macs", "elementwise_ops", "launches"} <= set(said)
    return next(iter(said.values()), "")


class InNumpy(torch.autograd.Function):
    """A backward in numpy, of which the forward shows nothing."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return torch.from_numpy(2 * gradients[0].clone().numpy())


def by_pointer(x: Tensor) -> None:
    numbers = (ctypes.c_float * len(x)).from_address(x.data_ptr())
    numbers[0] = 3.0


def in_a_thread(x: Tensor) -> None:
    thread = threading.Thread(target=lambda: x @ x)
    thread.start()
    thread.join()


def in_a_fork() -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)


def shared(prepare: Callable[[Tensor], Any], run: Callable[[Tensor, Any], Any]) -> str:
    """Find the reason in the counts of an update of a tensor that was handed out when the state was made."""
    gauge = Operations()
    with gauge.session():
        buffer = torch.zeros(ROWS)
        kept = prepare(buffer)
        with gauge.measure("update", ROWS):
            torch.ones(ROWS).sum()
            run(buffer, kept)
    return str(getattr(gauge.readings()["total_macs"], "at_least", ""))


def fill(buffer: Tensor, _: Any) -> None:
    buffer.copy_(torch.ones(ROWS))


@pytest.mark.parametrize(
    "take",
    [
        lambda x: x.numpy(),
        lambda x: x[3:].numpy()[2:],
        lambda x: memoryview(x.numpy()),
        np.asarray,
        lambda x: np.from_dlpack(x),
        lambda x: torch.utils.dlpack.to_dlpack(x),
        lambda x: x.data_ptr(),
        lambda x: x.untyped_storage().data_ptr(),
        lambda x: x.share_memory_(),
    ],
)
@pytest.mark.parametrize("run", [fill, lambda x, _: x.sum(), lambda x, _: x.view(2, -1).t().add_(1)])
def test_memory_that_was_handed_out_before_the_update_is_a_mark(take, run) -> None:
    assert "memory was handed out before (test_departures.py:" in shared(take, run)
    assert shared(take, lambda x, _: None) == ""


@pytest.mark.parametrize(
    "make",
    [
        lambda array: torch.from_numpy(array),
        lambda array: torch.from_numpy(array[2:])[3:],
        lambda array: torch.as_tensor(array),
        lambda array: torch.asarray(array),
        lambda array: torch.frombuffer(array, dtype=torch.float32),
    ],
)
def test_so_is_writing_to_a_tensor_made_of_an_array_that_is_kept(make) -> None:
    def pair(_: Tensor) -> tuple[Any, Tensor]:
        array = np.zeros(ROWS, np.float32)
        return array, make(array)

    assert "memory was handed out before" in shared(pair, lambda _, kept: kept[1].fill_(1))
    assert shared(pair, lambda _, kept: kept[1].sum()) == ""
    assert shared(lambda x: pair(x)[1], lambda _, kept: kept.fill_(1)) == ""


@pytest.mark.parametrize(
    "look",
    [
        lambda x: float(x.numpy().mean()),
        lambda x: x.clone().numpy(),
        lambda x: nn.LSTM(3, 4).flatten_parameters(),
        lambda x: torch.from_dlpack(x.clone()),
    ],
)
def test_a_look_before_the_update_that_nobody_keeps_is_no_mark(look) -> None:
    assert shared(look, fill) == ""


@pytest.mark.parametrize(
    ("run", "named"),
    [
        (lambda x: x.numpy(), "Tensor.numpy"),
        (lambda x: np.asarray(x), "Tensor.__array__"),
        (lambda x: np.exp(x), "Tensor.__array__"),
        (lambda x: x * NUMBERS, "Tensor.__array__"),
        (lambda x: x.tolist(), "Tensor.tolist"),
        (lambda x: [float(each) for each in x], "Tensor.__float__"),
        (lambda x: [x[i].item() for i in range(len(x))], "Tensor.item"),
        (lambda x: np.from_dlpack(x), "Tensor.__dlpack__"),
        (lambda x: torch.utils.dlpack.to_dlpack(x), "torch.to_dlpack"),
        (by_pointer, "Tensor.data_ptr"),
        (lambda x: x.untyped_storage().data_ptr(), "UntypedStorage.data_ptr"),
        (lambda x: x.apply_(lambda each: each + 1), "Tensor.apply_"),
        (lambda x: torch.from_numpy(NUMBERS), "torch.from_numpy"),
        (lambda x: torch.tensor(NUMBERS), "torch.tensor of an array"),
        (lambda x: torch.as_tensor(NUMBERS), "torch.as_tensor of an array"),
        (lambda x: torch.from_dlpack(NUMBERS), "torch.from_dlpack"),
        (lambda x: InNumpy.apply(x.clone().requires_grad_()).sum().backward(), "torch.from_numpy"),
        (in_a_thread, "Thread.start"),
        (lambda x: bytes(x.untyped_storage()), "UntypedStorage.__iter__"),
        (lambda x: x.untyped_storage().tolist(), "UntypedStorage.tolist"),
        (lambda x: x.untyped_storage()[0], "UntypedStorage.__getitem__"),
        (lambda x: torch.FloatTensor([1.0] * ROWS), "a constructor such as torch.FloatTensor"),
        (lambda x: torch.Tensor([1.0] * ROWS), "a constructor such as torch.FloatTensor"),
        (lambda x: in_a_fork(), "os.fork"),
    ],
)
def test_what_leaves_torch_or_comes_from_elsewhere_is_named_with_its_line(run, named) -> None:
    said = reason(run)
    assert said.startswith("work outside torch is not counted: ")
    assert f"{named} (test_departures.py:" in said


@pytest.mark.parametrize(
    "run",
    [
        lambda x: x.sum().item(),
        lambda x: x.view(2, -1).sum(1).tolist(),
        lambda x: torch.randperm(1000).tolist(),
        lambda x: x.untyped_storage().nbytes(),
        lambda x: x.clone().untyped_storage().resize_(0),
        lambda x: nn.LSTM(3, 4)(torch.ones(2, 5, 3))[0].sum().backward(),
        lambda x: torch.optim.Adam([x.clone().requires_grad_()]).step(),
        lambda x: torch.tensor([1.0] * 1000),
        lambda x: torch.nn.functional.dropout(x),
    ],
)
def test_a_few_numbers_and_what_never_was_in_the_network_may_be_looked_at(run) -> None:
    assert reason(run) == ""


def test_a_thread_that_a_learner_keeps_is_seen_and_those_of_others_are_not() -> None:
    over = threading.Event()
    others = threading.Thread(target=over.wait, name="others")
    others.start()
    try:
        assert reason(lambda x: None) == ""
        gauge = Operations()
        with gauge.session():
            threading.Thread(target=over.wait, name="of the learner").start()
            with gauge.measure("update", 1):
                torch.ones(3).sum()
        assert gauge.readings()["launches"].at_least == "work outside torch is not counted: the thread of the learner"
    finally:
        over.set()


def test_an_update_in_which_torch_computes_nothing_is_no_update_without_work() -> None:
    gauge = Operations()
    with gauge.session(), gauge.measure("update", 1):
        NUMBERS @ NUMBERS
    assert gauge.readings()["total_macs"].value == 0
    assert "no operator of torch ran" in gauge.readings()["total_macs"].at_least


def test_backward_is_as_it_was() -> None:
    """Arguments reach autograd, and gradients are the same, seen or not."""
    x = torch.arange(3.0, requires_grad=True)

    def backward() -> list[Tensor]:
        y = x**3
        y.backward(torch.ones(3), retain_graph=True)
        y.backward(gradient=torch.ones(3), inputs=[x])
        (x**2).sum().backward(create_graph=False)
        gradient, x.grad = x.grad, None
        assert gradient is not None
        return [gradient]

    seen: list[Tensor] = []
    assert reason(lambda _: seen.extend(backward())) == ""
    assert torch.equal(seen[0], backward()[0])


@pytest.mark.parametrize("gauge", [Inference, SynapticOperations])
def test_so_do_predictions(gauge) -> None:
    layer, x = nn.Linear(10, 10), torch.ones(10, 10)
    leaving = lambda: torch.from_numpy(layer(x).numpy() @ np.ones((10, 4), np.float32))  # noqa: E731
    found = deployed(gauge(), leaving, 10)
    said = [reading for reading in found.values() if isinstance(reading, Reading)]
    assert said
    assert all("Tensor.numpy (test_departures.py:" in reading.at_least for reading in said)


# --- a whole trial ----------------------------------------------------------------------------------------------------


class Linear:
    """Least squares by gradient descent."""

    def __init__(self, config):
        pass

    def init(self, problem, training, base):
        return {"weight": torch.zeros(*problem.input_shape, problem.output_size)}

    def update(self, state, batch):
        error = batch.inputs @ state["weight"] - torch.nn.functional.one_hot(batch.targets, 2)
        return {"weight": state["weight"] - 0.01 * batch.inputs.T @ error}, {"loss": error.square().mean()}

    def predict(self, state, inputs):
        return ClassLogProbs((inputs @ state["weight"]).log_softmax(-1)[None], torch.zeros(1))


class LinearInNumpy(Linear):
    """The same elsewhere."""

    def update(self, state, batch):
        inputs, weight = batch.inputs.numpy(), state["weight"].numpy()
        error = inputs @ weight - np.eye(2, dtype=np.float32)[batch.targets.numpy()]
        return {"weight": torch.from_numpy(weight - 0.01 * inputs.T @ error)}, {"loss": float(np.mean(error**2))}


class LinearInSharedMemory(Linear):
    """The same in numpy, on memory that was taken from tensors in `init`; torch does no more than copy."""

    def init(self, problem, training, base):
        state = super().init(problem, training, base)
        self.buffers = torch.zeros(10, 20), torch.zeros(10, dtype=torch.long)
        self.arrays = (*(each.numpy() for each in self.buffers), state["weight"].numpy())
        return state

    def update(self, state, batch):
        self.buffers[0].copy_(batch.inputs)
        self.buffers[1].copy_(batch.targets)
        inputs, targets, weight = self.arrays
        weight -= 0.01 * inputs.T @ (inputs @ weight - np.eye(2, dtype=np.float32)[targets])
        return state, {"loss": 0.0}


def load(config, seed, folder):
    inputs = np.random.default_rng(seed).normal(size=(120, 20)).astype(np.float32)
    targets = (inputs[:, 0] > 0).astype(np.int64)
    splits = (Batch(inputs[at : at + 40], targets[at : at + 40]) for at in (0, 40, 80))
    return Data(Problem("classification", (20,), 2, 40), *splits)


class Plugin:
    @hookimpl
    def harness_methods(self):
        for name, learner in (("here", Linear), ("elsewhere", LinearInNumpy), ("shared", LinearInSharedMemory)):
            yield Method(name, "x", learner, ("classification",))

    @hookimpl
    def harness_datasets(self):
        yield Dataset("rows", "x", "classification", load, default=True)

    @hookimpl
    def harness_instruments(self):
        return [each for each in offers.instruments() if each.name in ("operations", "inference_macs")]

    @hookimpl
    def harness_metrics(self):
        return offers.metrics()


def test_so_says_a_trial_of_one_that_works_on_shared_memory(catalog_of) -> None:
    catalog = catalog_of(Plugin())
    request = Request(methods="shared", seeds="[0]", device="cpu", budget=Budget("updates", 5), batch_size=10)
    (record,) = [run_trial(catalog, trial) for trial in plan_trials(catalog, request)]
    assert (record.status, record.holes) == ("ok", {}), record.reason
    assert record.readings["total_macs"] == 0
    assert "memory was handed out before (test_departures.py:" in record.at_least["total_macs"]


def test_a_method_that_works_in_numpy_is_never_the_best_by_its_counts(catalog_of) -> None:
    catalog = catalog_of(Plugin())
    request = Request(methods="here,elsewhere", seeds="[0]", device="cpu", budget=Budget("updates", 5), batch_size=10)
    records: list[Record] = [run_trial(catalog, trial) for trial in plan_trials(catalog, request)]
    assert [record.status for record in records] == ["ok", "ok"]
    # 10 rows, 20 features, 2 classes, forward and backward
    assert [record.readings["total_macs"] for record in records] == [10 * 20 * 2 * 2, 0]
    assert "total_macs" not in records[0].at_least
    assert "Tensor.numpy (test_departures.py:" in records[1].at_least["total_macs"]
    assert "inference_macs" not in records[1].at_least

    summary = summarise(records, catalog.metrics.values(), columns=["total_macs", "bytes_moved"])
    cells = [row.cells["total_macs"] for row in summary.tables[0].rows]
    assert ["work outside torch" in cell.lower_bound for cell in cells] == [False, True]
    assert not cells[1].best
    text = render(summary, "text")
    assert "≥ 0" in text
    assert "work outside torch is not counted: Tensor.numpy (test_departures.py:" in " ".join(text.split())
