"""Scores that say how far a prediction's own uncertainty is to be believed, as functions of an Outcome, in float64.

Always of the whole mixture, regression on the original scale of the targets. Shapes: S samples or components, N rows, C
classes. A score of a shifted split gets the outcome of the test rows, and that of the split as `other`.

Central intervals and PIT: Gneiting, Balabdaoui & Raftery 2007; interval score: Gneiting & Raftery 2007, equation 43;
calibration error of regression: Kuleshov et al. 2018, with absolute differences; FPR at 95 % TPR: Liang et al. 2018;
risk-coverage curve: Geifman & El-Yaniv 2017; uncertainty in parts: Depeweg et al. 2018.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from harness import ClassLogProbs, Outcome
from harness_bayes.quantiles import mass_below, quantile

Floats = NDArray[np.float64]

TAIL = 0.025  # beyond each end of the central interval
LEVELS = np.arange(1, 20) / 20  # p_j = j / 20; of 0 and 1 the shares are always right
BLOCK = 2**18  # numbers looked at in one go: bounds memory, and has no influence on the result
ROUNDING = 1e-12  # nats below which mutual information is none: one component has rounding errors, and no order


# --- regression: intervals and calibration ------------------------------------------------------------------------


def coverage95(outcome: Outcome) -> float:
    """Share of targets in the central 95 % interval of the mixture (PICP)."""
    pit = _pit(outcome)
    return float(np.mean((pit >= TAIL) & (pit <= 1 - TAIL)))


def width95(outcome: Outcome) -> float:
    """Mean width of the central 95 % interval of the mixture (MPIW), in the unit of the targets."""
    return float(np.mean(np.concatenate([high - low for low, high, _ in _intervals(outcome)])))


def interval_score95(outcome: Outcome) -> float:
    """Mean of the interval's width plus 2 / 0.05 of how far the target lies outside of it, if it does."""
    parts = []
    for low, high, targets in _intervals(outcome):
        outside = np.maximum(low - targets, 0) + np.maximum(targets - high, 0)
        parts.append(high - low + outside / TAIL)
    return float(np.mean(np.concatenate(parts)))


def calibration_error(outcome: Outcome) -> float:
    """Mean over p = 0.05, 0.1, ..., 0.95 of |share of targets with F(target) <= p - p|, in [0, 0.5]."""
    pit = np.sort(_pit(outcome))
    if np.isnan(pit[-1]):
        return math.nan
    shares = np.searchsorted(pit, LEVELS, side="right") / len(pit)
    return float(np.mean(np.abs(shares - LEVELS)))


# --- uncertainty in parts -----------------------------------------------------------------------------------------


def aleatoric_deviation(outcome: Outcome) -> float:
    """Root of the mean over rows of sum_s w_s v_s, the variance within components."""
    parts = [weights @ deviations**2 for _, deviations, weights, _ in _split_gaussians(outcome)]
    return float(np.sqrt(np.mean(np.concatenate(parts))))


def epistemic_deviation(outcome: Outcome) -> float:
    """Root of the mean over rows of sum_s w_s (m_s - m)^2, the variance between components.

    Its square and that of `aleatoric_deviation` sum to the mean variance of the mixture.
    """
    parts = [_variance_of_means(means, weights) for means, _, weights, _ in _split_gaussians(outcome)]
    return float(np.sqrt(np.mean(np.concatenate(parts))))


def mutual_information(outcome: Outcome) -> float | None:
    """Mean over rows of H(sum_s w_s p_s) - sum_s w_s H(p_s), nats; None where the latter is not known."""
    gains = _information(outcome)
    return None if gains is None else float(np.mean(gains))


# --- who is unsure where it is wrong ------------------------------------------------------------------------------


def aurc(outcome: Outcome) -> float:
    """Area under the risk-coverage curve: mean over k of the mean loss of the k rows of which it is the surest.

    Of classes the loss is 1 where the most probable one is wrong, and that one's probability says how sure. Of
    regression it is the squared error, and the variance says how unsure. Rows that are as sure as each other share
    their mean loss, whatever their order.
    """
    if isinstance(outcome.prediction, ClassLogProbs):
        probabilities = _probabilities(outcome)
        return _area(-probabilities.max(axis=1), (probabilities.argmax(axis=1) != outcome.targets).astype(np.float64))
    errors = [(weights @ means - targets) ** 2 for means, _, weights, targets in _split_gaussians(outcome)]
    return _area(_variances(outcome), np.concatenate(errors))


# --- who is unsure where it knows nothing -------------------------------------------------------------------------


def auroc(outcome: Outcome, other: Outcome) -> float:
    """Chance that a shifted row has more entropy (of regression: variance) than a test row; ties count half."""
    return _auroc(_unsureness(outcome), _unsureness(other))


def fpr95(outcome: Outcome, other: Outcome) -> float:
    """Share of shifted rows with no more entropy (variance) than that which 95 % of the test rows do not exceed."""
    return _fpr95(_unsureness(outcome), _unsureness(other))


def auroc_mi(outcome: Outcome, other: Outcome) -> float | None:
    """`auroc` by mutual information; None where it is not known."""
    return _score_by_information(_auroc, outcome, other)


def fpr95_mi(outcome: Outcome, other: Outcome) -> float | None:
    """`fpr95` by mutual information; None where it is not known."""
    return _score_by_information(_fpr95, outcome, other)


# --- helpers ------------------------------------------------------------------------------------------------------


def _split_gaussians(outcome: Outcome) -> Iterator[tuple[Floats, Floats, Floats, Floats]]:
    """Split rows: means (S, n), deviations (S, n), weights (S,), targets (n,) of some rows, weights of 0 left out."""
    means, variances, log_weights = map(np.asarray, outcome.prediction)
    weights = np.exp(log_weights.astype(np.float64))
    some = weights > 0
    targets, weights = np.asarray(outcome.targets, np.float64), weights[some] / weights[some].sum()
    for block in _split_rows(means):
        of_rows = (each[:, block][some].astype(np.float64) for each in (means, variances))
        yield next(of_rows), np.sqrt(next(of_rows)), weights, targets[block]


def _split_rows(samples: NDArray[np.floating]) -> Iterator[slice]:
    """Rows of (S, N, ...) that hold about BLOCK numbers."""
    rows = samples.shape[1]
    size = max(1, BLOCK * rows // max(1, samples.size))
    return (slice(start, start + size) for start in range(0, rows, size))


def _pit(outcome: Outcome) -> Floats:
    """F(target) of each row, (N,): uniform where the mixture is what targets are drawn from."""
    parts = [
        mass_below(targets, means, deviations, weights)
        for means, deviations, weights, targets in _split_gaussians(outcome)
    ]
    return np.concatenate(parts)


def _intervals(outcome: Outcome) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Ends of the central interval, and the targets, (n,) each."""
    for *components, targets in _split_gaussians(outcome):
        yield quantile(TAIL, *components), quantile(1 - TAIL, *components), targets


def _variance_of_means(means: Floats, weights: Floats) -> Floats:
    """The variance of the means of each row, (n,)."""
    spread: Floats = weights @ (means - weights @ means) ** 2
    return spread


def _variances(outcome: Outcome) -> Floats:
    """Variance of the mixture of each row, (N,), by the law of total variance."""
    parts = [
        weights @ deviations**2 + _variance_of_means(means, weights)
        for means, deviations, weights, _ in _split_gaussians(outcome)
    ]
    return np.concatenate(parts)


def _probabilities(outcome: Outcome) -> Floats:
    """P(class) of the mixture, (N, C)."""
    log_probs, weights = np.asarray(outcome.prediction[0]), np.exp(np.asarray(outcome.prediction[1], np.float64))
    parts = [np.exp(log_probs[:, block].astype(np.float64)) for block in _split_rows(log_probs)]
    return np.concatenate([np.tensordot(weights, part, 1) for part in parts])


def _entropies(outcome: Outcome) -> Floats:
    """Entropy of the mixture of each row, (N,), nats."""
    probabilities = _probabilities(outcome)
    logs = np.log(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    entropies: Floats = -np.sum(probabilities * logs, axis=1)
    return entropies


def _information(outcome: Outcome) -> Floats | None:
    """Mutual information of class and component of each row, (N,), nats."""
    if outcome.entropy is None:
        return None
    gains = _entropies(outcome) - np.asarray(outcome.entropy, np.float64)
    return np.where(gains < ROUNDING, 0.0, gains)


def _unsureness(outcome: Outcome) -> Floats:
    return _entropies(outcome) if isinstance(outcome.prediction, ClassLogProbs) else _variances(outcome)


def _score_by_information(score: Callable[[Floats, Floats], float], outcome: Outcome, other: Outcome) -> float | None:
    known, shifted = _information(outcome), _information(other)
    return None if known is None or shifted is None else score(known, shifted)


def _auroc(known: Floats, shifted: Floats) -> float:
    """Chance that one of shifted exceeds one of known, ties counted half: Mann and Whitney's U by its largest value."""
    if np.isnan(known).any() or np.isnan(shifted).any():
        return math.nan
    ordered = np.sort(known)
    lower = np.searchsorted(ordered, shifted, "left") + np.searchsorted(ordered, shifted, "right")
    return float(np.mean(lower) / (2 * len(known)))


def _fpr95(known: Floats, shifted: Floats) -> float:
    if np.isnan(known).any() or np.isnan(shifted).any():
        return math.nan
    place = -(-19 * len(known) // 20) - 1  # of the row that completes 95 %: no rounding of 0.95
    return float(np.mean(shifted <= np.sort(known)[place]))


def _area(unsureness: Floats, losses: Floats) -> float:
    """Mean over k of the mean of the first k losses in the order of unsureness, (N,) each."""
    if np.isnan(unsureness).any():
        return math.nan
    _, places, counts = np.unique(unsureness, return_inverse=True, return_counts=True)
    shared = (np.bincount(places, weights=losses) / counts)[np.sort(places)]
    return float(np.mean(np.cumsum(shared) / np.arange(1, len(shared) + 1)))
