"""CIFAR-10 and CIFAR-100 from their official files: tiny generated ones, and the real ones where they are."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from cifar_files import NAMES, images, write, write_cifar10, write_cifar100

from harness import HarnessError, UsageError
from harness.data.files import check_files, require_files
from harness_data import registry
from harness_data.cifar import load10, load100
from harness_data.options import Cifar10Options, CifarOptions

FOLDER = "cifar-10-batches-py"
SPLITS = ("train", "valid", "test")


def rows(*splits) -> list[tuple[bytes, int]]:
    """Images and labels of splits, in an order of their own."""
    return sorted(
        (image.tobytes(), int(label))
        for split in splits
        for image, label in zip(split.inputs, split.targets, strict=True)
    )


def written(content, names, key=b"labels") -> list[tuple[bytes, int]]:
    return sorted(
        (image.tobytes(), label)
        for name in names
        for image, label in zip(content[name][b"data"], content[name][key], strict=True)
    )


# --- generated files ----------------------------------------------------------------------------------------------


def test_rows_go_into_three_splits_and_come_back_as_they_were_written(tmp_path):
    content = write_cifar10(tmp_path)
    data = load10(Cifar10Options(), 0, tmp_path)
    assert [len(getattr(data, name).targets) for name in SPLITS] == [90, 10, 20]
    assert (data.problem.input_shape, data.problem.output_size, data.problem.train_size) == ((3, 32, 32), 10, 90)
    for name in SPLITS:
        split = getattr(data, name)
        assert (split.inputs.dtype, split.inputs.shape[1:]) == (np.uint8, (3, 32, 32))
        assert split.targets.dtype == np.int64
    assert rows(data.train, data.valid) == written(content, [f"data_batch_{n}" for n in range(1, 6)])
    assert rows(data.test) == written(content, ["test_batch"])
    # Channel after channel, row after row, as the format says.
    first = content["test_batch"][b"data"][0]
    assert data.test.inputs[0, 2, 5, 7] == first[2 * 1024 + 5 * 32 + 7]


def test_a_part_of_the_batches_is_read_alone(tmp_path):
    content = write_cifar10(tmp_path, batches=(2, 4))
    data = load10(Cifar10Options(batches=(4, 2)), 0, tmp_path)
    assert [len(getattr(data, name).targets) for name in SPLITS] == [36, 4, 20]
    assert rows(data.train, data.valid) == written(content, ["data_batch_2", "data_batch_4"])
    again = load10(Cifar10Options(batches=(2, 4)), 0, tmp_path)
    assert np.array_equal(data.train.inputs, again.train.inputs)


def test_validation_is_a_stratified_tenth_by_seed(tmp_path):
    write_cifar10(tmp_path, rows=40)
    one, same, other = (load10(Cifar10Options(), seed, tmp_path) for seed in (0, 0, 1))
    assert set(Counter(one.valid.targets.tolist()).values()) == {2}
    assert np.array_equal(one.valid.inputs, same.valid.inputs)
    assert not np.array_equal(one.valid.inputs, other.valid.inputs)


def test_the_fine_labels_of_cifar100(tmp_path):
    content = write_cifar100(tmp_path)
    data = load100(CifarOptions(), 0, tmp_path)
    assert (data.problem.output_size, data.problem.train_size) == (100, 180)
    assert rows(data.train, data.valid) == written(content, ["train"], b"fine_labels")
    assert rows(data.test) == written(content, ["test"], b"fine_labels")


def test_augmentation_can_be_switched_off(tmp_path):
    write_cifar10(tmp_path)
    assert load10(Cifar10Options(), 0, tmp_path).augment is not None
    assert load10(Cifar10Options(augment=False), 0, tmp_path).augment is None


@pytest.mark.parametrize("batches", [(), (1, 1)])
def test_batches_must_be_distinct(batches):
    with pytest.raises(ValueError, match=r"distinct numbers from 1 to 5, such as \[1,2\]"):
        Cifar10Options(batches=batches)


# --- on the device ------------------------------------------------------------------------------------------------

# Of the published OTTT code, for both data sets.
MEAN, STD = np.array([0.4914, 0.4822, 0.4465]), np.array([0.2023, 0.1994, 0.2010])
MARK = 1000  # no normalised pixel comes near it

both = pytest.mark.parametrize(
    ("write_files", "load", "options"),
    [(write_cifar10, load10, Cifar10Options()), (write_cifar100, load100, CifarOptions())],
)


@both
def test_pixels_are_normalised_as_published(tmp_path, write_files, load, options):
    write_files(tmp_path)
    data = load(options, 0, tmp_path)
    found = data.transform(torch.from_numpy(data.test.inputs))
    expected = (data.test.inputs / 255 - MEAN[:, None, None]) / STD[:, None, None]
    assert found.dtype == torch.float32
    assert np.abs(found.numpy() - expected).max() < 1e-6


@both
def test_training_images_are_cropped_cut_out_and_flipped_as_published(tmp_path, write_files, load, options):
    """Every pixel of the input says where it was: MARK + 32 row + column."""
    write_files(tmp_path)
    rows, columns = np.mgrid[:32, :32]
    inputs = torch.from_numpy(MARK + 32.0 * rows + columns).float().expand(2000, 3, 32, 32)
    outputs = load(options, 0, tmp_path).augment(inputs, torch.Generator().manual_seed(0)).double().numpy()
    seen, flips, holes = Counter(), 0, 0
    for image in outputs:
        kept = image[0] >= MARK
        row, column = np.divmod(image[0][kept].astype(int) - MARK, 32)
        down, right = set(row - rows[kept]), set(column - columns[kept])
        flipped = len(right) > 1
        if flipped:
            right = set(column - (31 - columns[kept]))
        assert len(down) == len(right) == 1
        (down,), (right,) = down, right
        seen[down, right] += 1
        flips += flipped
        # What is not of the image is its surroundings, black before normalisation, or a rectangle of one grey.
        across = 31 - columns if flipped else columns
        inside = (rows + down >= 0) & (rows + down < 32) & (across + right >= 0) & (across + right < 32)
        colour = image * STD[:, None, None] + MEAN[:, None, None]
        lost = inside & ~kept
        if not lost.any():
            assert np.abs(colour[:, ~inside]).max(initial=0) < 1e-6
            continue
        holes += 1
        grey = colour[0][lost][0]
        assert np.abs(colour[:, lost] - grey).max() < 1e-6
        assert np.abs(grey * 255 - round(grey * 255)) < 1e-4
        around = colour[:, ~inside]
        assert np.minimum(np.abs(around), np.abs(around - grey)).max(initial=0) < 1e-6
    assert {down for down, _ in seen} == {right for _, right in seen} == set(range(-4, 5))
    assert len(seen) == 81  # all windows of an image that is surrounded by 4 pixels
    assert 0.45 < flips / len(outputs) < 0.55
    assert 0.4 < holes / len(outputs) < 0.55  # half of them, but for a few whose hole lies outside of the image


# --- bad files ----------------------------------------------------------------------------------------------------


class Command:
    """A command in a pickle from a stranger."""

    def __reduce__(self):
        return os.system, ("touch this-must-not-exist",)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({b"data": Command(), b"labels": []}, r"posix\.system|nt\.system"),
        (Command(), r"posix\.system|nt\.system"),
        ({b"data": images(2, 0), b"labels": subprocess.Popen}, "subprocess.Popen"),
        ({b"data": images(2, 0), b"labels": eval}, r"builtins\.eval|__builtin__\.eval"),
        ({b"data": np.float64(1.0), b"labels": [1]}, "numpy.core.multiarray.scalar"),
    ],
)
def test_a_pickle_that_asks_for_more_than_data_is_refused_by_name_and_never_run(tmp_path, monkeypatch, content, named):
    monkeypatch.chdir(tmp_path)
    write_cifar10(tmp_path)
    write(tmp_path / FOLDER / "data_batch_3", content)
    with pytest.raises(HarnessError, match=rf"data_batch_3: a pickle that asks for ({named}), .* not run"):
        load10(Cifar10Options(), 0, tmp_path)
    assert not (tmp_path / "this-must-not-exist").exists()


def good(**changes):
    return {b"data": images(20, 0), b"labels": [1] * 20} | {name.encode(): value for name, value in changes.items()}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1, 2], "holds a list, expected a dictionary"),
        ({b"labels": [1]}, "data holds nothing, expected a ndarray"),
        (good(data=[1, 2]), "data holds a list, expected a ndarray"),
        (good(data=images(20, 0)[:, :3000]), r"data are uint8 of shape \(20, 3000\), expected uint8 \(N, 3072\)"),
        (good(data=images(20, 0).astype(np.int64)), r"data are int64 of shape \(20, 3072\)"),
        (good(data=images(20, 0).ravel()), r"data are uint8 of shape \(61440,\)"),
        (good(labels=[1] * 19), "19 labels, expected 20, one for each image"),
        (good(labels=[1] * 19 + [10]), "a label of 10, expected 0 to 9"),
        (good(labels=[1] * 19 + [-1]), "a label of -1, expected 0 to 9"),
        (good(labels=[1] * 19 + [None]), "a label of None, expected 0 to 9"),
        (good(labels=(1,) * 20), "labels holds a tuple, expected a list"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path, content, said):
    write_cifar10(tmp_path)
    write(tmp_path / FOLDER / "data_batch_2", content)
    with pytest.raises(HarnessError, match=f"data_batch_2: {said}"):
        load10(Cifar10Options(), 0, tmp_path)


def test_a_truncated_file_is_called_one(tmp_path):
    write_cifar10(tmp_path)
    path = tmp_path / FOLDER / "data_batch_1"
    whole = path.read_bytes()
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(HarnessError, match=r"data_batch_1: not a pickle, or (truncated|damaged): .*data verify"):
            load10(Cifar10Options(), 0, tmp_path)
    path.write_bytes(b"not a pickle at all")
    with pytest.raises(HarnessError, match=r"data_batch_1: not a pickle, or"):
        load10(Cifar10Options(), 0, tmp_path)
    path.unlink()
    with pytest.raises(HarnessError, match=r"data_batch_1: cannot be read: No such file"):
        load10(Cifar10Options(), 0, tmp_path)


def test_random_damage_never_ends_in_anything_but_a_clear_error(tmp_path):
    write_cifar10(tmp_path)
    path = tmp_path / FOLDER / "data_batch_1"
    whole, random = path.read_bytes(), np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(whole)
        # Most of the bytes are pixels; the others are where a reader could stumble.
        for place in random.choice([*range(300), *range(len(whole) - 600, len(whole))], size=3):
            damaged[place] = random.integers(256)
        path.write_bytes(bytes(damaged))
        try:
            load10(Cifar10Options(), 0, tmp_path)
        except HarnessError as error:
            assert str(path) in str(error)  # noqa: PT017


def test_the_names_of_the_classes_are_counted(tmp_path):
    write_cifar10(tmp_path)
    write(tmp_path / FOLDER / "batches.meta", {b"label_names": NAMES[:9]})
    with pytest.raises(HarnessError, match=r"batches.meta: names 9 classes, expected 10"):
        load10(Cifar10Options(), 0, tmp_path)


def test_too_few_rows_for_validation(tmp_path):
    write_cifar10(tmp_path, rows=1)
    with pytest.raises(HarnessError, match="5 training rows, expected at least 10"):
        load10(Cifar10Options(), 0, tmp_path)


def test_numpy_is_found_under_its_old_name_without_a_warning_and_loading_imports_no_torch(tmp_path):
    write_cifar10(tmp_path)
    code = (
        "import sys, warnings; warnings.simplefilter('error'); from pathlib import Path;"
        "from harness_data.cifar import load10; from harness_data.options import Cifar10Options;"
        f"load10(Cifar10Options(), 0, Path({str(tmp_path)!r})); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_parts_of_an_array_that_no_official_file_names_are_refused(tmp_path):
    write_cifar10(tmp_path)
    path = tmp_path / FOLDER / "test_batch"
    path.write_bytes(pickle.dumps({b"data": images(3, 0), b"labels": [1] * 3}, protocol=5))
    with pytest.raises(HarnessError, match="a pickle that asks for numpy"):
        load10(Cifar10Options(), 0, tmp_path)


@pytest.mark.parametrize("root", ["cifar10", "CIFAR10", "torchvision"])
def test_the_folder_that_torchvision_makes_is_read_in_its_usual_roots(tmp_path, root):
    content = write_cifar10(tmp_path / root)
    data = load10(Cifar10Options(batches=(2,)), 0, tmp_path)
    assert np.array_equal(data.test.inputs.reshape(-1, 3072), content["test_batch"][b"data"])
    assert len(data.train.inputs) + len(data.valid.inputs) == 20
    with pytest.raises(UsageError, match=f"{root}/cifar-10-batches-py/data_batch_2: truncated"):
        require_files("cifar10", registry.cifar10([2]), tmp_path)


def test_that_fewer_training_files_will_do_is_told_where_one_is_missing(tmp_path):
    with pytest.raises(UsageError, match=r"data_batch_2: missing.*(\n.*)*the option batches takes their numbers"):
        require_files("cifar10", registry.cifar10([2]), tmp_path)
    with pytest.raises(UsageError) as caught:
        require_files("cifar10", registry.cifar10([]), tmp_path)
    assert "batches" not in str(caught.value).splitlines()[-1]


def test_no_file_that_is_damaged_is_advised(tmp_path):
    write_cifar10(tmp_path)
    with pytest.raises(UsageError) as caught:
        require_files("cifar10", registry.cifar10([1]), tmp_path)
    hint = str(caught.value).splitlines()[-1]
    assert hint == "or train on those of data_batch_1 to 5 that are sound: the option batches takes their numbers"


# --- the real ones ------------------------------------------------------------------------------------------------


@pytest.fixture
def real() -> Path:
    folder = Path(os.environ.get("HARNESS_DATA_DIR", ""))
    if not os.environ.get("HARNESS_DATA_DIR"):
        pytest.skip("HARNESS_DATA_DIR is not set")
    if not all((folder / file.path).exists() for file in registry.cifar10([1, 2])):
        pytest.skip(f"HARNESS_DATA_DIR={folder} has not the batches 1 and 2 of CIFAR-10")
    return folder


def test_two_official_batches(real):
    assert check_files(registry.cifar10([1, 2]), real) == []
    data = load10(Cifar10Options(batches=(1, 2)), 0, real)
    assert [len(getattr(data, name).targets) for name in SPLITS] == [18000, 2000, 10000]
    assert set(Counter(data.test.targets.tolist()).values()) == {1000}
    both = Counter(data.train.targets.tolist()) + Counter(data.valid.targets.tolist())
    assert sum(both.values()) == 20000
    for label in range(10):
        assert abs(Counter(data.valid.targets.tolist())[label] - both[label] / 10) < 1
