"""Time of a short trial outside training, over its training time, where predictions are of many draws.

    python -m tests.speed.outside_training

A regression network with dropout: .15 s of training, predictions of 200 draws and glances of 20, 88 rows to validate
on and 88 to test. The trials run one after the other as in any run, each in a process of its own, and the phases that
their records tell are added up; two seeds measure what repeats, and the others take it over.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from harness import Batch, Budget, Data, Dataset, Method, Problem, Recipe, RegressionMixture, hookimpl
from harness.catalog import Settings, load_catalog
from harness.executors.local import LocalExecutor
from harness.planning.plan import plan_trials
from harness.records.store import Store
from harness.running.runner import run_trials
from harness.suites.suite import Request
from harness.types import RunContext

from .paired import Ratio, Row, ratio, show

BAR = 3.0
DRAWS, GLANCES, WIDTH, FEATURES = 200, 20, 50, 13
ROWS = {"train": 330, "valid": 88, "test": 88}
PLUGINS = ("harness.metrics", "harness.executors", "harness_torch", "tests.speed.outside_training")


def rows_of_a_plane(config: object, seed: int, folder: Path) -> Data:
    """Noisy points of a plane in 13 dimensions."""
    del config, folder
    draws = np.random.default_rng(seed)
    inputs = draws.normal(size=(sum(ROWS.values()), FEATURES)).astype(np.float32)
    targets = (inputs[:, 0] - 0.5 * inputs[:, 1] + 0.3 * draws.normal(size=len(inputs))).astype(np.float32)
    cuts = np.split(np.arange(len(inputs)), np.cumsum(list(ROWS.values()))[:-1])
    problem = Problem("regression", (FEATURES,), 1, ROWS["train"])
    return Data(problem, *(Batch(inputs[cut], targets[cut]) for cut in cuts))


class Dropping:
    """One hidden layer whose units are dropped in training and in each draw of a prediction."""

    def __init__(self, config: object) -> None:
        del config

    def init(self, problem, training, base):
        generator = torch.Generator().manual_seed(training.seed)
        network = torch.nn.Sequential(
            torch.nn.Linear(FEATURES, WIDTH), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(WIDTH, 1)
        )
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
        return network, torch.optim.SGD(network.parameters(), 0.05, momentum=0.9)

    def update(self, state, batch):
        network, optimiser = state
        loss = (network(batch.inputs)[:, 0] - batch.targets).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return state, {"loss": loss}

    def predict(self, state, inputs):
        return self._drawn(state, inputs, DRAWS)

    def glance(self, state, inputs):
        return self._drawn(state, inputs, GLANCES)

    def save(self, state):
        return {name: value.detach().clone() for name, value in state[0].named_parameters()}

    @torch.no_grad()
    def _drawn(self, state, inputs, draws):
        first, _, _, last = state[0]
        hidden = first(inputs).relu()
        kept = torch.rand(draws, *hidden.shape, generator=torch.Generator().manual_seed(0)) > 0.1
        means = last(hidden * kept / 0.9)[..., 0]  # (S, N)
        return RegressionMixture(means, torch.full_like(means, 0.09), torch.full((draws,), -float(np.log(draws))))


@hookimpl
def harness_methods():
    yield Method("dropping", "a network that drops units", Dropping, ("regression",))


@hookimpl
def harness_datasets():
    recipe = Recipe(Budget("seconds", 0.15), 32)
    yield Dataset("plane", "points of a plane", "regression", rows_of_a_plane, recipe=recipe, default=True)


def outside_over_training(trials: int) -> tuple[Ratio, dict[str, float]]:
    """Seconds of all other phases over those of the updates, and how many times their own each phase takes."""
    catalog = load_catalog(Settings(PLUGINS))
    planned = plan_trials(catalog, Request(methods="dropping", seeds=str(trials), device="cpu", threads=1))
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.prepare()
        context = RunContext(
            Path(folder), None, PLUGINS, preload=("torch", "torch._dynamo", "harness_torch.backend.torch_backend")
        )
        records = list(run_trials(catalog, planned, store, LocalExecutor(), context, _Silent()))
    assert all(record.status == "ok" for record in records), [record.reason for record in records]
    training = [record.seconds["train"] for record in records]
    whole = [sum(record.seconds.values()) for record in records]
    phases: Counter[str] = Counter()
    for record in records:
        phases.update(record.seconds)
    shares = {name: seconds / sum(training) for name, seconds in phases.items()}
    return ratio([all_of_it - own for all_of_it, own in zip(whole, training, strict=True)], training), shares


class _Silent:
    def started(self, trial, cohort):
        """Nothing to say."""

    def progressed(self, trial, progress):
        """Nothing to say."""

    def finished(self, trial, record):
        """Nothing to say."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20)
    found, shares = outside_over_training(parser.parse_args().trials)
    print(", ".join(f"{name} {share:.2f}" for name, share in shares.items()), "of the training time, all trials")
    return show([Row("outside training / training", found, BAR)])


if __name__ == "__main__":
    sys.exit(main())
