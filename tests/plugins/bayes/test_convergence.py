"""Convergence is told of functions, and where it cannot be told, what is missing is."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from harness import Unsupported
from harness_bayes.convergence import compare_halves, distance_between_halves, measure_convergence

pytest.importorskip("arviz_stats", reason="extra bayes")


def chains(means=(0.0,) * 8, draws=500, correlation=0.0, points=3, seed=0):
    """Autoregressive chains (chains, draws, points) of variance 1 around a mean of their own."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(len(means), draws, points))
    values = np.empty_like(noise)
    values[:, 0] = noise[:, 0]
    for draw in range(1, draws):
        values[:, draw] = correlation * values[:, draw - 1] + np.sqrt(1 - correlation**2) * noise[:, draw]
    return values + np.array(means)[:, None, None]


def test_independent_draws_have_converged():
    found = measure_convergence(chains())
    assert found.rhat.shape == found.ess.shape == found.error.shape == (3,)
    assert found.rhat == pytest.approx(1.0, abs=0.01)
    assert found.ess == pytest.approx(4000, rel=0.1)
    assert found.error == pytest.approx(1 / np.sqrt(4000), rel=0.1)


def test_correlated_draws_count_as_theory_says():
    # An autoregression's effective sample size is (1 - rho) / (1 + rho) of its draws.
    found = measure_convergence(chains(draws=4000, correlation=0.8))
    assert found.ess == pytest.approx(8 * 4000 / 9, rel=0.15)


def test_a_chain_apart_from_the_others_shows():
    values = chains(means=(0.0,) * 7 + (3.0,))
    values[..., 0] = chains()[..., 0]
    found = measure_convergence(values)
    assert found.rhat[0] < 1.01
    assert (found.rhat[1:] > 1.1).all()
    assert (found.ess[1:] < 400).all()


def test_chains_of_another_width_show_in_folded_ranks():
    values = chains()
    values[:4] *= 4.0
    assert (measure_convergence(values).rhat > 1.1).all()


def test_halves_are_as_far_apart_as_their_chains():
    values = chains(means=(0.0, 1.0) * 4, draws=2000)
    assert compare_halves(values, np.full(3, 0.01)).wasserstein == pytest.approx(1.0, abs=0.05)
    assert (compare_halves(chains(), np.full(3, 0.01)).wasserstein < 0.1).all()
    assert distance_between_halves(values) == pytest.approx(compare_halves(values, np.full(3, 0.01)).wasserstein)


def test_too_few_draws_are_refused():
    with pytest.raises(Unsupported, match="3 draws of each of 8 chains"):
        measure_convergence(chains(draws=3))


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz_stats.base", None)
    with pytest.raises(Unsupported, match=r"harness-bench\[bayes\]"):
        measure_convergence(chains())
