"""A plugin for tests beside `tiny.py`: a regression data set with 20 official splits, and a method with a rate.

The target of a row is its number, so that the metric `members` tells exactly which rows were scored.
"""

from dataclasses import dataclass

import numpy as np

from harness import (
    Batch,
    Budget,
    Data,
    Dataset,
    Method,
    Metric,
    Problem,
    Recipe,
    RegressionMixture,
    hookimpl,
    option,
)

ROWS = 40


@dataclass(frozen=True)
class Options:
    rate: float = option(0.1, "how far one update goes", above=0)
    size: int = option(1, "how many of them", low=1)


class Creeps:
    """Creeps from zero to the mean of the targets."""

    def __init__(self, options):
        self.options = options

    def init(self, problem, training, base):
        return 0.0

    def update(self, state, batch):
        return state + self.options.rate * (batch.targets.mean() - state), {}

    def predict(self, state, inputs):
        shape = (1, len(inputs))
        return RegressionMixture(np.full(shape, state), np.full(shape, 100.0), np.zeros(1))


def splits(fold, sizes):
    """Rows of the splits of a fold, drawn by its number."""
    order = np.random.default_rng(fold).permutation(ROWS)
    return [np.sort(rows) for rows in np.split(order, np.cumsum(sizes)[:-1])]


def batch(rows):
    return Batch(rows[:, None].astype(np.float32), rows.astype(np.float32))


def load(config, seed, folder):
    train, valid, test = map(batch, splits(seed, (20, 10, 10)))
    return Data(Problem("regression", (1,), 1, len(train.inputs)), train, valid, test)


def load_anew(config, seed, folder):
    train, valid, test = splits(seed, (20, 10, 10))
    whole = batch(np.concatenate([train, valid]))
    problem = Problem("regression", (1,), 1, len(whole.inputs), target_mean=1.0)
    return Data(problem, whole, batch(valid[:0]), batch(test))


def members(outcome):
    """The set of these rows, as a number with a bit for each."""
    return float(sum(1 << round(float(target)) for target in outcome.targets))


@hookimpl
def harness_methods():
    yield Method("creeps", "to the mean", Creeps, ("regression",), config=Options, row_options=("size",))


@hookimpl
def harness_datasets():
    recipe = Recipe(Budget("updates", 4), 10)
    yield Dataset("lines", "numbers of rows", "regression", load, recipe=recipe, folds=20, default=True)
    yield Dataset("anew", "standardised anew", "regression", load, recipe=recipe, folds=20, refit=load_anew)
    yield Dataset("fixed", "the same test rows", "regression", lambda c, s, f: load(c, 3, f), fixed_test=True)


@hookimpl
def harness_metrics():
    yield Metric("members", "which rows were scored", "", "lower", kinds=("regression",), compute=members)
