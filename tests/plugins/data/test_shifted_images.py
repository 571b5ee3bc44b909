"""Test splits of another distribution: what they hold, and rows that belong to no class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from idx_files import write_mnist
from sklearn.datasets import load_digits

from harness import NO_CLASS, Data, DataOptions
from harness.catalog import Settings, load_catalog
from harness.data.files import list_declared
from harness.data.soundness import require_sound
from harness_data import digits, mnist, shifted
from harness_data.options import MnistShiftedOptions

SPLITS = ("train", "valid", "test")


def of_digits(seed: int = 0, refit: bool = False) -> Data:
    return (shifted.refit_digits if refit else shifted.load_digits)(DataOptions(), seed, Path())


def pixels(inputs: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Inputs back on the scale of the pixels, 0 to 16, known from the extremes of the training rows."""
    low, high = float(train.min()), float(train.max())
    return (inputs[:, 0].astype(np.float64) - low) / (high - low) * 16


@pytest.mark.parametrize("refit", [False, True])
def test_digits_from_0_to_4_are_apart_and_whole_and_those_from_5_are_all_there(refit):
    data = require_sound("digits-shifted", of_digits(3, refit))
    sizes = [len(getattr(data, name).targets) for name in SPLITS]
    assert sizes == ([721, 0, 180] if refit else [541, 180, 180])
    assert (data.problem.output_size, data.problem.train_size) == (5, sizes[0])
    bunch = load_digits()
    known = bunch.target < 5
    found = [(*row, label) for name in SPLITS for row, label in zip(*rows(data, getattr(data, name)), strict=True)]
    whole = zip(bunch.images[known].reshape(-1, 64).astype(int), bunch.target[known], strict=True)
    assert sorted(found) == sorted((*image, label) for image, label in whole)
    others, labels = rows(data, data.shifted["digits-5-9"])
    assert sorted(map(tuple, others)) == sorted(map(tuple, bunch.images[~known].reshape(-1, 64).astype(int)))
    assert set(labels) == {NO_CLASS}


def rows(data: Data, split) -> tuple[list[tuple[int, ...]], np.ndarray]:
    images = np.rint(pixels(split.inputs, data.train.inputs)).astype(int)
    return list(map(tuple, images.reshape(-1, 64))), split.targets


@pytest.mark.parametrize("refit", [False, True])
def test_digits_are_standardised_by_the_training_rows(refit):
    train = of_digits(refit=refit).train.inputs.astype(np.float64)
    assert (train.mean(), train.std()) == pytest.approx((0, 1), abs=1e-5)


def test_noise_is_uniform_over_the_range_of_pixels_and_of_no_class():
    data = of_digits()
    noise = data.shifted["noise"]
    values = pixels(noise.inputs, data.train.inputs)
    assert noise.inputs.shape == data.test.inputs.shape
    assert noise.inputs.dtype == np.float32
    assert 0 <= values.min() < 0.05
    assert 15.95 < values.max() <= 16
    assert np.histogram(values, 4)[0] / values.size == pytest.approx(0.25, abs=0.02)
    assert set(noise.targets) == {NO_CLASS}
    assert not np.array_equal(noise.inputs, of_digits(1).shifted["noise"].inputs)
    assert np.array_equal(noise.inputs, of_digits().shifted["noise"].inputs)


def test_classes_keep_their_share():
    for name in SPLITS:
        counts = np.bincount(getattr(of_digits(), name).targets)
        assert len(counts) == 5
        assert counts.max() - counts.min() <= 6


def test_digits_as_such_are_what_they_were():
    plain = digits.load(DataOptions(), 0, Path())
    assert not plain.shifted
    assert plain.problem.output_size == 10


def test_mnist_is_mnist_with_noise_and_turned_images(tmp_path):
    write_mnist(tmp_path, train=5010, test=30)
    data, plain = (
        shifted.load_mnist(MnistShiftedOptions(), 0, tmp_path),
        mnist.load(DataOptions(), 0, tmp_path),
    )
    assert list(require_sound("mnist-shifted", data).shifted) == ["noise", "rotated"]
    for name in SPLITS:
        assert np.array_equal(getattr(data, name).inputs, getattr(plain, name).inputs)
    turned = data.shifted["rotated"]
    assert np.array_equal(turned.targets, plain.test.targets)
    # By a quarter, left: what is at the right edge is at the upper one, in the same order.
    assert np.array_equal(turned.inputs[:, 0, 0, :], plain.test.inputs[:, 0, :, -1])
    assert set(data.shifted["noise"].targets) == {NO_CLASS}
    assert data.shifted["noise"].inputs.min() >= np.float32(-0.1307 / 0.3081)


def test_fashion_is_standardised_as_mnist_is_and_of_no_class(tmp_path):
    write_mnist(tmp_path, train=5010, test=30)
    clothes = write_mnist(tmp_path, train=5010, test=20, seed=1, name="fashion-mnist")
    data = shifted.load_mnist(MnistShiftedOptions(fashion=True), 0, tmp_path)
    assert list(require_sound("mnist-shifted", data).shifted) == ["noise", "rotated", "fashion"]
    fashion = data.shifted["fashion"]
    expected = (clothes["t10k-images-idx3-ubyte"][:, None] / 255 - 0.1307) / 0.3081
    assert np.allclose(fashion.inputs, expected, atol=1e-5)
    assert set(fashion.targets) == {NO_CLASS}


def test_fashion_mnist_is_needed_where_it_is_asked_for():
    dataset = load_catalog(Settings()).datasets.get("mnist-shifted")
    plain, more = list_declared(dataset), list_declared(dataset, {"fashion": True})
    assert [file.path.partition("/")[0] for file in plain] == ["mnist"] * 4
    assert [file.path for file in more[4:]] == [
        "fashion-mnist/t10k-images-idx3-ubyte.gz",
        "fashion-mnist/t10k-labels-idx1-ubyte.gz",
    ]
