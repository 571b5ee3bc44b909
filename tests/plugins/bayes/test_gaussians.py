"""Components of mixtures beside torch.distributions, quadrature and matrices written out."""

from __future__ import annotations

import math

import pytest
import torch
from mixtures import KINDS, distributions, factors, mixture, side_by_side
from scipy.integrate import quad
from tiny_problems import normal
from torch.autograd import gradcheck
from torch.autograd.graph import saved_tensors_hooks
from torch.distributions import kl_divergence

from harness_bayes.gaussians import Diagonal, Full, divergences, log_densities, squared_distances

PLACES = range(3)
EXACT = dict(rtol=1e-12, atol=1e-12)


@pytest.fixture(params=KINDS)
def drawn(request):
    return mixture(request.param, 3, 4, 3.0)


@pytest.fixture
def points():
    return 2 * normal(7, 4, seed=1)


def test_densities_are_those_of_torch(drawn, points):
    expected = torch.stack([each.log_prob(points) for each in distributions(drawn)], -1)
    torch.testing.assert_close(log_densities(drawn.components, points), expected, **EXACT)


def test_distances_are_those_of_the_inverse_covariances(drawn, points):
    inverses = [torch.linalg.inv(each @ each.T) for each in factors(drawn)]
    away = [points - mean for mean in drawn.components.means]
    expected = torch.stack([(x @ inverse * x).sum(-1) for x, inverse in zip(away, inverses, strict=True)], -1)
    torch.testing.assert_close(squared_distances(drawn.components, points), expected, **EXACT)


def test_divergences_are_those_of_torch(drawn):
    each = distributions(drawn)
    expected = torch.stack([torch.stack([kl_divergence(one, other) for other in each]) for one in each])
    torch.testing.assert_close(divergences(drawn.components), expected, **EXACT)


def test_scales_and_row_norms_are_those_of_the_matrices(drawn):
    matrices = factors(drawn)
    torch.testing.assert_close(drawn.components.log_scales(), matrices.logdet(), **EXACT)
    torch.testing.assert_close(drawn.components.row_norms(), torch.linalg.inv(matrices).mT.norm(dim=-1), **EXACT)


def test_draws_are_affine_images_of_the_noise(drawn):
    noise = normal(3, 5, 4, seed=2)
    placed = zip(factors(drawn), noise, drawn.components.means, strict=True)
    expected = torch.stack([(factor @ z.T).T + mean for factor, z, mean in placed])
    torch.testing.assert_close(drawn.components.place(noise), expected, **EXACT)


def test_overlaps_are_integrals_of_the_geometric_mean_of_two_densities():
    drawn = mixture("diag", 3, 1, 2.0)
    means, deviations = (each.flatten().tolist() for each in drawn.components)

    def root_density(w: float, k: int) -> float:
        return math.exp(-(((w - means[k]) / deviations[k]) ** 2) / 4) / math.sqrt(
            deviations[k] * math.sqrt(2 * math.pi)
        )

    expected = [[quad(lambda w: root_density(w, k) * root_density(w, j), -30, 30)[0] for j in PLACES] for k in PLACES]  # noqa: B023
    torch.testing.assert_close(
        drawn.components.log_overlaps().exp(), torch.tensor(expected, dtype=torch.float64), **EXACT
    )


def test_overlaps_of_matrices_that_are_diagonal_are_those_of_their_deviations():
    drawn = mixture("diag", 4, 6, 2.0)
    full = Full(drawn.components.means, drawn.components.deviations.diag_embed())
    torch.testing.assert_close(full.log_overlaps(), drawn.components.log_overlaps(), **EXACT)


def test_points_between_two_components_have_the_density_of_their_geometric_mean(drawn):
    at = torch.cat([torch.zeros(1, 4), torch.eye(4)]).double()
    mean, *ends = drawn.components.between(0, 2, at)
    columns = torch.stack(ends, -1) - mean[:, None]
    precisions = [torch.linalg.inv(each @ each.T) for each in factors(drawn)[[0, 2]]]
    pulls = [precision @ centre for precision, centre in zip(precisions, drawn.components.means[[0, 2]], strict=True)]
    covariance = torch.linalg.inv(sum(precisions) / 2)
    torch.testing.assert_close(columns @ columns.T, covariance, **EXACT)
    torch.testing.assert_close(mean, covariance @ sum(pulls) / 2, **EXACT)


@pytest.mark.parametrize("kind", KINDS)
def test_slopes_of_overlaps_are_those_of_finite_differences(kind):
    several = side_by_side([mixture(kind, 3, 2, 1.5, seed) for seed in (0, 1)])
    leaves = [each.clone().requires_grad_() for each in several.components]
    assert gradcheck(lambda *each: type(several.components)(*each).log_overlaps(), leaves)


def test_components_that_are_the_same_overlap_wholly_and_pull_nowhere():
    for make, shape in ((Diagonal, (3, 5)), (Full, (3, 5, 5))):
        spread = torch.full(shape, 0.7, dtype=torch.float64)
        leaves = [torch.ones(3, 5, dtype=torch.float64), spread if make is Diagonal else spread.tril()]
        means, spread = (each.requires_grad_() for each in leaves)
        overlaps = make(means, spread).log_overlaps()
        overlaps.sum().backward()
        torch.testing.assert_close(overlaps, torch.zeros(3, 3).double(), **EXACT)
        torch.testing.assert_close(means.grad, torch.zeros_like(means), **EXACT)
        torch.testing.assert_close(spread.grad, torch.zeros_like(spread), **EXACT)


@pytest.mark.parametrize("kind", ["diag", "tied", "isotropic"])
def test_no_backward_pass_keeps_numbers_of_pairs(kind):
    kept = []
    drawn = mixture(kind, 6, 50, 2.0).components
    means, deviations = (each.clone().requires_grad_() for each in drawn)
    with saved_tensors_hooks(lambda each: kept.append(each.numel()) or each, lambda each: each):
        Diagonal(means, deviations).log_overlaps()
    assert sum(kept) <= 2 * means.numel()


@pytest.mark.parametrize("kind", KINDS)
def test_mixtures_side_by_side_are_each_as_alone(kind, points):
    alone = [mixture(kind, 3, 4, 3.0, seed) for seed in (0, 1)]
    together = side_by_side(alone).components
    for measure in (
        lambda each: each.log_overlaps(),
        lambda each: each.between(0, 1, points),
        lambda each: each.place(points.expand(3, 7, 4)),
        divergences,
        lambda each: log_densities(each, points),
    ):
        expected = torch.stack([measure(each.components) for each in alone])
        torch.testing.assert_close(measure(together), expected, **EXACT)


@pytest.mark.parametrize("kind", KINDS)
def test_precision_stays_what_it_was(kind, points):
    drawn = mixture(kind, 3, 4, 3.0).components
    single = type(drawn)(*(each.float() for each in drawn))
    for found in (single.log_overlaps(), divergences(single), log_densities(single, points.float())):
        assert found.dtype == torch.float32
