"""The learning rate over a budget: cosine to zero, and constant where no total is planned."""

import math

import pytest
from spiking_methods import IN_CHUNKS, METHODS, OFFLINE, learner_of
from spiking_setups import batch, problem, start

from harness_bptt import BPTTOptions
from harness_bptt.learner import build


def rates(planned, updates):
    learner = build(BPTTOptions(steps=2, learning_rate=0.1))
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
