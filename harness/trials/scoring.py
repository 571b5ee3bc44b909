"""From predictions to scores: in chunks of rows, in numpy, on the original scale of the targets."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.catalog import Catalog, Offer, available, resolve
from harness.errors import is_interrupt
from harness.metrics.mixtures import mean_entropy, mixture
from harness.trials import entries
from harness.trials.based import missed, renewed
from harness.trials.places import code_of, one_line
from harness.types import (
    Array,
    Batch,
    ClassLogProbs,
    Data,
    Metric,
    Outcome,
    Prediction,
    Problem,
    RegressionMixture,
    TokenLogProbs,
)

Predict: TypeAlias = Callable[[Array], Prediction]
Wanted: TypeAlias = Callable[[Metric], bool]
AtHand: TypeAlias = Callable[[str], AbstractContextManager[None]]

# Rows predicted at once: bounds the memory of an evaluation, and has no influence on its result.
CHUNK = 512

# What is predicted for a problem of each kind; a plugin may name further kinds.
TYPES: Mapping[str, type[Prediction]] = {
    "classification": ClassLogProbs,
    "regression": RegressionMixture,
    "language": TokenLogProbs,
}
OWN = "harness.metrics"  # the plugin whose scores say that training diverged
NORMALISED = 1e-3  # what probabilities may be away from one


class Scores(NamedTuple):
    """found: finite scores by metric. holes: why others are missing. nan: the first that says that training diverged:
    one of the harness's own metrics, or any where the prediction itself is nan.
    """

    found: dict[str, float]
    holes: dict[str, str]
    nan: str = ""


def score(
    catalog: Catalog,
    data: Data,
    split: Batch,
    predict: Predict,
    *,
    wanted: Wanted | None = None,
    at_hand: AtHand = lambda _: nullcontext(),
) -> Scores:
    """Every metric that applies to the problem's kind, of one split, see `judged`. Raises what predicting raises."""
    metrics = applying(catalog, data.problem.kind, wanted)
    outcome, holes = outcome_of(data, split, predict, folded=foldable(metrics))
    scores = judged(outcome, metrics, at_hand)
    return scores._replace(holes=holes | scores.holes)


def outcome_of(
    data: Data,
    split: Batch,
    predict: Predict,
    shifted: Mapping[str, Batch] | None = None,
    base: Prediction | None = None,
    *,
    folded: bool = False,
) -> tuple[Outcome, dict[str, str]]:
    """What is predicted of a split, and of shifted test splits where given; holes for those that cannot be.

    base: what the trial that this one starts from predicted of these rows. folded: samples of class and token
    probabilities become their mixture, some rows at a time. Raises what predicting the split raises.
    """
    outcome = dataclasses.replace(_scored(data, split, predict, folded), base=base)
    others, holes = _of_shifted(data, predict, shifted or {}, folded)
    splits = {name: (other.prediction, other.targets) for name, other in others.items()}
    entropies = {name: other.entropy for name, other in others.items() if other.entropy is not None}
    return dataclasses.replace(outcome, shifted=splits, shifted_entropy=entropies), holes


def judged(outcome: Outcome, metrics: Sequence[Offer[Metric]], at_hand: AtHand = lambda _: nullcontext()) -> Scores:
    """An outcome by these metrics. One that fails, lacks a module or gives what is no finite number leaves a hole.

    at_hand: a context in which metrics of plugins are computed, called with what to name if they end the process.
    """
    scores: dict[str, float] = {}
    holes: dict[str, str] = {}
    nan = ""
    for offer, name, others in _asked(metrics, outcome):
        if why := available(offer):
            holes[name] = why
            continue
        given = renewed(outcome)
        try:
            with nullcontext() if is_own(offer) else at_hand(f"metric {name}"):
                value = _computed(offer.value, given, *others)
        except BaseException as error:
            if is_interrupt(error):
                raise
            said = str(error) if isinstance(error, entries.Unfit) else one_line(error, code_of(offer))
            holes[name] = f"{name}{' ' if isinstance(error, entries.Unfit) else ': '}{said}"
            holes[name] += f" ({why})" if (why := missed(given)) else ""
            continue
        if value is None and (why := missed(given)):
            holes[name] = why
        if value is not None and math.isfinite(value):
            scores[name] = value
        elif value is not None:
            holes[name] = f"{name} is {value:g}; expected a finite number"
            nan = nan or (name if math.isnan(value) and (is_own(offer) or _has_nan(outcome.prediction)) else "")
    return Scores(scores, holes, nan)


def applying(catalog: Catalog, kind: str, wanted: Wanted | None = None) -> list[Offer[Metric]]:
    """The metrics that are computed from predictions of this kind; those that are wanted, where that is said."""
    offers = catalog.metrics.offers()
    known = [offer for offer in offers if offer.value.compute is not None and kind in offer.value.kinds]
    return [offer for offer in known if wanted is None or wanted(offer.value)]


def foldable(metrics: Sequence[Offer[Metric]]) -> bool:
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


def is_own(offer: Offer[Metric]) -> bool:
    """Whether a metric is one of those that come with the harness."""
    return offer.plugin.module == OWN


def _of_shifted(
    data: Data, predict: Predict, shifted: Mapping[str, Batch], folded: bool
) -> tuple[dict[str, Outcome], dict[str, str]]:
    found: dict[str, Outcome] = {}
    holes: dict[str, str] = {}
    for name, split in shifted.items():
        try:
            found[name] = _scored(data, split, predict, folded)
        except (Exception, SystemExit) as error:
            holes[f"shifted.{name}"] = one_line(error)
    return found, holes


def flaw(prediction: Prediction, inputs: Array, problem: Problem) -> str:
    """Why this is no prediction of these rows, for words after the name of what predicted; empty if it is one.

    Scores of what is no density would flatter: logits that nobody normalised have the best likelihood of all. Numbers
    that are nan are let pass: they show in the scores.
    """
    expected = TYPES.get(problem.kind, type(prediction))
    if type(prediction) is not expected:
        return f"returned {type(prediction).__name__} for {problem.kind}; expected {expected.__name__}"
    return _misshapen(prediction, inputs, problem) or _improbable(prediction)


def _misshapen(prediction: Prediction, inputs: Array, problem: Problem) -> str:
    rows = _shape(inputs, problem)
    if np.ndim(prediction.log_weights) != 1:
        return f"log_weights has shape {np.shape(prediction.log_weights)}; expected (S,)"
    wanted = (len(prediction.log_weights), *rows)
    for name, field in zip(prediction._fields[:-1], prediction[:-1], strict=True):
        shape = np.shape(field) if problem.kind in TYPES else np.shape(field)[: len(wanted)]
        if shape != wanted:
            expected = ", ".join(["S", *map(str, rows), *(["..."] if problem.kind not in TYPES else [])])
            return f"{name} for {len(inputs)} rows has shape {np.shape(field)}; expected ({expected})"
    return ""


def _shape(inputs: Array, problem: Problem) -> tuple[int, ...]:
    """Of a prediction, without its samples; of a kind that a plugin names only the rows are known."""
    if problem.kind == "classification":
        return len(inputs), problem.output_size
    if problem.kind == "language":
        return len(inputs), inputs.shape[1] - 1
    return (len(inputs),)


def _improbable(prediction: Prediction) -> str:
    total = math.fsum(np.exp(prediction.log_weights))
    if not abs(total - 1) < NORMALISED:
        return f"the samples' weights, exp(log_weights), sum to {total:.4g}; expected 1"
    if isinstance(prediction, ClassLogProbs):
        sums = np.exp(prediction.log_probs).sum(axis=-1)
        worst = float(sums.flat[np.abs(sums - 1).argmax()]) if sums.size else 1.0
        if abs(worst - 1) > NORMALISED:
            return f"a row's probabilities, exp(log_probs), sum to {worst:.4g}; expected 1 (log_softmax?)"
    elif isinstance(prediction, RegressionMixture):
        if (lowest := float(np.min(prediction.variances, initial=math.inf))) <= 0:
            return f"a variance is {lowest:.4g}; expected one above 0"
    elif (highest := float(np.max(prediction.log_probs, initial=-math.inf))) > NORMALISED:
        return f"a token's log probability is {highest:.4g}; expected none above 0"
    return ""


def _asked(
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


def _computed(metric: Metric, *outcomes: Outcome) -> float | None:
    """Raises whatever the metric raises, and Unfit for what is no number."""
    assert metric.compute is not None
    value = resolve(metric.compute)(*outcomes)
    return None if value is None else entries.number(value)


def _has_nan(prediction: Prediction) -> bool:
    return any(bool(np.isnan(field).any()) for field in prediction)


def _scored(data: Data, split: Batch, predict: Predict, folded: bool) -> Outcome:
    """Prediction and targets on the original scale. folded: of classes and tokens the mixture is all that is wanted."""
    problem = data.problem
    prediction, entropy = _predicted(split.inputs, predict, problem, folded)
    targets = np.asarray(split.targets.cpu() if hasattr(split.targets, "cpu") else split.targets)
    if problem.target_scale != 1.0 or problem.target_mean != 0.0:
        targets = problem.target_mean + problem.target_scale * targets.astype(np.float64)
    rescaled = prediction.rescaled(problem.target_mean, problem.target_scale)
    given = type(rescaled)._make(map(_unwritable, rescaled))
    return Outcome(given, _unwritable(targets), problem, entropy=None if entropy is None else _unwritable(entropy))


def _unwritable(array: Any) -> Any:
    """A view that no metric can write to: the others shall see the same prediction, and training its own targets."""
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def _predicted(
    inputs: Array, predict: Predict, problem: Problem, folded: bool
) -> tuple[Prediction, NDArray[np.float64] | None]:
    """One prediction of all rows, and the mean entropy of its samples.

    A contiguous stream is given whole, so that a learner can carry its state. Other rows are given some at a time, and
    what is predicted of them is checked, and folded where that is wanted, before the next.
    """
    size = len(inputs) if problem.order == "contiguous" else CHUNK
    parts, entropies = [], []
    for start in range(0, max(1, len(inputs)), max(1, size)):
        rows = inputs[start : start + size]
        part = predict(rows)
        if found := flaw(part, rows, problem):
            raise ValueError(f"predict: {found}")
        entropies += [mean_entropy(*part)] if isinstance(part, ClassLogProbs) else []
        parts.append(mixture(part) if folded else part)
    return _joined(parts), np.concatenate(entropies) if entropies else None


def _joined(parts: Sequence[Prediction]) -> Prediction:
    if len(parts) == 1:
        return parts[0]
    *fields, log_weights = zip(*parts, strict=True)
    joined: Prediction = type(parts[0])._make([*(np.concatenate(field, axis=1) for field in fields), log_weights[0]])
    return joined
