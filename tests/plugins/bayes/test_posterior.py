"""Measures of a trained posterior, against quadrature, permutations made by hand, and closed forms."""

from __future__ import annotations

import json
import math
import os
from itertools import pairwise

import numpy as np
import pytest
import torch
from commands import forked
from scipy.special import logsumexp
from tiny_problems import normal, terms

from harness import Batch, ClassLogProbs, Data, Problem, RegressionMixture, Trained, Unsupported
from harness_bayes import diversity, evidence, mixture, networks, permutations, posterior_instrument, prediction
from harness_bayes.config import MixtureOptions
from harness_bayes.gaussians import Diagonal, Full
from harness_bayes.offers import POSTERIOR, offer_instruments, offer_metrics
from harness_deep_ensemble import EnsembleOptions
from harness_deep_ensemble.learner import build as ensemble
from harness_hmc import HMCOptions
from harness_hmc.learner import build as hmc
from harness_swag import SwagOptions
from harness_swag.learner import build as swag
from harness_torch.training import inference

SCALE, NOISE, PRIOR = 2.0, 0.6, 1.5  # of targets, in their own units
X = np.linspace(-2, 2, 12)
Y = np.tanh(X) + 0.3 * np.cos(7 * X)
PLANE = {"architecture": "1-FC", "activation": "tanh", "bias": False, "prior": "fixed", "prior_scale": PRIOR}


def data(problem, inputs, targets, valid=None):
    rows = Batch(torch.as_tensor(inputs), torch.as_tensor(targets))
    return Data(problem, rows, rows if valid is None else valid, rows)


def plane():
    return data(Problem("regression", (1,), 1, 12, target_scale=SCALE), X[:, None], Y)


def trained(learner, given, precision="fp64", state=None):
    if state is None:
        state = learner.init(given.problem, terms(10, precision), None)
    return Trained(
        lambda inputs: learner.predict(state, inputs), lambda n: given.test.inputs[:n], learner, state, given
    )


def read(name, seen):
    """Readings of the gauge that the offer of this name makes."""
    gauge = getattr(posterior_instrument, name)()
    with torch.no_grad():
        gauge.deployed(seen)
    return gauge.readings()


def value(name, seen):
    return read(name, seen)[name]


# --- the ELBO, by quadrature over two weights -------------------------------------------------------------------------


def placed(covariance, means, **given):
    """gm-vi on the plane with components at these means (K, 2), not far from each other."""
    options = MixtureOptions(**{**PLANE, "noise": NOISE, "covariance": covariance, "components": len(means), **given})
    learner = mixture.build(options)
    seen = trained(learner, plane())
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, tensor in seen.state.parameters.items():
            if name == "theta":
                tensor.copy_(torch.tensor([[0.4, -0.3, 0.0]]))
            elif not name.startswith("mean."):
                tensor.copy_(torch.randn(tensor.shape, generator=draw, dtype=torch.float64) / 3 - 1)
        seen.state.parameters["mean.layers.0.weight"].copy_(torch.tensor(means, dtype=torch.float64)[:, :1, None])
        seen.state.parameters["mean.readout.weight"].copy_(torch.tensor(means, dtype=torch.float64)[:, 1:, None])
    return seen


def gaussians(state):
    """Weights (K,), means (K, 2) and factors (K, 2, 2), in numpy."""
    q = state.mixture()
    means = networks.flatten(q.means).detach().numpy()
    spreads = q.spreads().detach().numpy()
    factors = spreads if spreads.ndim == 3 else np.stack([np.diag(each) for each in spreads])
    return state.log_weights()[0].exp().detach().numpy(), means, factors


def log_normal(x, deviation):
    return -0.5 * (x / deviation) ** 2 - math.log(deviation) - 0.5 * math.log(2 * math.pi)


def log_prior(options, w):
    if options.prior != "mixture":
        return log_normal(w, PRIOR).sum(-1)
    wide, narrow = log_normal(w, PRIOR) + math.log(0.5), log_normal(w, 0.7) + math.log(0.5)
    return np.logaddexp(wide, narrow).sum(-1)


def log_joint(options, w):
    """Of targets on their own scale: standardised ones are Y, so that these are SCALE * Y."""
    outputs = w[:, 1:] * np.tanh(w[:, :1] * X)
    return log_normal(SCALE * Y - SCALE * outputs, NOISE).sum(1) + log_prior(options, w)


def by_quadrature(state):
    """Approximate and true ELBO, with 80 x 80 nodes for each component."""
    weights, means, factors = gaussians(state)
    nodes, masses = np.polynomial.hermite_e.hermegauss(80)
    z = np.stack(np.meshgrid(nodes, nodes), -1).reshape(-1, 2)
    mass = np.outer(masses, masses).ravel() / (2 * math.pi)
    expected, entropies, true_entropy = [], [], 0.0
    for k, (weight, mean, factor) in enumerate(zip(weights, means, factors, strict=True)):
        w = mean + z @ factor.T
        densities = np.stack([log_density(w, *each) for each in zip(means, factors, strict=True)])
        log_q = logsumexp(densities + np.log(weights)[:, None], axis=0)
        true_entropy -= weight * mass @ log_q
        expected.append(mass @ log_joint(state.options, w))
        entropies.append(-mass @ densities[k] - math.log(weight))
    return weights @ (np.array(expected) + entropies), weights @ np.array(expected) + true_entropy


def log_density(w, mean, factor):
    z = np.linalg.solve(factor, (w - mean).T)
    return -0.5 * (z**2).sum(0) - math.log(2 * math.pi) - np.log(np.diag(factor)).sum()


NEAR = [[0.9, 0.8], [1.1, 1.0], [0.8, 1.2]]


@pytest.mark.parametrize(
    ("covariance", "given"),
    [
        ("diag", {}),
        ("full", {}),
        ("tied", {"learn_weights": True}),
        ("isotropic", {"prior": "mixture", "prior_narrow": 0.7}),
    ],
)
def test_the_elbo_is_that_of_a_quadrature(covariance, given):
    seen = placed(covariance, NEAR, **given)
    approximate, true = by_quadrature(seen.state)
    assert approximate - true > 0.2
    for estimate, expected in ((evidence.elbo_approximate, approximate), (evidence.elbo_true, true)):
        found = estimate(seen.state, seen.data.train, 100_000)
        assert 0 < found.standard_error < 0.1
        assert abs(found.value - expected) < 4 * found.standard_error
    upper, lower = value("entropy_error_upper", seen), value("entropy_error_lower", seen)
    assert lower < approximate - true < upper
    assert value("elbo_certified", seen) == pytest.approx(value("elbo_approximate", seen) - upper, abs=1e-9)
    assert value("elbo_certified", seen) < value("elbo_true", seen) < value("elbo_approximate", seen)


def test_rows_and_draws_that_memory_holds_in_parts_are_all_counted(monkeypatch):
    seen = placed("diag", NEAR)
    whole = evidence.elbo_true(seen.state, seen.data.train, 1000)
    monkeypatch.setattr(inference, "ELEMENTS", 3 * 1000 * 5)  # five rows of 1000 draws of three components
    rows = evidence.elbo_true(seen.state, seen.data.train, 1000)
    assert torch.allclose(rows.value, whole.value, rtol=0, atol=1e-9)
    monkeypatch.setattr(prediction, "WEIGHTS", 3 * 2 * 300)  # 300 draws of these, of two weights
    parts = evidence.elbo_true(seen.state, seen.data.train, 1000)
    assert torch.allclose(parts.standard_error, whole.standard_error, rtol=0.2)
    assert abs(parts.value - by_quadrature(seen.state)[1]) < 4 * parts.standard_error


def test_standard_errors_are_those_of_repetition():
    """Another seed draws others: their spread is what the standard error says."""
    found = []
    for seed in range(60):
        seen = placed("diag", NEAR)
        seen.state.seeds = (seed,)
        found.append(read("elbo_true", seen))
    said = np.mean([each["elbo_true_standard_error"] for each in found])
    assert np.std([each["elbo_true"] for each in found]) == pytest.approx(said, rel=0.4)


def test_components_that_are_one_lose_all_that_their_number_gained():
    """The bounds are tight: H~ - H is H(pi) to the last digit, in every draw."""
    seen = placed("isotropic", [NEAR[0]] * 3)
    with torch.no_grad():
        seen.state.parameters["rho"].fill_(-1.0)
    for name in ("entropy_error_lower", "entropy_error_upper", "weight_entropy"):
        assert value(name, seen) == pytest.approx(math.log(3), abs=1e-12)
    assert value("elbo_true", seen) == value("elbo_certified", seen)
    assert value("elbo_approximate", seen) - value("elbo_true", seen) == pytest.approx(math.log(3), abs=1e-12)
    assert value("smallest_alpha", seen) == 0.0


def test_entropies_and_alpha_have_their_closed_forms():
    seen = placed("isotropic", NEAR[:2])
    with torch.no_grad():
        seen.state.parameters["rho"].fill_(math.log(math.expm1(0.25)))
    assert value("weight_entropy", seen) == pytest.approx(math.log(2))
    unimodal = 1 + math.log(2 * math.pi) + 2 * math.log(0.25)
    assert value("approximate_entropy", seen) == pytest.approx(unimodal + math.log(2), abs=1e-12)
    assert value("smallest_alpha", seen) == pytest.approx(math.dist(*NEAR[:2]) / 0.25 / 2, rel=1e-9)


def test_classes_have_an_elbo_of_their_own():
    """Weights without spread, all but: the log likelihood is that of the network at the mean."""
    given = data(
        Problem("classification", (3,), 4, 20), np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 4
    )
    learner = mixture.build(MixtureOptions(architecture="5-FC", components=1, prior="fixed", prior_scale=0.8))
    seen = trained(learner, given)
    with torch.no_grad():
        for name, tensor in seen.state.parameters.items():
            if name.startswith("rho"):
                tensor.fill_(-20.0)
    W, b, V, c = (seen.state.parameters[f"mean.{name}"][0].detach() for name in seen.state.network.shapes)
    logits = torch.relu(given.train.inputs @ W + b) @ V + c
    likely = -torch.nn.functional.cross_entropy(logits, given.train.targets, reduction="sum")
    prior = sum(torch.distributions.Normal(0, 0.8).log_prob(each.double()).sum() for each in (W, b, V, c))
    spread = math.log1p(math.exp(-20.0))
    entropy = seen.state.network.size * (0.5 * (1 + math.log(2 * math.pi)) + math.log(spread))
    assert value("elbo_true", seen) == pytest.approx(float(likely + prior + entropy), abs=1e-4)


# --- hidden units in another order ------------------------------------------------------------------------------------

DEEP = {"architecture": "5-4-3-FC", "activation": "tanh"}
MAPS = {"architecture": "3C3-AP2-4C3-AP2-5-FC"}
SHAPES = {"5-4-3-FC": (3,), "3C3-AP2-4C3-AP2-5-FC": (2, 8, 8)}


def permuted(parameters, seed):
    """A network with its units in another order, layer by layer: weights (inputs, outputs) or (O, I, k, k)."""
    draw = torch.Generator().manual_seed(seed)
    names = [name[:-7] for name in parameters if name.endswith("weight")]
    found = {name: tensor.clone() for name, tensor in parameters.items()}
    for name, after in pairwise(names):
        conv = found[f"{name}.weight"].dim() == 4
        units = torch.randperm(len(found[f"{name}.bias"]), generator=draw)
        weight, following = found[f"{name}.weight"], found[f"{after}.weight"]
        found[f"{name}.weight"] = weight[units] if conv else weight[:, units]
        found[f"{name}.bias"] = found[f"{name}.bias"][units]
        if following.dim() == 4:
            found[f"{after}.weight"] = following[:, units]
        else:  # of maps that are flattened, the places of a channel follow each other
            found[f"{after}.weight"] = following.unflatten(0, (len(units), -1))[units].flatten(0, 1)
    return found


def with_components(options, problem, lanes):
    """gm-vi whose components have these means."""
    given = data(problem, np.random.default_rng(1).normal(size=(6, *problem.input_shape)), np.arange(6) % 2 * 1.0)
    seen = trained(mixture.build(MixtureOptions(**options, components=len(lanes), noise=0.5)), given)
    with torch.no_grad():
        for name in seen.state.network.shapes:
            seen.state.parameters[f"mean.{name}"].copy_(torch.stack([lane[name] for lane in lanes]))
    return seen


def drawn(options, seed=0):
    """Weights of one network, as it is before training."""
    problem = Problem("regression", SHAPES[options["architecture"]], 1, 6)
    state = ensemble(EnsembleOptions(**options, members=1, likelihood="gaussian")).init(
        problem, terms(1, seed=seed), None
    )
    return problem, {name: state.parameters[name][0].detach() for name in state.network.shapes}


@pytest.mark.parametrize("options", [DEEP, MAPS], ids=["dense", "maps"])
def test_networks_that_differ_by_a_permutation_are_one_once_matched(options):
    problem, first = drawn(options)
    seen = with_components(options, problem, [first, permuted(first, 1), permuted(first, 2)])
    outputs = networks.apply(seen.state.network, seen.state.mixture().means, seen.data.train.inputs[None])
    assert torch.allclose(outputs[0], outputs[1], rtol=0, atol=1e-12)  # they are one function
    assert value("smallest_alpha", seen) > 1
    assert value("matched_alpha", seen) == 0.0


def test_factors_of_full_covariances_follow_their_units():
    problem, first = drawn({"architecture": "5-4-3-FC", "activation": "tanh"})
    second = permuted(first, 1)
    seen = with_components({**DEEP, "covariance": "full"}, problem, [first, second])
    size, network = seen.state.network.size, seen.state.network
    factor = normal(size, size, seed=3).tril() / size + torch.eye(size) / 10
    numbered = networks.unflatten(network, torch.arange(size)[None])
    moved = permuted({name: tensor[0] for name, tensor in numbered.items()}, 1)
    places = torch.cat([moved[name].flatten() for name in network.shapes])
    covariance = factor @ factor.T
    other = torch.linalg.cholesky(covariance[places][:, places])
    means = networks.flatten(seen.state.mixture().means).detach()
    matched = permutations.match_components(network, Full(means, torch.stack([factor, other])))
    assert torch.equal(matched.means[1], means[0])
    assert torch.allclose(matched.factors[1], factor, rtol=0, atol=1e-10)


@pytest.mark.parametrize("options", [DEEP, MAPS, {**DEEP, "bias": False}], ids=["dense", "maps", "without biases"])
def test_matching_leaves_every_function_as_it_is(options):
    learner = mixture.build(MixtureOptions(**options, components=4))
    problem = Problem("regression", SHAPES[options["architecture"]], 1, 6)
    state = learner.init(problem, terms(1), None)
    means = networks.flatten(state.mixture().means).detach()
    matched = permutations.match_components(state.network, Diagonal(means, torch.ones_like(means)))
    inputs = normal(1, 9, *problem.input_shape)
    before, after = (
        networks.apply(state.network, networks.unflatten(state.network, each), inputs)
        for each in (means, matched.means)
    )
    assert torch.allclose(before, after, rtol=0, atol=1e-12)
    assert torch.equal(matched.means[0], means[0])
    assert (matched.means[1:] != means[1:]).any()
    assert torch.dist(matched.means[0], matched.means[1]) < torch.dist(means[0], means[1])


# --- effective components ---------------------------------------------------------------------------------------------


def regression(f, v, weights=None):
    """A prediction (K * D, N) of means (K, D, N) and variances that broadcast."""
    f = torch.as_tensor(f, dtype=torch.float64)
    weights = torch.full((len(f),), 1 / len(f)) if weights is None else torch.tensor(weights)
    each = (weights[:, None] / f.shape[1]).expand(f.shape[:2]).flatten().log()
    v = torch.as_tensor(v, dtype=torch.float64).expand(f.shape)
    return RegressionMixture(f.flatten(0, 1), v.flatten(0, 1), each)


def test_one_function_is_one_component_and_functions_that_never_agree_are_all():
    f = np.random.default_rng(0).normal(size=(1, 3, 7))
    assert diversity.effective_components(regression(np.repeat(f, 4, 0), 0.1), 4, 1) == pytest.approx(1, abs=1e-9)
    apart = f + 1e3 * np.arange(4)[:, None, None]
    assert diversity.effective_components(regression(apart, 0.1), 4, 1) == pytest.approx(4, abs=1e-9)
    unequal = [0.1, 0.2, 0.3, 0.4]
    entropy = -sum(each * math.log(each) for each in unequal)
    found = diversity.effective_components(regression(apart, 0.1, unequal), 4, 1)
    assert found == pytest.approx(math.exp(entropy), abs=1e-6)
    clusters = f + 1e3 * np.array([0, 0, 0, 1])[:, None, None]
    expected = math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    assert diversity.effective_components(regression(clusters, 0.1), 4, 1) == pytest.approx(expected, abs=1e-6)


def binary(overlap):
    """Of two components that weigh alike: eigenvalues (1 +- overlap) / 2."""
    shares = np.array([1 + overlap, 1 - overlap]) / 2
    return float(np.exp(-(shares * np.log(shares)).sum()))


def test_differences_count_by_the_overlap_of_what_is_predicted():
    rng = np.random.default_rng(1)
    f, v = rng.normal(size=(2, 5, 6)), rng.uniform(0.2, 2.0, size=(2, 5, 6))
    y = np.linspace(-30, 30, 60_001)
    means, variances = f.mean(1), v.mean(1) + f.var(1)
    each = np.exp(log_normal_of(y[:, None, None] - means, variances))  # (Y, 2, N)
    overlap = np.sqrt(each[:, 0] * each[:, 1]).sum(0).mean() * (y[1] - y[0])
    assert diversity.effective_components(regression(f, v), 2, 1) == pytest.approx(binary(overlap), abs=1e-8)


def log_normal_of(x, variance):
    return -0.5 * x**2 / variance - 0.5 * np.log(2 * math.pi * variance)


def test_classes_overlap_by_the_roots_of_their_probabilities():
    probs = np.random.default_rng(2).dirichlet(np.ones(4), size=(2, 3, 5))  # (K, D, N, C)
    each = torch.full((6,), -math.log(6), dtype=torch.float64)
    drawn = ClassLogProbs(torch.tensor(np.log(probs)).flatten(0, 1), each)
    overlap = np.sqrt(probs.mean(1).prod(0)).sum(-1).mean()
    assert diversity.effective_components(drawn, 2, 1) == pytest.approx(binary(overlap), abs=1e-6)


def test_draws_that_memory_holds_in_parts_are_told_apart_by_component(monkeypatch):
    learner = mixture.build(MixtureOptions(**PLANE, noise=NOISE, components=3))
    seen = trained(learner, plane())
    with torch.no_grad():
        seen.state.parameters["mean.readout.weight"].copy_(torch.tensor([0.0, 50.0, 200.0])[:, None, None])
    monkeypatch.setattr(prediction, "WEIGHTS", 3 * 2 * 4)  # four draws of three components with two weights
    found = learner.draw(seen.state, seen.data.valid.inputs, 10)
    sizes = diversity.group_by_component(found.means, 3, 2).abs().amax((1, 2))
    assert sizes[0] < 10 < sizes[1] < 100 < sizes[2]
    assert value("effective_components", seen) == pytest.approx(3, abs=0.2)


def test_members_and_components_of_any_method_are_counted():
    for built in (
        ensemble(EnsembleOptions(architecture="5-FC", members=3)),
        mixture.build(MixtureOptions(architecture="5-FC", components=3, noise=NOISE)),
        swag(SwagOptions(architecture="5-FC", members=3, noise=NOISE)),
    ):
        seen = trained(built, plane())
        assert 1 <= value("effective_components", seen) < 3
        with torch.no_grad():
            for tensor in seen.state.parameters.values():
                tensor.copy_(tensor[:1].expand_as(tensor))
        assert value("effective_components", seen) == pytest.approx(1, abs=0.02)
        with torch.no_grad():
            name = next(name for name in seen.state.parameters if name.endswith("readout.bias"))
            seen.state.parameters[name][:, 0].add_(torch.tensor([0.0, 1e3, -1e3]))
        assert value("effective_components", seen) == pytest.approx(3, abs=1e-6)


# --- what does not apply ----------------------------------------------------------------------------------------------


def test_what_does_not_apply_says_why():
    points = trained(ensemble(EnsembleOptions(architecture="5-FC")), plane())
    for name in POSTERIOR:
        if name != "effective_components":
            with pytest.raises(Unsupported, match="holds no Gaussian mixture over weights"):
                read(name, points)
    one = placed("diag", NEAR[:1])
    for name in ("smallest_alpha", "matched_alpha"):
        with pytest.raises(Unsupported, match="one component"):
            read(name, one)
    assert value("elbo_certified", one) == value("elbo_true", one) == value("elbo_approximate", one)
    assert value("effective_components", one) == 1
    with pytest.raises(Unsupported, match="components=21"):
        read("elbo_true", placed("diag", [NEAR[0]] * 21))
    with pytest.raises(Unsupported, match="tells no components"):
        read("effective_components", trained(hmc(HMCOptions(architecture="2-FC")), plane()))
    nothing = data(plane().problem, X[:, None], Y, Batch(torch.zeros(0, 1), torch.zeros(0)))
    with pytest.raises(Unsupported, match="no validation row"):
        read("effective_components", trained(mixture.build(MixtureOptions(**PLANE)), nothing))


def test_there_is_an_instrument_on_request_for_each_metric():
    offered = {each.name: each for each in offer_instruments()}
    assert list(offered) == list(POSTERIOR)
    assert all(each.on_request for each in offered.values())
    quantities = {each.name: each for each in offer_metrics() if each.compute is None}
    assert {name for name in quantities if not name.startswith("posterior_")} == offered.keys()  # those are added later
    assert all(each.measures == "quantity" for each in quantities.values())


def test_a_run_measures_what_it_is_asked_for(tmp_path):
    methods = ["gm-vi[components=2,noise=0.3,architecture=1-FC,activation=tanh,bias=no,prior=fixed,prior_scale=1.5]"]
    columns = ["elbo_approximate", "elbo_true", "elbo_certified", "matched_alpha", "effective_components"]
    arguments = ["run", "--methods", ",".join([*methods, "deterministic"]), "--datasets", "toy-2d", "--epochs", "30"]
    asked = ["--seeds", "1", "--threads", "1", "--metrics", ",".join(columns), "--results", str(tmp_path)]
    done = forked([*arguments, *asked], dict(os.environ))
    assert done.returncode == 0, done.stderr
    records = [json.loads(path.read_text()) for path in tmp_path.glob("trials/**/*.json")]
    mixed, point = sorted(records, key=lambda each: each["trial"]["method"]["name"], reverse=True)
    readings = mixed["readings"]
    assert readings["elbo_certified"] <= readings["elbo_true"] <= readings["elbo_approximate"]
    assert readings["elbo_true"] < readings["exact_log_evidence"]
    assert 1 <= readings["effective_components"] <= 2
    assert "smallest_alpha" not in readings
    assert point["readings"]["effective_components"] == 1
    assert "no Gaussian mixture" in point["holes"]["elbo_true"]
