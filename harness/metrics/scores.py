"""Scores of a prediction, as functions of an Outcome. Always of the whole mixture, in float64.

Shapes: S samples or components, N rows, C classes, L tokens. Every prediction has log_weights (S,), normalised.
Definitions: calibration error, Guo et al. 2017, equation 3; CRPS of a Gaussian mixture, Grimit et al. 2006.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from harness.metrics.crps import score_mixtures
from harness.metrics.mixtures import find_edges, mix_log_probs
from harness.types import Outcome, TokenLogProbs

Floats = NDArray[np.float64]

CALIBRATION_BINS = 15


# --- classification -----------------------------------------------------------------------------------------------


def accuracy(outcome: Outcome) -> float:
    """Share of rows whose most probable class is the target."""
    return float(np.mean(find_right(outcome)))


def nll(outcome: Outcome) -> float:
    """Mean -log p(target), nats per row; infinite where a target has probability zero."""
    return float(-np.mean(score_classes(outcome)))


def find_right(outcome: Outcome) -> NDArray[np.bool_]:
    """Whether the most probable class of each row is the target, (N,)."""
    return np.asarray(_class_log_probs(outcome).argmax(axis=1) == outcome.targets)


def score_classes(outcome: Outcome) -> Floats:
    """Log p(target) of each row, (N,)."""
    log_probs = _class_log_probs(outcome)
    found: Floats = log_probs[np.arange(len(log_probs)), outcome.targets]
    return found


def brier(outcome: Outcome) -> float:
    """Mean over rows of sum_c (p_c - [target = c])^2, in [0, 2]."""
    errors = np.exp(_class_log_probs(outcome))  # (N, C)
    errors[np.arange(len(errors)), outcome.targets] -= 1
    return float(np.mean(np.sum(errors**2, axis=1)))


def ece(outcome: Outcome) -> float:
    """Sum over 15 equal-width bins (low, high] of the confidence: share of rows * |accuracy - mean confidence|."""
    log_probs = _class_log_probs(outcome)
    confidence = np.exp(log_probs.max(axis=1))
    right = log_probs.argmax(axis=1) == outcome.targets
    inner_edges = np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1]
    gaps = np.bincount(np.digitize(confidence, inner_edges, right=True), weights=right - confidence)
    return float(np.abs(gaps).sum() / len(confidence))


# --- regression, on the original scale of the targets -------------------------------------------------------------


def rmse(outcome: Outcome) -> float:
    """Root mean squared error of the mixture's mean."""
    return float(np.sqrt(np.mean(square_errors(outcome))))


def log_likelihood(outcome: Outcome) -> float:
    """Mean log density of the full mixture at the targets, nats per row; no moment-matched Gaussian."""
    return float(np.mean(score_densities(outcome)))


def square_errors(outcome: Outcome) -> Floats:
    """The squared error of the mixture's mean in each row, (N,)."""
    return np.concatenate([(weights @ means - targets) ** 2 for means, _, weights, targets in _gaussians(outcome)])


def score_densities(outcome: Outcome) -> Floats:
    """The log density of the full mixture at each target, (N,)."""
    parts = []
    for means, variances, _, targets in _gaussians(outcome):
        terms = (targets - means) ** 2  # (S, n)
        terms /= variances
        terms += np.log(2 * math.pi * variances)
        parts.append(mix_log_probs(-0.5 * terms, outcome.prediction.log_weights))
    return np.concatenate(parts)


def crps(outcome: Outcome) -> float:
    """Mean E|X - y| - E|X - X'| / 2 of the full mixture; how is said in `harness.metrics.crps`."""
    return float(np.mean(np.concatenate([score_mixtures(*part) for part in _gaussians(outcome)])))


# --- language -----------------------------------------------------------------------------------------------------


def perplexity(outcome: Outcome) -> float:
    """Exponential of the mean -log p(token)."""
    return float(np.exp(_token_nll(outcome)))


def bits_per_character(outcome: Outcome) -> float | None:
    """Mean -log2 p(token); None where tokens are words."""
    if outcome.problem.token == "word":  # noqa: S105 - a kind of token, no password
        return None
    return _token_nll(outcome) / math.log(2)


# --- beside the trial that this one starts from -------------------------------------------------------------------


def base_agreement(outcome: Outcome) -> float | None:
    """Share of rows whose most probable class is that of the base; None without its prediction."""
    if outcome.base is None:
        return None
    ours, theirs = _class_log_probs(outcome), mix_log_probs(outcome.base[0], outcome.base.log_weights)
    return float(np.mean(ours.argmax(axis=1) == theirs.argmax(axis=1)))


def base_kl(outcome: Outcome) -> float | None:
    """Mean over rows of sum_c b_c (log b_c - log p_c), with b of the base, nats; None without its prediction.

    Of tokens, of whose distributions only the probability of what came is known: the mean of log b - log p.
    """
    if outcome.base is None:
        return None
    theirs, ours = mix_log_probs(outcome.base[0], outcome.base.log_weights), mix_log_probs(*outcome.prediction[:2])
    if isinstance(outcome.prediction, TokenLogProbs):
        return float(np.mean(theirs - ours))
    believed = np.exp(theirs)
    with np.errstate(invalid="ignore"):  # what has no probability counts for nothing, and -inf - -inf is nan
        terms = np.where(believed > 0, believed * (theirs - ours), 0.0)  # (N, C)
    return float(np.mean(terms.sum(axis=1)))


# --- helpers ------------------------------------------------------------------------------------------------------


def _class_log_probs(outcome: Outcome) -> Floats:
    """Log p(class) of the mixture, (N, C)."""
    return mix_log_probs(outcome.prediction[0], outcome.prediction.log_weights)


def _token_nll(outcome: Outcome) -> float:
    return float(-np.mean(mix_log_probs(outcome.prediction[0], outcome.prediction.log_weights)))


def _gaussians(outcome: Outcome) -> Iterator[tuple[Floats, Floats, Floats, Floats]]:
    """Some rows at a time: means (S, n), variances (S, n), weights (S,), targets (n,)."""
    means, variances, log_weights = map(np.asarray, outcome.prediction)
    weights, targets = np.exp(log_weights.astype(np.float64)), np.asarray(outcome.targets, np.float64)
    for low, high in pairwise(find_edges(means)):
        block = slice(low, high)
        yield means[:, block].astype(np.float64), variances[:, block].astype(np.float64), weights, targets[block]
