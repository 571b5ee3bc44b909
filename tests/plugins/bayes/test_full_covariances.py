"""Full covariances: their cost, and the refusal of one that is too large, with its size and a remedy."""

from __future__ import annotations

import math

import pytest

from harness import Unsupported
from harness_bayes import full_covariances
from harness_bayes.full_covariances import LONGEST, estimate_cost, refuse_large

GIB = 2**30


@pytest.mark.parametrize("objective", ["approximate", "true", "certified"])
def test_costs_grow_as_the_equations_say(objective):
    """Memory with the square of the weights; time too, but with their cube where pairs of components are solved."""
    small, large = (estimate_cost(size, 1, 3, objective) for size in (100_000, 200_000))
    assert large.memory == 4 * small.memory
    power = math.log2(large.seconds / small.seconds)
    assert power == pytest.approx(3.0 if objective == "certified" else 2.0, abs=0.01)


def test_one_component_has_no_pairs():
    assert estimate_cost(500, 1, 1, "certified") == estimate_cost(500, 1, 1, "approximate")


def test_trials_side_by_side_need_memory_together_and_time_each():
    one, four = (estimate_cost(500, trials, 2, "true") for trials in (1, 4))
    assert (four.memory, four.seconds) == (4 * one.memory, one.seconds)


def test_factor_gradient_moments_and_work_are_counted(monkeypatch):
    """12 copies of 1,000 x 1,000 numbers in single precision are 48 MB, and a quarter of the memory stays free."""
    assert estimate_cost(1000, 1, 1, "approximate").memory == 48_000_000
    monkeypatch.setattr(full_covariances, "total_bytes", lambda device: 64_000_001)
    refuse_large(1000, 1, 1, "approximate", "cpu")
    monkeypatch.setattr(full_covariances, "total_bytes", lambda device: 63_999_999)
    with pytest.raises(Unsupported, match=r"1 matrices of 1,000 x 1,000 take 0\.0 GiB with gradients.*covariance=diag"):
        refuse_large(1000, 1, 1, "approximate", "cpu")


@pytest.mark.parametrize(("objective", "components"), [("approximate", 1), ("true", 3), ("certified", 2)])
def test_what_takes_too_long_is_refused_though_memory_holds_it(monkeypatch, objective, components):
    monkeypatch.setattr(full_covariances, "total_bytes", lambda device: 10**9 * GIB)
    size = next(m for m in range(100, 10**6, 50) if estimate_cost(m, 1, components, objective).seconds > LONGEST)
    refuse_large(size - 50, 1, components, objective, "cpu")
    with pytest.raises(Unsupported, match=f"{components} matrices of {size:,} x {size:,}: an update takes about 10 s"):
        refuse_large(size, 1, components, objective, "cpu")


def test_a_network_of_the_usual_size_is_taken():
    """A hidden layer of 50 units on a table, with five components and the dearest objective."""
    refuse_large(751, 1, 5, "certified", "cpu")
