"""Bounds of losses and bias hold on random networks, and are what their equations say term by term."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from hidden import covariance, readers
from tiny_problems import generator, normal

from harness_recurrent.reconstruction import error, matrix, residual, selector
from harness_recurrent.selection import (
    degrees_of_freedom,
    greedy,
    leverage,
    regularisation,
    ridge,
    sample,
    weight_matrix,
)
from harness_recurrent.theory import (
    approximation_bounds,
    count_needed,
    feasible_regularisation,
    information_losses,
    log_a_priori_bias_bound,
    log_bias_bound,
    log_geometric_sum,
    log_last_step_bias_bound,
    reconstruction_norm_bound,
)

SEEDS = range(4)


@dataclass
class Network:
    """h_t = sigma(Wx x_t + Wh h_{t-1} + b), f_t = Wo h_t + bo, one step after the other."""

    Wx: torch.Tensor
    Wh: torch.Tensor
    b: torch.Tensor
    Wo: torch.Tensor
    bo: torch.Tensor
    sigma: object = torch.relu

    def run(self, x):
        """Inputs (T, n, d) to states (T, n, m) and outputs (T, n, c)."""
        h, states = torch.zeros(x.shape[1], len(self.Wh), dtype=torch.float64), []
        for at_step in x:
            h = self.sigma(at_step @ self.Wx.T + h @ self.Wh.T + self.b)
            states.append(h)
        return torch.stack(states), torch.stack(states) @ self.Wo.T + self.bo

    def compressed(self, J, A):
        return Network(self.Wx[J], self.Wh[J] @ A, self.b[J], self.Wo @ A, self.bo, self.sigma)


def network(seed, m=20, d=3, c=4, gain=0.9, sigma=torch.relu):
    """An identity that forgets a little, with noise."""
    Wh = gain * torch.eye(m, dtype=torch.float64) + 0.3 / m**0.5 * normal(m, m, seed=seed)
    biases = 0.1 * normal(m, seed=seed + 100), 0.1 * normal(c, seed=seed + 101)
    return Network(normal(m, d, seed=seed + 102), Wh, biases[0], normal(c, m, seed=seed + 103), biases[1], sigma)


def norm(W):
    """The root of the largest eigenvalue of W^T W."""
    return float(torch.linalg.eigvalsh(W.T @ W)[-1]) ** 0.5


def root_mean_square(rows):
    return float(rows.square().sum(-1).mean().sqrt())


def geometric(kappa, count):
    return sum(kappa**s for s in range(count))


def case(seed, k, steps=6, rows=30, **how):
    """A random network, its states and outputs, the nodes kept and what reconstructs the states from them."""
    net = network(seed, **how)
    h, f = net.run(normal(steps, rows, 3, seed=seed + 50))
    each = h.mT @ h / rows  # (T, m, m)
    S = each.mean(0)
    tau = regularisation(S, 1e-4, k)
    J = greedy(S, weight_matrix(S, torch.cat([net.Wo, net.Wh]), 0.5), k, tau)
    return net, h, f, each, S, J, tau


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [3, 8, 15])
@pytest.mark.parametrize("sigma", [torch.relu, torch.tanh])
@pytest.mark.parametrize("reconstructed", [True, False])
def test_the_bias_is_below_its_bound_which_is_what_it_says(seed, k, sigma, reconstructed):
    net, h, f, _, S, J, tau = case(seed, k, sigma=sigma)
    A = matrix(S, J, tau) if reconstructed else selector(len(S), J)
    _, small = net.compressed(J, A).run(normal(6, 30, 3, seed=seed + 50))
    R = error(S, J, A)
    bound = math.exp(log_bias_bound(R, A, J, net.Wo, net.Wh, 6))
    assert root_mean_square(f - small) <= bound
    away = h - h[..., J] @ A.T
    kappa, carried = norm(net.Wh[J] @ A), root_mean_square(away @ net.Wh[J].T)
    naive = root_mean_square(away @ net.Wo.T) + norm(net.Wo @ A) * geometric(kappa, 5) * carried
    assert bound == pytest.approx(naive, rel=1e-6)
    if reconstructed:
        assert bound <= math.exp(log_bias_bound(residual(S, J, tau), A, J, net.Wo, net.Wh, 6)) * (1 + 1e-9)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [3, 8, 15])
def test_the_bias_of_the_last_step_is_below_its_bound_which_is_what_it_says(seed, k):
    net, h, f, each, S, J, tau = case(seed, k)
    A = matrix(S, J, tau)
    _, small = net.compressed(J, A).run(normal(6, 30, 3, seed=seed + 50))
    bound = math.exp(log_last_step_bias_bound(error(each, J, A), A, J, net.Wo, net.Wh))
    assert root_mean_square(f[-1] - small[-1]) <= bound
    away = h - h[..., J] @ A.T
    kappa, naive = norm(net.Wh[J] @ A), root_mean_square(away[-1] @ net.Wo.T)
    for s in range(1, 6):
        naive += norm(net.Wo @ A) * kappa ** (5 - s) * root_mean_square(away[s - 1] @ net.Wh[J].T)
    assert bound == pytest.approx(naive, rel=1e-6)


def test_with_a_lipschitz_constant_of_its_own():
    net, _, f, each, S, J, tau = case(0, 8, sigma=lambda x: 1.5 * x.relu())
    A = matrix(S, J, tau)
    _, small = net.compressed(J, A).run(normal(6, 30, 3, seed=50))
    R = error(S, J, A)
    bound = math.exp(log_bias_bound(R, A, J, net.Wo, net.Wh, 6, rho=1.5))
    assert root_mean_square(f - small) <= bound
    roots = [float((W @ R @ W.T).trace()) ** 0.5 for W in (net.Wo, net.Wh[J])]
    kappa = 1.5 * norm(net.Wh[J] @ A)
    assert bound == pytest.approx(roots[0] + 1.5 * norm(net.Wo @ A) * geometric(kappa, 5) * roots[1])
    last = math.exp(log_last_step_bias_bound(error(each, J, A), A, J, net.Wo, net.Wh, rho=1.5))
    assert root_mean_square(f[-1] - small[-1]) <= last


def test_all_nodes_have_no_bias():
    net, _, f, each, S, _, _ = case(0, 8)
    J = list(range(len(S)))
    A = matrix(S, J, torch.zeros(len(S), dtype=torch.float64))
    _, same = net.compressed(J, A).run(normal(6, 30, 3, seed=50))
    assert same.equal(f)
    assert log_bias_bound(error(S, J, A), A, J, net.Wo, net.Wh, 6) == -math.inf
    assert log_last_step_bias_bound(error(each, J, A), A, J, net.Wo, net.Wh) == -math.inf


@pytest.mark.parametrize("kappa", [0.0, 0.3, 1 - 1e-12, 1.0, 1 + 1e-12, 2.5])
@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_geometric_sums_are_sums(kappa, count):
    naive = geometric(kappa, count)
    assert math.exp(log_geometric_sum(kappa, count)) == pytest.approx(naive, rel=1e-12)


def test_no_number_of_steps_overflows():
    net, _, _, _, S, J, tau = case(0, 8, gain=2.0)
    A = matrix(S, J, tau)
    found = log_bias_bound(error(S, J, A), A, J, net.Wo, net.Wh, 5000)
    assert 710 < found < math.inf
    assert log_geometric_sum(3.0, 10_000) == pytest.approx(10_000 * math.log(3) - math.log(2))
    constant = error(S, J, A).expand(5000, -1, -1)
    assert log_last_step_bias_bound(constant, A, J, net.Wo, net.Wh) == pytest.approx(found)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [3, 8, 15])
def test_information_losses_are_those_of_the_definition(seed, k):
    net, h, _, _, S, J, tau = case(seed, k)
    found = information_losses(S, J, tau, net.Wo.float().double(), net.Wh, 0.3)
    A, flat = matrix(S, J, tau), h.flatten(0, 1)

    def lost(Z):
        penalty = (Z @ A).square() @ tau[J]
        return float((((flat - flat[:, J] @ A.T) @ Z.T).square()).sum() / len(flat) + penalty.sum())

    Wo, one = net.Wo.float().double(), torch.eye(len(S), dtype=torch.float64)
    assert found.input == pytest.approx(lost(one))
    assert found.readout == pytest.approx(lost(Wo))
    assert found.recurrent == pytest.approx(lost(net.Wh))
    heard = torch.cat([Wo, net.Wh])
    share = float((flat @ heard.T).square().sum() / len(flat))
    assert found.weighted == pytest.approx(0.3 * lost(one) / float(S.trace()) + 0.7 * lost(heard) / share)
    assert lost(net.Wh[J]) <= found.recurrent


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [10, 30, 100])
def test_the_feasible_regularisation_is_the_least(seed, k):
    S = covariance(20, seed=seed)

    def draws(lam):
        freedom = float((S @ torch.linalg.inv(S + lam * torch.eye(20, dtype=torch.float64))).trace())
        return 5 * freedom * math.log(80 * freedom)

    lam = feasible_regularisation(S, k)
    assert draws(lam * (1 + 1e-9)) <= k < draws(lam * (1 - 1e-6))
    assert feasible_regularisation(S, 10**6) == 0
    assert count_needed(3.0, 0.1) == pytest.approx(15 * math.log(480))


@pytest.mark.parametrize("decay", [1.0, 3.0])
def test_samples_approximate_as_often_as_the_theorem_says(decay):
    S, Z = covariance(24, decay=decay), readers(24)
    M, lam = weight_matrix(S, Z, 0.5), 0.0
    for lam_rel in (3.0, 0.3):
        lam = ridge(S, lam_rel)
        k = math.ceil(count_needed(degrees_of_freedom(S, lam)))
        one, scores, stream, held = torch.eye(24, dtype=torch.float64), leverage(S, lam), generator(1), 0
        hat = S @ torch.linalg.inv(S + lam * one)
        input_bound, output_bound = approximation_bounds(S, lam, Z)
        assert input_bound == pytest.approx(4 * lam * float(hat.trace()))
        assert output_bound == pytest.approx(4 * lam * sum(float(z @ hat @ z) for z in Z))
        assert output_bound <= 4 * lam * float(Z.square().sum())
        for _ in range(50):
            J, tau = sample(S, M, k, lam, stream)
            E, A = residual(S, J, tau), matrix(S, J, tau)
            if torch.linalg.eigvalsh(4 * lam * hat - (E + E.T) / 2)[0] < -1e-9 * lam:
                continue
            held += 1
            assert float(E.trace()) <= input_bound
            assert float((Z @ E @ Z.T).trace()) <= output_bound
            assert float(torch.linalg.eigvalsh((E + E.T) / 2)[-1]) <= 4 * lam
            # c_j^-1 tau'_j is tau_j / (lam k): the largest over all directions z of unit length
            rows = A @ (tau[J] / (lam * k)).diag() @ A.T
            assert float(torch.linalg.eigvalsh(rows)[-1]) <= 4 / k
            assert norm(A) <= reconstruction_norm_bound(24) == pytest.approx((20 * 24 / 3) ** 0.5)
        assert held >= 0.8 * 50
        assert (scores > 0).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_bias_that_is_known_before_the_nodes_bounds_the_one_known_after(seed):
    net, _, f, _, S, _, _ = case(seed, 8)
    k = 60
    lam = feasible_regularisation(S, k)
    J, tau = sample(S, weight_matrix(S, net.Wo, 0.5), k, lam, generator(seed), draws=5)
    A = matrix(S, J, tau)
    _, small = net.compressed(J, A).run(normal(6, 30, 3, seed=seed + 50))
    bound = math.exp(log_a_priori_bias_bound(lam, net.Wo, net.Wh, 6))
    assert root_mean_square(f - small) <= math.exp(log_bias_bound(error(S, J, A), A, J, net.Wo, net.Wh, 6)) <= bound
    cap = math.sqrt(20 * 20 / 3)
    carried = norm(net.Wo) * cap * geometric(norm(net.Wh) * cap, 5) * float(net.Wh.square().sum()) ** 0.5
    assert bound == pytest.approx(2 * math.sqrt(lam) * (float(net.Wo.square().sum()) ** 0.5 + carried))
