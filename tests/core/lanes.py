"""A plugin whose method trains several trials as one, in numpy: linear regression with noisy steps, a lane a trial."""

import dataclasses
import os
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness import (
    Batch,
    Budget,
    Data,
    DataOptions,
    Dataset,
    Method,
    Problem,
    Recipe,
    RegressionMixture,
    Unsupported,
    hookimpl,
    option,
)

FEATURES = 3


@dataclass(frozen=True)
class Rates:
    rate: float = option(0.1, "step size", low=0)
    noise: float = option(0.01, "of the steps", low=0)
    bias: bool = option(True, "whether there is one")


def begun(training):
    random = np.random.default_rng(training.seed)
    return random.normal(size=FEATURES + 1), random


def error(weights, inputs, targets, bias):
    """Of lanes (L, B); weights (L, F + 1), inputs (L, B, F)."""
    with np.errstate(all="ignore"):
        return (inputs @ weights[:, :-1, None])[..., 0] + bias * weights[:, -1:] - targets


class Steps:
    """Alone: a lane of one."""

    def __init__(self, config):
        self.config = config
        self.cohort = Lanes([config])

    def init(self, problem, training, base):
        return self.cohort.lane(self.cohort.init([problem], [training]), 0)

    def update(self, state, batch):
        lanes = {"weights": state["weights"][None], "random": [state["random"]]}
        lanes, scalars = self.cohort.update(lanes, Batch(batch.inputs[None], batch.targets[None]))
        return self.cohort.lane(lanes, 0), {name: value[0] for name, value in scalars.items()}

    def predict(self, state, inputs):
        weights = state["weights"]
        means = inputs @ weights[:-1] + self.config.bias * weights[-1]
        return RegressionMixture(means[None], np.ones((1, len(inputs))), np.zeros(1))

    def save(self, state):
        return {"weights": state["weights"]}

    def describe(self, state):
        return {"stated_rate": self.config.rate}


class Lanes:
    """Several trials, each with its own step size, its own noise and its own first weights."""

    def __init__(self, configs):
        self.rate, self.noise = (np.array([[getattr(each, name)] for each in configs]) for name in ("rate", "noise"))
        self.bias = configs[0].bias
        self.configs = configs

    def init(self, problems, trainings):
        weights, random = zip(*map(begun, trainings), strict=True)
        return {"weights": np.stack(weights), "random": list(random)}

    def update(self, state, batch):
        weights = state["weights"]
        errors = error(weights, batch.inputs, batch.targets, self.bias)  # (L, B)
        inputs = np.concatenate([batch.inputs, np.full((*errors.shape, 1), self.bias)], axis=2)
        slope = (errors[:, None] @ inputs)[:, 0] / errors.shape[1]
        with np.errstate(all="ignore"):
            noise = np.stack([random.normal(size=FEATURES + 1) for random in state["random"]])
            weights = weights - self.rate * slope + self.noise * noise
            return {**state, "weights": weights}, {"loss": (errors**2).mean(axis=1)}

    def lane(self, state, index):
        return {"weights": state["weights"][index], "random": state["random"][index]}


class Finishes(Steps):
    """Halves its weights in the end."""

    def finish(self, state, fit):
        return {**state, "weights": state["weights"] / 2}


class Prepares(Steps):
    def prepare(self, state, fit):
        return {**state, "weights": state["weights"] + fit.train.inputs.mean()}


class LanesPrepared(Lanes):
    def prepare(self, state, fits):
        shifts = np.array([[fit.train.inputs.mean()] for fit in fits])
        return {**state, "weights": state["weights"] + shifts}


class Refuses(Lanes):
    def init(self, problems, trainings):
        raise Unsupported("these are no lanes")


class Breaks(Lanes):
    def __init__(self, configs):
        raise ValueError("no lanes today")


class Dies(Lanes):
    """Ends its process at its twelfth update."""

    updates = 0

    def update(self, state, batch):
        self.updates += 1
        if self.updates == 12:
            os._exit(7)
        return super().update(state, batch)


class Waits(Lanes):
    """Hangs at its twelfth update while there is such a file."""

    updates = 0

    def update(self, state, batch):
        self.updates += 1
        if self.updates == 12 and Path(os.environ.get("LANES_WAIT", "nothing")).exists():
            threading.Event().wait()
        return super().update(state, batch)


class Prints(Lanes):
    def init(self, problems, trainings):
        print(f"{len(problems)} lanes")
        return super().init(problems, trainings)


class Wide(Lanes):
    def update(self, state, batch):
        state, scalars = super().update(state, batch)
        return state, {"loss": scalars["loss"].mean()}


class Hungry(Lanes):
    """More than two lanes are too many for its memory."""

    def update(self, state, batch):
        if len(batch.inputs) > 2:
            raise MemoryError("too many lanes")
        return super().update(state, batch)


@dataclass(frozen=True)
class Uneven(DataOptions):
    uneven: bool = option(False, "whether fold 2 has fewer rows")
    broken: bool = option(False, "whether fold 1 cannot be loaded")


def load(config, seed, folder):
    if config.broken and seed == 1:
        raise ValueError("fold 1 is broken")
    random = np.random.default_rng(seed)
    rows = 24 if config.uneven and seed == 2 else 30
    splits = []
    for count in (rows, 20, 20):
        inputs = random.normal(size=(count, FEATURES)).astype(np.float32)
        targets = inputs.sum(axis=1) + 0.1 * random.normal(size=count)
        splits.append(Batch(inputs, targets.astype(np.float32)))
    problem = Problem("regression", (FEATURES,), 1, rows, target_mean=float(seed), target_scale=2.0)
    return Data(problem, *splits)


METHODS = {
    "steps": (Steps, Lanes),
    "alone": (Steps, None),
    "finishes": (Finishes, Lanes),
    "prepares": (Prepares, LanesPrepared),
    "unprepared": (Prepares, Lanes),
    "refuses": (Refuses, Refuses),
    "unmade": (Steps, Breaks),
    "dies": (Steps, Dies),
    "waits-for-all": (Steps, Waits),
    "prints": (Steps, Prints),
    "wide": (Steps, Wide),
    "hungry": (Steps, Hungry),
}


@hookimpl
def harness_methods():
    for name, (learner, cohort) in METHODS.items():
        learner = Steps if name == "refuses" else learner
        offered = {"cohort": cohort, "batched_options": ("rate", "noise")} if cohort else {}
        yield Method(name, f"the method {name}", learner, ("regression",), config=Rates, **offered)
    goes_on = Method("goes-on", "starts from steps", Steps, ("regression",), config=Rates, starts_from="steps")
    yield dataclasses.replace(goes_on, cohort=Lanes)


@hookimpl
def harness_datasets():
    recipe = Recipe(Budget("updates", 20), 8)
    yield Dataset("line", "a line", "regression", load, config=Uneven, recipe=recipe, folds=5, default=True)
