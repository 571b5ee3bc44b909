"""Intervals by resampling: seeds (BCa), examples, or both where every seed is scored on the same examples. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

DRAWS = 10_000
LEAST_BCA = 20  # seeds below which BCa intervals are too narrow


def bca_interval(values: Sequence[float], confidence: float = 0.95, seed: int = 0) -> tuple[float, float] | None:
    """The bias-corrected accelerated bootstrap interval of the mean (Efron 1987); None below LEAST_BCA values, with
    which it is too narrow, and where all are equal.
    """
    if len(values) < LEAST_BCA or len(set(values)) == 1:
        return None
    from scipy.special import ndtr, ndtri

    sample = np.asarray(values, float)
    draws = np.random.default_rng(seed).choice(sample, (DRAWS, len(sample))).mean(1)
    bias = ndtri((np.count_nonzero(draws < sample.mean()) + np.count_nonzero(draws <= sample.mean())) / (2 * DRAWS))
    left_out = (sample.sum() - sample) / (len(sample) - 1)
    around = left_out.mean() - left_out
    acceleration = (around**3).sum() / (6 * (around**2).sum() ** 1.5)
    tails = ndtri(np.array([(1 - confidence) / 2, (1 + confidence) / 2]))
    low, high = np.quantile(draws, ndtr(bias + (bias + tails) / (1 - acceleration * (bias + tails))))
    return float(low), float(high)


def example_interval(scores: Array, confidence: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """The interval of a mean over examples that are drawn anew, each with the scores of all seeds: (S, N) or (N,)."""
    examples = np.atleast_2d(scores).mean(0)  # (N,): the seeds of an example are drawn together, never pooled
    return _percentiles(_draw_means(examples, np.random.default_rng(seed)), confidence)


def crossed_interval(scores: Array, confidence: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """The interval of a mean over seeds and examples, (S, N), both drawn anew (Owen 2007, the pigeonhole bootstrap): of
    other trainings and another test set. With few seeds it is too narrow where trainings scatter more than examples do.
    """
    generator, (seeds, examples) = np.random.default_rng(seed), scores.shape
    means = np.empty(DRAWS // 10)
    for index in range(len(means)):
        rows = np.bincount(generator.integers(seeds, size=seeds), minlength=seeds)
        columns = np.bincount(generator.integers(examples, size=examples), minlength=examples)
        means[index] = rows @ scores @ columns / (seeds * examples)
    return _percentiles(means, confidence)


def _draw_means(values: Array, generator: np.random.Generator) -> Array:
    step = max(1, 2**22 // len(values))
    parts = [
        values[generator.integers(len(values), size=(min(step, DRAWS - start), len(values)))].mean(1)
        for start in range(0, DRAWS, step)
    ]
    return np.concatenate(parts)


def _percentiles(draws: Array, confidence: float) -> tuple[float, float]:
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
