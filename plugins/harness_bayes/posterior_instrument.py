"""Measures of a trained posterior: the ELBO, the entropy and its bounds, and how far its components are apart.

Each number is an instrument of its own, so that a run pays for what it asks for, and a cell says why it is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from harness import Batch, Trained, Unsupported
from harness_bayes import bounds, diversity, entropy, evidence, permutations
from harness_bayes.entropy import Estimate
from harness_bayes.evidence import Posterior
from harness_bayes.learner import Learner
from harness_bayes.mixture_state import State

MOST = 20  # components whose entropy's error is drawn
NUMBERS = 2**25  # of a prediction that is taken apart by component

Readings = Mapping[str, Any]


class Gauge:
    """Readings of the trained network, by a function of it."""

    def __init__(self, measure: Callable[[Trained], Readings]) -> None:
        self._measure = measure
        self._readings: Readings = {}

    def deployed(self, trained: Trained) -> None:
        """Take them. Raises Unsupported for methods to which they do not apply."""
        self._readings = self._measure(trained)

    def readings(self) -> Readings:
        return dict(self._readings)


def _require_mixture(trained: Trained) -> State:
    state = trained.state
    if not isinstance(state, State):
        raise Unsupported(
            "the method holds no Gaussian mixture over weights; expected a state of harness_bayes.mixture, as gm-vi "
            "and mean-field-vi have it"
        )
    return state


# --- the ELBO ---------------------------------------------------------------------------------------------------------


def _read_elbo(name: str, estimate: Callable[[State, Batch], Estimate], trained: Trained) -> Readings:
    found = estimate(_require_mixture(trained), trained.data.train)
    return {name: float(found.value), f"{name}_standard_error": float(found.standard_error)}


def _estimate_true_elbo(state: State, rows: Batch) -> Estimate:
    count = state.log_weights().shape[1]
    if count > MOST:
        raise Unsupported(
            f"components={count}: the error of the entropy is drawn for up to {MOST}; elbo_certified takes a bound off"
        )
    return evidence.elbo_true(state, rows)


# --- the entropy and what is between components -----------------------------------------------------------------------


def _read_number(name: str, measure: Callable[[State], float | torch.Tensor], trained: Trained) -> Readings:
    with torch.no_grad():
        return {name: float(measure(_require_mixture(trained)))}


def _error_lower(state: State) -> torch.Tensor:
    return evidence.error_bounds(evidence.read_posterior(state))[0]


def _error_upper(state: State) -> torch.Tensor:
    return evidence.error_bounds(evidence.read_posterior(state))[1]


def _weight_entropy(state: State) -> torch.Tensor:
    return entropy.weight_entropy(evidence.read_posterior(state).log_weights)


def _approximate_entropy(state: State) -> torch.Tensor:
    return entropy.approximate_entropy(*evidence.read_posterior(state))


def _smallest_alpha(state: State) -> torch.Tensor:
    return bounds.smallest_alpha(bounds.alphas(_require_several(state).components))


def _matched_alpha(state: State) -> torch.Tensor:
    return bounds.smallest_alpha(
        bounds.alphas(permutations.match_components(state.network, _require_several(state).components))
    )


def _require_several(state: State) -> Posterior:
    held = evidence.read_posterior(state)
    if len(held.log_weights) == 1:
        raise Unsupported("one component: alpha is a distance of two")
    return held


# --- functions --------------------------------------------------------------------------------------------------------


def _read_effective_components(trained: Trained) -> Readings:
    learner, state, inputs = trained.learner, trained.state, trained.data.valid.inputs
    if not isinstance(learner, Learner):
        raise Unsupported(
            "the prediction tells no components: expected a learner of harness_bayes.learner, which draws so many "
            "functions of each"
        )
    if not len(inputs):
        raise Unsupported("there is no validation row on which components could be compared")
    count = len(learner.draw(state, inputs[:1], 1).log_weights)
    found = 1.0
    if count > 1:
        drawn = learner.draw(state, inputs, _count_affordable_draws(state, count * len(inputs)))
        found = diversity.effective_components(drawn, count, state.network.size)
    return {"effective_components": found}


def _count_affordable_draws(state: Any, rows: int) -> int:
    """Draws of each component, for so many rows of all components together."""
    numbers = NUMBERS // (rows * state.likelihood.outputs)
    return max(
        evidence.FEWEST, min(evidence.DRAWS, numbers, evidence.MACS // (rows * evidence.count_macs(state.network)))
    )


elbo_approximate = partial(Gauge, partial(_read_elbo, "elbo_approximate", evidence.elbo_approximate))
elbo_certified = partial(Gauge, partial(_read_elbo, "elbo_certified", evidence.elbo_certified))
elbo_true = partial(Gauge, partial(_read_elbo, "elbo_true", _estimate_true_elbo))
entropy_error_lower = partial(Gauge, partial(_read_number, "entropy_error_lower", _error_lower))
entropy_error_upper = partial(Gauge, partial(_read_number, "entropy_error_upper", _error_upper))
weight_entropy = partial(Gauge, partial(_read_number, "weight_entropy", _weight_entropy))
approximate_entropy = partial(Gauge, partial(_read_number, "approximate_entropy", _approximate_entropy))
smallest_alpha = partial(Gauge, partial(_read_number, "smallest_alpha", _smallest_alpha))
matched_alpha = partial(Gauge, partial(_read_number, "matched_alpha", _matched_alpha))
effective_components = partial(Gauge, _read_effective_components)
