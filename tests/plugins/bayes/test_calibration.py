"""A method is calibrated against its own model: the exact posterior is, a narrower one is too narrow, and so on."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy import stats

from harness import Method, NoOptions, RegressionMixture
from harness.cli import main
from harness_bayes import calibration
from harness_bayes.config import BayesOptions

MODEL = BayesOptions(architecture="1-FC", noise=1.0)
NETWORKS, DRAWS = 400, 20_000


class Exact:
    """The posterior of a network by draws of its prior, weighed by their likelihood; widened by a factor."""

    def __init__(self, config, factor=1.0):
        self.factor = factor

    def init(self, problem, training, base):
        return {"weights": torch.randn(4, DRAWS, generator=torch.Generator().manual_seed(7))}

    def prepare(self, state, fit):
        return {**state, "fit": fit.train}

    def functions(self, state, x):
        a, b, c, d = (each[:, None] for each in state["weights"])
        return torch.relu(a * x[:, 0] + b) * c + d

    def update(self, state, batch):
        return state, {}

    def predict(self, state, inputs):
        fit = state["fit"]
        errors = (fit.targets - self.functions(state, fit.inputs)) / MODEL.noise
        log_weights = torch.log_softmax(-errors.square().sum(1) / 2, 0)
        means = self.functions(state, inputs)
        centre = (log_weights.exp()[:, None] * means).sum(0)
        means = centre + self.factor * (means - centre)
        return RegressionMixture(means, torch.full_like(means, MODEL.noise**2), log_weights)


def found(factor=1.0, networks=NETWORKS):
    worlds = calibration.draw_worlds(MODEL, networks, 5, 3, 0)
    method = Method("exact", "x", lambda config: Exact(config, factor), ("regression",))
    fitted = calibration.fit_worlds(method, NoOptions(), worlds, 1, 0)
    truths = worlds.functions.double().numpy()
    u = np.stack([calibration.shares_below(each, truth) for each, truth in zip(fitted, truths, strict=True)])
    return calibration.judge_shares(u), u


def test_the_exact_posterior_is_calibrated():
    verdict, u = found()
    assert verdict.verdict == "calibrated"
    assert verdict.low < 1 < verdict.high
    assert stats.kstest(u[:, 1], "uniform").pvalue > 1e-3


@pytest.mark.parametrize(("factor", "expected"), [(0.5, "too narrow"), (2.0, "too wide"), (0.0, "too narrow")])
def test_what_is_narrower_or_wider_is_called_so(factor, expected):
    verdict, _ = found(factor)
    assert verdict.verdict == expected
    assert (verdict.low > 1) == (expected == "too narrow")


def test_few_networks_leave_it_undecided():
    assert calibration.judge_shares(np.array([[0.1], [0.9], [0.5]])).verdict == "undecided"


def test_the_interval_is_students_over_networks():
    u = np.random.default_rng(0).random((50, 4))
    verdict = calibration.judge_shares(u)
    each = 12 * ((u - 0.5) ** 2).mean(1)
    low, high = stats.t.interval(0.95, 49, each.mean(), stats.sem(each))
    assert (verdict.spread, verdict.low, verdict.high) == pytest.approx((each.mean(), low, high))


def test_a_share_is_by_weight_and_of_equal_functions_half():
    means = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    prediction = RegressionMixture(means, np.ones_like(means), np.log([0.5, 0.3, 0.2]))
    assert calibration.shares_below(prediction, np.array([1.5, 1.0])) == pytest.approx([0.8, 0.65])


def test_networks_have_the_moments_of_their_prior_and_targets_its_noise():
    model = BayesOptions(architecture="30-FC", noise=0.3, prior_scale=2.0)
    worlds = calibration.draw_worlds(model, 3000, 4, 3, 0)
    assert worlds.inputs.abs().max() <= 1
    # Var f = s^2 + s^2 E relu(z)^2 with z ~ N(0, s^2 (1 + x^2)): half of that variance.
    expected = 4 + 4 * 4 * (1 + worlds.places[:, 0] ** 2) / 2
    assert torch.allclose(worlds.functions.var(0), expected, rtol=0.1)
    assert worlds.targets.shape == (3000, 4)
    again, other = (calibration.draw_worlds(model, 3000, 4, 3, seed) for seed in (0, 1))
    assert torch.equal(again.targets, worlds.targets)
    assert not torch.equal(other.targets, worlds.targets)


# --- the command --------------------------------------------------------------------------------------------------


@pytest.fixture
def call(capsys):
    def called(*arguments):
        code = main(["calibrate", *arguments])
        return code, capsys.readouterr()

    return called


def test_a_method_of_lanes_is_judged(call):
    quick = ("--networks", "30", "--updates", "20", "--rows", "5", "--points", "3", "--architecture", "3-FC")
    code, said = call("deep-ensemble[members=1]", *quick, "--format", "json")
    assert not code, said.err
    shown = json.loads(said.out)
    assert shown["verdict"] == "too narrow"
    assert shown["spread"] == pytest.approx(3.0)  # one function is below or above, never between
    assert shown["networks"] == 30
    code, said = call("mean-field-vi", *quick)
    assert not code, said.err
    assert said.out.startswith("mean-field-vi[noise=0.1,architecture=3-FC]: ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["mean-field-vi[predict_samples=[5,6]]"], "one method that starts from no other"),
        (["mean-field-vi[prior=mixture]"], "prior=mixture; networks are drawn from one Gaussian prior"),
        (["mean-field-vi", "--format", "csv"], "--format csv: unknown"),
    ],
)
def test_what_cannot_be_calibrated_is_said(call, arguments, says):
    code, said = call(*arguments)
    assert code
    assert says in said.err


@pytest.mark.slow
def test_hmc_is_calibrated(call):
    quick = ("--networks", "40", "--rows", "6", "--points", "3", "--architecture", "2-FC", "--noise", "0.5")
    code, said = call("hmc[chains=4,leapfrog=15,map_steps=50]", "--updates", "60", *quick, "--format", "json")
    assert not code, said.err
    shown = json.loads(said.out)
    assert shown["low"] < 1.1
    assert shown["high"] > 0.9
