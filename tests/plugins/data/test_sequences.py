"""Images as sequences: the same rows, splits and numbers as the images have, in another shape and order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from idx_files import write_mnist

from harness import DataOptions, UsageError
from harness.cli import main
from harness.options import build
from harness_data import digits, mnist, sequences
from harness_data.options import MnistPixelsOptions

SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """A data folder with MNIST files of few rows."""
    folder = tmp_path_factory.mktemp("data")
    write_mnist(folder, train=5040, test=12)
    return folder


def pixels(folder: Path, seed: int = 0, **options: object):
    return sequences.load_mnist_pixels(MnistPixelsOptions(**options), seed, folder)


def require_alike(data, source, shape):
    """The same rows as the source, as sequences of that shape."""
    assert (data.problem.input_shape, data.problem.time_axis, data.problem.output_size) == (shape, True, 10)
    assert data.problem.train_size == source.problem.train_size
    for name in SPLITS:
        split, given = getattr(data, name), getattr(source, name)
        assert np.array_equal(split.targets, given.targets)
        assert split.inputs.dtype == np.float32
        assert np.array_equal(split.inputs, given.inputs.reshape(-1, *shape))


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize(
    ("load", "shape"), [(sequences.load_digit_rows, (8, 8)), (sequences.load_digit_pixels, (64, 1))]
)
def test_digits_as_sequences_are_the_digits(load, shape, seed):
    require_alike(load(DataOptions(), seed, Path()), digits.load(DataOptions(), seed, Path()), shape)


@pytest.mark.parametrize("seed", [0, 3])
def test_mnist_as_sequences_is_mnist(images, seed):
    source = mnist.load(DataOptions(), seed, images)
    require_alike(sequences.load_mnist_rows(DataOptions(), seed, images), source, (28, 28))
    require_alike(pixels(images, seed), source, (784, 1))


def test_a_step_of_rows_is_a_row_and_steps_of_pixels_go_along_it():
    image = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    assert sequences.rows(image)[0, 1].tolist() == [4, 5, 6, 7]
    assert sequences.pixels(image)[0, :6, 0].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("pool", [1, 2, 4, 7, 14, 28])
def test_pooled_pixels_are_means_of_squares(images, pool):
    side = 28 // pool
    data, source = pixels(images, pool=pool), mnist.load(DataOptions(), 0, images)
    assert data.problem.input_shape == (side * side, 1)
    for name in SPLITS:
        image = getattr(source, name).inputs[:5, 0].astype(np.float64)
        found = getattr(data, name).inputs[:5, :, 0]
        for step in range(side * side):
            top, left = step // side * pool, step % side * pool
            naive = image[:, top : top + pool, left : left + pool].mean(axis=(1, 2))
            assert np.allclose(found[:, step], naive, rtol=0, atol=1e-6)


@pytest.mark.parametrize("pool", [1, 2])
def test_permuted_steps_are_the_same_steps_in_one_order_for_all_seeds(images, pool):
    orders = []
    for seed in (0, 1):
        plain, permuted = pixels(images, seed, pool=pool), pixels(images, seed, pool=pool, permuted=True)
        order = np.random.default_rng(28).permutation((28 // pool) ** 2)
        assert sorted(order) == list(range(len(order)))
        assert not np.array_equal(order, np.arange(len(order)))
        for name in SPLITS:
            one, other = getattr(plain, name), getattr(permuted, name)
            assert np.array_equal(one.inputs[:, order], other.inputs)
            assert np.array_equal(one.targets, other.targets)
        orders.append(sequences.draw_permutation(len(order)))
    assert np.array_equal(*orders)


def test_the_order_of_the_steps_is_pinned():
    """Scores of other versions are of the same task."""
    assert sequences.draw_permutation(784)[:6].tolist() == [69, 682, 65, 252, 384, 142]


@pytest.mark.parametrize("pool", [3, 5, 0, 29])
def test_a_pool_that_does_not_divide_an_image_is_refused(pool):
    with pytest.raises(UsageError, match="pool"):
        build(MnistPixelsOptions, {"pool": pool}, "mnist-pixels")


def test_sequences_have_recipes_of_their_own(capsys):
    for name, epochs, batch in (
        ("digits-rows", 20, 32),
        ("digits-pixels", 40, 32),
        ("mnist-rows", 3, 128),
        ("mnist-pixels", 100, 128),
    ):
        assert main(["list", name]) == 0
        said = capsys.readouterr().out
        assert f"{epochs} epochs" in said
        assert f"batch size {batch}" in said
