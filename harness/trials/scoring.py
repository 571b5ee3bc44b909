"""From predictions to scores: in chunks of rows, in numpy, on the original scale of the targets."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from harness.catalog import Catalog, Offer, explain_unavailable, resolve
from harness.errors import is_interrupt
from harness.trials import json_values
from harness.trials.code_places import plugin_code
from harness.trials.predicting import Predict, predict_rows
from harness.trials.unknown_base import explain_missing_base, renew_outcome
from harness.types import Batch, Data, Metric, Outcome, Prediction
from harness.words import describe_error

Wanted: TypeAlias = Callable[[Metric], bool]
AtHand: TypeAlias = Callable[[str], AbstractContextManager[object]]

OWN = "harness.metrics"  # the plugin whose scores say that training diverged


class Scores(NamedTuple):
    """found: finite scores by metric. holes: why others are missing. nan: the first that says that training diverged:
    one of the harness's own metrics, or any where the prediction itself is nan.
    """

    found: dict[str, float]
    holes: dict[str, str]
    nan: str = ""


def score_split(
    catalog: Catalog,
    data: Data,
    split: Batch,
    predict: Predict,
    *,
    wanted: Wanted | None = None,
    at_hand: AtHand = nullcontext,
) -> Scores:
    """Every metric that applies to the problem's kind, of one split, see `judged`. Raises what predicting raises."""
    metrics = applying_metrics(catalog, data.problem.kind, wanted)
    outcome, holes = make_outcome(data, split, predict, folded=are_foldable(metrics))
    scores = judge_outcome(outcome, metrics, at_hand)
    return scores._replace(holes=holes | scores.holes)


def make_outcome(
    data: Data,
    split: Batch,
    predict: Predict,
    shifted: Mapping[str, Batch] | None = None,
    base: Prediction | None = None,
    *,
    folded: bool = False,
) -> tuple[Outcome, dict[str, str]]:
    """Predict a split, and shifted test splits where given; holes for those that cannot be.

    base: what the trial that this one starts from predicted of these rows. folded: samples of class and token
    probabilities become their mixture, some rows at a time. Raises what predicting the split raises.
    """
    outcome = dataclasses.replace(_predict_split(data, split, predict, folded), base=base)
    others, holes = _shifted_outcomes(data, predict, shifted or {}, folded)
    splits = {name: (other.prediction, other.targets) for name, other in others.items()}
    entropies = {name: other.entropy for name, other in others.items() if other.entropy is not None}
    return dataclasses.replace(outcome, shifted=splits, shifted_entropy=entropies), holes


def judge_outcome(outcome: Outcome, metrics: Sequence[Offer[Metric]], at_hand: AtHand = nullcontext) -> Scores:
    """An outcome by these metrics. One that fails, lacks a module or gives what is no finite number leaves a hole.

    at_hand: a context in which metrics of plugins are computed, called with what to name if they end the process.
    """
    scores: dict[str, float] = {}
    holes: dict[str, str] = {}
    nan = ""
    for offer, name, others in _pair_with_splits(metrics, outcome):
        if why := explain_unavailable(offer):
            holes[name] = why
            continue
        given = renew_outcome(outcome)
        try:
            with nullcontext() if is_of_harness(offer) else at_hand(f"metric {name}"):
                value = _compute_metric(offer.value, given, *others)
        except BaseException as error:
            if is_interrupt(error):
                raise
            said = str(error) if isinstance(error, json_values.Unfit) else describe_error(error, plugin_code(offer))
            holes[name] = f"{name}{' ' if isinstance(error, json_values.Unfit) else ': '}{said}"
            holes[name] += f" ({why})" if (why := explain_missing_base(given)) else ""
            continue
        if value is None and (why := explain_missing_base(given)):
            holes[name] = why
        if value is not None and math.isfinite(value):
            scores[name] = value
        elif value is not None:
            holes[name] = f"{name} is {value:g}; expected a finite number"
            nan = nan or (name if math.isnan(value) and (is_of_harness(offer) or _has_nan(outcome.prediction)) else "")
    return Scores(scores, holes, nan)


def applying_metrics(catalog: Catalog, kind: str, wanted: Wanted | None = None) -> list[Offer[Metric]]:
    """The metrics that are computed from predictions of this kind; those that are wanted, where that is said."""
    offers = catalog.metrics.offers()
    known = [offer for offer in offers if offer.value.compute is not None and kind in offer.value.kinds]
    return [offer for offer in known if wanted is None or wanted(offer.value)]


def are_foldable(metrics: Sequence[Offer[Metric]]) -> bool:
    """Whether none of these looks at single samples."""
    return all(offer.value.mixture for offer in metrics)


def on_the_curve(metric: Metric) -> bool:
    """Whether a metric is computed at every validation point."""
    return metric.curve and not metric.shifted


def at_the_end(metric: Metric) -> bool:
    """Whether a metric is computed at the end of training only, of the test and the validation rows."""
    return not metric.curve and not metric.shifted


def of_any_split(metric: Metric) -> bool:
    """Whether a metric is of the rows of one split, whichever, and not of shifted ones beside the test rows."""
    return not metric.shifted


def is_of_harness(offer: Offer[Metric]) -> bool:
    """Whether a metric is one of those that come with the harness."""
    return offer.plugin.module == OWN


def _shifted_outcomes(
    data: Data, predict: Predict, shifted: Mapping[str, Batch], folded: bool
) -> tuple[dict[str, Outcome], dict[str, str]]:
    found: dict[str, Outcome] = {}
    holes: dict[str, str] = {}
    for name, split in shifted.items():
        try:
            found[name] = _predict_split(data, split, predict, folded)
        except (Exception, SystemExit) as error:
            holes[f"shifted.{name}"] = describe_error(error)
    return found, holes


def _pair_with_splits(
    metrics: Sequence[Offer[Metric]], outcome: Outcome
) -> Iterator[tuple[Offer[Metric], str, tuple[Outcome, ...]]]:
    """Each metric with the name of its score and what it looks at beside the outcome: a shifted split at a time."""
    for offer in metrics:
        if not offer.value.shifted:
            yield offer, offer.value.name, ()
            continue
        for split, (prediction, targets) in outcome.shifted.items():
            other = Outcome(prediction, targets, outcome.problem, entropy=outcome.shifted_entropy.get(split))
            yield offer, f"{offer.value.name}@{split}", (other,)


def _compute_metric(metric: Metric, *outcomes: Outcome) -> float | None:
    """Raises whatever the metric raises, and Unfit for what is no number."""
    assert metric.compute is not None
    value = resolve(metric.compute)(*outcomes)
    return None if value is None else json_values.fit_number(value)


def _has_nan(prediction: Prediction) -> bool:
    return any(bool(np.isnan(field).any()) for field in prediction)


def _predict_split(data: Data, split: Batch, predict: Predict, folded: bool) -> Outcome:
    """Prediction and targets on the original scale. folded: of classes and tokens the mixture is all that is wanted."""
    problem = data.problem
    prediction, entropy = predict_rows(split.inputs, predict, problem, folded)
    targets = np.asarray(split.targets.cpu() if hasattr(split.targets, "cpu") else split.targets)
    if problem.target_scale != 1.0 or problem.target_mean != 0.0:
        targets = problem.target_mean + problem.target_scale * targets.astype(np.float64)
    given = type(prediction)._make(map(_lock_array, prediction))
    return Outcome(given, _lock_array(targets), problem, entropy=None if entropy is None else _lock_array(entropy))


def _lock_array(array: Any) -> Any:
    """A view that no metric can write to: the others shall see the same prediction, and training its own targets."""
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view
