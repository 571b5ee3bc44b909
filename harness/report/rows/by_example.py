"""Pairs of rows held against each other example by example, on the score that decides.

McNemar's test within each seed, never pooled: seeds share examples. Intervals of the mean difference where examples are
drawn anew and, where all seeds are tested on the same ones, where seeds and examples both are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from harness.records.example_files import NONE_KEPT, Examples
from harness.report.rows.table import Row
from harness.statistics.hypotheses import mcnemar_test
from harness.statistics.resampling import crossed_interval, example_interval
from harness.types import Record

Known: TypeAlias = Mapping[str, Examples | str]  # by a trial's key; where there are none, why

# By headline: which score of an example it is the mean of, with which sign, and what differences of that are called.
SOURCES = {
    "accuracy": ("right", 1, "accuracy"),
    "nll": ("log_score", -1, "nll"),
    "log_likelihood": ("log_score", 1, "log_likelihood"),
    "rmse": ("squared_error", 1, "mean squared error"),
}
ROUNDING = 1e-4  # relative; between a record's score and the mean of what is kept in single precision


@dataclass(frozen=True)
class Discordant:
    """Examples that one of two alone gets right, in one seed, with McNemar's exact p-value."""

    seed: int
    left_alone: int
    right_alone: int
    p_value: float


@dataclass(frozen=True)
class ByExample:
    """One row against another over single examples. score: what the difference, left less right, is of.

    trainings: how many seeds. seeds: each one's test, of classes. fixed: all seeds are tested on the same n examples,
    None of one seed. over_examples: the interval over these, each with the scores of all seeds; over_both: over seeds
    and examples. missing: by seed, why it is left out; reason: why all are.
    """

    left: str
    right: str
    score: str
    confidence: float
    reason: str = ""
    missing: Mapping[int, str] | None = None
    trainings: int = 0
    seeds: tuple[Discordant, ...] = ()
    fixed: bool | None = None
    n: int | None = None
    mean: float | None = None
    over_examples: tuple[float, float] | None = None
    over_both: tuple[float, float] | None = None


def compare_examples(left: Row, right: Row, headline: str, confidence: float, known: Known) -> ByExample | None:
    """Compare two rows of the same data over the seeds of which both have single scores; None for a headline that is no
    mean over examples.
    """
    if headline not in SOURCES:
        return None
    blank = ByExample(left.method, right.method, SOURCES[headline][2], confidence)
    ours, theirs = _by_seed(left), _by_seed(right)
    shared = [seed for seed in ours if seed in theirs]
    pairs = {seed: _pair_examples(ours[seed], theirs[seed], headline, known) for seed in shared}
    missing = {seed: pair for seed, pair in pairs.items() if isinstance(pair, str)}
    found = {seed: pair for seed, pair in pairs.items() if not isinstance(pair, str)}
    if not found:
        return replace(blank, reason="; ".join(dict.fromkeys(missing.values())))
    return _compare_pairs(replace(blank, missing=missing), found, headline)


def _compare_pairs(blank: ByExample, found: Mapping[int, tuple[Examples, Examples]], headline: str) -> ByExample:
    name, sign, _ = SOURCES[headline]
    seeds = tuple(_count_discordant(seed, *pair) for seed, pair in found.items() if "right" in pair[0].scores)
    differences = [sign * (ours.scores[name].astype(float) - theirs.scores[name]) for ours, theirs in found.values()]
    first = next(iter(found.values()))[0].ids
    fixed = all(np.array_equal(ours.ids, first) for ours, _ in found.values())
    mean = math.fsum(float(each.mean()) for each in differences) / len(differences)
    made = replace(blank, trainings=len(found), seeds=seeds, mean=mean, fixed=fixed if len(found) > 1 else None)
    if not fixed:
        return made
    whole = np.stack(differences)  # (S, N)
    both = crossed_interval(whole, blank.confidence) if len(found) > 1 else None
    return replace(made, n=len(first), over_examples=example_interval(whole, blank.confidence), over_both=both)


def _by_seed(row: Row) -> dict[int, Record]:
    return {record.trial.seed: record for record in row.records if record.status == "ok"}


def _pair_examples(left: Record, right: Record, headline: str, known: Known) -> tuple[Examples, Examples] | str:
    """The examples of both in one order, or why they cannot be paired."""
    pair = []
    for record in (left, right):
        found = known.get(record.trial.key, NONE_KEPT)
        if isinstance(found, str) or (flaw := _find_flaw(found, record, headline)):
            return f"{record.trial.method.label}: {found if isinstance(found, str) else flaw}"
        pair.append(found.sort())
    same = np.array_equal(pair[0].ids, pair[1].ids)
    return (pair[0], pair[1]) if same else "their test examples are not the same"


def _find_flaw(found: Examples, record: Record, headline: str) -> str:
    """Why these cannot be the scores of a record: their mean is its score."""
    name, sign, _ = SOURCES[headline]
    values: Any = found.scores.get(name)
    if values is None or not len(values) or not np.isfinite(values).all():
        return "not all of its single scores are finite numbers"
    mean, score = sign * float(values.mean(dtype=float)), record.scores.get(headline, math.nan)
    mean = math.sqrt(mean) if headline == "rmse" else mean
    return "" if abs(mean - score) <= ROUNDING * max(1e-3, abs(score)) else "its single scores are of another training"


def _count_discordant(seed: int, left: Examples, right: Examples) -> Discordant:
    ours, theirs = left.scores["right"], right.scores["right"]
    alone = int(np.count_nonzero(ours & ~theirs)), int(np.count_nonzero(theirs & ~ours))
    return Discordant(seed, *alone, mcnemar_test(*alone))
