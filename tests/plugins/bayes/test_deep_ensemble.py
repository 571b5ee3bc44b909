"""Ensembles of points, against separate networks trained by plain autograd."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from agreeing import agree
from bayes_setups import REGRESSION
from tiny_problems import rows, terms

from harness import Problem, UsageError
from harness.options import build as configured
from harness_bayes import mixture
from harness_bayes.config import MixtureOptions
from harness_deep_ensemble import EnsembleOptions, PointOptions
from harness_deep_ensemble.learner import build
from harness_gm_vi import start

CLASSES = Problem("classification", (1, 6, 6), 3, 12)


def begun(options, problem=REGRESSION):
    learner = build(options)
    return learner, learner.init(problem, terms(10), None)


def plain(parameters, x):
    """One network of the ensemble, (N, outputs), in torch's own functions."""
    for index in range(sum(name.endswith("weight") for name in parameters) - 1):
        weight, bias = parameters[f"layers.{index}.weight"], parameters[f"layers.{index}.bias"]
        x = F.relu(F.conv2d(x, weight, bias, padding=1) if weight.dim() == 4 else x.flatten(1) @ weight + bias)
    return x.flatten(1) @ parameters["readout.weight"] + parameters["readout.bias"]


def member(state, index):
    return {n: state.parameters[n][index].detach().clone().requires_grad_() for n in state.network.shapes}


def gaussian(outputs, targets):
    return F.gaussian_nll_loss(outputs[:, 0], targets, torch.full_like(targets, 0.2**2), full=True)


def heteroscedastic(outputs, targets):
    return F.gaussian_nll_loss(outputs[:, 0], targets, F.softplus(outputs[:, 1]) + 1e-6, full=True, eps=0)


def no_decay(parameters):
    return 0.0


def decay(parameters):
    """-log p(w) / N but for a constant, with deviations 2 / sqrt(inputs) of weights and 2 of biases."""
    inputs = {"layers.0": 3, "readout": 5}
    return sum((t**2).sum() * (inputs[n[:-7]] if n.endswith("weight") else 1) / 8 for n, t in parameters.items()) / 40


@pytest.mark.parametrize(
    ("options", "problem", "loss", "penalty"),
    [
        (EnsembleOptions(architecture="5-FC", members=3), REGRESSION, heteroscedastic, no_decay),
        (
            EnsembleOptions(architecture="5-FC", members=2, likelihood="gaussian", noise=0.4, prior_scale=2.0),
            REGRESSION,
            gaussian,
            decay,
        ),
        (EnsembleOptions(architecture="4C3-5C3-FC", members=2), CLASSES, F.cross_entropy, no_decay),
    ],
)
def test_each_member_has_the_gradient_of_a_network_alone(options, problem, loss, penalty):
    learner, state = begun(options, problem)
    inputs, targets, _ = rows(problem)
    learner.objective(state, inputs[None], targets[None])["loss"].sum().backward()
    for index in range(options.members):
        alone = member(state, index)
        (loss(plain(alone, inputs), targets) + penalty(alone)).backward()
        for name, tensor in alone.items():
            assert torch.allclose(state.parameters[name].grad[index], tensor.grad, rtol=0, atol=1e-12), name


@pytest.mark.parametrize(
    ("method", "dataset"),
    [
        ("deep-ensemble[architecture=5-FC,members=2]", "toy-2d"),
        ("deep-ensemble[architecture=5-FC,likelihood=gaussian,activation=tanh]", "toy-2d"),
        ("deep-ensemble[architecture=4C3-AP2-FC,members=2,prior=fixed,bias=no]", "digits"),
        ("deterministic[architecture=5-FC,likelihood=gaussian,prior=mixture,prior_share=0.3]", "toy-2d"),
    ],
)
def test_the_reference_has_the_same_gradient(method, dataset, tmp_path):
    agree(method, dataset, tmp_path)


def test_the_noise_is_said_in_the_units_of_the_targets():
    """One for all members where it is given, and of each where it is learned."""
    given = EnsembleOptions(architecture="5-FC", likelihood="gaussian", members=2, noise=0.4)
    learner, state = begun(given)
    assert learner.describe(state)["noise"] == 0.4
    learner, state = begun(EnsembleOptions(architecture="5-FC", likelihood="gaussian", members=2))
    for _ in range(3):
        learner.update(state, rows(REGRESSION))
    said = learner.describe(state)["noise"]
    assert said == pytest.approx((state.log_noise.exp() * 2).tolist(), rel=1e-5)
    assert said[0] != said[1]


def test_networks_of_one_noise_may_go_without_prior():
    _, state = begun(EnsembleOptions(architecture="5-FC", likelihood="gaussian", prior="flat"))
    assert state.prior is None


def test_a_prediction_is_the_mixture_of_the_members():
    learner, state = begun(EnsembleOptions(architecture="5-FC", members=3))
    inputs = rows(REGRESSION).inputs
    prediction = learner.predict(state, inputs)
    for index in range(3):
        outputs = plain(member(state, index), inputs)
        assert torch.allclose(prediction.means[index], outputs[:, 0], atol=1e-12)
        assert torch.allclose(prediction.variances[index], F.softplus(outputs[:, 1]) + 1e-6, atol=1e-12)
    assert torch.allclose(prediction.log_weights, torch.full((3,), -math.log(3), dtype=torch.float64))


def test_members_start_where_the_components_of_a_mixture_do():
    _, state = begun(EnsembleOptions(architecture="5-FC", members=2, likelihood="gaussian"))
    mixed = mixture.build(MixtureOptions(architecture="5-FC", components=3)).init(REGRESSION, terms(10), None)
    for name in state.network.shapes:
        assert torch.equal(state.parameters[name], mixed.parameters[f"mean.{name}"][:2])


def test_a_mixture_may_start_at_a_trained_ensemble():
    options = MixtureOptions(components=2, start="trained", noise=0.3, bias=False, architecture="5-FC")
    assert start(options) == "deep-ensemble[members=2,likelihood=gaussian,architecture=5-FC,bias=no,noise=0.3]"
    learner, state = begun(EnsembleOptions(architecture="5-FC", members=2, likelihood="gaussian", bias=False))
    began = mixture.build(options).init(REGRESSION, terms(10, seed=1), learner.save(state))
    assert torch.equal(began.parameters["mean.readout.weight"], state.parameters["readout.weight"])
    assert start(MixtureOptions()) == ""


def test_a_mixture_over_classes_may_start_at_a_trained_ensemble_too():
    options = MixtureOptions(components=2, start="trained", architecture="4C3-FC")
    assert start(options) == "deep-ensemble[members=2,likelihood=gaussian,architecture=4C3-FC]"
    learner, state = begun(EnsembleOptions(members=2, likelihood="gaussian", architecture="4C3-FC"), CLASSES)
    assert state.likelihood.kind == "categorical"
    assert state.prior is not None
    began = mixture.build(options).init(CLASSES, terms(10, seed=1), learner.save(state))
    assert torch.equal(began.parameters["mean.readout.weight"], state.parameters["readout.weight"])


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (EnsembleOptions, {"noise": 0.3}, "likelihood=heteroscedastic has a noise for each row"),
        (PointOptions, {"prior_scale": 2.0}, "prior_scale=2.0: weights have no prior"),
        (
            PointOptions,
            {"prior_share": 0.2},
            "prior_share=0.2: without effect where prior=none; leave prior_share out, or",
        ),
    ],
)
def test_options_without_effect_are_refused(kind, given, words):
    with pytest.raises(UsageError, match=words):
        configured(kind, given, "deep-ensemble")
