"""HMC on networks: its density by hand is autograd's and the plain one's, its moments are those of a grid."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_problems import terms

from harness import Batch, DataOptions, Diverged, Fit, HarnessError, Problem, Reading, Unsupported, UsageError
from harness_bayes import hamiltonian
from harness_bayes.convergence import measure_convergence
from harness_bayes.hamiltonian import differentiate
from harness_data.toys import load_plane
from harness_hmc import HMCOptions, learner, reference
from harness_hmc.densities import Functions
from harness_hmc.reference import Layer

PLANE = HMCOptions(
    architecture="1-FC",
    activation="tanh",
    bias=False,
    prior="fixed",
    prior_scale=1.5,
    noise=0.3,
    chains=32,
    leapfrog=15,
    map_steps=50,
    predict_samples=150,
)


def rows(count=7, inputs=2, kind="regression", seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, inputs, generator=generator)
    y = torch.randn(count, generator=generator)
    return Batch(x, (y > 0).long() if kind == "classification" else y)


def fitted(options, train, kind="regression", updates=0, precision="fp64", prepared=True, classes=1):
    """A learner with its state, after so many of as many planned updates."""
    problem = Problem(kind, tuple(train.inputs.shape[1:]), classes, len(train.targets))
    made = learner.build(options)
    state = made.init(problem, terms(updates or None, precision), None)
    fit = Fit(train, train)
    if prepared:
        state = made.prepare(state, fit)
    for _ in range(updates):
        state, scalars = made.update(state, train)
        assert all(value.isfinite() for value in scalars.values())
    return made, made.finish(state, fit) if updates else state


@pytest.fixture(scope="module")
def plane():
    """The rows of toy-2d."""
    train = load_plane(DataOptions(), 0, Path()).train
    return Batch(*(torch.from_numpy(each) for each in train[:2]))


@pytest.fixture(scope="module")
def sampled(plane):
    """HMC with 250 trajectories on toy-2d, in single precision."""
    return fitted(PLANE, plane, updates=250, precision="fp32")


def grid(plane, width=6.0, nodes=601):
    """Two weights on a grid (G, G) and the posterior's probabilities there."""
    axis = np.linspace(-width, width, nodes)
    below, above = np.meshgrid(axis, axis, indexing="ij")
    x, y = (each.double().numpy().ravel() for each in plane[:2])
    log = -(below**2 + above**2) / (2 * 1.5**2)
    for one, target in zip(x, y, strict=True):
        log = log - (target - above * np.tanh(below * one)) ** 2 / (2 * 0.3**2)
    weight = np.exp(log - log.max())
    return below, above, weight / weight.sum()


def assert_means(values, expected):
    """Values of chains (J, D, ...) have the mean expected, up to their Monte Carlo error.

    That is told from chain to chain: one that is stuck for long, as rounding may have it, widens what is allowed.
    """
    means = np.asarray(values, dtype=np.float64).mean(1)
    error = means.std(0, ddof=1) / len(means) ** 0.5
    assert (np.abs(means.mean(0) - expected) <= 5 * error + 1e-6).all(), (means.mean(0), expected, error)


CASES = {
    "relu": (HMCOptions(architecture="5-FC", noise=0.2), "regression"),
    "tanh, two layers": (HMCOptions(architecture="5-4-FC", noise=0.2, activation="tanh"), "regression"),
    "without biases": (HMCOptions(architecture="5-FC", noise=0.2, bias=False), "regression"),
    "one prior for all": (HMCOptions(architecture="5-FC", noise=0.2, prior="fixed", prior_scale=0.5), "regression"),
    "noise is sampled": (HMCOptions(architecture="5-3-FC"), "regression"),
    "heteroscedastic": (HMCOptions(architecture="5-FC", likelihood="heteroscedastic"), "regression"),
    "scale mixture": (HMCOptions(architecture="5-FC", noise=0.2, prior="mixture"), "regression"),
    "scale mixture, noise": (HMCOptions(architecture="5-FC", prior="mixture"), "regression"),
    "classes": (HMCOptions(architecture="5-4-FC"), "classification"),
}


@pytest.mark.parametrize(("options", "kind"), CASES.values(), ids=CASES)
def test_the_gradient_by_hand_is_autograds(options, kind):
    _, state = fitted(options, rows(kind=kind), kind, classes=3 if kind == "classification" else 1)
    positions = torch.randn(6, state.chains.positions.shape[1], dtype=torch.float64)
    values, gradients = state.posterior(positions)
    expected = differentiate(state.posterior.log_density)(positions)
    assert torch.allclose(values - values[0], expected[0] - expected[0][0], rtol=1e-10)
    assert torch.allclose(gradients, expected[1], rtol=1e-10, atol=1e-10)


def test_maps_have_gradients_too():
    train = Batch(torch.randn(6, 1, 6, 6), torch.tensor([0, 1, 2, 0, 1, 2]))
    options = HMCOptions(architecture="3C3-AP2-FC", chains=2, map_steps=3)
    _, state = fitted(options, train, "classification", classes=3)
    positions = state.chains.positions
    values, gradients = state.posterior(positions)
    step = 1e-6 * torch.randn_like(positions)
    there, back = (state.posterior(positions + sign * step)[0] for sign in (1, -1))
    assert torch.allclose(there - back, 2 * (gradients * step).sum(1), rtol=1e-4, atol=1e-12)
    assert values.shape == (2,)


def layers(weights, index):
    """Dense layers of one lane in numpy; those without biases have zeros."""
    names = ["layers.0", "readout"]
    return [Layer(*(weights[f"{name}.{part}"][index].numpy().copy() for part in ("weight", "bias"))) for name in names]


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_density_and_trajectory_are_those_of_the_reference(activation):
    train = rows()
    options = HMCOptions(architecture="4-FC", noise=0.3, activation=activation, chains=3, map_steps=20)
    _, state = fitted(options, train)
    posterior, chains = state.posterior, state.chains
    inputs, targets = train.inputs.double().numpy(), train.targets.double().numpy()
    deviations = layers(
        {name: each.expand(1, *state.network.shapes[name]) for name, each in state.prior.deviations.items()}, 0
    )
    # The noise as the state has it: 0.3 to single precision.
    rest = deviations, inputs, targets, float(state.log_noise[0].exp()), activation
    generator, same = (torch.Generator().manual_seed(5) for _ in range(2))
    steps = torch.full((3, 1), 0.02, dtype=torch.float64)
    end, gained = hamiltonian.trajectory(posterior, chains, steps, 4, generator)
    momenta = posterior.functions(torch.randn(chains.positions.shape, dtype=torch.float64, generator=same)).weights
    start, ended = (posterior.functions(each).weights for each in (chains.positions, end.positions))
    plain = [reference.log_posterior(layers(start, chain), *rest) for chain in range(3)]
    assert (chains.densities - chains.densities[0]).tolist() == pytest.approx(np.array(plain) - plain[0], abs=1e-9)
    for chain in range(3):
        # `functions` has scaled the momenta by the deviations as it does positions.
        kicks = [
            Layer(*(p / s for p, s in zip(*pair, strict=True)))
            for pair in zip(layers(momenta, chain), deviations, strict=True)
        ]
        found, energy = reference.trajectory(layers(start, chain), kicks, *rest, 0.02, 4)
        for mine, theirs in zip(layers(ended, chain), found, strict=True):
            assert np.allclose(mine.weight, theirs.weight, atol=1e-10)
            assert np.allclose(mine.bias, theirs.bias, atol=1e-10)
        assert float(gained[chain]) == pytest.approx(energy, abs=1e-8)


def test_moments_of_two_weights_are_the_grids(sampled, plane):
    made, state = sampled
    below, above, weight = grid(plane)
    kept = made.save(state)
    first, second = (kept[f"{name}.weight"].reshape(32, 150) for name in ("layers.0", "readout"))
    assert_means(first * second, (weight * below * above).sum())
    assert_means(first.square(), (weight * below**2).sum())
    assert_means(second.square(), (weight * above**2).sum())


def test_predictions_have_the_grids_mean_and_deviation(sampled, plane):
    made, state = sampled
    below, above, weight = grid(plane)
    x = torch.linspace(-2, 2, 9)[:, None]
    found = made.predict(state, x)
    assert found.means.shape == (32 * 150, 9)
    assert torch.allclose(found.variances, torch.tensor(0.09))
    assert float(found.log_weights.exp().sum()) == pytest.approx(1.0, rel=1e-4)
    functions = above[..., None] * np.tanh(below[..., None] * x[:, 0].numpy())
    mean = (weight[..., None] * functions).sum((0, 1))
    variance = (weight[..., None] * (functions - mean) ** 2).sum((0, 1))
    values = found.means.numpy().reshape(32, 150, 9)
    assert_means(values, mean)
    assert_means((values - mean) ** 2, variance)


def test_chains_on_a_plane_accept_what_they_were_adapted_to_and_say_so(sampled):
    made, state = sampled
    said = made.describe(state)
    assert said["burn"] == 100
    assert said["draws"] == 150
    assert 0.6 < said["acceptance"] <= 1.0
    # Of 4,800 trajectories: a chain may meet a corner too steep for its steps.
    assert said["divergences"] < 48


def test_a_record_says_whether_chains_have_converged(sampled, plane):
    pytest.importorskip("arviz_stats", reason="extra bayes")
    made, state = sampled
    said = made.describe(state)
    values = made.functions(state, plane.inputs)[..., 0].double().numpy()
    assert said["max_rhat"] == pytest.approx(measure_convergence(values).rhat.max())
    assert said["min_ess"] == pytest.approx(measure_convergence(values).ess.min())
    assert 0 < said["monte_carlo_error"] < 0.1
    _, untrained = fitted(PLANE, plane)
    assert "max_rhat" not in made.describe(untrained)


def test_the_noise_is_sampled_where_it_is_not_given(plane):
    options = HMCOptions(**{**vars(PLANE), "noise": None, "prior_scale": 1.0})
    made, state = fitted(options, plane, updates=250, precision="fp32")
    x, y = (each.double().numpy().ravel() for each in plane[:2])
    axis = np.linspace(-4, 4, 121)
    logs = np.linspace(-4, 2, 121)
    below, above, noise = np.meshgrid(axis, axis, logs + np.log(0.3), indexing="ij")
    density = -(below**2 + above**2) / 2 - logs**2 / 2
    for one, target in zip(x, y, strict=True):
        density = density - (target - above * np.tanh(below * one)) ** 2 / (2 * np.exp(2 * noise)) - noise
    weight = np.exp(density - density.max())
    weight /= weight.sum()
    found = made.save(state)["log_noise"]
    assert float(found.mean()) == pytest.approx((weight * noise).sum(), abs=0.03)
    assert float(found.exp().mean()) == pytest.approx((weight * np.exp(noise)).sum(), rel=0.05)
    assert made.describe(state)["noise"] == pytest.approx(float(found.exp().mean()) * state.scales[0])
    variances = made.predict(state, plane.inputs).variances
    assert torch.allclose(variances, (2 * found).exp()[:, None].expand_as(variances))


def test_classes_are_predicted_by_draws_of_functions():
    train = rows(40, kind="classification")
    options = HMCOptions(architecture="4-FC", chains=4, leapfrog=10, map_steps=100, predict_samples=20)
    made, state = fitted(options, train, "classification", updates=40, precision="fp32", classes=2)
    found = made.predict(state, train.inputs)
    assert found.log_probs.shape == (4 * 20, 40, 2)
    assert torch.allclose(found.log_probs.exp().sum(2), torch.ones(()))
    rhat = made.describe(state).get("max_rhat", 1.0)  # without the extra bayes it is not known
    assert (rhat.value if isinstance(rhat, Reading) else rhat) > 0.99
    alone = made.predict(state, train.inputs[7:8])
    assert torch.allclose(found.log_probs[:, 7:8], alone.log_probs, atol=1e-5)


def test_draws_of_a_chain_stand_together_and_repeat(sampled, plane):
    made, state = sampled
    found = made.predict(state, plane.inputs).means
    assert torch.equal(found, made.predict(state, plane.inputs).means)
    functions = made.functions(state, plane.inputs)
    assert functions.shape == (32, 150, 12, 1)
    assert torch.allclose(functions[..., 0].flatten(0, 1), found, atol=1e-6)
    assert torch.allclose(functions[:, -1, :, 0], made.glance(state, plane.inputs).means, atol=1e-6)


@pytest.mark.parametrize(("updates", "wanted", "draws"), [(20, 100, 12), (20, 6, 6), (20, 5, 5), (20, 1, 1)])
def test_as_many_draws_are_kept_as_there_are_or_as_are_wanted(plane, updates, wanted, draws):
    options = HMCOptions(**{**vars(PLANE), "chains": 2, "leapfrog": 2, "predict_samples": wanted, "map_steps": 0})
    made, state = fitted(options, plane, updates=updates)
    assert made.describe(state)["draws"] == draws


def test_an_unknown_budget_keeps_draws_at_even_distances(plane):
    options = HMCOptions(**{**vars(PLANE), "chains": 2, "leapfrog": 1, "predict_samples": 4, "burn": 3, "map_steps": 0})
    made, state = fitted(options, plane)
    for _ in range(40):
        state, _ = made.update(state, plane)
    assert 4 <= state.count <= 8
    assert state.stride == 8
    assert not torch.equal(state.drawn[:, -1], state.drawn[:, -2])


def test_chains_start_at_networks_of_higher_density_than_random_ones(plane):
    options = HMCOptions(**{**vars(PLANE), "map_steps": 0})
    _, start = fitted(options, plane)
    _, ended = fitted(HMCOptions(**{**vars(PLANE), "map_steps": 400, "learning_rate": 0.05}), plane)
    assert (ended.chains.densities > start.chains.densities).all()
    norms = [each.chains.gradients.norm(dim=1) for each in (start, ended)]
    assert norms[1].max() < norms[0].median() / 10


@pytest.mark.parametrize(
    ("given", "train", "named"),
    [
        ({}, rows(2001), "2,001 rows.*large=yes"),
        ({"architecture": "200-200-FC"}, rows(), "41,001 weights.*large=yes"),
    ],
)
def test_what_is_too_large_is_refused_unless_wanted(given, train, named):
    with pytest.raises(Unsupported, match=named):
        fitted(HMCOptions(**given, noise=0.1, map_steps=0), train, prepared=False)
    fitted(HMCOptions(**given, noise=0.1, map_steps=0, large=True), train, prepared=False)


def test_a_budget_that_is_all_burn_in_is_refused():
    with pytest.raises(Unsupported, match="burn=10: of 10 trajectories"):
        fitted(HMCOptions(burn=10, noise=0.1), rows(), updates=10)


def test_parts_of_a_batch_are_refused():
    with pytest.raises(UsageError, match="micro_batch=4"):
        HMCOptions(micro_batch=4)


def test_chains_that_never_move_end_in_an_error_that_says_what_to_do(plane):
    options = HMCOptions(**{**vars(PLANE), "chains": 2, "leapfrog": 1, "map_steps": 0})
    made, state = fitted(options, plane)
    state.posterior = dataclasses.replace(state.posterior, targets=plane.targets * torch.nan)
    state.burn = 2
    for _ in range(22):
        state, _ = made.update(state, plane)
    with pytest.raises(HarnessError, match="rejected all 20 trajectories of all 2 chains"):
        made.finish(state, Fit(plane, plane))


@pytest.mark.parametrize("steps", [0, 5])
def test_a_start_that_is_not_finite_has_diverged(plane, steps):
    broken = Batch(plane.inputs, plane.targets * torch.nan)
    with pytest.raises(Diverged, match=f"of 32 of 32 chains: after {steps} steps .* loss of chain 0 is nan"):
        fitted(HMCOptions(**{**vars(PLANE), "map_steps": steps}), broken)


def test_a_start_worse_than_random_weights_has_diverged(plane):
    options = {**vars(PLANE), "optimiser": "sgd", "learning_rate": 100.0, "map_steps": 20, "activation": "relu"}
    with pytest.raises(Diverged, match=r"after 20 steps with learning_rate=100 .* give a smaller learning_rate"):
        fitted(HMCOptions(**options), plane)


def test_chains_that_have_not_met_are_warned_of(plane):
    """Chains that hardly move stay where they began, which is apart."""
    pytest.importorskip("arviz_stats", reason="extra bayes")
    options = HMCOptions(**{**vars(PLANE), "chains": 8, "leapfrog": 1, "map_steps": 0, "burn": 1})
    made, state = fitted(options, plane, updates=12)
    found = made.describe(state)["max_rhat"]
    assert found.value > 1.1
    assert found.warning.startswith("chains have not converged after 12 trajectories: R-hat of functions is above 1.1")


def test_positions_and_functions_are_inverses():
    _, state = fitted(HMCOptions(architecture="5-FC", chains=3), rows())
    positions = torch.randn_like(state.chains.positions)
    back = state.posterior.positions(Functions(*state.posterior.functions(positions)))
    assert torch.allclose(back, positions, rtol=1e-12)
