"""Two weights, twelve rows and a known evidence: what the bounds of the mixture's objective are worth."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import pytest
import torch
from tiny_problems import terms

from harness import Batch
from harness_bayes import bounds, entropy, likelihoods, mixture, networks
from harness_bayes.config import MixtureOptions
from harness_bayes.noise import Noise
from harness_data import toys

SAMPLES = 20_000
UPDATES = 500


@pytest.fixture(scope="module")
def fitted():
    """The approximate, the true and the certified ELBO of a mixture that was trained, and the means of its weights."""
    data = toys.load_plane(None, 0, Path())
    rows = Batch(*(torch.from_numpy(each).double() for each in data.train[:2]))

    @cache
    def fit(covariance, components, objective="approximate"):
        options = MixtureOptions(
            architecture="1-FC",
            activation="tanh",
            bias=False,
            prior="fixed",
            prior_scale=toys.PRIOR_SD,
            noise=toys.NOISE_SD,
            covariance=covariance,
            components=components,
            objective=objective,
            estimator="weights",
            train_samples=32,
            learning_rate=0.05,
        )
        learner = mixture.build(options)
        state = learner.init(data.problem, terms(UPDATES), None)
        for _ in range(UPDATES):
            state, _ = learner.update(state, rows)
        return measured(state, rows)

    return fit


@torch.no_grad()
def measured(state, rows):
    q, log_weights, noise = state.mixture(), state.log_weights(), Noise.seeded([7], "cpu")
    lead = log_weights.shape
    outputs = networks.apply(state.network, q.draw(SAMPLES, noise), rows.inputs[None])
    likely = likelihoods.log_likelihood(state.likelihood, outputs, rows.targets[None], state.log_noise).sum(1)
    expected = likely.unflatten(0, (*lead, SAMPLES)).mean(2) - q.cross_entropies(state.prior, 1, noise).view(lead)
    approximate = (log_weights.exp() * (expected + q.entropies().view(lead) - log_weights)).sum().item()
    components = mixture.read_components(q, lead)
    draws = components.place(noise.normal((*lead, SAMPLES, 2), components.means))
    error = entropy.sampled_error(log_weights, components, draws).value.item()
    bound = bounds.kolchinsky_tracey_bound(log_weights, components.log_overlaps()).item()
    return approximate, approximate - error, approximate - bound


@pytest.mark.parametrize(("covariance", "margin"), [("diag", 0.02), ("full", 0.05)])
def test_two_components_gain_the_logarithm_of_two(fitted, covariance, margin):
    """Wherever they go: L~ of components in one mode is too large by what the true ELBO of them lacks."""
    one, two = fitted(covariance, 1), fitted(covariance, 2)
    assert two[0] - one[0] == pytest.approx(math.log(2), abs=margin)


@pytest.mark.parametrize("covariance", ["diag", "full"])
@pytest.mark.parametrize("objective", ["approximate", "certified", "true"])
def test_the_certified_objective_is_below_the_true_one_and_that_below_the_evidence(fitted, covariance, objective):
    approximate, true, certified = fitted(covariance, 4, objective)
    assert certified < true < approximate
    assert true < toys.LOG_EVIDENCE


def test_components_repel_each_other_where_the_error_is_taken_off(fitted):
    """The approximate objective loses nothing by components that are one; the true one, and its bound, do."""
    blind = fitted("diag", 4)[1]
    assert fitted("diag", 4, "true")[1] > blind + 0.02
    assert fitted("diag", 4, "certified")[1] > blind + 0.02
