"""Tables of scikit-learn: cut by seed into splits that are apart and whole, standardised with training rows alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.preprocessing import StandardScaler

from harness import Data, DataOptions, HarnessError
from harness.data.joining import READING
from harness_data import tabular
from harness_data.tabular import Split, Table, location_and_scale, random_split, regression

SPLITS = ("train", "valid", "test")
KINDS = {
    "diabetes": (tabular.diabetes, lambda: load_diabetes(return_X_y=True, scaled=False), (266, 88, 88)),
    "breast-cancer": (tabular.breast_cancer, lambda: load_breast_cancer(return_X_y=True), (343, 113, 113)),
    "wine": (tabular.wine, lambda: load_wine(return_X_y=True), (108, 35, 35)),
}
each = pytest.mark.parametrize("name", list(KINDS))


def loaded(name: str, seed: int = 0, refit: bool = False) -> Data:
    loader = KINDS[name][0]
    return (loader.refit if refit else loader.load)(DataOptions(), seed, Path())


def rows_of(data: Data, name: str) -> list[np.ndarray]:
    """For each split, which rows of the source it holds: by the target, and the ranks of its inputs within columns."""
    inputs, targets = KINDS[name][1]()
    splits = [getattr(data, split) for split in SPLITS]
    ours = np.concatenate([split.inputs for split in splits]).astype(np.float64)
    scaled = data.problem.target_mean + data.problem.target_scale * np.concatenate([s.targets for s in splits])
    spread = np.ptp(inputs, axis=0)
    theirs = (inputs - inputs.min(axis=0)) / spread
    found = (ours - ours.min(axis=0)) / np.ptp(ours, axis=0)
    apart = np.abs(found[:, None] - theirs).max(axis=2) + np.abs(scaled[:, None] - targets) / np.ptp(targets)
    nearest = apart.argmin(axis=1)
    assert apart.min(axis=1).max() < 1e-5
    return np.split(nearest, np.cumsum([len(split.targets) for split in splits])[:-1])


@each
def test_shapes_types_and_sizes(name):
    data, (inputs, targets) = loaded(name), KINDS[name][1]()
    classes = data.problem.kind == "classification"
    assert tuple(len(getattr(data, split).targets) for split in SPLITS) == KINDS[name][2]
    for split in SPLITS:
        batch = getattr(data, split)
        assert batch.inputs.shape == (len(batch.targets), inputs.shape[1])
        assert (batch.inputs.dtype, batch.targets.dtype) == (np.float32, np.int64 if classes else np.float32)
    assert data.problem.output_size == (len(set(targets)) if classes else 1)
    assert data.problem.train_size == KINDS[name][2][0]


@each
@pytest.mark.parametrize("seed", [0, 7])
def test_every_row_of_the_source_is_in_exactly_one_split(name, seed):
    rows = np.concatenate(rows_of(loaded(name, seed), name))
    assert sorted(rows) == list(range(len(KINDS[name][1]()[1])))


@each
def test_the_seed_alone_decides_the_split(name):
    one, same, other = loaded(name, 3), loaded(name, 3), loaded(name, 4)
    for split in SPLITS:
        assert np.array_equal(getattr(one, split).inputs, getattr(same, split).inputs)
        assert not np.array_equal(getattr(one, split).inputs, getattr(other, split).inputs)


@each
def test_inputs_and_targets_are_standardised_with_the_training_rows_alone(name):
    data, (inputs, targets) = loaded(name, 1), KINDS[name][1]()
    train, valid, test = rows_of(data, name)
    scaler = StandardScaler().fit(inputs[train])
    for split, rows in zip(SPLITS, (train, valid, test), strict=True):
        assert np.allclose(getattr(data, split).inputs, scaler.transform(inputs[rows]), atol=1e-5)
    if data.problem.kind == "regression":
        assert data.problem.target_mean == pytest.approx(targets[train].mean(), rel=1e-12)
        assert data.problem.target_scale == pytest.approx(targets[train].std(), rel=1e-12)
        assert abs(float(data.test.targets.mean())) > 1e-4


@each
def test_refit_takes_both_splits_as_one_and_standardises_it_anew(name):
    before, after = loaded(name, 2), loaded(name, 2, refit=True)
    train, valid, test = rows_of(before, name)
    joined, none, same = rows_of(after, name)
    assert joined.tolist() == [*train, *valid]
    assert (len(none), same.tolist()) == (0, test.tolist())
    assert after.problem.train_size == len(joined)
    scaler = StandardScaler().fit(KINDS[name][1]()[0][joined])
    assert np.allclose(after.test.inputs, scaler.transform(KINDS[name][1]()[0][test]), atol=1e-5)
    assert READING not in after.readings


@pytest.mark.parametrize("name", ["breast-cancer", "wine"])
def test_classes_keep_their_share(name):
    data, targets = loaded(name), KINDS[name][1]()[1]
    for split in SPLITS:
        found = getattr(data, split).targets
        share = np.bincount(targets) * len(found) / len(targets)
        assert np.all(np.abs(np.bincount(found, minlength=len(share)) - share) < 2)


def table(inputs: np.ndarray) -> Table:
    return Table(inputs, np.arange(len(inputs), dtype=float))


def test_a_constant_column_is_zero_in_training_and_keeps_its_unit_elsewhere():
    inputs = np.random.default_rng(0).normal(size=(30, 3))
    inputs[:, 1] = 0.1  # whose mean is not 0.1 in floating point
    inputs[25, 1] = 2.1
    data = regression(table(inputs), Split(np.arange(20), np.arange(20, 25), np.arange(25, 30)))
    assert (data.train.inputs[:, 1] == 0).all()
    assert data.test.inputs[:, 1].tolist() == [2.0, 0, 0, 0, 0]


def test_constant_targets_keep_their_unit():
    assert [float(each) for each in location_and_scale(np.full(5, 3.5))] == [3.5, 1.0]


def test_a_table_without_training_rows_is_refused():
    empty = np.array([], dtype=np.int64)
    with pytest.raises(HarnessError, match="no training rows; expected at least 2"):
        regression(table(np.zeros((3, 2))), Split(empty, empty, np.arange(3)))


@pytest.mark.parametrize("count", [5, 9, 442])
def test_random_splits_are_apart_and_whole(count):
    split = random_split(np.zeros(count), 0)
    assert (len(split.test), len(split.valid)) == (count // 5, count // 5)
    assert sorted(np.concatenate(split)) == list(range(count))
