"""UCI sets with Gal's splits: their index files are followed to the row, from tiny files and from the real ones."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from harness import Data, DataOptions, HarnessError, resolve
from harness.catalog import Settings, load_catalog
from harness.cli import main
from harness.data.files import check_files, list_declared
from harness_data import uci, uci_files
from harness_data.uci_files import SETS, files, first_rows

ROWS, FEATURES = 40, (0, 1, 3)
TARGET = 2
DATASETS = {each.name: each for each in load_catalog(Settings()).datasets.values() if each.name in SETS}


@pytest.fixture
def written(tmp_path) -> Path:
    """The files of yacht's first three splits, with 40 random rows whose third column is the target."""
    random = np.random.default_rng(0)
    folder = tmp_path / "uci/yacht/data"
    folder.mkdir(parents=True)
    data = random.normal(size=(ROWS, 4)) * [1, 10, 5, 0.1] + 3
    np.savetxt(folder / "data.txt", data)
    np.savetxt(folder / "index_features.txt", FEATURES, fmt="%d")
    np.savetxt(folder / "index_target.txt", [TARGET], fmt="%d")
    for number in range(3):
        order = random.permutation(ROWS)
        np.savetxt(folder / f"index_train_{number}.txt", order[:36], fmt="%d")
        np.savetxt(folder / f"index_test_{number}.txt", order[36:], fmt="%d")
    return tmp_path


@pytest.fixture
def real() -> Path:
    folder = Path(os.environ.get("HARNESS_DATA_DIR", ""))
    if not os.environ.get("HARNESS_DATA_DIR"):
        pytest.skip("HARNESS_DATA_DIR is not set")
    if not (folder / "uci").is_dir():
        pytest.skip(f"HARNESS_DATA_DIR={folder} has no folder uci")
    return folder


def require_as_by_hand(data: Data, folder: Path, fold: int, refit: bool = False) -> None:
    """Compare with the files read by numpy, row for row."""
    read = lambda name: np.loadtxt(folder / f"{name}.txt")  # noqa: E731
    rows, train, test = read("data"), read(f"index_train_{fold}").astype(int), read(f"index_test_{fold}").astype(int)
    inputs, targets = rows[:, read("index_features").astype(int)], rows[:, int(read("index_target"))]
    kept = len(train) if refit else len(train) * 4 // 5
    fitted = train[:kept]
    mean, std = inputs[fitted].mean(axis=0), inputs[fitted].std(axis=0)
    problem = data.problem
    assert (problem.target_mean, problem.target_scale) == pytest.approx((targets[fitted].mean(), targets[fitted].std()))
    for batch, numbers in ((data.train, fitted), (data.valid, train[kept:]), (data.test, test)):
        assert np.allclose(batch.inputs, (inputs[numbers] - mean) / std, atol=1e-5)
        original = problem.target_mean + problem.target_scale * batch.targets
        assert np.allclose(original, targets[numbers], rtol=1e-6, atol=1e-5)
        assert (batch.inputs.dtype, batch.targets.dtype) == (np.float32, np.float32)


@pytest.mark.parametrize("fold", [0, 1, 2])
@pytest.mark.parametrize("refit", [False, True])
def test_the_rows_of_a_split_come_in_their_order(written, fold, refit):
    loader = uci.yacht.refit if refit else uci.yacht.load
    data = loader(DataOptions(), fold, written)
    assert [len(batch.targets) for batch in (data.train, data.valid, data.test)] == (
        [36, 0, 4] if refit else [28, 8, 4]
    )
    require_as_by_hand(data, written / "uci/yacht/data", fold, refit)


def test_the_rows_of_a_real_split(real):
    for refit in (False, True):
        loader = uci.yacht.refit if refit else uci.yacht.load
        require_as_by_hand(loader(DataOptions(), 3, real), real / "uci/yacht/data", 3, refit)


@pytest.mark.parametrize("count", [36, 277, 455, 691, 927, 1439, 7373, 8611, 10741, 41157])
def test_training_rows_are_rounded_down_as_four_fifths(count):
    assert first_rows(count) == count * 4 // 5


@pytest.mark.parametrize("name", list(SETS))
def test_the_real_files_are_the_declared_ones_and_hold_what_is_declared(name, real):
    dataset, splits = DATASETS[name], SETS[name]
    assert check_files(list_declared(dataset), real) == []
    data = resolve(dataset.load)(DataOptions(), splits.folds - 1, real)
    found = {"train": data.train, "valid": data.valid, "test": data.test}
    assert {split: len(batch.targets) for split, batch in found.items()} == dataset.rows
    assert data.problem.input_shape == (splits.inputs,)
    with pytest.raises(HarnessError, match=f"there is no split {splits.folds}; it has {splits.folds}, 0 to"):
        resolve(dataset.load)(DataOptions(), splits.folds, real)


@pytest.mark.parametrize("name", list(SETS))
def test_every_split_is_apart_and_whole(name, real):
    splits = SETS[name]
    folder = real / f"uci/{splits.folder}/data"
    for fold in range(splits.folds):
        train, test = (np.loadtxt(folder / f"index_{part}_{fold}.txt") for part in ("train", "test"))
        assert sorted([*train, *test]) == list(range(splits.train + splits.test))
        assert len(train) == splits.train


def test_declarations():
    assert {name: dataset.folds for name, dataset in DATASETS.items()} == {
        name: 5 if "protein" in name else 20 for name in SETS
    }
    for dataset in DATASETS.values():
        needed = list_declared(dataset)
        assert len(needed) == 3 + 2 * dataset.folds
        assert all(file.sha256 and len(file.sha256) == 64 and file.bytes for file in needed)
        assert all(file.urls[0].endswith(f"/UCI_Datasets/{file.path.removeprefix('uci/')}") for file in needed)
        assert dataset.recipe.headline == "log_likelihood"
    epochs = {name: dataset.recipe.budget.amount for name, dataset in DATASETS.items()}
    assert epochs == {
        **dict.fromkeys(SETS, 400),
        **dict.fromkeys(("uci-kin8nm", "uci-naval", "uci-power"), 40),
        "uci-protein": 20,
    }


# --- what is not as it should be ----------------------------------------------------------------------------------


def test_index_files_that_are_absent_are_missing_files_and_no_reason_to_split_at_random(written, capsys):
    problems = {problem.path.name: problem.kind for problem in check_files(files("uci-yacht"), written)}
    assert problems["index_train_3.txt"] == problems["index_test_19.txt"] == "missing"
    assert problems["data.txt"] == "size"
    asked = ["--datasets", "uci-yacht", "--data-dir", str(written), "--dry-run"]
    assert main(["run", "--methods", "saf", *asked]) == 2
    said = capsys.readouterr().err
    for words in (
        "uci/yacht/data/data.txt",
        "42 more of its files",
        "harness data fetch uci-yacht",
        "Gal's index files",
    ):
        assert words in said


def test_a_split_that_does_not_exist_is_refused_while_planning(capsys, real):
    asked = ["--datasets", "uci-yacht", "--data-dir", str(real), "--dry-run"]
    assert main(["run", "--methods", "saf", "--seeds", "[0,20]", *asked]) == 2
    assert "uci-yacht has 20 splits, 0 to 19" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("data.txt", "1 2 3 4\n5 nan 7 8\n", "row 1, column 1 is nan; expected finite numbers"),
        ("data.txt", "1 2 3 4\n5 6 7\n", "cannot be read"),
        ("data.txt", "1 2 3 4\n5 6 7 8\n", "its split names row 39; data.txt has 2, from 0"),
        ("index_test_0.txt", "0\n1.5\n", "expected whole numbers from 0"),
        ("index_test_0.txt", "0\n-1\n", "expected whole numbers from 0"),
        ("index_features.txt", "0\n9\n", "index files name column 9; data.txt has 4"),
    ],
)
def test_a_file_that_is_no_such_file_is_named(written, file, content, reason):
    (written / "uci/yacht/data" / file).write_text(content)
    with pytest.raises(HarnessError, match=reason):
        uci.yacht.load(DataOptions(), 0, written)


def test_a_file_that_is_gone_is_named(written):
    (written / "uci/yacht/data/index_test_1.txt").unlink()
    with pytest.raises(HarnessError, match=r"index_test_1\.txt.*cannot be read"):
        uci.yacht.load(DataOptions(), 1, written)


def test_listing_the_sets_reads_no_digests(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(uci_files, "_DIGESTS", tmp_path / "absent")
    assert main(["list"]) == 0
    assert "uci-yacht" in capsys.readouterr().out
    with pytest.raises(HarnessError, match="absent"):
        list_declared(DATASETS["uci-yacht"])


def test_a_program_gets_all_files(capsys):
    assert main(["list", "uci-yacht", "--format", "json"]) == 0
    (dataset,) = json.loads(capsys.readouterr().out)["datasets"]
    assert len(dataset["files"]) == 43
