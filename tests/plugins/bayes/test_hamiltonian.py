"""Trajectories keep energy as theory says, chains sample densities whose moments are known, and failures are told."""

from __future__ import annotations

import pytest
import torch
from scipy.integrate import quad
from tiny_problems import normal

from harness import HarnessError
from harness_bayes import hamiltonian
from harness_bayes.hamiltonian import acceptance, differentiate, move_chains, refuse_stuck

COVARIANCE = torch.tensor([[1.0, 0.6, 0.0], [0.6, 0.5, 0.1], [0.0, 0.1, 0.3]], dtype=torch.float64)
MEAN = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


def gaussian(positions):
    """log N(MEAN, COVARIANCE) and its gradient, written down."""
    away = positions - MEAN
    pulled = away @ torch.linalg.inv(COVARIANCE)
    return -(away * pulled).sum(1) / 2, -pulled


def sampled(density, start, leapfrogs=10, burn=150, kept=300, seed=0):
    """Positions after burn-in (kept, J, m), and the chains at the end."""
    generator = torch.Generator().manual_seed(seed)
    chains, positions = hamiltonian.begin(density, start, generator), []
    for index in range(burn + kept):
        chains = move_chains(density, chains, leapfrogs, burn, generator)
        if index >= burn:
            positions.append(chains.positions)
    return torch.stack(positions), chains


def test_autograd_gives_the_gradient_that_is_written_down():
    positions = normal(5, 3)
    values, gradients = differentiate(lambda q: gaussian(q)[0])(positions)
    assert torch.allclose(values, gaussian(positions)[0])
    assert torch.allclose(gradients, gaussian(positions)[1])
    assert not gradients.requires_grad


def test_moments_of_a_gaussian_are_found():
    positions, _ = sampled(gaussian, torch.zeros(64, 3, dtype=torch.float64))
    draws = positions.flatten(0, 1)
    assert torch.allclose(draws.mean(0), MEAN, atol=0.03)
    assert torch.allclose(draws.T.cov(), COVARIANCE, atol=0.03)


def test_moments_of_a_skewed_density_are_those_of_quadrature():
    def log_density(q):
        return (q - q.exp() - q.square() / 8).sum(1)

    def weight(x, power):
        return x**power * torch.tensor(x - torch.tensor(x).exp().item() - x * x / 8).exp().item()

    positions, _ = sampled(differentiate(log_density), torch.zeros(128, 1, dtype=torch.float64), leapfrogs=5)
    whole, first, second = (quad(weight, -12, 5, args=(power,))[0] for power in range(3))
    assert float(positions.mean()) == pytest.approx(first / whole, abs=0.02)
    assert float(positions.square().mean()) == pytest.approx(second / whole, abs=0.04)


def test_step_sizes_are_adapted_to_the_acceptance_asked_for_by_chain():
    widths = torch.tensor([0.01, 1.0, 100.0], dtype=torch.float64).repeat(8)[:, None]

    def density(q):
        return -(q / widths).square().sum(1) / 2, -q / widths**2

    _, chains = sampled(density, torch.zeros(24, 100, dtype=torch.float64), leapfrogs=7, burn=400)
    assert float(acceptance(chains, 400).mean()) == pytest.approx(0.8, abs=0.1)
    steps = chains.averages.exp().reshape(8, 3).mean(0)
    assert (steps / widths[:3, 0]).tolist() == pytest.approx([100 * float(steps[0])] * 3, rel=0.2)


def test_halved_steps_make_a_quarter_of_the_error():
    errors = []
    for step in (0.1, 0.05):
        generator = torch.Generator().manual_seed(3)
        start = hamiltonian.begin(gaussian, torch.zeros(4, 3, dtype=torch.float64), generator)
        steps = torch.full((4, 1), step, dtype=torch.float64)
        errors.append(hamiltonian.trajectory(gaussian, start, steps, round(1 / step), generator)[1].abs().mean())
    assert float(errors[0] / errors[1]) == pytest.approx(4.0, rel=0.1)


def test_the_same_generator_gives_the_same_chains():
    start = torch.zeros(4, 3, dtype=torch.float64)
    one, two, other = (sampled(gaussian, start, burn=5, kept=5, seed=seed)[0] for seed in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_burn_in_is_not_counted_and_steps_stand_still_after_it():
    generator = torch.Generator().manual_seed(0)
    chains = hamiltonian.begin(gaussian, torch.zeros(4, 3, dtype=torch.float64), generator)
    for _ in range(20):
        chains = move_chains(gaussian, chains, 3, 20, generator)
    assert int(chains.accepted.sum()) == 0
    after = move_chains(gaussian, chains, 3, 20, generator)
    assert torch.equal(after.averages, chains.averages)
    assert int(after.taken) == 21


def test_a_trajectory_into_no_number_is_rejected_and_counted():
    def density(q):  # a wall at 1, behind which there is no density
        value, gradient = -q.square().sum(1) / 2, -q
        beyond = (q > 1).any(1)
        return torch.where(beyond, torch.nan, value), torch.where(beyond[:, None], torch.nan, gradient)

    positions, chains = sampled(density, torch.zeros(16, 1, dtype=torch.float64), leapfrogs=3)
    assert positions.isfinite().all()
    assert (positions <= 1).all()
    assert int(chains.divergent.sum()) > 0
    # Half a Gaussian up to 1: its mean is -phi(1) / Phi(1).
    assert float(positions.mean()) == pytest.approx(-0.2876, abs=0.05)


def test_chains_that_reject_everything_are_refused_by_name():
    def density(q):  # finite at the start alone
        alone = (q == 0).all(1)
        return torch.where(alone, 0.0, torch.nan).to(q.dtype), torch.zeros_like(q)

    _, chains = sampled(density, torch.zeros(2, 3, dtype=torch.float64), burn=3, kept=20)
    with pytest.raises(HarnessError, match=r"all 20 trajectories of all 2 chains after burn-in \(20 of.*burn="):
        refuse_stuck(chains, 3)


def test_chains_that_move_and_those_still_burning_in_are_not_refused():
    _, chains = sampled(gaussian, torch.zeros(2, 3, dtype=torch.float64), burn=30, kept=10)
    refuse_stuck(chains, 30)
    refuse_stuck(chains, 40)


def test_a_few_rejections_are_no_reason_to_refuse():
    generator = torch.Generator().manual_seed(0)
    start = hamiltonian.begin(gaussian, torch.zeros(2, 3, dtype=torch.float64), generator)
    one_moves = start._replace(accepted=start.accepted + torch.tensor([1.0, 0.0]))
    refuse_stuck(one_moves._replace(taken=start.taken + 19), 0)
    with pytest.raises(HarnessError, match="all 20 trajectories of chain 1"):
        refuse_stuck(one_moves._replace(taken=start.taken + 20), 0)
    refuse_stuck(start._replace(taken=start.taken + 9), 0)
    with pytest.raises(HarnessError, match="all 10 trajectories of all 2 chains"):
        refuse_stuck(start._replace(taken=start.taken + 10), 0)


@pytest.mark.gpu
def test_moments_are_found_on_a_gpu():
    inverse, mean = torch.linalg.inv(COVARIANCE).float().cuda(), MEAN.float().cuda()
    generator = torch.Generator("cuda").manual_seed(0)
    density = differentiate(lambda q: -((q - mean) @ inverse * (q - mean)).sum(1) / 2)
    chains, total = hamiltonian.begin(density, torch.zeros(256, 3, device="cuda"), generator), 0.0
    for index in range(200):
        chains = move_chains(density, chains, 10, 100, generator)
        total = total + chains.positions.mean(0) / 100 * (index >= 100)
    assert torch.allclose(total, mean, atol=0.05)
