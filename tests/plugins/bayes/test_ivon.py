"""IVON, against its equations written plainly and against the mean-field optimum of quadratic losses."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from bayes_setups import CLASSES, IMAGES, REGRESSION, require_contract, train_lanes_and_alone
from tiny_problems import largest_difference, normal, rows, terms

from harness import Batch, Problem, UsageError
from harness.options import build as configured
from harness_ivon import IVONOptions, learner

SMALL = {"architecture": "5-FC", "predict_samples": 20}
CASES = {
    "noise is learned": (REGRESSION, SMALL),
    "given numbers": (
        REGRESSION,
        {**SMALL, "noise": 0.4, "ess": 25.0, "hess_init": 3.0, "beta1": 0.7, "beta2": 0.9, "prior_scale": 2.0},
    ),
    "several draws": (REGRESSION, {**SMALL, "train_samples": 3, "prior": "fixed", "activation": "tanh"}),
    "a noise for each row": (REGRESSION, {**SMALL, "likelihood": "heteroscedastic"}),
    "classes": (CLASSES, {**SMALL, "architecture": "6-5-FC"}),
    "images": (IMAGES, {"architecture": "3C3-AP2-4C3-AP2-FC", "predict_samples": 6}),
    "without biases": (REGRESSION, {**SMALL, "bias": False}),
}
named = pytest.mark.parametrize(("problem", "given"), CASES.values(), ids=CASES)


def begun(problem=REGRESSION, updates=9, seed=0, kind=learner.IVON, **given):
    built = kind(IVONOptions(**{**SMALL, **given}))
    return built, built.init(problem, terms(updates, seed=seed), None)


@named
def test_updates_are_those_of_the_plain_equations(problem, given):
    built, state = begun(problem, **given)
    _, plain = begun(problem, **given)
    for update in range(4):
        batch = rows(problem, seed=update)
        _, said = built.update(state, batch)
        _, expected = built.reference(plain, batch)
        assert said["loss"].item() == pytest.approx(expected["loss"].item(), abs=1e-12)
    assert largest_difference(state.parameters, plain.parameters) < 1e-12
    assert largest_difference(state.hessian, plain.hessian) < 1e-10


def test_rows_in_parts_make_the_same_update():
    batch = rows(REGRESSION)
    (whole, one), (parts, other) = begun(), begun(micro_batch=16)
    whole.update(one, batch)
    parts.update(other, batch)
    assert largest_difference(other.parameters, one.parameters) < 1e-12
    assert largest_difference(other.gradients, one.gradients) < 1e-12


class Quadratic(learner.IVON):
    """Its mean loss is (theta - a)' A (theta - a) / 2, whatever the rows."""

    def __init__(self, options):
        super().__init__(options)
        root = normal(7, 7, seed=7)
        self.A, self.a = root @ root.T / 7 + torch.eye(7), normal(7, seed=8)

    def mean_loss(self, state, drawn, inputs, targets):
        apart = torch.cat([weight.flatten(1) for weight in drawn.values()], 1) - self.a  # (draws, 7)
        return ((apart @ self.A) * apart).sum(1).mean()[None] / 2


def vector(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors])


def test_on_a_quadratic_it_finds_the_mean_field_optimum():
    """Precisions ess (A + delta): of the mean-field Gaussian the exact posterior's mean, and its diagonal."""
    problem = Problem("regression", (1,), 1, 30)
    given = {"architecture": "2-FC", "prior_scale": 0.5, "train_samples": 16, "beta2": 0.998}
    built, state = begun(problem, 2500, kind=Quadratic, noise=1.0, hess_init=3.0, final_rate=0.001, **given)
    for _ in range(2500):
        built.update(state, Batch(torch.zeros(2, 1), torch.zeros(2)))
    inputs = torch.tensor([1, 1, 1, 1, 2, 2, 1])  # those of its layer, for each weight; of a bias 1
    delta = inputs / (30 * 0.5**2)
    exact = torch.linalg.solve(built.A + delta.diag(), built.A @ built.a)
    deviations = (30 * (built.A.diagonal() + delta)).rsqrt()
    assert torch.allclose(vector(state.deviations().values()), deviations, rtol=0.02)
    assert ((vector(state.means().values()) - exact) / deviations).abs().max() < 0.05


def test_the_weight_decay_is_that_of_the_prior():
    """Where the data say nothing, h is 0 and the posterior is the prior, whatever the effective sample size."""
    for given in ({"prior": "fan-in"}, {"prior": "fixed", "ess": 3.0}):
        _, state = begun(prior_scale=1.5, **given)
        for name, deviation in state.prior.deviations.items():
            state.hessian[name].zero_()
            assert torch.allclose(state.deviations()[name], deviation, rtol=1e-12), name


@pytest.mark.parametrize("beta2", [0.0, 0.5, 0.99])
def test_an_update_leaves_at_least_half_of_each_precision(beta2):
    built, state = begun(beta2=beta2, learning_rate=0.01)
    least = 1.0
    for update in range(30):
        before = vector(map(state.precision, state.hessian)).clone()
        built.update(state, rows(REGRESSION, seed=update))
        least = min(least, (vector(map(state.precision, state.hessian)) / before).min().item())
    assert 0.5 - 1e-12 <= least < 1


def test_a_prediction_has_the_deviation_of_the_weights():
    """Only the last bias varies: functions scatter with its deviation, the same for all rows."""
    built, state = begun(predict_samples=4000)
    for name, hessian in state.hessian.items():
        hessian.fill_(0.3 if name == "readout.bias" else 1e20)
    means = built.predict(state, rows(REGRESSION).inputs).means
    deviation = state.deviations()["readout.bias"].item()
    assert means.std(0)[0].item() == pytest.approx(deviation, rel=0.05)
    assert torch.allclose(means - means[:, :1], (means - means[:, :1])[:1], atol=1e-6)


@named
def test_a_prediction_repeats_and_a_row_depends_on_no_other(problem, given):
    built, state = begun(problem, **given)
    built.update(state, rows(problem))
    inputs = rows(problem).inputs
    whole, again, some = (built.predict(state, each)[0] for each in (inputs, inputs, inputs[5:8]))
    assert torch.equal(whole, again)
    assert torch.allclose(whole[:, 5:8], some, rtol=0, atol=1e-12)
    assert (whole.std(0) > 0).any()


SEVERAL = [
    IVONOptions(**SMALL, noise=noise, prior_scale=scale, learning_rate=rate, ess=ess, hess_init=start)
    for noise, scale, rate, ess, start in [
        (0.5, 1.0, 0.1, None, None),
        (1.0, 2.0, 0.03, 20.0, 3.0),
        (0.3, 0.5, 0.05, 60.0, 20.0),
    ]
]


@pytest.mark.parametrize("learned", [False, True], ids=["given noise", "learned noise"])
@pytest.mark.parametrize("chosen", [[0, 1, 2], [2, 0], [1]])
def test_lanes_are_the_trials_alone(chosen, learned):
    options = [dataclasses.replace(SEVERAL[i], noise=None if learned else SEVERAL[i].noise) for i in chosen]
    problems = [dataclasses.replace(REGRESSION, target_scale=1.0 + index) for index in chosen]
    trainings = [terms(6, seed=index) for index in chosen]
    batches = [[rows(REGRESSION, 10, seed=10 * index + update) for index in chosen] for update in range(6)]
    for lane, built, alone in train_lanes_and_alone(learner, options, problems, trainings, batches):
        fresh, inputs = learner.build(built.options), rows(REGRESSION).inputs
        assert largest_difference(fresh.save(lane), built.save(alone)) < 1e-12
        assert torch.allclose(fresh.predict(lane, inputs)[0], built.predict(alone, inputs)[0], rtol=0, atol=1e-11)
        said, expected = dict(fresh.describe(lane)), dict(built.describe(alone))
        assert said.pop("noise") == pytest.approx(expected.pop("noise"), rel=1e-12)
        assert said == expected


def test_a_level_is_one_of_the_precisions():
    built, state = begun(level=1, precisions=(0.1, 0.25))
    built.update(state, rows(REGRESSION))
    assert state.log_noise.exp().item() == pytest.approx(2.0 / 2.0)  # in standardised units, of targets with scale 2
    assert "log_noise" not in state.parameters


@pytest.mark.parametrize(
    ("problem", "given", "expected"),
    [
        (REGRESSION, {"noise": 0.1}, 400.0),
        (REGRESSION, {"level": 1, "precisions": (0.1, 25.0)}, 100.0),
        (REGRESSION, {"noise": 1.0}, 10.0),
        (REGRESSION, {"noise": 0.1, "hess_init": 3.0}, 3.0),
        (REGRESSION, {}, 10.0),
        (REGRESSION, {"likelihood": "heteroscedastic"}, 10.0),
        (CLASSES, {}, 1.0),
    ],
    ids=["noise", "level", "much noise", "said", "learned", "a noise for each row", "classes"],
)
def test_the_first_curvature_is_at_least_that_of_a_given_noise(problem, given, expected):
    """At a noise s of standardised targets the loss's second derivative by the output is 1 / s^2; here targets are
    standardised by 2.
    """
    built, state = begun(problem, **given)
    assert all(torch.allclose(each, torch.tensor(expected).double()) for each in state.hessian.values())
    assert built.describe(state)["hess_init"] == pytest.approx(expected)


def test_the_first_curvature_is_the_second_derivative_by_the_last_bias():
    built, state = begun(noise=0.1)
    weights, batch = state.means(), rows(REGRESSION)
    bias = weights.pop("readout.bias")

    def loss(readout):
        drawn = {**weights, "readout.bias": readout}
        return built.mean_loss(state, drawn, batch.inputs[None], batch.targets[None]).sum()

    found = torch.autograd.functional.hessian(loss, bias).item()
    assert state.hessian["readout.bias"].item() == pytest.approx(found, rel=1e-9)


def test_a_lane_that_is_nan_spoils_no_other():
    cohort = learner.together(SEVERAL[:2])
    state = cohort.init([REGRESSION] * 2, [terms(3, seed=seed) for seed in (0, 1)])
    inputs = torch.stack([rows(REGRESSION).inputs] * 2)
    inputs[0, 0, 0] = math.nan
    state, scalars = cohort.update(state, Batch(inputs, torch.stack([rows(REGRESSION).targets] * 2)))
    assert scalars["loss"].isnan().tolist() == [True, False]
    assert all(tensor[1].isfinite().all() for each in (state.parameters, state.hessian) for tensor in each.values())


@pytest.mark.slow
@pytest.mark.parametrize("selection", ["ivon[architecture=8-FC,predict_samples=6]"])
def test_the_contract_is_kept(selection):
    require_contract(selection)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_each_replay_draws_anew_and_counts():
    """Means that hardly move: losses of one mini-batch differ by the draws alone."""
    built = learner.build(IVONOptions(**SMALL, learning_rate=1e-9, noise=1.0))
    state, losses = built.init(REGRESSION, terms(9, "fp32", device="cuda"), None), []
    batch = Batch(rows(REGRESSION).inputs.float().cuda(), rows(REGRESSION).targets.float().cuda())
    for _ in range(9):
        state, scalars = built.update(state, batch)
        losses.append(scalars["loss"].item())
    assert state.replay.captured
    assert len(set(losses)) == 9
    assert state.unweighted.item() == pytest.approx(0.9**9, rel=1e-5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"optimiser": "adam"}, "no parameter 'optimiser': IVON is the optimiser; leave optimiser out"),
        ({"momentum": 0.5}, "no parameter 'momentum': IVON's is beta1"),
        ({"weight_decay": 0.1}, "no parameter 'weight_decay': IVON's is that of the prior"),
        ({"clip": 1.0}, "no parameter 'clip': IVON divides gradients by their curvature; leave clip out"),
        ({"prior_share": 0.2}, "no parameter 'prior_share': IVON's prior is one Gaussian"),
        ({"likelihood": "heteroscedastic", "noise": 0.2}, "likelihood=heteroscedastic has a noise for each row"),
    ],
)
def test_options_without_effect_are_refused(given, words):
    with pytest.raises(UsageError, match=words):
        configured(IVONOptions, given, "ivon")
