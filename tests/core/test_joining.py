"""Training and validation rows as one split, and data without validation rows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness import Batch, Data, Problem
from harness.data.joining import join_validation
from harness.data.soundness import require_sound


def rows(start: int, count: int) -> Batch:
    """Rows whose input tells their number."""
    numbers = np.arange(start, start + count)
    return Batch(numbers.astype(np.float32)[:, None], numbers % 3)


def classes() -> Data:
    return Data(Problem("classification", (1,), 3, 6), rows(0, 6), rows(6, 4), rows(10, 5), {"far": rows(20, 2)})


def text(start: int, count: int) -> Batch:
    tokens = np.arange(start, start + count)[None]
    return Batch(tokens, tokens[:, 1:])


def stream() -> Data:
    problem = Problem("language", (), 40, 9, order="contiguous", window=3)
    return Data(problem, text(0, 10), text(10, 8), text(20, 5))


def test_training_goes_on_with_the_validation_rows_and_none_is_left():
    data = join_validation(classes())
    assert data.train.inputs[:, 0].tolist() == list(range(10))
    assert data.train.targets.tolist() == [number % 3 for number in range(10)]
    assert data.valid.inputs.shape == (0, 1)
    assert data.problem.train_size == 10
    assert data.readings["refit"]


def test_test_rows_stay_as_they_are():
    before, after = classes(), join_validation(classes())
    assert np.array_equal(before.test.inputs, after.test.inputs)
    assert np.array_equal(before.shifted["far"].inputs, after.shifted["far"].inputs)


def test_a_stream_goes_on_with_the_validation_text():
    data = join_validation(stream())
    assert data.train.inputs.tolist() == [list(range(18))]
    assert data.train.targets.tolist() == [list(range(1, 18))]
    assert data.problem.train_size == 17


def test_validation_texts_of_several_rows_follow_one_after_the_other():
    split = stream()
    tokens = np.arange(10, 18).reshape(2, 4)
    data = join_validation(dataclasses.replace(split, valid=Batch(tokens, tokens[:, 1:])))
    assert data.train.inputs.tolist() == [list(range(18))]


@pytest.mark.parametrize("make", [classes, stream])
def test_what_is_joined_is_sound(make):
    assert require_sound("toy", join_validation(make())).problem.train_size > make().problem.train_size
