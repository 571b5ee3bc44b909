"""The default data set: real digits, no download."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from harness import Data, DataOptions
from harness_data.digits import load

SPLITS = ("train", "valid", "test")


def digits(seed: int = 0) -> Data:
    return load(DataOptions(), seed, Path())


def original(rows: np.ndarray, data: Data) -> np.ndarray:
    """Inputs back on the scale of the pixels, 0 to 16, known from their extremes."""
    low, high = data.train.inputs.min(), data.train.inputs.max()
    return np.round((rows[:, 0] - low) / (high - low) * 16).astype(int)


def test_shapes_types_and_sizes():
    data = digits()
    assert [len(getattr(data, name).targets) for name in SPLITS] == [1079, 359, 359]
    for name in SPLITS:
        split = getattr(data, name)
        assert split.inputs.shape == (len(split.targets), 1, 8, 8)
        assert (split.inputs.dtype, split.targets.dtype) == (np.float32, np.int64)
    problem = data.problem
    assert (problem.kind, problem.input_shape, problem.output_size) == ("classification", (1, 8, 8), 10)
    assert (problem.train_size, problem.order, problem.time_axis) == (1079, "shuffled", False)


@pytest.mark.parametrize("seed", [0, 1, 2**62])
def test_every_row_is_in_exactly_one_split_with_its_own_label(seed):
    data = digits(seed)
    split = [
        (*image.ravel(), label)
        for name in SPLITS
        for image, label in zip(original(getattr(data, name).inputs, data), getattr(data, name).targets, strict=True)
    ]
    bunch = load_digits()
    whole = [(*image.ravel().astype(int), label) for image, label in zip(bunch.images, bunch.target, strict=True)]
    assert sorted(split) == sorted(whole)


@pytest.mark.parametrize("seed", [0, 1])
def test_classes_keep_their_share_in_every_split(seed):
    data = digits(seed)
    counts = np.bincount(load_digits().target)
    for name in SPLITS:
        targets = getattr(data, name).targets
        share = counts * len(targets) / 1797
        # Within one row for the split that is drawn first, one row more for those drawn from what it left.
        assert np.all(np.abs(np.bincount(targets, minlength=10) - share) < (1 if name == "test" else 2))


def test_the_seed_alone_decides_the_split():
    one, same, other = digits(3), digits(3), digits(4)
    for name in SPLITS:
        assert np.array_equal(getattr(one, name).inputs, getattr(same, name).inputs)
        assert not np.array_equal(getattr(one, name).targets, getattr(other, name).targets)


def test_inputs_are_standardised_by_the_training_rows():
    data = digits()
    train = data.train.inputs.astype(np.float64)
    assert train.mean() == pytest.approx(0, abs=1e-5)
    assert train.std() == pytest.approx(1, abs=1e-5)
    # The other splits share the scale and not the statistics: the pixel 0 is the same number everywhere.
    assert data.test.inputs.min() == data.valid.inputs.min() == data.train.inputs.min()
    assert abs(data.test.inputs.astype(np.float64).mean()) > 1e-5


def test_listing_data_sets_imports_nothing_heavy():
    code = "import sys, harness_data; list(harness_data.harness_datasets()); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "harness_data" in modules
    assert not {"numpy", "torch", "sklearn", "pandas", "scipy", "pooch", "requests"} & set(modules)
