"""Predictions of all rows of a split: some rows at a time, each part checked, brought to scale and folded at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.metrics.mixtures import compute_mean_entropy, find_edges, mixture
from harness.types import Array, ClassLogProbs, Prediction, Problem, RegressionMixture, TokenLogProbs
from harness.words import format_count

Predict: TypeAlias = Callable[[Array], Prediction]
Field: TypeAlias = NDArray[np.floating]

# Rows predicted at once: bounds the memory of an evaluation, and has no influence on its result.
CHUNK = 512

# What is predicted for a problem of each kind; a plugin may name further kinds.
TYPES: Mapping[str, type[Prediction]] = {
    "classification": ClassLogProbs,
    "regression": RegressionMixture,
    "language": TokenLogProbs,
}
NORMALISED = 1e-3  # what probabilities may be away from one


def predict_rows(
    inputs: Array, predict: Predict, problem: Problem, folded: bool
) -> tuple[Prediction, NDArray[np.float64] | None]:
    """One prediction of all rows on the original scale, and the mean entropy of its samples. Raises ValueError for what
    is no prediction of these rows.

    A contiguous stream is given whole, so that a learner can carry its state. folded: of classes and tokens the mixture
    is all that is wanted.
    """
    entropies: list[NDArray[np.float64]] = []
    size = max(1, len(inputs) if problem.order == "contiguous" else CHUNK)

    def predict_parts() -> Iterator[Prediction]:
        for start in range(0, max(1, len(inputs)), size):
            rows = inputs[start : start + size]
            part = predict(rows)
            if found := find_flaw(part, rows, problem):
                raise ValueError(f"predict: {found}")
            if isinstance(part, ClassLogProbs):
                entropies.append(compute_mean_entropy(*part))
            made = (mixture(part) if folded else part).rescaled(problem.target_mean, problem.target_scale)
            del part, rows  # or the next ones would be held with all the samples of these
            yield made
            del made

    parts = predict_parts()
    found = next(parts) if len(inputs) <= size else _gather_parts(parts, len(inputs))
    return _broadcast_variances(found), np.concatenate(entropies) if entropies else None


def _broadcast_variances(prediction: Prediction) -> Prediction:
    """With as many variances as means, those that stand for several in memory once."""
    if isinstance(prediction, RegressionMixture):
        return prediction._replace(variances=np.broadcast_to(prediction.variances, np.shape(prediction.means)))
    return prediction


def _gather_parts(parts: Iterator[Prediction], rows: int) -> Prediction:
    """The prediction of so many rows, none of them held twice. Raises ValueError where samples are not as many."""
    fields: list[_Rows] = []
    for part in parts:
        if not fields:
            kind, log_weights, fields = type(part), part.log_weights, [_Rows(rows) for _ in part[:-1]]
        if len(part.log_weights) != len(log_weights):
            samples = f"{len(log_weights)} samples of some rows and {len(part.log_weights)} of others"
            raise ValueError(f"predict: returned {samples}; expected as many of all")
        for field, array in zip(fields, part, strict=False):
            field.add_rows(np.asarray(array), np.shape(part[0])[1])
        del part, array  # or they would be held while the next ones are predicted
    whole: Prediction = kind._make([*(field.array for field in fields), log_weights])
    return whole


class _Rows:
    """One array of a prediction, (S, N, ...), as its parts come. One that is (S, 1) in all of them alike stays so."""

    def __init__(self, rows: int) -> None:
        self._rows, self._filled = rows, 0
        self.array: Field = np.empty((0, 0))

    def add_rows(self, part: Field, rows: int) -> None:
        """The next rows."""
        if not self._filled and part.shape[1] == 1:
            self.array = part
        elif not (self.array.shape == part.shape and np.array_equal(self.array, part) and part.shape[1] == 1):
            self._make_room(part)
            self.array[:, self._filled : self._filled + rows] = part
        self._filled += rows

    def _make_room(self, part: Field) -> None:
        """For all rows, in a type that holds what is there and the part."""
        kind = np.result_type(self.array, part) if self._filled else part.dtype
        if self.array.shape[1] != self._rows:
            whole = np.empty((len(part), self._rows, *part.shape[2:]), kind)
            if self._filled:
                whole[:, : self._filled] = self.array
            self.array = whole
        elif self.array.dtype != kind:
            self.array = self.array.astype(kind)


def find_flaw(prediction: Prediction, inputs: Array, problem: Problem) -> str:
    """Why this is no prediction of these rows, for words after the name of what predicted; empty if it is one.

    Scores of what is no density would flatter: logits that nobody normalised have the best likelihood of all. Numbers
    that are nan are let pass: they show in the scores.
    """
    expected = TYPES.get(problem.kind, type(prediction))
    if type(prediction) is not expected:
        return f"returned {type(prediction).__name__} for {problem.kind}; expected {expected.__name__}"
    return _find_wrong_shape(prediction, inputs, problem) or _find_wrong_density(prediction)


def _find_wrong_shape(prediction: Prediction, inputs: Array, problem: Problem) -> str:
    rows = _expected_shape(inputs, problem)
    if np.ndim(prediction.log_weights) != 1:
        return f"log_weights has shape {np.shape(prediction.log_weights)}; expected (S,)"
    wanted = (len(prediction.log_weights), *rows)
    for name, field in zip(prediction._fields[:-1], prediction[:-1], strict=True):
        shape = np.shape(field) if problem.kind in TYPES else np.shape(field)[: len(wanted)]
        narrow = isinstance(prediction, RegressionMixture) and name == "variances"
        if shape != wanted and not (narrow and len(shape) == 2 and all(map(_is_or_is_one, shape, wanted))):
            expected = ", ".join(["S", *map(str, rows), *(["..."] if problem.kind not in TYPES else [])])
            beside = ", or 1 for either" if narrow else ""
            shown = f"{name} for {format_count(len(inputs), 'row')} has shape {np.shape(field)}"
            return f"{shown}; expected ({expected}){beside}"
    return ""


def _is_or_is_one(size: int, wanted: int) -> bool:
    return size in (1, wanted)


def _expected_shape(inputs: Array, problem: Problem) -> tuple[int, ...]:
    """The shape of a prediction, without its samples; of a kind that a plugin names only the rows are known."""
    if problem.kind == "classification":
        return len(inputs), problem.output_size
    if problem.kind == "language":
        return len(inputs), inputs.shape[1] - 1
    return (len(inputs),)


def _find_wrong_density(prediction: Prediction) -> str:
    total = math.fsum(np.exp(prediction.log_weights))
    if not abs(total - 1) < NORMALISED:
        return f"the samples' weights, exp(log_weights), sum to {total:.4g}; expected 1"
    if isinstance(prediction, ClassLogProbs):
        worst = _furthest_from_one(np.asarray(prediction.log_probs))
        if abs(worst - 1) > NORMALISED:
            return f"a row's probabilities, exp(log_probs), sum to {worst:.4g}; expected 1 (log_softmax?)"
    elif isinstance(prediction, RegressionMixture):
        if (lowest := float(np.min(prediction.variances, initial=math.inf))) <= 0:
            return f"a variance is {lowest:.4g}; expected one above 0"
    elif (highest := float(np.max(prediction.log_probs, initial=-math.inf))) > NORMALISED:
        return f"a token's log probability is {highest:.4g}; expected none above 0"
    return ""


def _furthest_from_one(log_probs: Field) -> float:
    """The sum of a row's probabilities that is furthest from one, of (S, N, C); one where there are no rows."""
    blocks = (np.exp(log_probs[:, low:high]).sum(axis=-1) for low, high in pairwise(find_edges(log_probs)))
    sums = [1.0, *(float(each.flat[np.abs(each - 1).argmax()]) for each in blocks if each.size)]
    return sums[int(np.abs(np.array(sums) - 1).argmax())]
