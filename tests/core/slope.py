"""A data set of two classes, a learner of one number, and trials of both in this process."""

from __future__ import annotations

import numpy as np
import torch

from harness import Batch, Budget, ClassLogProbs, Data, Dataset, Instrument, Method, Metric, Problem, Recipe, hookimpl
from harness.planning.plan import plan_trials
from harness.suites.suite import Request
from harness.trials.trial import run_trial

ROWS = {"train": 60, "valid": 20, "test": 30}


def load_pair(config, seed, folder):
    """Two classes told apart by the sign of the only feature; every row has a value of its own."""
    rng = np.random.default_rng(seed)
    count = sum(ROWS.values())
    inputs = (np.linspace(0.1, 1.0, count) * np.where(np.arange(count) % 2, 1, -1)).astype(np.float32)
    targets = (inputs > 0).astype(np.int64)
    order = rng.permutation(count)
    cuts = np.split(order, [60, 80])
    return Data(Problem("classification", (1,), 2, 60), *(Batch(inputs[cut][:, None], targets[cut]) for cut in cuts))


class Slope:
    """Logistic regression through the origin; remembers the rows that it was shown."""

    def __init__(self, config):
        self.inits = []

    def init(self, problem, training, base):
        self.training = training
        return {"slope": torch.zeros(()), "seen": []}

    def update(self, state, batch):
        state["seen"].append(batch.inputs[:, 0].clone())
        sign = batch.targets * 2.0 - 1
        margin = sign * batch.inputs[:, 0] * state["slope"]
        gradient = -(sign * batch.inputs[:, 0] * torch.sigmoid(-margin)).mean()
        loss = torch.nn.functional.softplus(-margin).mean()
        return state | {"slope": state["slope"] - gradient}, {"loss": loss}

    def predict(self, state, inputs):
        logits = torch.stack([torch.zeros(len(inputs)), inputs[:, 0] * state["slope"]], -1)
        return ClassLogProbs(logits.log_softmax(-1)[None], torch.zeros(1))

    def save(self, state):
        return {"slope": state["slope"]}

    def describe(self, state):
        return {"seen": [row for rows in state["seen"] for row in rows.tolist()], "training": vars(self.training)}


def plugin_of(learner, *extras, **descriptor):
    class Plugin:
        @hookimpl
        def harness_methods(self):
            yield Method("tiny", "x", factory=learner, kinds=("classification",), **descriptor)

        @hookimpl
        def harness_datasets(self):
            recipe = Recipe(Budget("epochs", 2), 10)
            yield Dataset("pair", "x", "classification", load_pair, recipe=recipe, default=True)

        @hookimpl
        def harness_instruments(self):
            yield from (extra for extra in extras if isinstance(extra, Instrument))

        @hookimpl
        def harness_metrics(self):
            yield from (extra for extra in extras if isinstance(extra, Metric))

    return Plugin()


def runner(catalog_of):
    """run(learner, *extras, seed=0, descriptor=None, **asked): the record of one trial, in this process."""

    def go(learner, *extras, seed=0, descriptor=None, earlier=(), memory=None, **asked):
        catalog = catalog_of(plugin_of(learner, *extras, **(descriptor or {})))
        (trial,) = plan_trials(catalog, Request(methods="tiny", seeds=f"[{seed}]", device="cpu", **asked))
        return run_trial(catalog, trial, earlier=earlier, memory=memory)

    return go
