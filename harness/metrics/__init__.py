"""The general metrics: scores and costs of any method of a kind. Plugins describe the readings of instruments."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

from harness.hookspecs import hookimpl
from harness.types import Metric


@hookimpl
def harness_metrics() -> Iterator[Metric]:
    yield from _offer_classification()
    yield from _offer_regression()
    yield from _offer_language()
    yield from _offer_beside_the_base()
    yield from _offer_costs()


def _offer_classification() -> Iterator[Metric]:
    score = partial(_describe_score, kinds=("classification",), per="example", mixture=True)
    yield score("accuracy", "share of rows classified right", "", "higher", headline=True)
    yield score("nll", "negative log-likelihood of the class", "nats", "lower")
    yield score("brier", "squared error of the class probabilities, 0 to 2", "", "lower")
    yield score("ece", "expected calibration error, 15 equal bins", "", "lower")


def _offer_regression() -> Iterator[Metric]:
    score = partial(_describe_score, kinds=("regression",), per="example")
    yield score("rmse", "root mean squared error of the mean", "", "lower", headline=True)
    yield score("log_likelihood", "log density of the full mixture", "nats", "higher")
    # Of many components it costs more than to predict them: once, at the end.
    summary = "continuous ranked probability score of the full mixture"
    yield score("crps", summary, "", "lower", requires=("scipy.special",), curve=False)


def _offer_language() -> Iterator[Metric]:
    score = partial(_describe_score, kinds=("language",), per="token", mixture=True)
    yield score("perplexity", "exponential of the mean negative log-likelihood", "", "lower", headline=True)
    yield score("bits_per_character", "mean negative log-likelihood, base 2", "bits", "lower")


def _offer_beside_the_base() -> Iterator[Metric]:
    beside = partial(_describe_score, measures="quantity", mixture=True)
    agreement = "share of rows whose most probable class is that of the trial that this one starts from"
    yield beside("base_agreement", agreement, "", "higher", kinds=("classification",), per="example")
    divergence = "KL divergence of its predictions from those of the trial that this one starts from"
    yield beside("base_kl", divergence, "nats", "lower", kinds=("classification", "language"), per="example")


def _describe_score(name: str, summary: str, unit: str, better: Literal["higher", "lower"], **settings: Any) -> Metric:
    """Describe the score that the function of that name in `scores` computes; it is named and not imported."""
    return Metric(name, summary, unit, better, compute=f"harness.metrics.scores:{name}", **settings)


def _offer_costs() -> Iterator[Metric]:
    yield Metric("update_seconds", "median time of a steady training update", "s", "lower", per="update")
    yield Metric("epoch_seconds", "that time for one pass over the training rows", "s", "lower", per="epoch")
    yield Metric("train_seconds", "time of all training updates, evaluation excluded", "s", "lower")
    yield Metric("init_seconds", "time in which a method is made and sets itself up", "s", "lower")
    yield Metric("prepare_seconds", "time of what a method does before its first update", "s", "lower")
    yield Metric("finish_seconds", "time of what a method does after its last update", "s", "lower")
    yield Metric("total_seconds", "time of init, prepare, all updates and finish", "s", "lower")
    yield Metric("total_with_base_seconds", "that time, and those of what the method starts from", "s", "lower")
    yield Metric("seconds_to_target", "training time until validation reaches --target", "s", "lower")
    yield Metric("parameters", "floating numbers that the trained network is saved as", "", "lower", exact=True)
    yield Metric("nonzeros", "of these, those that are not zero", "", "lower")
    yield Metric("stored_bytes", "bytes of all arrays that it is saved as, indices included", "B", "lower", exact=True)
