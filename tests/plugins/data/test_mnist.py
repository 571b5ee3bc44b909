"""MNIST from its official files: tiny generated ones, and the real ones where they are."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from idx_files import idx, write_mnist

from harness import DataOptions, HarnessError
from harness.data.files import check_files, identify_files
from harness_data.mnist import load, load_fashion
from harness_data.registry import MNIST

SPLITS = ("train", "valid", "test")


@pytest.fixture
def real() -> Path:
    folder = Path(os.environ.get("HARNESS_DATA_DIR", ""))
    if not os.environ.get("HARNESS_DATA_DIR"):
        pytest.skip("HARNESS_DATA_DIR is not set")
    if not (folder / MNIST[0].path).exists():
        pytest.skip(f"HARNESS_DATA_DIR={folder} has no MNIST")
    return folder


def pixels(inputs: np.ndarray) -> np.ndarray:
    """Inputs (N, 1, 28, 28) back as bytes."""
    return np.round((inputs[:, 0] * 0.3081 + 0.1307) * 255).astype(np.uint8)


def test_rows_go_into_three_splits_and_come_back_as_they_were_written(tmp_path):
    content = write_mnist(tmp_path, train=5400, test=30)
    data = load(DataOptions(), 0, tmp_path)
    assert [len(getattr(data, name).targets) for name in SPLITS] == [400, 5000, 30]
    assert (data.problem.kind, data.problem.input_shape, data.problem.output_size) == (
        "classification",
        (1, 28, 28),
        10,
    )
    assert data.problem.train_size == 400
    for name in SPLITS:
        split = getattr(data, name)
        assert (split.inputs.dtype, split.targets.dtype) == (np.float32, np.int64)
    assert np.array_equal(pixels(data.test.inputs), content["t10k-images-idx3-ubyte"])
    assert np.array_equal(data.test.targets, content["t10k-labels-idx1-ubyte"])
    rows = [*zip(pixels(data.train.inputs), data.train.targets, strict=True)]
    rows += zip(pixels(data.valid.inputs), data.valid.targets, strict=True)
    written = zip(content["train-images-idx3-ubyte"], content["train-labels-idx1-ubyte"], strict=True)
    assert sorted((image.tobytes(), int(label)) for image, label in rows) == sorted(
        (image.tobytes(), int(label)) for image, label in written
    )


def test_fashion_mnist_has_a_folder_and_constants_of_its_own(tmp_path):
    content = write_mnist(tmp_path, train=5010, test=30, name="fashion-mnist")
    data = load_fashion(DataOptions(), 0, tmp_path)
    assert [len(getattr(data, name).targets) for name in SPLITS] == [10, 5000, 30]
    expected = (content["t10k-images-idx3-ubyte"][:, None] / 255 - 0.2860) / 0.3530
    assert np.allclose(data.test.inputs, expected, rtol=0, atol=1e-5)
    with pytest.raises(HarnessError, match="cannot be read: No such file"):
        load(DataOptions(), 0, tmp_path)


def test_pixels_are_standardised_with_the_customary_constants(tmp_path):
    write_mnist(tmp_path, train=5010, test=30)
    (tmp_path / "mnist/t10k-images-idx3-ubyte.gz").write_bytes(
        gzip.compress(idx(np.repeat([0, 51, 255], 10)[:, None, None] * np.ones((1, 28, 28))))
    )
    inputs = load(DataOptions(), 0, tmp_path).test.inputs
    assert inputs[[0, 10, 20], 0, 5, 5] == pytest.approx([-0.1307 / 0.3081, (0.2 - 0.1307) / 0.3081, 0.8693 / 0.3081])


def test_validation_is_stratified_by_seed_and_the_test_split_is_fixed(tmp_path):
    content = write_mnist(tmp_path, train=6000, test=30)
    one, same, other = (load(DataOptions(), seed, tmp_path) for seed in (0, 0, 1))
    share = np.bincount(content["train-labels-idx1-ubyte"], minlength=10) * 5000 / 6000
    assert np.all(np.abs(np.bincount(one.valid.targets, minlength=10) - share) < 1)
    assert np.array_equal(one.valid.inputs, same.valid.inputs)
    assert not np.array_equal(one.valid.inputs, other.valid.inputs)
    assert np.array_equal(one.test.inputs, other.test.inputs)


TORCHVISION = {"mnist": "MNIST/raw", "fashion-mnist": "FashionMNIST/raw"}


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("below", ["", "itself"])
@pytest.mark.parametrize("dots", [False, True])
def test_the_layouts_of_torchvision_and_of_whoever_unpacks_are_the_same_data(tmp_path, name, suffix, below, dots):
    read = load if name == "mnist" else load_fashion
    content = write_mnist(tmp_path / "ours", train=5010, test=30, name=name)
    place = tmp_path / "theirs" / (name if below else "") / TORCHVISION[name]
    place.mkdir(parents=True)
    for file, values in content.items():
        packed = gzip.compress(idx(values), compresslevel=9) if suffix else idx(values)
        spelt = file.replace("-idx", ".idx") if dots and not suffix else file
        (place / f"{spelt}{suffix}").write_bytes(packed)
    ours, theirs = (read(DataOptions(), 0, tmp_path / folder) for folder in ("ours", "theirs"))
    for split in SPLITS:
        for one, other in zip(getattr(ours, split)[:2], getattr(theirs, split)[:2], strict=True):
            assert np.array_equal(one, other)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"])
def test_a_file_that_changed_since_planning_is_named(tmp_path, name):
    content = write_mnist(tmp_path, train=5010, test=30)
    path = tmp_path / "mnist" / f"{name}.gz"
    path.write_bytes(gzip.compress(idx(content[name])[:-7]))
    whole = len(idx(content[name]))
    with pytest.raises(HarnessError, match=rf"{path}: truncated: {whole - 7} bytes.*expected {whole}"):
        load(DataOptions(), 0, tmp_path)


def test_labels_must_be_one_per_image_and_below_ten(tmp_path):
    content = write_mnist(tmp_path, train=5010, test=30)
    path = tmp_path / "mnist/t10k-labels-idx1-ubyte.gz"
    labels = content["t10k-labels-idx1-ubyte"]
    path.write_bytes(gzip.compress(idx(labels[:-1])))
    with pytest.raises(HarnessError, match=f"{path}: 29 labels, expected 30"):
        load(DataOptions(), 0, tmp_path)
    path.write_bytes(gzip.compress(idx(np.full_like(labels, 10))))
    with pytest.raises(HarnessError, match=f"{path}: a label of 10, expected 0 to 9"):
        load(DataOptions(), 0, tmp_path)


def test_too_few_rows_to_validate_with(tmp_path):
    write_mnist(tmp_path, train=5000, test=3)
    with pytest.raises(HarnessError, match="5000 training rows, expected more"):
        load(DataOptions(), 0, tmp_path)


def test_a_generated_file_is_not_taken_for_the_official_one(tmp_path):
    write_mnist(tmp_path, train=20, test=3)
    problems = check_files(MNIST, tmp_path)
    assert [problem.file for problem in problems] == list(MNIST)
    assert {problem.kind for problem in problems} == {"size"}


def test_the_official_files(real):
    assert check_files(MNIST, real) == []
    data = load(DataOptions(), 0, real)
    assert [len(getattr(data, name).targets) for name in SPLITS] == [55000, 5000, 10000]
    # Published counts of the digits among the 60,000 and the 10,000.
    training = np.bincount(data.train.targets) + np.bincount(data.valid.targets)
    assert training.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(data.test.targets).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    every = np.concatenate([data.train.inputs, data.valid.inputs])
    # The customary constants are those of the 60,000 images, to four digits.
    assert every.mean(dtype=np.float64) == pytest.approx(0, abs=2e-4)
    assert every.std(dtype=np.float64) == pytest.approx(1, abs=2e-4)
    assert data.test.targets[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_official_files_in_other_clothes_are_official(real, tmp_path):
    """Uncompressed, compressed again, in torchvision's folder: as they lie there, and with the same key."""
    writers = {
        "MNIST/raw/{}": gzip.decompress,
        "MNIST/raw/{}.gz": lambda packed: packed,
        "mnist/{}": gzip.decompress,
        "mnist/{}.gz": lambda packed: gzip.compress(gzip.decompress(packed), compresslevel=1),
    }
    for number, (place, change) in enumerate(writers.items()):
        for file in MNIST:
            path = tmp_path / str(number) / place.format(Path(file.path).name.removesuffix(".gz"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(change((real / file.path).read_bytes()))
        assert check_files(MNIST, tmp_path / str(number)) == []
        assert identify_files(MNIST, tmp_path / str(number)) == identify_files(MNIST, real)
    (tmp_path / "0/MNIST/raw/t10k-labels-idx1-ubyte").write_bytes(bytes(10008))
    (problem,) = check_files(MNIST, tmp_path / "0")
    assert problem.path.name == "t10k-labels-idx1-ubyte"
