"""Bounds hold on random mixtures, equal evaluations by other means, and give the numbers of a prototype."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from mixtures import KINDS, Mixture, distributions, independent_coordinates, mixture, side_by_side
from scipy.integrate import quad
from scipy.optimize import brentq, least_squares, minimize_scalar
from scipy.special import logsumexp
from tiny_problems import normal
from torch import Tensor
from torch.distributions import kl_divergence

from harness_bayes.bounds import (
    alphas,
    certified_bound,
    factor_slopes_bound,
    general_bound,
    kolchinsky_tracey_bound,
    lower_bound,
    mean_slopes_bound,
    ordered_alphas,
    overlap_bound,
    probabilistic_bound,
    smallest_alpha,
    weight_slopes_bound,
)
from harness_bayes.entropy import Estimate, bridged_error, pairs, sampled_error, weight_entropy
from harness_bayes.gaussians import Diagonal
from harness_bayes.integrals import coincide, coincident_error, integrated_error

FAR = 5  # standard errors
DIMENSIONS = (1, 2, 3, 4, 5, 7, 10, 15, 20, 35, 50, 100, 200)
DISTANCES = (0.5, 2.0, 4.0, 10.0)
SAME = dict(rel=1e-10, abs=1e-300)


def random_mixture(kind: str, count: int, m: int) -> Mixture:
    """Near to each other, far apart, or with distances that grow as in the theorems, by turns."""
    turn = KINDS.index(kind) + count + DIMENSIONS.index(m)
    return mixture(kind, count, m, (*DISTANCES, 1.5 * math.sqrt(m), 3 * math.sqrt(m))[turn % 6])


def true_error(drawn: Mixture) -> Estimate:
    """By integration where there is one, else from between the components."""
    count, m = drawn.shape
    exact = None
    if m == 1:
        exact = integrated_error(*drawn)
    elif coincide(drawn.components):
        exact = coincident_error(*drawn, largest=1 << 20)
    if exact is not None:
        return Estimate(exact, 1e-11 * exact)
    return bridged_error(*drawn, normal(len(pairs(count)), 400, m))


def bounds(drawn: Mixture) -> dict[str, float]:
    """Every bound of the error from above, by name."""
    log_weights, components = drawn
    overlaps, m = components.log_overlaps(), drawn.shape[1]
    found = {
        "Kolchinsky-Tracey": kolchinsky_tracey_bound(log_weights, overlaps),
        "overlaps": overlap_bound(log_weights, overlaps),
        "weights": weight_entropy(log_weights),
        "certified": certified_bound(log_weights, overlaps),
        "general": general_bound(log_weights, alphas(components), m),
        "general, ordered": general_bound(log_weights, ordered_alphas(components), m),
    }
    return {name: each.item() for name, each in found.items()}


def holds(error: Estimate, bound: float) -> bool:
    return error.value.item() - FAR * error.standard_error.item() <= bound * (1 + 1e-12)


# --- on 208 random mixtures -------------------------------------------------------------------------------------------

ON_RANDOM_MIXTURES = [
    pytest.mark.sampled,
    pytest.mark.parametrize("kind", KINDS),
    pytest.mark.parametrize("count", [2, 3, 4, 5]),
    pytest.mark.parametrize("m", DIMENSIONS),
]


def on_random_mixtures(test):
    for mark in ON_RANDOM_MIXTURES:
        test = mark(test)
    return test


@on_random_mixtures
def test_bounds_hold(kind, count, m):
    drawn = random_mixture(kind, count, m)
    error = true_error(drawn)
    for name, bound in bounds(drawn).items():
        assert holds(error, bound), (name, error, bound)
    least = lower_bound(*drawn).item()
    assert least * (1 - 1e-12) <= error.value.item() + FAR * error.standard_error.item()


@on_random_mixtures
def test_bounds_are_those_of_another_evaluation(kind, count, m):
    drawn = random_mixture(kind, count, m)
    found = bounds(drawn)
    log_weights = drawn.log_weights.numpy()
    overlaps = np.zeros((count, count))
    disjoint, ordered = np.full((2, count, count), np.inf)
    for k, j in itertools.permutations(range(count), 2):
        offsets, ratios = independent_coordinates(drawn, k, j)
        overlaps[k, j] = sum(map(log_overlap_by_quadrature, offsets, ratios))
        disjoint[k, j] = alpha_by_search(offsets, ratios)
        ordered[k, j] = np.linalg.norm(offsets) / (1 + math.sqrt(ratios.max()))
    assert found["Kolchinsky-Tracey"] == pytest.approx(by_pairs(log_weights, overlaps), **SAME)
    roots = (log_weights[:, None] + log_weights) / 2
    apart = ~np.eye(count, dtype=bool)
    assert found["overlaps"] == pytest.approx(np.exp(roots + overlaps)[apart].sum(), **SAME)
    assert found["weights"] == pytest.approx(-(np.exp(log_weights) * log_weights).sum(), **SAME)
    assert found["certified"] == min(found[name] for name in ("Kolchinsky-Tracey", "overlaps", "weights"))
    assert found["general"] == pytest.approx(by_grid(roots[apart], disjoint[apart], m), **SAME)
    assert found["general, ordered"] == pytest.approx(by_grid(roots[apart], ordered[apart], m), **SAME)
    each = distributions(drawn)
    divergence = np.array([[kl_divergence(one, other).item() for other in each] for one in each])
    assert lower_bound(*drawn).item() == pytest.approx(by_pairs(log_weights, -divergence), **SAME)


def log_overlap_by_quadrature(offset: float, ratio: float) -> float:
    """Of N(0, 1) and N(offset, ratio), with its digits however small: the largest value is taken out."""

    def log_root(x: float) -> float:
        return -(x**2 + (x - offset) ** 2 / ratio) / 4 - math.log(ratio) / 4 - math.log(2 * math.pi) / 2

    middle, width = offset / (1 + ratio), math.sqrt(2 * ratio / (1 + ratio))
    top = log_root(middle)
    area = quad(lambda x: math.exp(log_root(middle + width * x) - top), -9, 9, epsabs=0, epsrel=1e-13)[0]
    return top + math.log(width * area)


def alpha_by_search(offsets: np.ndarray, ratios: np.ndarray) -> float:
    """By Brent's method."""
    negative = lambda t: -(t * (1 - t) * offsets**2 / (1 - t + t * ratios)).sum()  # noqa: E731
    return math.sqrt(-minimize_scalar(negative, bounds=(0, 1), method="bounded", options={"xatol": 1e-12}).fun)


def by_pairs(log_weights: np.ndarray, log_affinities: np.ndarray) -> float:
    total = 0.0
    for k, own in enumerate(log_weights):
        others = np.delete(log_weights + log_affinities[k], k)
        total += math.exp(own) * np.logaddexp(0, logsumexp(others - own))
    return total


def by_grid(log_roots: np.ndarray, found: np.ndarray, m: int) -> float:
    """Theorem 1 by the best s of a grid, and of a finer one around it."""

    def log_bound(rest: np.ndarray) -> np.ndarray:  # rest = 1 - s
        return logsumexp(log_roots - (1 - rest[:, None]) * found**2 / 4, axis=1) - m / 4 * np.log(rest)

    low, high = -40.0, 0.0
    for _ in range(6):
        grid = np.exp(np.linspace(low, high, 401))
        values = log_bound(grid)
        best = values.argmin()
        low, high = np.log(grid[[max(best - 1, 0), min(best + 1, 400)]])
    return 2 * math.exp(values.min())


@pytest.mark.parametrize("kind", KINDS)
def test_what_identical_components_attain_is_tight_and_half_of_it_too_little(kind):
    one = mixture(kind, 1, 3, 0.0).components
    log_weights = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64).log()
    same = Mixture(log_weights, type(one)(one.means.expand(3, 3), one[1].expand(3, *one[1].shape[1:])))
    error = Estimate(coincident_error(*same), torch.zeros(()))
    assert error.value.item() == pytest.approx(weight_entropy(log_weights).item(), rel=1e-11)
    for name in ("Kolchinsky-Tracey", "weights", "certified"):
        bound = bounds(same)[name]
        assert bound == pytest.approx(error.value.item(), rel=1e-11)
        assert holds(error, bound * (1 + 1e-11))
        assert not holds(error, bound / 2)
    assert lower_bound(*same).item() == pytest.approx(error.value.item(), rel=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_bounds_of_mixtures_side_by_side_are_each_as_alone(kind):
    alone = [mixture(kind, 3, 4, 3.0, seed) for seed in (0, 1)]
    for measure in (
        lambda each: certified_bound(each.log_weights, each.components.log_overlaps()),
        lambda each: lower_bound(*each),
        lambda each: ordered_alphas(each.components),
        lambda each: general_bound(each.log_weights, alphas(each.components), 4),
        lambda each: mean_slopes_bound(*each, alphas(each.components)),
        lambda each: weight_slopes_bound(each.log_weights, alphas(each.components), 4),
    ):
        expected = torch.stack([measure(each) for each in alone])
        torch.testing.assert_close(measure(side_by_side(alone)), expected, rtol=1e-12, atol=1e-14)


def test_one_component_errs_by_nothing():
    assert set(bounds(mixture("diag", 1, 3, 1.0)).values()) == {0.0}


def test_what_is_certified_can_be_descended_in_float32_from_components_that_are_the_same():
    means = torch.zeros(2, 3, 5, requires_grad=True)
    deviations = torch.ones(2, 3, 5, requires_grad=True)
    log_weights = torch.zeros(2, 3, requires_grad=True)
    overlaps = Diagonal(means, deviations).log_overlaps()
    kolchinsky_tracey_bound(log_weights.log_softmax(-1), overlaps).sum().backward()
    for leaf in (means, deviations, log_weights):
        assert leaf.grad.isfinite().all()


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_bounds_and_errors_on_a_gpu_are_those_on_the_cpu(kind):
    drawn = mixture(kind, 3, 4, 3.0)
    there = Mixture(drawn.log_weights.cuda(), type(drawn.components)(*(each.cuda() for each in drawn.components)))
    assert bounds(there) == pytest.approx(bounds(drawn), rel=1e-9, abs=0)
    assert lower_bound(*there).item() == pytest.approx(lower_bound(*drawn).item(), rel=1e-9, abs=0)
    for found, expected in zip(by_every_s(there), by_every_s(drawn), strict=True):
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-9, atol=0)
    noise = normal(3, 50, 4)
    for estimate in (bridged_error, lambda *each: sampled_error(*each[:2], each[1].place(each[2]))):
        found, expected = estimate(*there, noise.cuda()), estimate(*drawn, noise)
        torch.testing.assert_close(found.value.cpu(), expected.value, rtol=1e-9, atol=0)
    for kind_, count, error in (("tied", 3, coincident_error), (kind, 1, integrated_error)):
        drawn = mixture(kind_, 3, count, 2.0)
        there = drawn.log_weights.cuda(), type(drawn.components)(*(each.cuda() for each in drawn.components))
        assert error(*there).item() == pytest.approx(error(*drawn).item(), rel=1e-9, abs=0)


# --- alpha ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_alpha_of_a_pair_is_no_less_than_the_ordered_ones(kind):
    drawn = mixture(kind, 4, 6, 3.0)
    ordered, found = ordered_alphas(drawn.components), alphas(drawn.components)
    torch.testing.assert_close(found, found.mT, rtol=1e-12, atol=0)
    assert (torch.maximum(ordered, ordered.mT) <= found * (1 + 1e-12)).all()
    assert smallest_alpha(found) == min(found[k, j] for k, j in itertools.permutations(range(4), 2))


def test_with_coincident_covariances_both_are_half_the_distance():
    drawn = mixture("tied", 3, 6, 3.0)
    seen = drawn.components.means / drawn.components.deviations
    expected = (torch.cdist(seen, seen) / 2).fill_diagonal_(math.inf)
    for found in (ordered_alphas(drawn.components), alphas(drawn.components)):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_at_alpha_the_two_balls_touch(kind):
    """The least over all points of the larger of both distances, by walking along the curve of equal distances."""
    drawn = mixture(kind, 2, 2, 3.0)
    inverses = [torch.linalg.inv(each.covariance_matrix).numpy() for each in distributions(drawn)]
    mine, other = drawn.components.means.numpy()

    def larger(angle: float) -> float:
        """On the ray from the first mean at this angle, where both distances are equal; else far."""
        ray = np.array([math.cos(angle), math.sin(angle)])
        own = lambda r: r * math.sqrt(ray @ inverses[0] @ ray)  # noqa: E731
        theirs = lambda r: math.sqrt((mine + r * ray - other) @ inverses[1] @ (mine + r * ray - other))  # noqa: E731
        grid = np.linspace(0, 20, 2001)
        beyond = [r for r in grid if own(r) >= theirs(r)]
        return own(brentq(lambda r: own(r) - theirs(r), 0, beyond[0])) if beyond else math.inf

    towards = math.atan2(*(other - mine)[::-1])
    least = minimize_scalar(larger, bounds=(towards - 1, towards + 1), method="bounded", options={"xatol": 1e-10})
    assert alphas(drawn.components)[0, 1].item() == pytest.approx(least.fun, rel=1e-8)


# --- numbers that were measured before --------------------------------------------------------------------------------


def two(m: int, alpha: float, weight: float) -> Mixture:
    """Two components of covariance I."""
    means = torch.zeros(2, m, dtype=torch.float64)
    means[1, 0] = 2 * alpha
    return Mixture(
        torch.tensor([weight, 1 - weight], dtype=torch.float64).log(), Diagonal(means, torch.ones(1, m).double())
    )


def weight_of(entropy: float) -> float:
    """The smaller of two weights of this entropy in nats."""
    return brentq(lambda p: -p * math.log(p) - (1 - p) * math.log1p(-p) - entropy, 1e-9, 0.5)


@pytest.mark.parametrize(
    ("m", "shown"),
    [
        (1, "error=1.786e-1 lower=3.3e-2 kt=2.84e-1 bc=3.46e-1 general=1.54 entropy=.503 alpha=1.30"),
        (10, "error=6.41e-4 lower=1.9e-11 kt=2.08e-3 bc=2.08e-3 general=1.88 entropy=.692 alpha=3.51"),
    ],
)
def test_two_components_with_one_covariance_give_the_numbers_of_the_prototype(m, shown):
    """Alpha and weights are known to three digits: some within these give every number as it was printed."""
    printed = dict(each.split("=") for each in shown.split())
    values = np.array([float(each) for each in printed.values()])
    half = np.array([10.0 ** -len(each.partition("e")[0].partition(".")[2]) for each in printed.values()]) / 2
    half *= [10.0 ** float(each.partition("e")[2] or 0) for each in printed.values()]

    def off(unknown: np.ndarray) -> np.ndarray:
        """In halves of the last digit."""
        alpha, entropy = unknown
        drawn = two(m, alpha, weight_of(min(entropy, math.log(2) - 1e-12)))
        overlaps = drawn.components.log_overlaps()
        found = [
            coincident_error(*drawn),
            lower_bound(*drawn),
            kolchinsky_tracey_bound(drawn.log_weights, overlaps),
            overlap_bound(drawn.log_weights, overlaps),
            general_bound(drawn.log_weights, alphas(drawn.components), m),
            weight_entropy(drawn.log_weights),
            smallest_alpha(alphas(drawn.components)),
        ]
        return (np.array([each.item() for each in found]) - values) / half

    best = least_squares(
        off, [float(printed["alpha"]), float(printed["entropy"])], diff_step=1e-5, x_scale=half[[6, 5]]
    )
    assert np.abs(best.fun).max() <= 1.05, dict(zip(printed, best.fun, strict=True))


def test_two_components_with_full_covariances_give_the_numbers_of_the_prototype():
    """Its entropy of weights .587, overlap bound 1.15e-3 and alphas 3.73 and 2.93 determine the other bounds."""
    weight = weight_of(0.587)
    log_weights = torch.tensor([weight, 1 - weight], dtype=torch.float64).log()
    overlap = math.log(1.15e-3 / (2 * math.sqrt(weight * (1 - weight))))
    overlaps = torch.tensor([[0.0, overlap], [overlap, 0.0]], dtype=torch.float64)
    assert overlap_bound(log_weights, overlaps).item() == pytest.approx(1.15e-3, rel=1e-12)
    assert kolchinsky_tracey_bound(log_weights, overlaps).item() == pytest.approx(1.29e-3, abs=0.01e-3)

    def general(alpha: float, other: float) -> float:
        found = torch.tensor([[math.inf, alpha], [other, math.inf]], dtype=torch.float64)
        return general_bound(log_weights, found, 2).item()

    assert general(3.73, 3.73) == pytest.approx(0.240, rel=0.01)
    assert general(3.73, 2.93) < 0.484 < general(2.93, 2.93)  # of the ordered alphas the larger one is not known


@pytest.mark.parametrize(
    ("c", "m", "digits", "expected"),
    [(2, 10, 3, 70.7), (2, 20, 3, 12.5), (2, 50, 2, 0.069), (2, 100, 2, 1.2e-5), (1.2, 200, 2, 40)],
)
def test_the_probabilistic_bound_gives_the_numbers_of_the_prototype(c, m, digits, expected):
    assert float(f"{probabilistic_bound(3, m, c, 0.01):.{digits}g}") == expected
    grid = [probabilistic_bound(3, m, c, 0.01, s) for s in np.linspace(0, 0.999, 100_000)]
    assert probabilistic_bound(3, m, c, 0.01) == pytest.approx(min(grid), rel=1e-6, abs=0)


@pytest.mark.parametrize("c", [0.0, 0.5, 1.0])
def test_means_that_are_no_farther_apart_than_their_deviations_have_no_probabilistic_bound(c):
    assert {probabilistic_bound(3, m, c, 0.01) for m in (1, 100)} == {400.0}


def test_the_probabilistic_bound_holds_over_draws_of_the_means():
    """Where it says something: c = 2, m = 60. At m = 10 the share is .02, of a bound of 70.7."""
    shares = {}
    for m in (10, 60):
        means = 2 * math.sqrt(2) * normal(400, 3, m)
        log_weights = torch.full((400, 3), -math.log(3), dtype=torch.float64)
        components = Diagonal(means, torch.ones(1, 1, dtype=torch.float64))
        errors = bridged_error(log_weights, components, normal(3, 100, m)).value
        shares[m] = (errors >= 0.01).double().mean().item()
    assert 0 < shares[10] < 0.1
    assert shares[60] <= probabilistic_bound(3, 60, 2, 0.01) < 0.02


# --- derivatives ------------------------------------------------------------------------------------------------------


def by_every_s(drawn: Mixture) -> list[Tensor]:
    """The three bounds of derivatives, at their best s."""
    found = alphas(drawn.components)
    return [
        mean_slopes_bound(*drawn, found),
        factor_slopes_bound(*drawn, found),
        weight_slopes_bound(drawn.log_weights, found, drawn.shape[1]),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_bounds_of_derivatives_are_the_sums_of_the_theorem(kind):
    """Written out for each k, by the best of a grid of s."""
    drawn = mixture(kind, 3, 4, 8.0)
    (count, m), pi, found = drawn.shape, drawn.weights.numpy(), alphas(drawn.components).numpy()
    norms = np.stack([torch.linalg.inv(each.scale_tril).norm(dim=0).numpy() for each in distributions(drawn)])
    grid = np.linspace(0, 0.9999, 20_001)
    by_mean, by_factor, by_weight = (each.numpy() for each in by_every_s(drawn))
    for k, p in itertools.product(range(count), range(m)):
        others = [j for j in range(count) if j != k]
        falls = np.exp(-grid[:, None] * found[k, others] ** 2 / 4)
        moved = (np.sqrt(pi[k] * pi[others]) * (norms[k, p] + norms[others, p]) * falls).sum(-1)
        assert by_mean[k, p] == pytest.approx(((1 - grid) ** (-(m + 2) / 4) * moved).min(), rel=1e-6, abs=0)
        expected = math.sqrt(3) * ((1 - grid) ** (-(m + 4) / 4) * moved).min()
        assert by_factor[k, p] == pytest.approx(expected, rel=1e-6, abs=0)
        weighed = (np.sqrt(pi[others] / pi[k]) * falls).sum(-1)
        assert by_weight[k] == pytest.approx((2 * (1 - grid) ** (-m / 4) * weighed).min(), rel=1e-6, abs=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("distance", [0.5, 2.0, 6.0])
def test_derivatives_of_the_entropy_over_the_line_keep_their_bounds(kind, distance):
    """Exact ones, by autograd through an integral of -q log q."""
    drawn = mixture(kind, 3, 1, distance)
    weights, means = drawn.weights.clone().requires_grad_(), drawn.components.means.clone().requires_grad_()
    deviations = drawn.components.spread.reshape(3, 1).clone().requires_grad_()
    w = torch.linspace(-60, 60, 60_001, dtype=torch.float64)
    q = (weights[:, None] * torch.distributions.Normal(means, deviations).log_prob(w).exp()).sum(0)
    entropy = -(q * q.clamp(min=1e-300).log()).sum() * (w[1] - w[0])
    unimodal = torch.distributions.Normal(means, deviations).entropy()[:, 0]
    (entropy - (weights * (unimodal - weights.log())).sum()).backward()
    for leaf, bound in zip((means, deviations, weights), by_every_s(drawn), strict=True):
        assert (leaf.grad.abs() <= bound).all()
        assert (leaf.grad.abs() > 0).all()


@pytest.mark.sampled
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("m", [2, 5, 10, 50])
def test_derivatives_of_the_error_keep_their_bounds_in_many_dimensions(kind, count, m):
    """Means over draws of exact slopes, with their standard errors; near components, where they are largest."""
    drawn = mixture(kind, count, m, 2.0)
    make = type(drawn.components)
    found = []
    for seed in range(20):
        leaves = [each.clone().requires_grad_() for each in (drawn.weights, drawn.components.means)]
        spread = drawn.components.spread.clone().requires_grad_()
        components = make(leaves[1], spread)
        points = components.place(normal(count, 200, m, seed=seed))
        sampled_error(leaves[0].log(), components, points).value.backward()
        found.append([leaves[1].grad, spread.grad, leaves[0].grad])
    by_mean, by_factor, by_weight = by_every_s(drawn)
    by_factor = by_factor[..., None] if kind == "full" else by_factor
    for slopes, bound in zip(zip(*found, strict=True), (by_mean, by_factor, by_weight), strict=True):
        each = torch.stack(slopes)
        uncertain = each.std(0) / math.sqrt(len(each))
        assert (each.mean(0).abs() - FAR * uncertain <= bound).all()


@pytest.mark.parametrize("m", [10, 200])
def test_derivatives_keep_their_bounds_where_these_are_small(m):
    """Two components with one covariance: the error depends on their distance alone, by which it is differentiated."""
    alpha = 2 * math.sqrt(m)
    drawn = two(m, alpha, 0.3)
    step = 1e-4
    ends = [coincident_error(*two(m, alpha + sign * step, 0.3)).item() for sign in (1, -1)]
    slope = (ends[0] - ends[1]) / (4 * step)  # alpha is half the distance
    bound = mean_slopes_bound(*drawn, alphas(drawn.components))[:, 0]
    assert (0 < abs(slope) <= bound).all()
    assert (bound < 0.1).all()
