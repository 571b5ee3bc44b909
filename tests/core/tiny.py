"""A plugin without torch: a numpy backend, a data set and methods, for runs that are over in an instant.

The method `waits` hangs at its third update while the file that TINY_WAIT names is there.
"""

import os
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness import (
    BackendOffer,
    Batch,
    Budget,
    ClassLogProbs,
    Data,
    Dataset,
    Instrument,
    Method,
    Metric,
    Problem,
    Recipe,
    UsageError,
    hookimpl,
    option,
)


class Laps:
    def __init__(self):
        self.laps = []

    def start(self):
        self.began = time.perf_counter()

    def stop(self):
        self.laps.append(time.perf_counter() - self.began)

    def seconds(self):
        return self.laps


class Kept:
    def __init__(self):
        self.kept = []

    def add(self, scalars):
        self.kept.append({name: np.array(value) for name, value in scalars.items()})

    def read(self):
        kept, self.kept = self.kept, []
        return {name: np.stack([each[name] for each in kept]) for name in (kept[0] if kept else ())}


class NumpyBackend:
    def setup(self, trial):
        pass

    def place(self, data, device):
        return data

    def arrays(self, named, device):
        return named

    def batches(self, data, batch_size, seed):
        rng = np.random.default_rng(seed)
        while True:
            rows = rng.permutation(len(data.train.inputs))[:batch_size]
            yield Batch(data.train.inputs[rows], data.train.targets[rows])

    def lane_batches(self, data, batch_size, seeds):
        lanes = [self.batches(each, batch_size, seed) for each, seed in zip(data, seeds, strict=True)]
        for batches in zip(*lanes, strict=True):
            inputs, targets, first = zip(*batches, strict=True)
            yield Batch(np.stack(inputs), np.stack(targets), first[0])

    def clock(self, device):
        return Laps()

    def lane_meter(self):
        return Kept()

    def numpy(self, prediction):
        return prediction

    def isolated(self, seed):
        return nullcontext()

    def evaluating(self):
        return nullcontext()

    def inference(self):
        return nullcontext()

    def save(self, named, path):
        with path.open("wb") as file:
            np.savez(file, **named)

    def load(self, path):
        return dict(np.load(path))

    def environment(self, device):
        return {"numpy": np.__version__}

    def out_of_memory(self, error):
        return isinstance(error, MemoryError)


def check(device, precision, workers):
    if device not in ("auto", "cpu"):
        raise UsageError(f"--device {device}: numpy knows only the cpu")
    return "cpu"


@dataclass(frozen=True)
class Prior:
    strength: float = option(1.0, "how much the prior counts", above=0)


class Counts:
    """Predicts each class as often as it came up."""

    def __init__(self, config):
        self.config = config

    def init(self, problem, training, base):
        return {"counts": np.full(problem.output_size, self.config.strength), "updates": 0}

    def update(self, state, batch):
        counts = state["counts"] + np.bincount(batch.targets, minlength=len(state["counts"]))
        return {"counts": counts, "updates": state["updates"] + 1}, {"loss": 1.0}

    def predict(self, state, inputs):
        log_probs = np.log(state["counts"] / state["counts"].sum())
        return ClassLogProbs(np.tile(log_probs, (1, len(inputs), 1)), np.zeros(1))

    def save(self, state):
        return {"counts": state["counts"]}


class Waits(Counts):
    def update(self, state, batch):
        if state["updates"] == 2 and Path(os.environ.get("TINY_WAIT", "nothing")).exists():
            threading.Event().wait()
        return super().update(state, batch)


class Breaks(Counts):
    def update(self, state, batch):
        raise ValueError("[red]broken[/red] on purpose")


class Starts(Counts):
    def init(self, problem, training, base):
        return {"counts": base["counts"], "updates": 0}


def load(config, seed, folder):
    rng = np.random.default_rng(seed)
    targets = rng.choice(3, size=90, p=[0.6, 0.3, 0.1])
    inputs = rng.normal(size=(90, 2)).astype(np.float32)
    return Data(Problem("classification", (2,), 3, 30), *(Batch(inputs[i::3], targets[i::3]) for i in range(3)))


class Ruler:
    def session(self):
        return nullcontext()

    def measure(self, stage, examples):
        return nullcontext()

    def readings(self):
        return {"length": 2_500_000}


@hookimpl
def harness_backends():
    yield BackendOffer("numpy", NumpyBackend, check)


@hookimpl
def harness_methods():
    for name, learner in (("counts", Counts), ("waits", Waits), ("breaks", Breaks)):
        yield Method(name, f"the method {name}", learner, ("classification",), config=Prior)
    yield Method("starts", "starts from counts", Starts, ("classification",), config=Prior, starts_from="counts")
    yield Method("fits", "for numbers", Counts, ("regression",), config=Prior)


@hookimpl
def harness_datasets():
    yield Dataset(
        "coins", "three uneven classes", "classification", load, recipe=Recipe(Budget("updates", 6), 10), default=True
    )


@hookimpl
def harness_instruments():
    yield Instrument("ruler", "measures length", Ruler)


@hookimpl
def harness_metrics():
    yield Metric("length", "how long it is", "B", "lower", per="update", exact=True)
