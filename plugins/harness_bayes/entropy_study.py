"""How the error of the approximate entropy and its bounds go with the dimension, over random mixtures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from harness import derive
from harness_bayes import bounds
from harness_bayes.entropy import Estimate, bridged_error, pairs, weight_entropy
from harness_bayes.gaussians import Components, Diagonal, Full
from harness_bayes.integrals import coincident_error, project_means

NUMBERS = 1 << 22  # of one tensor that is worked on at a time
NODES = 1 << 14  # of an integral
UNEVEN = 0.25  # standard deviation of the logarithms of deviations that are a component's own


Normal: TypeAlias = Callable[..., Tensor]  # standard normal numbers of a shape


@dataclass(frozen=True)
class Question:
    """Mixtures to be drawn. spread: c, where means are from N(0, 2 c^2 I); epsilon: what is no small error, in nats."""

    dimensions: Sequence[int]
    components: int
    spread: float
    covariance: str
    draws: int
    samples: int
    epsilon: float
    seed: int


@dataclass(frozen=True)
class Row:
    """Means over the mixtures of one dimension, in nats; alpha: of the closest pair of each.

    standard_error: that of the Monte Carlo in `error`, 0 where all was integrated. exceeding: the share of mixtures
    with an error of epsilon or more; theorem_3: the bound of that probability, None where its hypothesis does not hold.
    """

    dimension: int
    alpha: float
    sqrt_dimension: float
    lower: float
    error: float
    standard_error: float
    kolchinsky_tracey: float
    overlaps: float
    weight_entropy: float
    theorem_1: float
    exceeding: float
    theorem_3: float | None


def study_dimensions(question: Question) -> list[Row]:
    """A row for each dimension, from mixtures with equal weights of a seed of its own."""
    return [_measure_dimension(question, m) for m in question.dimensions]


def _measure_dimension(question: Question, m: int) -> Row:
    mixtures, points = (
        _seed_normal(derive(question.seed, "entropy-error", name, str(m))) for name in ("mixtures", "points")
    )
    together = max(1, NUMBERS // _count_numbers(question, m))
    parts = [
        _measure_mixtures(question, m, min(together, question.draws - done), mixtures, points)
        for done in range(0, question.draws, together)
    ]
    found = {name: torch.cat([each[name] for each in parts]) for name in parts[0]}
    return Row(
        dimension=m,
        sqrt_dimension=math.sqrt(m),
        exceeding=(found["error"] >= question.epsilon).double().mean().item(),
        theorem_3=_bound_by_theorem_3(question, m),
        standard_error=found.pop("standard_error").square().sum().sqrt().item() / question.draws,
        **{name: each.mean().item() for name, each in found.items()},
    )


def _seed_normal(seed: int) -> Normal:
    source = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(shape, generator=source, dtype=torch.float64)


def _count_numbers(question: Question, m: int) -> int:
    """Count the numbers that one mixture takes."""
    count = question.components
    of_points = len(pairs(count)) * question.samples * (min(m, count - 1) if question.covariance == "tied" else m)
    return max(of_points, count * m * (m if question.covariance == "full" else 1))


def _bound_by_theorem_3(question: Question, m: int) -> float | None:
    if question.covariance != "tied":
        return None
    return bounds.probabilistic_bound(question.components, m, question.spread, question.epsilon)


def _measure_mixtures(question: Question, m: int, draws: int, mixtures: Normal, points: Normal) -> dict[str, Tensor]:
    """Measure the error and all bounds of some mixtures, (draws,) each."""
    components = draw_mixtures(question.covariance, draws, question.components, m, question.spread, mixtures)
    log_weights = torch.full((draws, question.components), -math.log(question.components), dtype=torch.float64)
    overlaps, alphas = components.log_overlaps(), bounds.alphas(components)
    error = _measure_error(log_weights, components, question, points)
    return {
        "alpha": bounds.smallest_alpha(alphas),
        "lower": bounds.lower_bound(log_weights, components),
        "error": error.value,
        "standard_error": error.standard_error,
        "kolchinsky_tracey": bounds.kolchinsky_tracey_bound(log_weights, overlaps),
        "overlaps": bounds.overlap_bound(log_weights, overlaps),
        "weight_entropy": weight_entropy(log_weights),
        "theorem_1": bounds.general_bound(log_weights, alphas, m),
    }


def draw_mixtures(covariance: str, draws: int, count: int, m: int, spread: float, normal: Normal) -> Components:
    """Draw components of random mixtures, side by side: means from N(0, 2 spread^2 I), covariances I where tied.

    Else deviations are log-normal around 1: of each component (isotropic), of each coordinate (diag), or with normal
    numbers below them in the factor (full).
    """
    means = math.sqrt(2) * spread * normal(draws, count, m)
    if covariance == "tied":
        return Diagonal(means, torch.ones(1, 1, dtype=torch.float64))
    deviations = (UNEVEN * normal(draws, count, 1 if covariance == "isotropic" else m)).exp()
    if covariance != "full":
        return Diagonal(means, deviations)
    below = UNEVEN / math.sqrt(m) * normal(draws, count, m, m).tril(-1)
    return Full(means, below + deviations.diag_embed())


def _measure_error(log_weights: Tensor, components: Components, question: Question, normal: Normal) -> Estimate:
    """Measure H~ - H by integration where covariances coincide and it is quick, else from points between components."""
    count = question.components
    if question.covariance == "tied":
        alone = (Diagonal(means, torch.ones_like(means)) for means in components.means)
        components = Diagonal(
            torch.stack([project_means(each) for each in alone]), torch.ones_like(components.means[:1, :1, :1])
        )
    noise = normal(len(pairs(count)), question.samples, components.means.shape[-1])
    error = bridged_error(log_weights, components, noise)
    for place, means in enumerate(components.means if question.covariance == "tied" else ()):
        exact = coincident_error(log_weights[0], Diagonal(means, torch.ones_like(means)), largest=NODES)
        if exact is not None:
            error.value[place], error.standard_error[place] = exact, 0.0
    return error
