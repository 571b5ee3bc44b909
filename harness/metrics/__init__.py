"""The general metrics: what any method of a kind is judged by. What an instrument reads is described by its plugin."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from harness.hookspecs import hookimpl
from harness.types import Metric


@hookimpl
def harness_metrics() -> Iterator[Metric]:
    yield from _classification()
    yield from _regression()
    yield from _language()
    yield from _costs()


def _classification() -> Iterator[Metric]:
    score = partial(Metric, kinds=("classification",), per="example")
    yield score(
        "accuracy",
        "share of rows classified right",
        "",
        "higher",
        compute="harness.metrics.scores:accuracy",
        headline=True,
    )
    yield score("nll", "negative log-likelihood of the class", "nats", "lower", compute="harness.metrics.scores:nll")
    yield score(
        "brier", "squared error of the class probabilities, 0 to 2", "", "lower", compute="harness.metrics.scores:brier"
    )
    yield score("ece", "expected calibration error, 15 equal bins", "", "lower", compute="harness.metrics.scores:ece")


def _regression() -> Iterator[Metric]:
    score = partial(Metric, kinds=("regression",), per="example")
    yield score(
        "rmse", "root mean squared error of the mean", "", "lower", compute="harness.metrics.scores:rmse", headline=True
    )
    yield score(
        "log_likelihood",
        "log density of the full mixture",
        "nats",
        "higher",
        compute="harness.metrics.scores:log_likelihood",
    )
    yield score(
        "crps",
        "continuous ranked probability score of the full mixture",
        "",
        "lower",
        compute="harness.metrics.scores:crps",
    )


def _language() -> Iterator[Metric]:
    score = partial(Metric, kinds=("language",), per="token")
    yield score(
        "perplexity",
        "exponential of the mean negative log-likelihood",
        "",
        "lower",
        compute="harness.metrics.scores:perplexity",
        headline=True,
    )
    yield score(
        "bits_per_character",
        "mean negative log-likelihood, base 2",
        "bits",
        "lower",
        compute="harness.metrics.scores:bits_per_character",
    )


def _costs() -> Iterator[Metric]:
    yield Metric("update_seconds", "median time of a steady training update", "s", "lower", per="update")
    yield Metric("epoch_seconds", "that time for one pass over the training rows", "s", "lower", per="epoch")
    yield Metric("train_seconds", "time of all training updates, evaluation excluded", "s", "lower")
    yield Metric("prepare_seconds", "time of what a method does before its first update", "s", "lower")
    yield Metric("seconds_to_target", "training time until validation reaches --target", "s", "lower")
    yield Metric("parameters", "numbers that the trained network is made of", "", "lower")
