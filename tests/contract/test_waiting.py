"""Operators that make the host wait for the device are caught, others are not, as counters of optimisers."""

from __future__ import annotations

import pytest
import torch
from mutants import Sound
from test_kit import method, outcomes
from torch.optim import lr_scheduler

from harness.testing import Result
from harness_torch.instruments.operation_counts import Operations

WAIT_FREE = ["SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Adagrad", "RMSprop", "Rprop", "Adadelta"]


class Optimised(Sound):
    """Trained as most are: backward, clip, step."""

    def optimiser(self, parameters):
        return torch.optim.Adam(parameters)

    def init(self, problem, training, base):
        state = super().init(problem, training, base)
        return state | {"optimiser": self.optimiser([state["weight"]])}

    def update(self, state, batch):
        state["optimiser"].zero_grad()
        loss = self.loss(state, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([state["weight"]], 1.0)
        self.step(state, batch, loss)
        return state, {"loss": loss.detach()}

    def step(self, state, batch, loss):
        state["optimiser"].step()


def waiting(learner):
    (result,) = outcomes(method(learner), only="no-synchronisation").values()
    return result


@pytest.mark.sampled
@pytest.mark.parametrize("foreach", [False, True, None])
@pytest.mark.parametrize("name", WAIT_FREE)
def test_methods_that_use_an_optimiser_of_torch_s_pass_every_check(name, foreach):
    class Learner(Optimised):
        def optimiser(self, parameters):
            return getattr(torch.optim, name)(parameters, lr=1e-3, foreach=foreach)

    found = outcomes(method(Learner), only=None if foreach is None else "no-synchronisation")
    found.pop("cohort-as-alone", None)  # it trains one at a time
    assert {check: result for check, result in found.items() if result.status != "ok"} == {}


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD", "Adagrad"])
def test_so_do_fused_ones(name):
    class Learner(Optimised):
        def optimiser(self, parameters):
            return getattr(torch.optim, name)(parameters, fused=True)

    assert waiting(Learner) == Result("ok")


class Counts(torch.optim.Optimizer):
    """As optimisers from elsewhere are written: with a counter like Adam's, or of their own."""

    def __init__(self, parameters):
        super().__init__(parameters, {})
        self.averaged = torch.ones(())

    @torch.no_grad()
    def step(self, closure=None):
        (parameter,) = self.param_groups[0]["params"]
        state = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0, device="cpu")
            state["decay"] = torch.full((3,), 0.9)
        state["step"] += 1
        self.averaged.mul_(state["decay"][0])
        parameter.sub_(parameter.grad / (state["step"].item() + float(self.averaged.clone())))


class OfElsewhere(Optimised):
    def optimiser(self, parameters):
        return Counts(parameters)


class Scheduled(Optimised):
    def optimiser(self, parameters):
        optimiser = torch.optim.Adam(parameters)
        warm = lr_scheduler.LinearLR(optimiser, 0.1, total_iters=2)
        rest = lr_scheduler.CosineAnnealingLR(optimiser, 6)
        self.schedules = [
            lr_scheduler.SequentialLR(optimiser, [warm, rest], [2]),
            lr_scheduler.OneCycleLR(torch.optim.AdamW(parameters), 0.1, total_steps=20),
        ]
        return optimiser

    def step(self, state, batch, loss):
        state["optimiser"].step()
        self.schedules[0].step()
        self.schedules[1].optimizer.step()
        self.schedules[1].step()


class Mixed(Optimised):
    def loss(self, state, batch):
        with torch.autocast("cpu", torch.bfloat16):
            return super().loss(state, batch)


class DrawsOnTheHost(Optimised):
    """Decides by a number that is never anywhere else."""

    def loss(self, state, batch):
        keep = torch.rand((), generator=state.setdefault("generator", torch.Generator().manual_seed(0)))
        return super().loss(state, batch) * (1 + (keep.item() < 0.5))


class FillsAMask(Optimised):
    """torch writes a number wherever the mask is true, and looks for no indices."""

    def step(self, state, batch, loss):
        gradient = state["weight"].grad
        gradient[gradient.abs() < 1e-3] = 0.0
        state["optimiser"].step()


@pytest.mark.parametrize("learner", [OfElsewhere, Scheduled, Mixed, DrawsOnTheHost, FillsAMask])
def test_what_lies_on_the_host_anyway_is_waited_for_by_nobody(learner):
    assert waiting(learner) == Result("ok")


class Searches(Optimised):
    """A line search decides by the loss."""

    def optimiser(self, parameters):
        return torch.optim.LBFGS(parameters, max_iter=2)

    def update(self, state, batch):
        def closure():
            state["optimiser"].zero_grad()
            loss = self.loss(state, batch)
            loss.backward()
            return loss

        return state, {"loss": torch.as_tensor(state["optimiser"].step(closure)).detach()}


def steps(function):
    """A learner that steps, and does something else beside it."""

    class Learner(Optimised):
        def step(self, state, batch, loss):
            super().step(state, batch, loss)
            function(state, batch, loss)

    return Learner


def _into_a_counter(state, batch, loss):
    seen = torch.zeros(())
    seen.copy_(loss.detach())
    return seen.item()


def _placed_counter(state, batch, loss):
    counter = state.setdefault("counter", torch.zeros((), device=batch.inputs.device))
    counter += 1
    return counter.item()


def _moved_counter(state, batch, loss):
    return [torch.ones(()).to(place).item() for place in (batch.inputs.device, str(batch.inputs.device))][:1]


def _default_device(state, batch, loss):
    with torch.device(batch.inputs.device):
        return torch.ones(3).sum().item()


@pytest.mark.parametrize(
    "function",
    [
        lambda state, batch, loss: loss.item(),
        lambda state, batch, loss: float(loss.detach()),
        lambda state, batch, loss: bool(loss > 1),
        lambda state, batch, loss: state["weight"].grad.norm().item(),
        lambda state, batch, loss: (loss.detach() * torch.tensor(2.0)).item(),
        lambda state, batch, loss: batch.inputs[batch.targets == 0],
        lambda state, batch, loss: state["weight"].detach().clone().nonzero(),
        lambda state, batch, loss: torch.nn.utils.clip_grad_norm_([state["weight"]], 1.0, error_if_nonfinite=True),
        _into_a_counter,
        _placed_counter,
        _moved_counter,
        _default_device,
    ],
)
def test_what_looks_at_the_device_is_caught(function):
    result = waiting(steps(function))
    assert result.status == "broken"
    assert "an update makes the host wait for the device: " in result.reason


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("name", ["ASGD", "Adafactor"])
def test_optimisers_that_read_numbers_from_the_device_are_caught(name, foreach):
    """ASGD keeps its step there, Adafactor looks at the norm of its parameters."""

    class Learner(Optimised):
        def optimiser(self, parameters):
            return getattr(torch.optim, name)(parameters, foreach=foreach)

    assert "x aten::_local_scalar_dense" in waiting(Learner).reason


def test_a_line_search_is_caught():
    assert "x aten::_local_scalar_dense" in waiting(Searches).reason


@pytest.mark.parametrize("foreach", [False, True])
def test_an_optimiser_s_counters_are_no_synchronisations_of_an_update(foreach):
    layer, inputs = torch.nn.Linear(3, 2), torch.ones(4, 3)
    gauge = Operations()
    with gauge.session():
        optimiser = torch.optim.NAdam(layer.parameters(), foreach=foreach)
        for measured in (False, False, True):
            optimiser.zero_grad()
            if not measured:
                layer(inputs).sum().backward()
                optimiser.step()
                continue
            with gauge.measure("update", 4):
                layer(inputs).sum().backward()
                optimiser.step()
    assert gauge.readings()["host_syncs"] == 0
    assert gauge.readings()["host_sync_operators"] == {}
