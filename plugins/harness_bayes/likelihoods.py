"""Likelihoods of outputs (J, N, outputs): Gaussian for regression, one noise or each row's; softmax for classes."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import ClassLogProbs, Problem, RegressionMixture, Unsupported
from harness_bayes.config import NoiseOptions
from harness_bayes.networks import expand_lanes
from harness_torch.training import inference

LEAST_VARIANCE = 1e-6  # of a heteroscedastic output, as in deep ensembles (Lakshminarayanan et al. 2017)
INITIAL_NOISE = 0.3  # of standardised targets, where it is learned

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Likelihood(NamedTuple):
    """A likelihood by its kind. outputs: of a network, that it takes. scale: of a target's unit, in the data's own."""

    kind: Literal["gaussian", "heteroscedastic", "categorical"]
    outputs: int
    scale: float = 1.0


def build(problem: Problem, options: NoiseOptions) -> Likelihood:
    """Build a problem's likelihood. Raises Unsupported for options that do not fit it, and for other problems."""
    if problem.kind == "classification":
        for name, value in options.given_for_regression.items():
            raise Unsupported(f"{name}={value}: classes have the softmax's likelihood; leave {name} out")
        return Likelihood("categorical", problem.output_size)
    if problem.kind != "regression":
        raise Unsupported(f"Bayesian networks take classification and regression, not {problem.kind}")
    if options.level is not None and options.precisions is None:
        raise Unsupported(
            f"level={options.level}: the data set comes with no precisions to choose from; give precisions, or noise"
        )
    kind = options.resolved_likelihood
    return Likelihood(kind, 2 if kind == "heteroscedastic" else 1, problem.target_scale)


def log_likelihood(likelihood: Likelihood, outputs: Tensor, targets: Tensor, log_noise: Tensor | None) -> Tensor:
    """Log p(target | output) of each lane and row, (J, N), in units of standardised targets.

    outputs (J, N, outputs); targets (L, N); log_noise (L,) or (J,), of a Gaussian likelihood's standard deviation.
    """
    targets = expand_lanes(targets, len(outputs))
    if likelihood.kind == "categorical":
        chosen = outputs.gather(2, targets[..., None])[..., 0]
        return chosen - outputs.logsumexp(2)
    means, log_deviations = moments(likelihood, outputs, log_noise)
    errors = (targets - means) * torch.exp(-log_deviations)
    return -0.5 * errors.square() - log_deviations - HALF_LOG_2PI


def moments(likelihood: Likelihood, outputs: Tensor, log_noise: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean (J, N) and logarithm of the standard deviation, (J, N) or (J, 1), of standardised targets."""
    if likelihood.kind == "heteroscedastic":
        return outputs[..., 0], 0.5 * torch.log(F.softplus(outputs[..., 1]) + LEAST_VARIANCE)
    assert log_noise is not None
    return outputs[..., 0], expand_lanes(log_noise, len(outputs))[:, None]


def mixture(
    likelihood: Likelihood, outputs: Tensor, log_noise: Tensor | None, log_weights: Tensor
) -> ClassLogProbs | RegressionMixture:
    """A prediction with the lanes as components of these log weights (J,)."""
    if likelihood.kind == "categorical":
        return inference.classes(outputs, log_weights)
    means, log_deviations = moments(likelihood, outputs, log_noise)
    return inference.gaussians(means, (2 * log_deviations).exp().expand(means.shape), log_weights)
