"""From predictions to scores: in chunks of rows, in numpy, on the original scale of the targets."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from harness.catalog import Catalog, resolve
from harness.types import Array, Batch, Data, Metric, Outcome, Prediction

Predict: TypeAlias = Callable[[Array], Prediction]

# Rows predicted at once: bounds the memory of an evaluation, and has no influence on its result.
CHUNK = 512


def score(
    catalog: Catalog,
    data: Data,
    split: Batch,
    predict: Predict,
    shifted: Mapping[str, Batch] | None = None,
) -> dict[str, float]:
    """Every metric that applies to the problem's kind, of one split (and of shifted test splits, where given)."""
    problem = data.problem
    outcome = Outcome(
        *_scored(data, split, predict),
        problem=problem,
        shifted={name: _scored(data, other, predict) for name, other in (shifted or {}).items()},
    )
    scores = {metric.name: _computed(metric, outcome) for metric in applying(catalog, problem.kind)}
    return {name: value for name, value in scores.items() if value is not None}


def applying(catalog: Catalog, kind: str) -> list[Metric]:
    """The metrics that are computed from predictions of this kind."""
    return [metric for metric in catalog.metrics.values() if metric.compute is not None and kind in metric.kinds]


def headline(catalog: Catalog, kind: str) -> Metric | None:
    """The metric that decides which validation point is the best."""
    return next((metric for metric in applying(catalog, kind) if metric.headline), None)


def _computed(metric: Metric, outcome: Outcome) -> float | None:
    assert metric.compute is not None
    value = resolve(metric.compute)(outcome)
    return None if value is None else float(value)


def _scored(data: Data, split: Batch, predict: Predict) -> tuple[Prediction, Array]:
    """Prediction and targets on the original scale."""
    problem = data.problem
    prediction = _predicted(split.inputs, predict, whole=problem.order == "contiguous")
    _check(prediction, len(split.inputs))
    targets = np.asarray(split.targets.cpu() if hasattr(split.targets, "cpu") else split.targets)
    if problem.target_scale != 1.0 or problem.target_mean != 0.0:
        targets = problem.target_mean + problem.target_scale * targets.astype(np.float64)
    return prediction.rescaled(problem.target_mean, problem.target_scale), targets


def _predicted(inputs: Array, predict: Predict, whole: bool) -> Prediction:
    """One prediction of all rows. A contiguous stream is given whole, so that a learner can carry its state."""
    if whole or len(inputs) <= CHUNK:
        return predict(inputs)
    parts = [predict(inputs[start : start + CHUNK]) for start in range(0, len(inputs), CHUNK)]
    *fields, log_weights = zip(*parts, strict=True)
    joined: Prediction = type(parts[0])._make([*(np.concatenate(field, axis=1) for field in fields), log_weights[0]])
    return joined


def _check(prediction: Prediction, rows: int) -> None:
    """Raises ValueError for a prediction that cannot be scored: shape, row count, weights that do not sum to one."""
    values, log_weights = prediction[0], prediction.log_weights
    name = type(prediction).__name__
    if values.ndim < 2 or values.shape[1] != rows:
        raise ValueError(f"predict returned {name} of shape {values.shape} for {rows} rows; expected (S, {rows}, ...)")
    if log_weights.shape != (len(values),):
        raise ValueError(f"predict returned {len(values)} samples with log_weights of shape {log_weights.shape}")
    total = math.fsum(np.exp(log_weights))
    if not abs(total - 1) < 1e-3:
        raise ValueError(f"predict returned log_weights that sum to {total:.4g} after exp; expected 1")
