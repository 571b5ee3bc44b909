"""The approximate entropy and its error by draws, by bridges and by integrals, beside each other and quadrature."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from mixtures import KINDS, Mixture, distributions, mixture, side_by_side
from scipy.integrate import quad
from tiny_problems import normal
from torch import Tensor
from torch.autograd import gradcheck

from harness_bayes.entropy import (
    approximate_entropy,
    bridged_error,
    estimate_stratified,
    log_of_one_more,
    log_of_others,
    pairs,
    sampled_error,
    weight_entropy,
)
from harness_bayes.gaussians import Diagonal, Full
from harness_bayes.integrals import coincide, coincident_error, integrated_error

FAR = 5  # standard errors


def sampled(drawn: Mixture, draws: int, seed: int = 0):
    count, m = drawn.shape
    return sampled_error(*drawn, drawn.components.place(normal(count, draws, m, seed=seed)))


def bridged(drawn: Mixture, draws: int, seed: int = 0):
    count, m = drawn.shape
    return bridged_error(*drawn, normal(len(pairs(count)), draws, m, seed=seed))


def two_apart(d: float, weights: tuple[float, float] = (0.3, 0.7)) -> Mixture:
    means = torch.tensor([[0.0], [d]], dtype=torch.float64)
    return Mixture(torch.tensor(weights, dtype=torch.float64).log(), Diagonal(means, torch.ones(1, 1).double()))


def entropy_by_quadrature(drawn: Mixture) -> float:
    """H of a mixture over R, by scipy."""
    weights, each = drawn.weights.tolist(), drawn.components.means.flatten().tolist()
    deviations = drawn.components.spread.flatten().tolist()

    def integrand(w: float) -> float:
        heights = zip(weights, each, deviations, strict=True)
        q = sum(pi * math.exp(-(((w - mu) / s) ** 2) / 2) / (s * math.sqrt(2 * math.pi)) for pi, mu, s in heights)
        return -q * math.log(q) if q > 0 else 0.0

    edges = np.linspace(-40, 40, 81)
    return sum(quad(integrand, low, high, epsabs=1e-14)[0] for low, high in itertools.pairwise(edges))


# --- H~ ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_of_one_component_it_is_the_entropy(kind):
    drawn = mixture(kind, 1, 5, 2.0)
    (only,) = distributions(drawn)
    assert approximate_entropy(*drawn).item() == pytest.approx(only.entropy().item(), rel=1e-13)
    assert sampled(drawn, 3).value.item() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_it_moves_with_weights_and_deviations_and_not_with_means(kind):
    drawn = mixture(kind, 3, 4, 2.0)
    means, spread = (each.clone().requires_grad_() for each in drawn.components)
    weights = drawn.weights.clone().requires_grad_()
    approximate_entropy(weights.log(), type(drawn.components)(means, spread)).backward()
    assert means.grad is None or not means.grad.any()
    entropies = torch.stack([each.entropy() for each in distributions(drawn)])
    torch.testing.assert_close(weights.grad, entropies - drawn.log_weights - 1, rtol=1e-12, atol=1e-12)
    if kind == "diag":
        torch.testing.assert_close(spread.grad, drawn.weights[:, None] / spread.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_sum_of_unimodal_entropies(kind):
    drawn = mixture(kind, 3, 4, 2.0)
    entropies = torch.stack([each.entropy() for each in distributions(drawn)])
    expected = (drawn.weights * entropies).sum() + torch.distributions.Categorical(drawn.weights).entropy()
    assert approximate_entropy(*drawn).item() == pytest.approx(expected.item(), rel=1e-13)


# --- its error --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("distance", [0.5, 2.0, 6.0])
def test_the_integral_over_the_line_is_what_is_missing(kind, distance):
    drawn = mixture(kind, 3, 1, distance)
    error = approximate_entropy(*drawn) - entropy_by_quadrature(drawn)
    assert integrated_error(*drawn).item() == pytest.approx(error.item(), rel=1e-10, abs=1e-11)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("m", [2, 5])
def test_draws_tell_what_is_missing(kind, m):
    drawn = mixture(kind, 3, m, 2.0)
    found = sampled(drawn, 20_000)
    family = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(drawn.weights),
        torch.distributions.MultivariateNormal(
            drawn.components.means, scale_tril=torch.stack([each.scale_tril for each in distributions(drawn)])
        ),
    )
    torch.manual_seed(3)
    surprise = -family.log_prob(family.sample((40_000,)))
    entropy, uncertain = surprise.mean(), surprise.std() / math.sqrt(len(surprise))
    error = approximate_entropy(*drawn) - entropy
    assert abs(found.value - error) < FAR * math.hypot(found.standard_error, uncertain)
    assert found.standard_error < uncertain


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("distance", [0.5, 2.0, 12.0])
def test_bridges_tell_the_integral_however_small(kind, distance):
    drawn = mixture(kind, 3, 1, distance)
    exact, found = integrated_error(*drawn).item(), bridged(drawn, 20_000)
    assert abs(found.value.item() - exact) < FAR * found.standard_error.item()
    assert found.standard_error.item() < 0.02 * exact


@pytest.mark.parametrize("kind", KINDS)
def test_bridges_and_draws_tell_the_same_in_many_dimensions(kind):
    drawn = mixture(kind, 4, 30, 3.0)
    one, other = sampled(drawn, 10_000), bridged(drawn, 2_000)
    assert abs(one.value - other.value) < FAR * math.hypot(one.standard_error, other.standard_error)
    assert 0 < other.standard_error < one.standard_error


def test_the_standard_error_is_the_spread_over_repetitions():
    drawn = mixture("diag", 3, 4, 2.0)
    for estimate in (sampled, bridged):
        found = [estimate(drawn, 200, seed) for seed in range(200)]
        spread = torch.stack([each.value for each in found]).std()
        said = torch.stack([each.standard_error for each in found]).mean()
        assert said.item() == pytest.approx(spread.item(), rel=0.2)


@pytest.mark.parametrize("kind", KINDS)
def test_components_that_are_the_same_err_by_the_entropy_of_the_weights(kind):
    one = mixture(kind, 1, 3, 0.0).components
    log_weights = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64).log()
    same = Mixture(log_weights, type(one)(one.means.expand(3, 3), one[1].expand(3, *one[1].shape[1:])))
    for found in (sampled(same, 4).value, bridged(same, 4).value, coincident_error(*same)):
        assert found.item() == pytest.approx(weight_entropy(log_weights).item(), rel=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_slopes_of_draws_are_those_of_finite_differences(kind):
    drawn, noise = mixture(kind, 3, 2, 1.5), normal(3, 5, 2)

    def error(log_weights: Tensor, means: Tensor, spread: Tensor) -> Tensor:
        components = type(drawn.components)(means, spread)
        return sampled_error(log_weights, components, components.place(noise)).value

    assert gradcheck(error, [each.clone().requires_grad_() for each in (drawn.log_weights, *drawn.components)])


@pytest.mark.parametrize("kind", KINDS)
def test_mixtures_side_by_side_are_each_as_alone(kind):
    alone = [mixture(kind, 3, 4, 3.0, seed) for seed in (0, 1)]
    together = side_by_side(alone)
    noise = normal(3, 6, 4)
    for estimate in (
        lambda each: sampled_error(*each, each.components.place(noise.expand(*each.log_weights.shape, 6, 4))),
        lambda each: bridged_error(*each, noise),
    ):
        found, expected = estimate(together), [estimate(each) for each in alone]
        for field in found._fields:
            stacked = torch.stack([getattr(each, field) for each in expected])
            torch.testing.assert_close(getattr(found, field), stacked, rtol=1e-12, atol=1e-14)


# --- coincident covariances -------------------------------------------------------------------------------------------


def by_hermite(drawn: Mixture, nodes: int) -> float:
    """The theorem as it is written: for each k an integral over K - 1 dimensions, by Gauss and Hermite."""
    count, weights = drawn.shape[0], drawn.weights.numpy()
    points, masses = np.polynomial.hermite_e.hermegauss(nodes)
    grid = np.stack(np.meshgrid(*[points] * (count - 1), indexing="ij"), -1).reshape(-1, count - 1)
    mass = math.prod(np.meshgrid(*[masses / masses.sum()] * (count - 1), indexing="ij")).ravel()
    inverse = np.linalg.inv(distributions(drawn)[0].scale_tril.numpy())
    seen = drawn.components.means.numpy() @ inverse.T
    total = 0.0
    for k in range(count):
        u = np.linalg.qr((seen[k] - np.delete(seen, k, 0)).T).R  # columns
        exponents = grid @ u - (u**2).sum(0) / 2
        total += weights[k] * mass @ np.log1p(np.exp(exponents) @ (np.delete(weights, k) / weights[k]))
    return total


@pytest.mark.parametrize(
    ("count", "m", "distance", "nodes"),
    [(2, 1, 2.0, 200), (2, 7, 4.0, 240), (3, 2, 1.0, 100), (3, 30, 2.5, 200), (4, 3, 1.0, 60)],
)
def test_the_lattice_is_gauss_and_hermites_rule_of_the_theorem(count, m, distance, nodes):
    for seed in range(2):
        drawn = mixture("tied", count, m, distance, seed)
        assert coincident_error(*drawn).item() == pytest.approx(by_hermite(drawn, nodes), rel=1e-9, abs=0)


@pytest.mark.parametrize("d", [0.0, 1e-3, 0.7, 2.6, 7.0, 16.0, 33.6])
def test_errors_of_two_keep_their_digits_at_any_distance(d):
    drawn, (few, many) = two_apart(d), (0.3, 0.7)

    def integrand(x: float) -> float:  # around the middle, times exp(d^2 / 8)
        half = math.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
        mine = few * math.exp(-x * d / 2) * np.logaddexp(0, x * d + math.log(many / few))
        return half * (mine + many * math.exp(x * d / 2) * np.logaddexp(0, -x * d + math.log(few / many)))

    edges = np.linspace(-12, 12, 49)
    total = sum(quad(integrand, low, high, epsrel=1e-13)[0] for low, high in itertools.pairwise(edges))
    expected = total * math.exp(-(d**2) / 8)
    assert coincident_error(*drawn).item() == pytest.approx(expected, rel=1e-10, abs=0)
    assert integrated_error(*drawn).item() == pytest.approx(expected, rel=1e-10, abs=0)


def test_it_depends_on_distances_in_deviations_alone():
    narrow = mixture("tied", 3, 2, 2.0)
    means = torch.cat([narrow.components.means, torch.zeros(3, 4).double()], -1)
    turn = torch.linalg.qr(normal(6, 6)).Q
    factor = torch.linalg.cholesky((turn * torch.cat([narrow.components.deviations[0], torch.ones(4)]) ** 2) @ turn.T)
    wide = Mixture(narrow.log_weights, Full(means @ turn.T + 5, factor[None]))
    assert coincide(wide.components)
    assert coincident_error(*wide).item() == pytest.approx(coincident_error(*narrow).item(), rel=1e-11, abs=0)


def test_bridges_agree_with_the_lattice_in_a_hundred_dimensions():
    drawn = mixture("tied", 3, 100, 14.0)
    exact, found = coincident_error(*drawn).item(), bridged(drawn, 5_000)
    assert exact < 1e-6
    assert abs(found.value.item() - exact) < FAR * found.standard_error.item() < 0.2 * exact


def test_the_lattice_reaches_every_pair_that_counts():
    """Of which the second one adds 7 % to an error of 1e-21, twenty deviations away from the first."""
    means = torch.tensor([[0.0], [20.0], [40.5]], dtype=torch.float64)
    row = Mixture(torch.full((3,), -math.log(3), dtype=torch.float64), Diagonal(means, torch.ones_like(means)))
    assert coincident_error(*row).item() == pytest.approx(integrated_error(*row).item(), rel=1e-10, abs=0)


def test_a_lattice_of_too_many_nodes_is_not_begun():
    assert coincident_error(*mixture("tied", 4, 8, 5.0), largest=100) is None


@pytest.mark.parametrize(("kind", "expected"), [("tied", True), ("diag", False), ("isotropic", False), ("full", False)])
def test_whether_covariances_coincide(kind, expected):
    assert coincide(mixture(kind, 3, 2, 1.0).components) is expected


# --- logarithms -------------------------------------------------------------------------------------------------------


def test_what_is_left_out_is_what_the_others_sum_to():
    logits = normal(4, 3)
    expected = torch.stack([logits.exp().sum(-1) - logits[:, k].exp() for k in range(3)], -1).log()
    torch.testing.assert_close(log_of_others(logits), expected, rtol=1e-12, atol=1e-12)


def test_logarithms_of_one_more_keep_their_digits():
    x = torch.tensor([-700.0, -40.0, 0.0, 22.0, 800.0], dtype=torch.float64)
    expected = [math.exp(-700), math.exp(-40), math.log(2), 22 + math.exp(-22), 800.0]
    torch.testing.assert_close(log_of_one_more(x), torch.tensor(expected, dtype=torch.float64), rtol=1e-15, atol=0)


@pytest.mark.filterwarnings("error")
def test_a_single_draw_has_no_standard_error_and_no_warning():
    values = torch.tensor([[1.0, 4.0, 2.5], [0.0, 3.0, 7.0]], dtype=torch.float64)
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
    found = estimate_stratified(weights, values)
    expected = (weights.square() * values.var(1) / 3).sum().sqrt()
    assert float(found.standard_error) == pytest.approx(float(expected))
    alone = estimate_stratified(weights, values[:, :1])
    assert float(alone.value) == pytest.approx(0.3)
    assert alone.standard_error.isnan()
