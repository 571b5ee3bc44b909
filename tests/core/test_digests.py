"""By its digests a record says what data its trial was given."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tiny
import torch

from harness import Batch, Data, Problem
from harness.catalog import Catalog
from harness.data.array_digests import digest_array, digest_splits
from harness.planning.plan import plan_trials
from harness.suites.suite import Request
from harness.trials.trial import run_trial

ARRAY = np.arange(24, dtype=np.float32).reshape(6, 4)


@pytest.mark.parametrize(
    "same",
    [
        ARRAY.copy(order="F"),
        np.concatenate([ARRAY, ARRAY], axis=1)[:, :4],
        np.repeat(ARRAY, 2, axis=0)[::2],
        torch.tensor(ARRAY),
        torch.tensor(ARRAY, requires_grad=False).T.contiguous().T,
    ],
    ids=["Fortran order", "columns", "every other row", "a tensor", "a transposed tensor"],
)
def test_equal_arrays_have_one_digest_however_they_lie_in_memory(same):
    assert digest_array(same) == digest_array(ARRAY)
    assert len(digest_array(ARRAY)) == 16


def changed_bit() -> np.ndarray:
    other = ARRAY.copy()
    other[5, 3] = np.nextafter(other[5, 3], 100)
    return other


@pytest.mark.parametrize(
    "other",
    [changed_bit(), ARRAY.reshape(4, 6), ARRAY.astype(np.float64), ARRAY.view(np.int32), ARRAY[:5], ARRAY[::-1]],
    ids=["a bit", "the shape", "the width", "the type", "fewer rows", "the order"],
)
def test_other_values_shapes_and_types_have_other_digests(other):
    assert digest_array(other) != digest_array(ARRAY)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([[1, 2]], [[1, 3]]),
        (np.array(["a", "b"]), np.array(["a", "c"])),
        (np.array([1, "x", None], object), np.array([1, "y", None], object)),
        (np.float32(1), np.float32(2)),
        (np.zeros((0, 3)), np.zeros((0, 4))),
        (np.array([True, False]), np.array([True, True])),
        (torch.ones(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.bfloat16)),
    ],
    ids=["lists", "texts", "objects", "a number", "no rows", "booleans", "a type that numpy lacks"],
)
def test_arrays_of_every_kind_have_digests(one, other):
    assert digest_array(one) == digest_array(one)
    assert digest_array(one) != digest_array(other)


def test_rows_beyond_the_first_piece_count(monkeypatch):
    monkeypatch.setattr("harness.data.array_digests.BYTES_AT_ONCE", 32)
    whole = digest_array(ARRAY)
    assert digest_array(changed_bit()) != whole
    monkeypatch.undo()
    assert digest_array(ARRAY) == whole


def test_every_split_has_its_own_and_what_cannot_be_read_has_none():
    class Odd:
        def __len__(self):
            return 3

        def numpy(self):
            raise TypeError("on another device")

    split, odd = Batch(ARRAY, ARRAY[:, 0]), Batch(Odd(), ARRAY[:, 0])
    data = Data(Problem("classification", (4,), 2, 6), split, split, odd, shifted={"noisy": split})
    found = digest_splits(data)
    assert found["train.inputs"] == found["shifted.noisy.inputs"] == digest_array(ARRAY)
    assert {"valid.targets", "test.targets", "shifted.noisy.targets"} < set(found)
    assert "test.inputs" not in found


def test_a_record_holds_the_digests_of_the_rows_that_its_trial_was_given():
    import harness.executors
    import harness.metrics

    def record(seed: int, more: int = 0, **changes):
        def load(config, seed, folder):
            data = tiny.load(config, seed, folder)
            return dataclasses.replace(data, train=data.train._replace(inputs=data.train.inputs + more))

        (offered,) = tiny.harness_datasets()

        class Plugin:
            harness_methods, harness_backends = staticmethod(tiny.harness_methods), staticmethod(tiny.harness_backends)

            @harness.hookimpl
            def harness_datasets(self):
                yield dataclasses.replace(offered, load=load)

        catalog = Catalog.of(harness.metrics, harness.executors, Plugin())
        (trial,) = plan_trials(catalog, Request(methods="counts", device="cpu", seeds=f"[{seed}]", **changes))
        return run_trial(catalog, trial).provenance["data"]

    plain = record(0)
    assert set(plain) == {f"{split}.{part}" for split in ("train", "valid", "test") for part in ("inputs", "targets")}
    assert record(0) == plain
    assert {name for name, text in record(0, more=1).items() if text != plain[name]} == {"train.inputs"}
    fewer = record(0, datasets="coins[test=10]")
    assert {name for name, text in fewer.items() if text != plain[name]} == {"test.inputs", "test.targets"}
    assert record(1) != plain
