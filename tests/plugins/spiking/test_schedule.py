"""The learning rate over a budget: cosine to zero, and constant where no total is planned; and clipped gradients."""

import math

import pytest
import torch
from spiking_methods import IN_CHUNKS, METHODS, OFFLINE, learner_of, prepared
from spiking_setups import batch, problem, start, step_gradients

from harness_bptt import BPTTOptions
from harness_bptt.learner import build


def rates(planned, updates, **options):
    learner = build(BPTTOptions(steps=2, learning_rate=0.1, **options))
    state = start(learner, problem("mlp"), updates=planned)
    seen = []
    for number in range(updates):
        state, _ = learner.update(state, batch("mlp", seed=number))
        seen.append(state.optimiser.param_groups[0]["lr"])
    return seen


def test_a_planned_budget_takes_half_a_cosine():
    expected = [0.1 * (1 + math.cos(math.pi * done / 4)) / 2 for done in range(4)]
    assert rates(4, 4) == pytest.approx(expected)


@pytest.mark.parametrize("planned", [None, 0])
def test_without_a_plan_it_is_constant_as_when_a_budget_of_nothing_is_profiled(planned):
    assert rates(planned, 3) == [0.1] * 3


@pytest.mark.parametrize(
    ("method", "parts"),
    [
        *((method, {}) for method in METHODS),
        *((method, {"micro_batch": 4}) for method in OFFLINE),
        *((method, {"chunk": 2}) for method in IN_CHUNKS),
    ],
)
def test_it_counts_mini_batches_whatever_their_parts(method, parts):
    learner = learner_of(method, steps=2, learning_rate=0.1, architecture="8-FC", **parts)
    state, seen = start(learner, problem("mlp"), updates=4), []
    state.optimiser.register_step_pre_hook(lambda *_: seen.append(state.optimiser.param_groups[0]["lr"]))
    for number in range(4):
        learner.update(state, batch("mlp", seed=number))
    expected = [0.1 * (1 + math.cos(math.pi * done / 4)) / 2 for done in range(4)]
    steps = len(seen) // 4
    assert steps == (2 if "online" in method else 1)
    assert seen == pytest.approx([rate for rate in expected for _ in range(steps)])


def test_other_schedules_and_a_rate_that_stays():
    assert rates(4, 3, schedule="constant") == [0.1] * 3
    assert rates(2, 4, final_rate=0.2) == pytest.approx([0.1, 0.06, 0.02, 0.02])
    climbing = 0.1 * (0.04 + 0.96 * (1 - math.cos(math.pi / 3)) / 2)  # 0.1 of the updates, of the 0.3 that climb
    assert rates(10, 4, schedule="one-cycle") == pytest.approx([0.004, climbing, 0.1 * 0.76, 0.1])


@pytest.mark.parametrize("method", METHODS)
def test_every_optimiser_step_of_a_method_is_clipped(method):
    rows = batch("conv")
    plain = step_gradients(*prepared(method), rows)
    norms = [torch.stack([gradient.square().sum() for gradient in step.values()]).sum().sqrt() for step in plain]
    bound = float(min(norms)) / 2
    for step, norm, clipped in zip(plain, norms, step_gradients(*prepared(method, clip=bound), rows), strict=True):
        for name, gradient in step.items():
            torch.testing.assert_close(clipped[name], gradient * (bound / norm), rtol=1e-4, atol=1e-12)


def test_a_bound_that_no_gradient_reaches_changes_nothing():
    rows = batch("conv")
    (plain,), (clipped,) = (step_gradients(*prepared("saf", clip=clip), rows) for clip in (None, 1e9))
    assert all(torch.equal(plain[name], clipped[name]) for name in plain)
