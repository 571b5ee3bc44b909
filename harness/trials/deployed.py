"""The trained network as instruments get it: the learner's own predictions, and those of an eager learner beside it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import TypeAlias

import numpy as np

from harness.errors import Unsupported
from harness.trials import answers, excerpts
from harness.trials.bench import Bench
from harness.trials.learner_start import Started
from harness.types import Array, Prediction, Trained

ALIKE = 1e-3  # what two predictions of one network may differ by
MOST_UNLIKE = 0.1  # share of their numbers: rounding at a threshold changes some of them by more

Predict: TypeAlias = Callable[[Array], Prediction]


def make_trained(bench: Bench, started: Started) -> Trained:
    """Make the argument of `Gauge.deployed`."""
    learner, state = started.learner, started.state
    predict = _bind_predict(learner.predict, state)
    eager = cache(partial(_make_eager, bench, predict, state))
    return Trained(predict, partial(excerpts.repeat_inputs, bench.data), learner, state, bench.data, eager)


def _make_eager(bench: Bench, predict: Predict, state: object) -> Predict:
    """From the trained state by a learner that hides no operator. Raises Unsupported where the two differ."""
    learner = bench.start_fresh(None, eager=True).learner
    eager = _bind_predict(learner.predict, state)
    inputs = excerpts.repeat_inputs(bench.data, bench.trial.terms.batch_size)
    _require_same_network(bench, predict(inputs), eager(inputs))
    return eager


def _bind_predict(predict: answers.View, state: object) -> Predict:
    return lambda inputs: answers.check_prediction(answers.ask_learner(predict, state, inputs))


def _require_same_network(bench: Bench, trained: Prediction, eager: Prediction) -> None:
    one, other = (np.asarray(bench.backend.numpy(each)[0]) for each in (trained, eager))
    if one.shape != other.shape or not np.mean(np.isclose(one, other, ALIKE, ALIKE, equal_nan=True)) > 1 - MOST_UNLIKE:
        raise Unsupported(
            "an eager learner predicts something else from the trained state: is a part of it kept in the learner?"
        )
