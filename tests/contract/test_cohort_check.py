"""`cohort-as-alone`: it passes lanes that do not know of each other, and catches those that do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

import harness.checks
import harness_torch
from harness import ClassLogProbs, Method, Problem, Training, Unsupported, hookimpl, option
from harness.catalog import Catalog
from harness.testing import cases


@dataclass(frozen=True)
class Rates:
    rate: float = option(0.1, "step size", above=0)
    halved: bool = option(False, "whether weights are halved at the end")


class Softmax:
    """Softmax regression from random weights, whose finish may halve them."""

    def __init__(self, config):
        self.config = config

    def init(self, problem, training, base):
        if problem.kind != "classification":
            raise Unsupported(f"not {problem.kind}")
        return {"weight": weight(problem, training)}

    def update(self, state, batch):
        loss, gradient = slope(state["weight"][None], batch.inputs[None], batch.targets[None])
        return {"weight": state["weight"] - self.config.rate * gradient[0]}, {"loss": loss[0]}

    def predict(self, state, inputs):
        return ClassLogProbs((inputs.flatten(1) @ state["weight"]).log_softmax(-1)[None], torch.zeros(1))

    def save(self, state):
        return {"weight": state["weight"].clone()}

    def finish(self, state, fit):
        return {"weight": state["weight"] / 2} if self.config.halved else state


def weight(problem: Problem, training: Training):
    generator = torch.Generator().manual_seed(training.seed)
    return torch.randn(int(np.prod(problem.input_shape)), problem.output_size, generator=generator) * 0.1


def slope(weights, inputs, targets):
    """Losses (L,) and their slopes (L, F, C)."""
    with torch.enable_grad():
        leaf = weights.clone().requires_grad_()
        logits = inputs.flatten(2) @ leaf  # (L, B, C)
        losses = cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape).mean(1)
        (gradient,) = torch.autograd.grad(losses.sum(), leaf)
    return losses.detach(), gradient


class Lanes:
    def __init__(self, configs):
        self.rates = torch.tensor([each.rate for each in configs])[:, None, None]

    def init(self, problems, trainings):
        return {"weight": torch.stack([weight(*each) for each in zip(problems, trainings, strict=True)])}

    def update(self, state, batch):
        losses, gradient = slope(state["weight"], batch.inputs, batch.targets)
        return {"weight": state["weight"] - self.rates * gradient}, {"loss": losses}

    def lane(self, state, index):
        return {"weight": state["weight"][index]}


class OneRate(Lanes):
    def __init__(self, configs):
        super().__init__(configs[:1])


class OneSeed(Lanes):
    def init(self, problems, trainings):
        return super().init(problems, trainings[:1] * len(trainings))


class Averages(Lanes):
    def update(self, state, batch):
        state, scalars = super().update(state, batch)
        return state, {"loss": scalars["loss"].mean().expand(2)}


class ClipsAll(Lanes):
    """By the norm over all lanes, which is large enough for either."""

    def update(self, state, batch):
        losses, gradient = slope(state["weight"], batch.inputs, batch.targets)
        gradient = gradient * (1e6 / gradient.norm()).clamp(max=1.0)
        return {"weight": state["weight"] - self.rates * gradient}, {"loss": losses}


class FirstLane(Lanes):
    def lane(self, state, index):
        return super().lane(state, 0)


class Halved(Lanes):
    """Finished already."""

    def lane(self, state, index):
        return {"weight": state["weight"][index] / 2}


class Flat(Lanes):
    def update(self, state, batch):
        state, scalars = super().update(state, batch)
        return state, {"loss": scalars["loss"].mean()}


def result(cohort, **facts):
    class Offers:
        harness_backends = staticmethod(harness_torch.harness_backends)

        @hookimpl
        def harness_methods(self):
            batched = {"batched_options": ("rate",), "cohort": cohort} if cohort else {}
            yield Method("subject", "", Softmax, ("classification",), config=Rates, **batched)

    found = cases(Catalog.of(harness.checks, Offers()), "subject[halved=yes]" if facts else "subject")
    (case,) = (each for each in found if each.check.name == "cohort-as-alone")
    return case.run()


def test_lanes_that_do_not_know_of_each_other_pass():
    assert result(Lanes).status == "ok", result(Lanes)


def test_a_lane_is_finished_by_its_own_learner():
    assert result(Lanes, halved=True).status == "ok"


def test_a_method_without_a_cohort_has_nothing_to_keep():
    assert result(None) == ("not applicable", "it trains no several trials as one, which is optional", "", "")


@pytest.mark.parametrize(
    ("cohort", "reason"),
    [
        (OneRate, "lane 1 of two and its trial alone: they differ in the scalar 'loss' of update 2"),
        (OneSeed, "lane 1 of two and its trial alone: they differ in the scalar 'loss' of update 1"),
        (Averages, "lane 0 of two and its trial alone: they differ in the scalar 'loss' of update 1"),
        (ClipsAll, "a lane beside one that is nan and its trial alone: they differ in the scalar 'loss' of update 2"),
        (FirstLane, "lane 1 of two and its trial alone: they differ in the saved array 'weight'"),
        (Halved, "lane 0 of two and its trial alone: they differ in the saved array 'weight'"),
        (Flat, "as the scalar loss, expected one number for each of 2 lanes, of shape (2,)"),
    ],
)
def test_lanes_that_know_of_each_other_are_caught(cohort, reason):
    found = result(cohort)
    assert found.status == "broken"
    assert reason in found.reason
