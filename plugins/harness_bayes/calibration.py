"""Calibration of a method against its own model, which needs no reference (Cook, Gelman and Rubin 2006).

    w ~ p(w),   y = f_w(x) + noise e,   u = the share of the method's functions, given y, that lie below f_w at a point

Where the method's posterior is the model's, u is uniform, whatever the model, and 12 E (u - 1/2)^2 is 1. It is more
where functions spread too little, up to 3 for a single one, and less where they spread too much. Networks are
independent, so the interval of the mean is theirs; points of one network count as one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from harness import Batch, Fit, Method, Problem, RegressionMixture, Training, derive, resolve
from harness_bayes import networks, priors
from harness_bayes.config import BayesOptions

Floats: TypeAlias = NDArray[np.float64]
Verdict = Literal["too narrow", "calibrated", "too wide", "undecided"]

NEAR = 0.25  # an interval that reaches further from its middle decides nothing

FARTHEST, BEYOND = 1.0, 1.5  # |x| of rows, and of the points that are asked about
COVERAGE = 0.95


class Worlds(NamedTuple):
    """L networks drawn from the prior: inputs (N, 1), targets (L, N), places (P, 1), their functions there (L, P)."""

    inputs: Tensor
    targets: Tensor
    places: Tensor
    functions: Tensor


class Calibration(NamedTuple):
    """spread: 12 E (u - 1/2)^2 with its interval; networks: how many there were."""

    verdict: Verdict
    spread: float
    low: float
    high: float
    networks: int


def draw_worlds(model: BayesOptions, count: int, rows: int, points: int, seed: int) -> Worlds:
    """Draw so many networks from the model's prior, with rows at random inputs and the model's noise."""
    assert model.noise is not None
    generator = torch.Generator().manual_seed(derive(seed, "calibrate"))
    problem, training = _make_problem(rows), Training(seed, "cpu", "fp32", rows, None)
    network = networks.build(problem, training, model, 1)
    deviations = priors.build(network, model, torch.zeros(()), [model.prior_scale]).deviations
    weights = {
        name: torch.randn(count, *shape, generator=generator) * deviations[name]
        for name, shape in network.shapes.items()
    }
    inputs = (2 * torch.rand(rows, 1, generator=generator) - 1) * FARTHEST
    places = torch.linspace(-BEYOND, BEYOND, points)[:, None]
    functions = networks.apply(network, weights, torch.cat([inputs, places])[None])[..., 0]  # (L, N + P)
    noise = model.noise * torch.randn(count, rows, generator=generator)
    return Worlds(inputs, functions[:, :rows] + noise, places, functions[:, rows:])


def fit_worlds(method: Method, config: Any, worlds: Worlds, updates: int, seed: int) -> Iterator[RegressionMixture]:
    """Fit the method on all rows of each network, as lanes where it can, and predict at the places."""
    count, rows = worlds.targets.shape
    problems = [_make_problem(rows)] * count
    trainings = [Training(derive(seed, "calibrate", str(each)), "cpu", "fp32", rows, updates) for each in range(count)]
    batches = [Batch(worlds.inputs, targets) for targets in worlds.targets]
    if method.cohort is None:
        for problem, training, batch in zip(problems, trainings, batches, strict=True):
            yield _fit_alone(resolve(method.factory)(config), problem, training, batch, worlds.places)
        return
    cohort = resolve(method.cohort)([config] * count)
    state = cohort.init(problems, trainings)
    if hasattr(cohort, "prepare"):
        state = cohort.prepare(state, [Fit(batch, batch) for batch in batches])
    together = Batch(worlds.inputs.expand(count, -1, -1), worlds.targets)
    for _ in range(updates):
        state, _ = cohort.update(state, together)
    for lane, batch in enumerate(batches):
        yield _finish_and_predict(resolve(method.factory)(config), cohort.lane(state, lane), batch, worlds.places)


def shares_below(prediction: RegressionMixture, functions: Floats) -> Floats:
    """Share u of a prediction's functions (S, P) below the true one (P,); equal ones count half, (P,)."""
    means, weights = np.asarray(prediction.means), np.exp(np.asarray(prediction.log_weights, dtype=np.float64))
    found: Floats = weights @ (np.less(means, functions) + 0.5 * np.equal(means, functions))
    return found


def judge_shares(u: Floats) -> Calibration:
    """Judge shares (networks, points) of two networks at least."""
    each = 12 * np.square(u - 0.5).mean(axis=1)
    reach = stats.t.ppf((1 + COVERAGE) / 2, len(each) - 1) * each.std(ddof=1) / len(each) ** 0.5
    spread, low, high = (float(value) for value in (each.mean(), each.mean() - reach, each.mean() + reach))
    verdict: Verdict = "calibrated" if reach <= NEAR else "undecided"
    if not low <= 1 <= high:
        verdict = "too narrow" if low > 1 else "too wide"
    return Calibration(verdict, spread, low, high, len(each))


def _make_problem(rows: int) -> Problem:
    return Problem("regression", (1,), 1, train_size=rows)


def _fit_alone(learner: Any, problem: Problem, training: Training, batch: Batch, places: Tensor) -> RegressionMixture:
    state = learner.init(problem, training, None)
    if hasattr(learner, "prepare"):
        state = learner.prepare(state, Fit(batch, batch))
    for _ in range(training.updates or 0):
        state, _ = learner.update(state, batch)
    return _finish_and_predict(learner, state, batch, places)


def _finish_and_predict(learner: Any, state: Any, batch: Batch, places: Tensor) -> RegressionMixture:
    if hasattr(learner, "finish"):
        state = learner.finish(state, Fit(batch, batch))
    with torch.no_grad():
        prediction: RegressionMixture = learner.predict(state, places)
    return RegressionMixture(*(field.detach() for field in prediction))
