"""The hidden state is reconstructed by the regression on kept nodes, and its loss is the residual."""

from __future__ import annotations

import pytest
import torch
from hidden import covariance, readers
from tiny_problems import normal

from harness_recurrent.reconstruction import cholesky, error, losses, matrix, residual, selector

NODES = [7, 2, 11, 0]


def states(rows=60, m=12):
    return (normal(rows, m) @ normal(m, m, seed=1)).relu()


def penalty(m=12):
    return normal(m, seed=3).abs() + 0.01


def test_it_is_the_regression_on_kept_nodes():
    h, tau = states(), penalty()
    S = h.T @ h / len(h)
    stacked = torch.cat([h[:, NODES] / len(h) ** 0.5, tau[NODES].sqrt().diag()])
    targets = torch.cat([h / len(h) ** 0.5, torch.zeros(4, 12, dtype=torch.float64)])
    least_squares = torch.linalg.lstsq(stacked, targets, driver="gelsd").solution.T
    torch.testing.assert_close(matrix(S, NODES, tau), least_squares, rtol=1e-10, atol=1e-12)


def test_nothing_else_reconstructs_at_less():
    h, tau = states(), penalty()
    A = matrix(h.T @ h / len(h), NODES, tau).requires_grad_()
    lost = (h - h[:, NODES] @ A.T).square().sum() / len(h) + (A.square() * tau[NODES]).sum()
    (slope,) = torch.autograd.grad(lost, A)
    assert slope.abs().max() < 1e-11


@pytest.mark.parametrize("build", [lambda S, tau: matrix(S, NODES, tau), lambda S, tau: selector(12, NODES)])
def test_losses_are_mean_squares_over_rows(build):
    h, Z = states(), readers(12)
    S = h.T @ h / len(h)
    A = build(S, penalty())
    away = h - h[:, NODES] @ A.T
    torch.testing.assert_close(error(S, NODES, A), away.T @ away / len(h), rtol=1e-11, atol=1e-12)
    found = losses(S, NODES, A, Z)
    assert found.input == pytest.approx(float(away.square().sum() / len(h)))
    assert found.output == pytest.approx(float((away @ Z.T).square().sum() / len(h)))
    assert found.input_share == pytest.approx(found.input / float(h.square().sum() / len(h)))
    assert found.output_share == pytest.approx(found.output / float((h @ Z.T).square().sum() / len(h)))


def test_the_residual_is_the_error_and_the_penalty():
    S, tau = covariance(12), penalty()
    A = matrix(S, NODES, tau)
    whole = error(S, NODES, A) + A @ tau[NODES].diag() @ A.T
    torch.testing.assert_close(residual(S, NODES, tau), whole, rtol=1e-9, atol=1e-10)


def test_errors_of_each_step_are_those_of_each_alone():
    each = torch.stack([covariance(12, seed=seed) for seed in range(3)])
    A = matrix(each.mean(0), NODES, penalty())
    for S, found in zip(each, error(each, NODES, A), strict=True):
        torch.testing.assert_close(found, error(S, NODES, A))


@pytest.mark.parametrize("order", [list(range(12)), list(reversed(range(12)))])
@pytest.mark.parametrize("dead", [(), (0, 5)])
def test_all_nodes_without_a_penalty_are_themselves(order, dead):
    A = matrix(covariance(12, dead=dead), order, torch.zeros(12, dtype=torch.float64))
    assert A.equal(selector(12, order))
    assert losses(covariance(12, dead=dead), order, A, readers(12)).output_share == 0


def test_a_node_that_others_make_up_is_lost_by_nothing():
    h = states()
    h[:, 3] = 2 * h[:, 7] - h[:, 0]
    S = h.T @ h / len(h)
    nodes = [j for j in range(12) if j != 3]
    assert losses(S, nodes, matrix(S, nodes, torch.zeros(12, dtype=torch.float64)), readers(12)).input_share < 1e-15


@pytest.mark.parametrize("rank", [0, 1, 5])
def test_singular_matrices_are_factored_with_little_added(rank):
    half = normal(8, rank)
    K = half @ half.T
    L = cholesky(K)
    assert (L @ L.T - K).abs().max() < 1e-9 * (K.diagonal().mean() or 1)


def test_of_nothing_no_share_is_lost():
    nothing = torch.zeros(12, 12, dtype=torch.float64)
    assert losses(nothing, NODES, selector(12, NODES), readers(12)) == (0, 0, 0, 0)
