"""SWAG, against plain numpy moments of the weights that training passes through, and the covariance in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from agreeing import agree
from bayes_setups import REGRESSION, train_lanes_and_alone
from tiny_problems import normal, rows, terms

from harness import Batch, Problem, Unsupported, UsageError
from harness.options import build as configured
from harness_bayes import networks, points
from harness_bayes.noise import Noise
from harness_deep_ensemble import EnsembleOptions
from harness_deep_ensemble import learner as deep_ensemble
from harness_swag import SwagOptions, learner, reference

CLASSES = Problem("classification", (1, 6, 6), 3, 40)
SMALL = {"architecture": "4-FC", "predict_samples": 8}
UPDATES = 40


def begun(problem=REGRESSION, updates=UPDATES, precision="fp64", device="cpu", batch_size=10, **given):
    built = learner.build(SwagOptions(**{**SMALL, **given}))
    return built, built.init(problem, terms(updates, precision, batch_size=batch_size, device=device), None)


def weights(state):
    return networks.flatten(points.weights_of(state)).detach().double().cpu().numpy()  # (J, m)


def passed_through(built, state, updates=UPDATES, **given):
    """Weights after each update, on mini-batches that differ, (updates, J, m)."""
    found = []
    for update in range(updates):
        state, _ = built.update(state, rows(REGRESSION, 10, seed=update, **given))
        found.append(weights(state).copy())
    return np.stack(found)


@pytest.mark.parametrize(("start", "every", "rank"), [(0.5, 2, 4), (0.25, 3, 20), (0.0, 1, 7)])
def test_the_collection_is_the_moments_of_the_weights_that_were_passed(start, every, rank):
    built, state = begun(start=start, every=every, rank=rank, members=2)
    first = int(start * UPDATES)
    collected = passed_through(built, state)[first + every - 1 :: every]  # (n, J, m)
    held, n = state.collection, len(collected)
    assert held.count == n == built.describe(state)["collected"]
    assert np.allclose(held.mean, collected.mean(0), rtol=0, atol=1e-13)
    assert np.allclose(held.squares / n, collected.var(0), rtol=1e-9, atol=1e-16)
    deviations = np.stack([collected[i] - collected[: i + 1].mean(0) for i in range(n)])  # (n, J, m)
    kept = held.deviations.numpy().swapaxes(0, 1)  # (rank, J, m)
    assert held.rank == min(n, rank)
    for k in range(min(n, rank)):
        last = deviations[max(0, n - rank) :]
        assert np.abs(last - kept[k]).max((1, 2)).min() < 1e-13  # it is one of them, in whatever order
    outer = np.einsum("kjm,kjn->jmn", kept, kept)
    assert np.allclose(outer, np.einsum("kjm,kjn->jmn", deviations[-rank:], deviations[-rank:]), rtol=0, atol=1e-12)


def test_the_reference_fits_the_same_gaussian():
    built, state = begun(start=0.5, every=2, rank=4)
    collected = passed_through(built, state)[21::2, 0]
    plain, held = reference.fit_trajectory(collected, 4), state.collection
    kept = held.deviations[0].numpy()
    covariance = np.diag(held.squares[0].numpy() / held.count) / 2 + kept.T @ kept / 6
    assert np.allclose(held.mean[0], plain.mean, rtol=0, atol=1e-13)
    assert np.allclose(covariance, plain.covariance, rtol=0, atol=1e-13)


def test_small_variances_beside_large_weights_survive_single_precision():
    held = learner.Collection.empty(1, 2, 3, torch.empty(()))
    steps = 100 + 1e-3 * normal(50, 1, 3, dtype=torch.float32)
    for step in steps:
        held.add(step)
    assert torch.allclose(held.squares / 50, steps.double().var(0, correction=0).float(), rtol=0.02)


@pytest.mark.parametrize("count", [3, 6, 30])
def test_draws_have_the_mean_and_covariance_of_the_closed_form(count):
    """Of a trajectory longer and shorter than the rank: K is the number of deviations that there are."""
    _, state = begun(Problem("regression", (1,), 1, 40), architecture="2-FC", rank=6, members=2)
    steps = normal(count, 2, 1, 7, seed=4) @ normal(2, 7, 7, seed=5)
    for step in steps:
        state.collection.add(step[:, 0])
    drawn = (
        networks.flatten(learner.draw_functions(state, Noise.seeded([5], "cpu"), 200_000)).unflatten(0, (2, -1)).numpy()
    )
    for member in range(2):
        expected = reference.fit_trajectory(steps[:, member, 0].numpy(), 6)
        scale = np.sqrt(np.diag(expected.covariance))
        assert (np.abs(drawn[member].mean(0) - expected.mean) < 5 * scale / 200_000**0.5).all()
        error = np.abs(np.cov(drawn[member].T) - expected.covariance) / np.outer(scale, scale)
        assert error.max() < 5 * (2 / 200_000) ** 0.5


def test_a_prediction_draws_functions_of_the_gaussians():
    built, state = begun(start=0.5, members=2)
    passed_through(built, state)
    inputs = rows(REGRESSION).inputs
    whole, again, some = (built.predict(state, given) for given in (inputs, inputs, inputs[5:8]))
    assert torch.equal(whole.means, again.means)
    assert torch.allclose(whole.means[:, 5:8], some.means, rtol=0, atol=1e-13)
    assert torch.allclose(whole.log_weights.exp(), torch.full((16,), 1 / 16, dtype=torch.float64), atol=1e-7)
    drawn = learner.draw_functions(state, state.draws(), 8)
    for place in (0, 7, 8, 15):  # draws of a member stand together, with the noise of that member
        h = torch.relu(inputs @ drawn["layers.0.weight"][place] + drawn["layers.0.bias"][place])
        f = h @ drawn["readout.weight"][place] + drawn["readout.bias"][place]
        assert torch.allclose(whole.means[place], f[:, 0], rtol=0, atol=1e-12)
        noise = state.log_noise.detach()[place // 8].exp()
        assert torch.allclose(whole.variances[place], (noise**2).expand(40), rtol=1e-12)
    assert len(built.glance(state, inputs).means) == 16


@pytest.mark.parametrize("collected", [0, 1])
def test_of_fewer_than_two_networks_the_plain_ones_predict(collected):
    built, state = begun(start=0.5, every=4, members=3)
    passed_through(built, state, 22 + 4 * collected)
    assert state.collection.count == collected
    inputs, W = rows(REGRESSION).inputs, points.weights_of(state)
    prediction = built.predict(state, inputs)
    h = torch.relu(inputs @ W["layers.0.weight"] + W["layers.0.bias"][:, None])
    assert torch.allclose(prediction.means, (h @ W["readout.weight"] + W["readout.bias"][:, None])[..., 0], atol=1e-12)
    assert torch.allclose(prediction.log_weights, torch.full((3,), -math.log(3), dtype=torch.float64))


@pytest.mark.parametrize(
    ("options", "dataset"),
    [
        ("members=3,architecture=5-4-FC,activation=tanh,prior_scale=2.0", "toy-2d"),
        ("likelihood=heteroscedastic,members=2,prior=fixed,bias=no,architecture=4-FC", "toy-2d"),
        ("noise=0.4,architecture=4-FC", "toy-2d"),
        ("members=2,architecture=3C3-AP2-4-FC", "digits"),
    ],
)
def test_gradients_are_those_of_the_plain_equations(options, dataset, tmp_path):
    agree(f"swag[{options}]", dataset, tmp_path)


def test_each_member_is_a_trial_alone():
    built, state = begun(members=3)
    single, alone = begun()
    starts = [{name: tensor.detach().clone() for name, tensor in state.parameters.items()} for _ in range(3)]
    passed = passed_through(built, state)
    for member in range(3):
        single, alone = begun()
        with torch.no_grad():
            for name, tensor in alone.parameters.items():
                tensor.copy_(starts[member][name][member : member + 1])
        assert np.allclose(passed_through(single, alone), passed[:, member : member + 1], rtol=0, atol=1e-11)
        assert torch.allclose(alone.collection.squares[0], state.collection.squares[member], rtol=0, atol=1e-12)
    assert np.abs(passed[-1, 0] - passed[-1, 1]).max() > 0.1


def test_trials_side_by_side_are_those_alone():
    several = [
        SwagOptions(**SMALL, members=2, noise=noise, prior_scale=scale, learning_rate=rate)
        for noise, scale, rate in [(0.3, 1.0, 0.01), (0.5, 2.0, 0.02)]
    ]
    trainings = [terms(12, batch_size=10, seed=seed) for seed in (0, 1)]
    batches = [[rows(REGRESSION, 10, seed=10 * update + trial) for trial in range(2)] for update in range(12)]
    for lane, built, alone in train_lanes_and_alone(learner, several, [REGRESSION] * 2, trainings, batches):
        inputs = rows(REGRESSION).inputs
        for name in ("mean", "squares", "deviations"):
            one, other = getattr(lane.collection, name), getattr(alone.collection, name)
            assert torch.allclose(one, other, rtol=0, atol=1e-11), name
        assert torch.allclose(built.predict(lane, inputs).means, built.predict(alone, inputs).means, atol=1e-9)
        assert built.describe(lane)["collected"] == 3


def test_the_learning_rate_stays_while_networks_are_collected():
    built, state = begun(learning_rate=0.02, final_rate=0.25, start=0.75)
    rates = []
    for update in range(UPDATES):
        built.update(state, rows(REGRESSION, 10, seed=update))
        rates.append(state.optimiser.param_groups[0]["lr"])
    assert rates[0] == 0.02
    assert rates[15] == pytest.approx(0.02 * 0.625)  # half-way down the cosine
    assert rates[30:] == pytest.approx([0.005] * 10)


@pytest.mark.parametrize(
    ("updates", "batch_size", "given", "expected"),
    [
        (400, 10, {}, (300, 4)),  # once an epoch of four updates
        (40, 10, {}, (30, 1)),
        (400, 10, {"rank": 50}, (300, 2)),  # so often that there are so many deviations
        (400, 10, {"every": 7, "start": 0.5}, (200, 7)),
        (1, 10, {}, (0, 1)),
        (None, 10, {}, (0, 4)),
        (None, 64, {}, (0, 1)),
        (None, 10, {"every": 3}, (0, 3)),
    ],
)
def test_when_networks_are_collected(updates, batch_size, given, expected):
    _, state = begun(updates=updates, batch_size=batch_size, **given)
    assert (state.first, state.every) == expected


def test_a_budget_too_short_for_two_networks_is_refused():
    with pytest.raises(Unsupported, match="of 40 updates 10 are for collection"):
        begun(every=6)
    begun(every=5)


@pytest.mark.parametrize("given", [{"rank": 1}, {"members": 0}, {"start": 1.0}, {"every": 0}, {"final_rate": 0.0}])
def test_bad_options_are_named(given):
    with pytest.raises(UsageError, match=next(iter(given))):
        configured(SwagOptions, given, "swag")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_networks_are_collected_beside_a_captured_update():
    built, state = begun(precision="fp32", device="cuda", start=0.5, every=2, rank=4)
    found = []
    for update in range(UPDATES):
        batch = rows(REGRESSION, 10, seed=update, dtype=torch.float32)
        state, _ = built.update(state, Batch(batch.inputs.cuda(), batch.targets.cuda()))
        found.append(weights(state).copy())
    collected = np.stack(found)[21::2]
    assert built.describe(state)["captured"]
    assert np.allclose(state.collection.mean.cpu(), collected.mean(0), rtol=0, atol=1e-5)
    assert np.allclose(
        (state.collection.squares / state.collection.count).cpu(), collected.var(0), rtol=1e-2, atol=1e-8
    )


def test_networks_are_trained_as_an_ensemble_of_map_networks_is():
    built, state = begun(members=2, schedule="constant")
    options = EnsembleOptions(architecture="4-FC", members=2, likelihood="gaussian", schedule="constant")
    ensemble = deep_ensemble.build(options)
    other = ensemble.init(REGRESSION, terms(UPDATES, batch_size=10), None)
    for update in range(5):
        built.update(state, rows(REGRESSION, 10, seed=update))
        ensemble.update(other, rows(REGRESSION, 10, seed=update))
    assert state.parameters.keys() == other.parameters.keys()
    assert all(torch.equal(tensor, other.parameters[name]) for name, tensor in state.parameters.items())
