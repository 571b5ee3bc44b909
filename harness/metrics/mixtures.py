"""Mixtures of predictions folded over their samples, some rows at a time, in float64."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from harness.types import Prediction, RegressionMixture

Floats = NDArray[np.float64]

BLOCK = 2**20  # numbers folded at once: bounds memory, and has no influence on the result


def mix_log_probs(log_probs: NDArray[np.floating], log_weights: NDArray[np.floating]) -> Floats:
    """Log of sum_s exp(log_weights_s + log_probs_s), without overflow: (S, N, ...) to (N, ...)."""
    log_probs = np.asarray(log_probs)
    weights = np.asarray(log_weights, np.float64).reshape(-1, *[1] * (log_probs.ndim - 1))
    found = np.empty(log_probs.shape[1:])
    for low, high in pairwise(find_edges(log_probs)):
        found[low:high] = _log_sum(np.asarray(log_probs[:, low:high], np.float64) + weights)
    return found


def _log_sum(terms: Floats) -> Floats:
    """Log of the sum of exp over the first axis, in their place; cheaper than pair by pair."""
    most = terms.max(axis=0)
    most[~np.isfinite(most)] = 0.0  # all have probability zero, or one is nan or infinite, which shows in the sum
    terms -= most
    with np.errstate(divide="ignore"):  # log 0
        summed: Floats = np.log(np.exp(terms, out=terms).sum(axis=0))
    summed += most
    return summed


def mixture(prediction: Prediction) -> Prediction:
    """The prediction as one sample, where a mixture is one; a mixture of Gaussians stays as it is."""
    if isinstance(prediction, RegressionMixture) or len(prediction.log_weights) == 1:
        return prediction
    folded: Prediction = type(prediction)(mix_log_probs(*prediction)[None], np.zeros(1))
    return folded


def compute_mean_entropy(log_probs: NDArray[np.floating], log_weights: NDArray[np.floating]) -> Floats:
    """Mean over samples of the entropy of each one's class probabilities, nats: (S, N, C) to (N,)."""
    log_probs, weights = np.asarray(log_probs), np.exp(np.asarray(log_weights, np.float64))
    found = np.empty(log_probs.shape[1])
    for low, high in pairwise(find_edges(log_probs)):
        logs = np.asarray(log_probs[:, low:high], np.float64)
        with np.errstate(invalid="ignore"):  # 0 log 0
            terms = np.where(np.isneginf(logs), 0.0, np.exp(logs) * logs)
        found[low:high] = -weights @ terms.sum(axis=-1)
    return found


def find_edges(log_probs: NDArray[np.floating]) -> list[int]:
    """Find the edges between blocks of rows of (S, N, ...), so that about BLOCK numbers lie between two edges."""
    rows = log_probs.shape[1]
    at_once = max(1, BLOCK * rows // max(1, log_probs.size))
    return [*range(0, rows, at_once), rows]
