"""The learner of gm-vi and mean-field-vi, against itself, its structure and plain autograd."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from bayes_setups import REGRESSION
from tiny_problems import largest_difference, rows, terms

from harness import Batch, Problem, Unsupported, UsageError
from harness_bayes import mixture
from harness_bayes.config import MixtureOptions, VariationalOptions
from harness_bayes.mixture_state import State
from harness_mean_field_vi import learner as mean_field


def trained(learner, updates=5, precision="fp64"):
    state = learner.init(REGRESSION, terms(updates, precision), None)
    for _ in range(updates):
        state, scalars = learner.update(state, rows(REGRESSION))
    return state, scalars


def test_one_component_is_mean_field_vi():
    options = VariationalOptions(architecture="7-FC", predict_samples=4)
    one = mixture.build(MixtureOptions(architecture="7-FC", predict_samples=4, components=1))
    (ours, said), (theirs, also) = trained(one), trained(mean_field.build(options))
    assert said == also
    assert all(torch.equal(ours.parameters[name], theirs.parameters[name]) for name in ours.parameters)
    inputs = rows(REGRESSION).inputs
    predictions = [one.predict(ours, inputs), mean_field.build(options).predict(theirs, inputs)]
    assert torch.equal(predictions[0].means, predictions[1].means)


@pytest.mark.parametrize("estimator", ["weights", "local"])
def test_components_with_fixed_weights_are_separate_mean_field_networks(estimator):
    """The structure theorem: with pi fixed, L~ is the mean of K separate ELBOs, and a constant."""
    options = MixtureOptions(architecture="7-FC", components=3, noise=0.4, estimator=estimator)
    learner = mixture.build(options)
    state = learner.init(REGRESSION, terms(9), None)
    inputs, targets, _ = rows(REGRESSION)
    scalars = learner.objective(state, inputs[None], targets[None])
    scalars["loss"].sum().backward()
    total = 0.0
    state.generator.manual_seed(0)  # the same draws once more
    drawn = [state.noise.normal(shape, inputs) for shape in shapes(state, estimator)]
    for k in range(3):
        alone = component(state, k, [each[k : k + 1] for each in drawn])
        said = learner.objective(alone, inputs[None], targets[None])
        (said["loss"].sum() / 3).backward()
        total += said["elbo"].item() / 3
        for name, tensor in alone.parameters.items():
            assert torch.allclose(tensor.grad, state.parameters[name].grad[k : k + 1], rtol=0, atol=1e-12)
    assert scalars["elbo"].item() == pytest.approx(total + math.log(3), abs=1e-9)


def shapes(state, estimator):
    """Of the noise of an update, in its order."""
    if estimator == "local":
        return [(3, 1, 40, 7), (3, 1, 40, 1)]
    return [(3, 1, *shape) for shape in state.network.shapes.values()]


class Given:
    """Noise that is known."""

    def __init__(self, drawn):
        self.drawn = iter(drawn)

    def normal(self, shape, like):
        drawn = next(self.drawn)
        assert drawn.shape == tuple(shape)
        return drawn


class Alone(State):
    noise = None


def component(state, k, drawn):
    fields = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    fields["parameters"] = {n: p[k : k + 1].detach().clone().requires_grad_() for n, p in state.parameters.items()}
    fields["options"] = dataclasses.replace(state.options, components=1)
    alone = Alone(**fields)
    alone.noise = Given(drawn)
    return alone


def test_a_prediction_repeats_and_a_row_depends_on_no_other():
    learner = mixture.build(MixtureOptions(architecture="7-FC", components=2, predict_samples=6))
    state, _ = trained(learner)
    inputs = rows(REGRESSION).inputs
    whole, again, some = (learner.predict(state, given) for given in (inputs, inputs, inputs[5:8]))
    assert torch.equal(whole.means, again.means)
    assert torch.allclose(whole.means[:, 5:8], some.means, rtol=0, atol=1e-14)
    assert whole.log_weights.logsumexp(0).item() == pytest.approx(0, abs=1e-6)


def test_trials_side_by_side_are_those_alone():
    several = [
        MixtureOptions(architecture="7-FC", components=2, noise=noise, prior_scale=scale, learning_rate=rate)
        for noise, scale, rate in [(0.3, 1.0, 0.01), (0.5, 2.0, 0.02)]
    ]
    trainings = [terms(5, seed=seed) for seed in (0, 1)]
    cohort = mixture.together(several)
    together = cohort.init([REGRESSION] * 2, trainings)
    inputs, targets, _ = rows(REGRESSION)
    for _ in range(5):
        together, _ = cohort.update(together, Batch(torch.stack([inputs] * 2), torch.stack([targets] * 2)))
    for index, options in enumerate(several):
        learner = mixture.build(options)
        alone = learner.init(REGRESSION, trainings[index], None)
        for _ in range(5):
            alone, _ = learner.update(alone, rows(REGRESSION))
        lane = cohort.lane(together, index)
        assert largest_difference(lane.parameters, alone.parameters) < 1e-10
        assert torch.allclose(learner.predict(lane, inputs).means, learner.predict(alone, inputs).means, atol=1e-9)


def test_a_level_is_one_of_the_precisions():
    """1 / noise^2 in the targets' own units, of which one is 2 standardised ones here."""
    options = MixtureOptions(architecture="7-FC", level=1, precisions=(0.1, 0.25))
    state = mixture.build(options).init(REGRESSION, terms(5), None)
    assert state.log_noise.exp().item() == pytest.approx(0.25**-0.5 / 2)
    assert "log_noise" not in state.parameters


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"level": 2, "precisions": (0.1, 0.2)}, "level=2: precisions has 2, 0 to 1"),
        ({"level": 0, "noise": 0.3}, "noise=0.3 and level=0 both say what the noise is"),
        ({"level": 0, "likelihood": "heteroscedastic"}, "level=0: likelihood=heteroscedastic has a noise for each row"),
        ({"components": 1, "learn_weights": True}, "one component has nothing to weigh"),
        ({"covariance": "full", "estimator": "local"}, "with covariance=full weights are drawn"),
    ],
)
def test_options_that_do_not_go_together_are_refused(given, words):
    with pytest.raises(UsageError, match=words):
        MixtureOptions(**given)


@pytest.mark.parametrize(
    ("given", "problem", "words"),
    [
        ({"level": 0}, REGRESSION, "level=0: the data set comes with no precisions"),
        ({"noise": 0.3}, Problem("classification", (3,), 2, 40), "noise=0.3: classes have the softmax's likelihood"),
        ({"likelihood": "heteroscedastic"}, Problem("classification", (3,), 2, 40), "=heteroscedastic: classes"),
        ({"covariance": "full"}, Problem("regression", (90_000,), 1, 40), "matrices of 4,500,101 x 4,500,101 take"),
        (
            {"covariance": "full", "objective": "certified", "components": 3, "architecture": "300-FC"},
            Problem("regression", (8,), 1, 40),
            r"3 matrices of 3,001 x 3,001: an update takes about 99 s, .* 3,001\^3.*use covariance=diag.*=approximate",
        ),
        ({}, Problem("language", (3,), 1, 40), "take classification and regression, not language"),
        ({}, Problem("regression", (3, 4), 1, 40, time_axis=True), "rows without a time axis"),
    ],
)
def test_problems_that_do_not_fit_are_refused(given, problem, words):
    with pytest.raises(Unsupported, match=words):
        mixture.build(MixtureOptions(**given)).init(problem, terms(5, "fp32"), None)
