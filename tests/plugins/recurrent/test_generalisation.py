"""Bounds of the risk are what their equations say, hold where they can be checked, and say where they say nothing."""

from __future__ import annotations

import math
from dataclasses import astuple

import pytest
import torch
from tiny_problems import normal

from harness import UsageError
from harness_recurrent.generalisation import (
    Blocks,
    Bound,
    log_covering_number,
    log_largest_state,
    log_slopes,
    occam_bound,
    quantise_weight,
    risk_bound,
    variance_term,
)

SEEDS = range(4)


def weights(seed, k=6, d=3, c=4, size=0.5):
    shapes = [(k, k), (k, d), (k,), (c, k), (c,)]  # Wh, Wx, b, Wo, bo
    return [size * normal(*shape, seed=10 * seed + index) for index, shape in enumerate(shapes)]


def norms(blocks):
    return Blocks(*(float(torch.linalg.svdvals(W)[0]) if W.ndim == 2 else float(W.norm()) for W in blocks))


def run(blocks, x):
    """States and outputs of inputs (T, n, d), one step after the other."""
    Wh, Wx, b, Wo, bo = blocks
    h, states = torch.zeros(x.shape[1], len(Wh), dtype=torch.float64), []
    for at_step in x:
        h = (at_step @ Wx.T + h @ Wh.T + b).relu()
        states.append(h)
    return torch.stack(states), torch.stack(states) @ Wo.T + bo


def largest(rows):
    return float(rows.norm(dim=-1).max())


def naive(radii, inputs, steps, rho=1.0):
    """H and the slopes in each block, by sums."""
    powers = sum((rho * radii.recurrent) ** s for s in range(steps))
    state = rho * (radii.input * inputs + radii.bias) * powers
    through = radii.readout * rho * powers
    return state, [through * state, through * inputs, through, state, 1.0]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("size", [0.1, 0.5, 1.5])
def test_states_and_changes_of_outputs_are_below_their_bounds(seed, size):
    x, one, change = normal(7, 20, 3, seed=seed), weights(seed, size=size), weights(seed + 50, size=0.1 * size)
    other = [W + dW for W, dW in zip(one, change, strict=True)]
    radii = Blocks(*map(max, zip(astuple(norms(one)), astuple(norms(other)), strict=True)))
    state, slopes = naive(radii, largest(x), 7)
    (h, f), (h_other, f_other) = run(one, x), run(other, x)
    assert max(largest(h), largest(h_other)) <= state
    assert largest(f - f_other) <= sum(map(float.__mul__, slopes, astuple(norms(change))))
    assert math.exp(log_largest_state(radii, largest(x), 7)) == pytest.approx(state)
    assert list(map(math.exp, astuple(log_slopes(radii, largest(x), 7)))) == pytest.approx(slopes)
    for index, slope in enumerate(slopes):  # and each block's alone
        changed = [other[i] if i == index else W for i, W in enumerate(one)]
        assert largest(run(changed, x)[1] - f) <= slope * astuple(norms(change))[index] * (1 + 1e-9)


@pytest.mark.parametrize("rho", [1.0, 0.5])
def test_the_covering_number_is_its_sum(rho):
    radii, sizes = Blocks(0.9, 2.0, 0.5, 3.0, 0.1), Blocks(36, 18, 6, 24, 4)
    _, slopes = naive(radii, 1.7, 9, rho)
    total = 0.0
    for p, R, slope in zip(astuple(sizes), astuple(radii), slopes, strict=True):
        total += p * math.log(1 + 10 * 1.3 * R * slope / 0.01)
    assert log_covering_number(sizes, radii, 1.7, 9, 0.01, slope=1.3, rho=rho) == pytest.approx(total)


def test_covering_numbers_of_long_sequences_do_not_overflow():
    radii, sizes = Blocks(4.0, 2.0, 0.5, 3.0, 0.0), Blocks(36, 18, 6, 24, 4)
    found = log_covering_number(sizes, radii, 1.0, 10_000, 1e-4)
    assert found == pytest.approx((36 * 2 + 18 + 6 + 24) * 10_000 * math.log(4), rel=0.01)


def test_radii_are_rounded_up_to_powers_of_two():
    assert Blocks(0.9, 2.0, 2.0000001, 0.0, 1e-30).on_grid() == Blocks(1.0, 2.0, 4.0, 2.0**-32, 2.0**-32)
    assert Blocks(2.0**29, 2.0**31, 0.125, 3.0, 1.0).on_grid() == Blocks(2.0**29, 2.0**31, 0.125, 4.0, 1.0)
    with pytest.raises(ValueError, match=r"norm of input has to be 2\^31 at most and is 4.29e\+09"):
        Blocks(1, 2.0**32, 1, 1, 1).on_grid()


def test_the_variance_term_is_its_sum():
    written = 2 / 500 + 3.0 * math.sqrt((123.0 + 5 * math.log(64) + math.log(1 / 0.01)) / 1000)
    assert variance_term(500, 123.0, 0.01, 3.0) == pytest.approx(written)
    assert variance_term(10**9, 123.0) < 1e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_the_risk_of_a_compressed_network_is_below_its_bound(seed):
    """A loss in [0, 1] of Lipschitz constant 1 on new rows, of a network whose states go to zero."""
    net, x = weights(seed, size=0.05), normal(3, 4000, 3, seed=seed).clamp(-1, 1)
    small = [W.clone() for W in net]
    small[0][:, :2] = 0
    targets = normal(4, seed=seed + 7)
    losses = [(run(each, x)[1] - targets).norm(dim=-1).clamp(max=1).mean(0) for each in (net, small)]
    bias = (run(net, x[:, :2000])[1] - run(small, x[:, :2000])[1]).square().sum(-1).mean().sqrt()
    radii = norms(small).on_grid()
    number = log_covering_number(Blocks(36, 18, 6, 24, 4), radii, 3**0.5, 3, 1 / 2000, slope=1.0)
    bound = risk_bound(float(losses[0][:2000].mean()), math.log(bias), variance_term(2000, number), slope=1.0)
    assert float(losses[1][2000:].mean()) <= bound.value
    assert bound.value == pytest.approx(float(losses[0][:2000].mean() + bias) + variance_term(2000, number))


def test_the_occam_bound_counts_every_bit():
    bits = 8 * 2278 + 5 * 32 + 64
    written = 0.03 + math.sqrt((bits * math.log(2) + math.log(1 / 0.05)) / (2 * 60_000))
    bound = occam_bound(0.03, 60_000, parameters=2278, bits=8)
    assert bound.value == pytest.approx(written)
    assert not bound.vacuous
    assert str(bound) == f"occam {written:.3g}"
    assert occam_bound(0.03, 1347, parameters=2278, bits=8).vacuous
    more = occam_bound(0.03, 60_000, 2278, 8, tensors=50, delta=0.01).value
    assert more == pytest.approx(0.03 + math.sqrt(((bits + 45 * 32) * math.log(2) + math.log(100)) / 120_000))


def test_the_occam_bound_holds_for_the_best_of_all_networks_that_it_counts():
    """Signs of eight weights chosen by a thousand rows of labels that are noise: the true error is 1/2."""
    x, labels = normal(1000, 8), normal(1000, seed=1) > 0
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 8)
    errors = ((x @ signs.T > 0) != labels[:, None]).double().mean(0)
    bound = occam_bound(float(errors.min()), 1000, parameters=8, bits=1, tensors=0)
    assert errors.min() < 0.5 <= bound.value


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_quantised_weights_have_so_many_bits(bits):
    W = normal(40, 40).float()
    found = quantise_weight(W, bits)
    levels = 2 ** (bits - 1) - 1
    assert found.dtype == W.dtype
    assert len(found.unique()) <= 2 * levels + 1 <= 2**bits
    assert (found - W).abs().max() <= W.abs().max() / levels / 2 * (1 + 1e-5)
    assert quantise_weight(torch.zeros(3), bits).equal(torch.zeros(3))
    torch.testing.assert_close(quantise_weight(found, bits), found)


def test_one_bit_is_too_few():
    with pytest.raises(ValueError, match="2 bits at least"):
        quantise_weight(torch.ones(3), 1)


@pytest.mark.parametrize(
    "bound", [lambda: occam_bound(0.1, 100, 10, 8, iid=False), lambda: variance_term(9, 1, iid=False)]
)
def test_streams_are_refused(bound):
    with pytest.raises(UsageError, match="not iid: take a data set of separate sequences"):
        bound()


def test_a_bound_that_is_not_below_what_holds_anyway_is_vacuous():
    assert str(Bound("bias", math.log(6400), 6.1)) == "bias 6.4e+03 (vacuous: 6.1 holds anyway)"
    assert str(Bound("bias", 1025.0, 1.0)) == "bias 1e445 (vacuous: 1 holds anyway)"
    assert Bound("bias", math.log(2.0), 2.0).vacuous
    assert not Bound("bias", math.log(1.9), 2.0).vacuous
    assert Bound("bias", -math.inf, 2.0).value == 0
    assert Bound("bias", math.inf, 2.0).vacuous
