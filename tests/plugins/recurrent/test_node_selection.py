"""Searches find, node by node, what the same searches find that compute every loss afresh."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from hidden import covariance, readers
from tiny_problems import generator, normal

from harness_recurrent.selection import (
    FLOOR,
    backward,
    degrees_of_freedom,
    draw,
    greedy,
    leverage,
    regularisation,
    ridge,
    sample,
    swap,
    weight_matrix,
)


def loss(S, M, nodes, tau):
    """Tr M E by plain inverses."""
    K = S[nodes][:, nodes] + tau[nodes].diag()
    return float((M @ (S - S[:, nodes] @ torch.linalg.inv(K) @ S[nodes])).trace())


def cheapest(S, M, ways, tau):
    """Of sets of nodes the first of least loss; ones that rounding alone tells apart count as equal."""
    losses = [loss(S, M, nodes, tau) for nodes in ways]
    return ways[next(index for index, each in enumerate(losses) if each <= min(losses) + 1e-13)]


def naive_greedy(S, M, k, tau):
    nodes = []
    for _ in range(k):
        nodes = cheapest(S, M, [[*nodes, j] for j in range(len(S)) if j not in nodes], tau)
    return nodes


def naive_backward(S, M, k, tau):
    nodes = list(range(len(S)))
    while len(nodes) > k:
        nodes = cheapest(S, M, [[i for i in nodes if i != j] for j in nodes], tau)
    return nodes


def naive_swap(S, M, nodes, tau):
    nodes, before = list(nodes), None
    while nodes != before:
        before = list(nodes)
        for place in range(len(nodes)):
            others = [j for j in range(len(S)) if j not in nodes]
            ways = [[*nodes[:place], j, *nodes[place + 1 :]] for j in others]
            best = cheapest(S, M, ways, tau)
            if loss(S, M, best, tau) < loss(S, M, nodes, tau) - 1e-13:
                nodes = best
    return nodes


def problem(m, theta=0.5, k=None, lam_rel=1e-4, **how):
    S = covariance(m, **how)
    return S, weight_matrix(S, readers(m), theta), regularisation(S, lam_rel, k or m // 3)


@pytest.mark.parametrize("m", [24, 48, 64])
@pytest.mark.parametrize("theta", [1, 0.5, 0])
def test_greedy_finds_what_the_naive_search_finds(m, theta):
    S, M, tau = problem(m, theta)
    assert greedy(S, M, m // 3, tau) == naive_greedy(S, M, m // 3, tau)


@pytest.mark.parametrize("m", [24, 48])
@pytest.mark.parametrize("theta", [1, 0.5, 0])
def test_backward_finds_what_the_naive_search_finds(m, theta):
    S, M, tau = problem(m, theta)
    assert backward(S, M, m // 3, tau) == naive_backward(S, M, m // 3, tau)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("theta", [1, 0])
def test_swaps_are_those_of_the_naive_search_and_never_raise_the_loss(seed, theta):
    S, M, tau = problem(20, theta, k=7, seed=10 * seed)
    start = torch.randperm(20, generator=generator(seed))[:7].tolist()
    found = swap(S, M, start, tau)
    assert found == naive_swap(S, M, start, tau)
    assert loss(S, M, found, tau) < loss(S, M, start, tau)
    best = greedy(S, M, 7, tau)
    assert loss(S, M, swap(S, M, best, tau), tau) <= loss(S, M, best, tau)


def test_no_search_finds_less_than_there_is():
    S, M, tau = problem(10, k=4)
    least = min(loss(S, M, list(nodes), tau) for nodes in combinations(range(10), 4))
    for nodes in (greedy(S, M, 4, tau), backward(S, M, 4, tau), swap(S, M, greedy(S, M, 4, tau), tau)):
        assert len(set(nodes)) == 4
        assert least - 1e-12 <= loss(S, M, nodes, tau) <= 1.3 * least


@pytest.mark.parametrize("m", [24, 48])
def test_it_stays_exact_where_sums_are_computed_afresh(monkeypatch, m):
    monkeypatch.setattr("harness_recurrent.selection.REFRESH", 3)
    S, M, tau = problem(m)
    assert greedy(S, M, m // 3, tau) == naive_greedy(S, M, m // 3, tau)


@pytest.mark.parametrize("lam_rel", [1e-2, 1e-8])
def test_dead_nodes_are_kept_last(lam_rel):
    S, M, tau = problem(24, dead=(0, 3, 9), k=24, lam_rel=lam_rel)
    assert greedy(S, M, 24, tau)[21:] == [0, 3, 9]
    assert not {0, 3, 9} & set(backward(S, M, 21, tau))
    assert not {0, 3, 9} & set(swap(S, M, range(12), tau))


def test_without_regularisation_what_is_left_of_a_low_rank_goes_by_index():
    half = normal(12, 4)
    S, tau = half @ half.T, torch.zeros(12, dtype=torch.float64)
    nodes = greedy(S, weight_matrix(S, readers(12), 0.5), 12, tau)
    assert sorted(nodes) == list(range(12))
    assert nodes[4:] == sorted(nodes[4:])
    assert loss(S, torch.eye(12, dtype=torch.float64), nodes[:4], tau) < 1e-10


@pytest.mark.parametrize("search", [greedy, backward])
def test_ties_go_to_the_smallest_index(search):
    one = torch.eye(6, dtype=torch.float64)
    kept = search(one, weight_matrix(one, one, 0.5), 3, torch.full((6,), 0.1, dtype=torch.float64))
    assert kept == ([0, 1, 2] if search is greedy else [3, 4, 5])


def test_twins_go_to_the_first_of_them():
    h = normal(50, 10)
    h = h[:, [4, 4, 1, 1, 2, 2, 3, 3, 0, 0]]
    S = h.T @ h / len(h)
    tau = torch.full((10,), 1e-3, dtype=torch.float64)
    nodes = greedy(S, weight_matrix(S, torch.ones(1, 10, dtype=torch.float64), 1), 5, tau)
    assert all(node % 2 == 0 for node in nodes)


def test_weights_make_the_loss_of_keeping_nothing_one():
    S, Z = covariance(12), readers(12)
    for theta in (0, 0.3, 1):
        M = weight_matrix(S, Z, theta)
        assert float((M @ S).trace()) == pytest.approx(1)
        written = theta * torch.eye(12) / S.trace() + (1 - theta) * Z.T @ Z / (Z @ S @ Z.T).trace()
        torch.testing.assert_close(M, written)
    torch.testing.assert_close(weight_matrix(S, Z.float(), 0.5), weight_matrix(S, Z.float().double(), 0.5))


def test_nothing_that_is_active_or_heard_is_told():
    nothing = torch.zeros(4, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match="all of them are zero"):
        weight_matrix(nothing, torch.eye(4), 0.5)
    assert weight_matrix(nothing + torch.eye(4), nothing, 0.5).equal(torch.eye(4, dtype=torch.float64) / 8)


@pytest.mark.parametrize("lam", [1e-8, 1e-3, 1.0])
def test_leverage_and_degrees_of_freedom_are_those_of_the_inverse(lam):
    S = covariance(12)
    hat = S @ torch.linalg.inv(S + lam * torch.eye(12))
    assert degrees_of_freedom(S, lam) == pytest.approx(float(hat.trace()))
    torch.testing.assert_close(leverage(S, lam), hat.diagonal() / hat.trace(), rtol=1e-6, atol=1e-9)
    assert degrees_of_freedom(S, 0) == 12
    assert degrees_of_freedom(covariance(12, dead=(2,)), 0) == 11


def test_regularisation_is_leverage_with_a_floor():
    S = covariance(12, dead=(2,))
    lam = 1e-3 * float(S.trace()) / 12
    assert ridge(S, 1e-3) == pytest.approx(lam)
    found, floor = regularisation(S, 1e-3, 5), FLOOR * float(S.trace()) / 12
    assert found[2] == pytest.approx(floor)
    torch.testing.assert_close(found, (lam * 5 * leverage(S, lam)).clamp(min=floor))
    assert regularisation(S, 0, 5).equal(torch.zeros(12, dtype=torch.float64))


def test_samples_keep_the_constraint_and_share_tau_among_repeats():
    S, M, _ = problem(16, decay=1.0)
    lam = ridge(S, 0.1)
    scores = leverage(S, lam)
    for seed in range(20):
        nodes, tau = sample(S, M, 12, lam, generator(seed))
        counts = lam * 12 * scores[nodes] / tau[nodes]
        torch.testing.assert_close(counts, counts.round())
        assert counts.sum() == pytest.approx(12)
        assert float((counts / scores[nodes]).sum()) <= 5 / 3 * 16 * 12
        assert nodes == sorted(set(nodes))


def test_of_several_samples_the_best_is_kept():
    S, M, _ = problem(16, decay=1.0)
    lam, stream = ridge(S, 0.1), generator(5)
    alone = [sample(S, M, 8, lam, stream) for _ in range(6)]
    least = min(loss(S, M, nodes, tau) for nodes, tau in alone)
    nodes, tau = sample(S, M, 8, lam, generator(5), draws=6)
    assert loss(S, M, nodes, tau) == pytest.approx(least)


def test_draws_come_as_often_as_their_leverage():
    S = covariance(8, decay=1.0)
    lam, stream = ridge(S, 0.1), generator()
    first = torch.tensor([draw(S, lam, 3, stream)[0] for _ in range(1000)]).bincount(minlength=8) / 1000
    assert (first - leverage(S, lam)).abs().max() < 0.05
    assert sorted(draw(covariance(8, dead=(1, 2)), lam, 8, stream)) == list(range(8))


@pytest.mark.parametrize("k", [0, 13])
@pytest.mark.parametrize("search", [greedy, backward])
def test_more_nodes_than_there_are_or_none_are_refused(search, k):
    S, M, tau = problem(12)
    with pytest.raises(ValueError, match=f"from 1 to 12 nodes can be kept of 12, and {k}"):
        search(S, M, k, tau)


def test_a_sample_needs_a_draw_and_a_constraint_that_can_hold(monkeypatch):
    S, M, _ = problem(12)
    with pytest.raises(ValueError, match="one draw at least"):
        sample(S, M, 4, 0.1, generator(), draws=0)
    monkeypatch.setattr("harness_recurrent.selection.CONSTRAINT", 0)
    with pytest.raises(ValueError, match="none of 1000 samples of 4 nodes"):
        sample(S, M, 4, 0.1, generator())
