"""Toys: the truth that they are generated from is the one that they state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from harness import DataOptions
from harness_data import toys
from harness_data.options import GapOptions

SPLITS = ("train", "valid", "test")


def gap(seed: int = 0, **options):
    return toys.load_gap(GapOptions(**options), seed, Path())


def plane(seed: int = 0):
    return toys.load_plane(DataOptions(), seed, Path())


@pytest.mark.parametrize("rows", [80, 7, 2])
def test_rows_lie_on_both_sides_of_the_gap_and_the_shifted_ones_within(rows):
    data = gap(rows=rows)
    assert [len(getattr(data, name).targets) for name in SPLITS] == [rows, 50, 200]
    for name in SPLITS:
        away = np.abs(getattr(data, name).inputs)
        assert np.float32(0.4) <= away.min() <= away.max() < 1
        sides = np.sign(getattr(data, name).inputs).sum()
        assert abs(sides) == rows % 2 if name == "train" else sides == 0
    assert list(data.shifted) == ["gap"]
    assert np.abs(data.shifted["gap"].inputs).max() < 0.3
    assert (data.problem.target_mean, data.problem.target_scale, data.problem.train_size) == (0, 1, rows)


def test_targets_are_the_stated_function_with_the_stated_noise():
    for noise in (0.0, 0.1, 2.0):
        data = gap(noise=noise)
        splits = [data.train, data.valid, data.test, data.shifted["gap"]]
        x, y = (np.concatenate([part[field] for part in splits]).ravel().astype(float) for field in (0, 1))
        error = y - np.sin(3.5 * x) - 0.3 * np.sin(9 * x)
        assert np.abs(error).max() < 1e-6 if noise == 0 else error.std() == pytest.approx(noise, rel=0.1)
    # Seeds fixed, so no test of chance: draws of splits and seeds are unrelated, and normal.
    residuals = np.concatenate([gap(seed).test.targets - gap(seed, noise=0.0).test.targets for seed in range(5)])
    assert stats.kstest(residuals / 0.1, "norm").pvalue > 0.01


@pytest.mark.parametrize("load", [gap, plane])
def test_the_seed_decides_the_noise_and_nothing_else(load):
    one, same, other = load(3), load(3), load(4)
    for name in SPLITS:
        first, second, third = (getattr(data, name) for data in (one, same, other))
        assert np.array_equal(first.inputs, third.inputs)
        assert np.array_equal(first.targets, second.targets)
        assert np.array_equal(first.targets, third.targets) == (load is plane and name == "train")
    assert len({tuple(getattr(one, name).targets[:5]) for name in SPLITS}) == 3


def test_the_twelve_rows_are_those_of_torch():
    noise = torch.randn(12, generator=torch.Generator().manual_seed(0)).double().numpy()
    x = np.linspace(-2, 2, 12)
    data = plane()
    assert np.allclose(data.train.inputs[:, 0], x, atol=1e-6)
    assert np.allclose(data.train.targets, 1.2 * np.tanh(x) + 0.3 * noise, atol=1e-6)
    for split in (data.valid, data.test):
        away = split.targets - 1.2 * np.tanh(split.inputs[:, 0])
        assert away.std() == pytest.approx(0.3, rel=0.2)


def twelve() -> tuple[np.ndarray, np.ndarray]:
    """The training rows as they are loaded, in float64."""
    data = plane()
    return data.train.inputs[:, 0].astype(float), data.train.targets.astype(float)


def test_the_log_evidence_is_that_of_a_fine_grid():
    x, y = twelve()
    axis = np.linspace(-10, 10, 801)
    features = np.tanh(axis[:, None] * x)  # (w2, rows)
    fits = axis[:, None, None] * features  # (w1, w2, rows)
    log_joint = stats.norm.logpdf(y, fits, 0.3).sum(axis=-1)
    log_joint += stats.norm.logpdf(axis, 0, 1.5)[:, None] + stats.norm.logpdf(axis, 0, 1.5)
    found = special.logsumexp(log_joint) + 2 * np.log(axis[1] - axis[0])
    assert found == pytest.approx(plane().readings["exact_log_evidence"], abs=2e-5)


def test_the_log_evidence_is_that_of_the_weight_that_can_be_integrated_by_hand():
    """Given w2 the targets are normal with covariance 0.09 I + 2.25 t t', t = tanh(w2 x); what is left is a line."""
    x, y = twelve()

    def density(w2: float) -> float:
        features = np.tanh(w2 * x)
        covariance = 0.09 * np.eye(len(x)) + 2.25 * np.outer(features, features)
        return stats.multivariate_normal.pdf(y, np.zeros(len(x)), covariance) * stats.norm.pdf(w2, 0, 1.5)

    evidence, _ = integrate.quad(density, -15, 15, points=[-2, 2], epsabs=1e-9, limit=200)
    assert np.log(evidence) == pytest.approx(plane().readings["exact_log_evidence"], abs=2e-5)
