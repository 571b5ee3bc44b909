"""Smaller runs: subsets by seed, in the proportions of the whole."""

from __future__ import annotations

import numpy as np
import pytest

from harness import Batch, Data, Problem, UsageError, stratified_rows
from harness.data.subset import take_subset


def classes(counts: list[int], seed: int = 0) -> np.ndarray:
    """Targets with so many rows of each class, in random order."""
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


def split_of(targets: np.ndarray) -> Batch:
    """Rows whose input tells their number."""
    return Batch(np.arange(len(targets), dtype=np.float32)[:, None], targets)


def data_of(kind: str, targets: np.ndarray) -> Data:
    split = split_of(targets)
    return Data(Problem(kind, (1,), 4, len(targets)), split, split, split)


@pytest.mark.parametrize("size", [0, 1, 7, 50, 99, 100])
@pytest.mark.parametrize("counts", [[25, 25, 25, 25], [1, 2, 90, 7], [97, 1, 1, 1], [100]])
def test_every_class_is_within_one_row_of_its_share(counts, size):
    targets = classes(counts)
    rows = stratified_rows(targets, size, seed=3)
    taken = np.bincount(targets[rows], minlength=len(counts))
    assert len(rows) == size
    assert np.all(np.diff(rows) > 0)
    assert np.all(np.abs(taken - np.array(counts) * size / 100) < 1)


def test_every_row_is_equally_likely():
    targets = classes([30, 10, 8])
    drawn = np.zeros(48)
    for seed in range(2000):
        drawn[stratified_rows(targets, 12, seed)] += 1
    # Binomial with p = 1/4: a standard deviation of 0.0097; the bound is five of them.
    assert np.all(np.abs(drawn / 2000 - 12 / 48) < 0.05)


def test_the_same_seed_draws_the_same_rows_and_another_seed_others():
    targets = classes([200, 200])
    assert np.array_equal(stratified_rows(targets, 50, 7), stratified_rows(targets, 50, 7))
    assert not np.array_equal(stratified_rows(targets, 50, 7), stratified_rows(targets, 50, 8))


def test_classification_is_stratified_in_every_split_by_itself():
    data = data_of("classification", classes([40, 30, 20, 10]))
    small = take_subset(data, 20, 10, 50, seed=0)
    for split, size in ((small.train, 20), (small.valid, 10), (small.test, 50)):
        assert np.bincount(split.targets).tolist() == [size * share // 10 for share in (4, 3, 2, 1)]
        assert np.array_equal(split.targets, data.train.targets[split.inputs[:, 0].astype(int)])
    assert small.problem.train_size == 20
    assert not set(small.valid.inputs[:, 0]) <= set(small.test.inputs[:, 0])


def test_splits_that_are_not_asked_for_stay_as_they_are():
    data = data_of("classification", classes([5, 5]))
    assert take_subset(data, None, None, None, seed=0) == data
    small = take_subset(data, None, 4, None, seed=0)
    assert small.train is data.train
    assert small.test is data.test
    assert small.problem == data.problem


def test_all_rows_are_the_split_itself():
    data = data_of("classification", classes([5, 3]))
    whole = take_subset(data, 8, 8, 8, seed=0)
    assert np.array_equal(whole.train.inputs, data.train.inputs)
    assert np.array_equal(whole.train.targets, data.train.targets)


def test_other_kinds_are_drawn_at_random_and_keep_their_order():
    data = data_of("regression", np.random.default_rng(0).normal(size=100))
    small = take_subset(data, 30, None, None, seed=1)
    rows = small.train.inputs[:, 0].astype(int)
    assert len(rows) == 30
    assert np.all(np.diff(rows) > 0)
    assert rows.max() > 30
    assert np.array_equal(small.train.targets, data.train.targets[rows])
    assert not np.array_equal(rows, take_subset(data, 30, None, None, seed=2).train.inputs[:, 0])


def language() -> Data:
    """One training stream of 100 predicted tokens, and five held-out rows of nine."""
    stream = np.arange(101)[None]
    rows = np.arange(50).reshape(5, 10)
    held_out = Batch(rows, rows[:, 1:])
    problem = Problem("language", (), 101, 100, order="contiguous", window=5)
    return Data(problem, Batch(stream, stream[:, 1:]), held_out, held_out)


def test_a_stream_is_cut_after_so_many_predicted_steps():
    small = take_subset(language(), 20, 2, None, seed=0)
    assert small.train.inputs.tolist() == [list(range(21))]
    assert small.train.targets.tolist() == [list(range(1, 21))]
    assert small.problem.train_size == 20
    assert small.valid.inputs.tolist() == language().valid.inputs[:2].tolist()
    assert small.valid.targets.tolist() == language().valid.targets[:2].tolist()
    assert small.test.inputs.shape == (5, 10)


@pytest.mark.parametrize("data", [data_of("classification", classes([5, 5])), data_of("regression", np.zeros(10))])
@pytest.mark.parametrize("name", ["train", "valid", "test"])
def test_more_rows_than_there_are_is_refused_by_name(data, name):
    asked = {"train": None, "valid": None, "test": None} | {name: 11}
    with pytest.raises(UsageError, match=rf"{name}=11.*{name} split has only 10 rows"):
        take_subset(data, **asked, seed=0)


@pytest.mark.parametrize("asked, available", [({"train": 101, "valid": None}, 100), ({"train": None, "valid": 6}, 5)])
def test_more_than_a_stream_or_its_rows_is_refused(asked, available):
    with pytest.raises(UsageError, match=f"only {available} rows"):
        take_subset(language(), **asked, test=None, seed=0)
