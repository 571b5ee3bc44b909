"""Data that nothing can be learnt from: named by data set, split and row, in a trial and in the contract kit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness import (
    NO_CLASS,
    Batch,
    Budget,
    Data,
    DataOptions,
    Dataset,
    HarnessError,
    Method,
    Problem,
    Recipe,
    Unsupported,
    hookimpl,
)
from harness.data.soundness import require_sound
from harness.planning.plan import plan_trials
from harness.suites.suite import Request
from harness.testing import cases
from harness.trials.trial import run_trial

ROWS = 12


def classes() -> Data:
    inputs = np.arange(ROWS * 6, dtype=np.float32).reshape(ROWS, 2, 3)
    split = Batch(inputs, np.arange(ROWS) % 3)
    return Data(Problem("classification", (2, 3), 3, ROWS), split, split, split, {"far": split})


def numbers() -> Data:
    split = Batch(np.ones((ROWS, 2), np.float32), np.linspace(-1, 1, ROWS, dtype=np.float32))
    return Data(Problem("regression", (2,), 1, ROWS), split, split, split)


def stream() -> Data:
    tokens = np.arange(61)[None] % 5
    split = Batch(tokens, tokens[:, 1:])
    return Data(Problem("language", (), 5, 60, order="contiguous", window=10), split, split, split)


def ranking() -> Data:
    """Of a kind that the core has never heard of."""
    split = Batch(np.ones((ROWS, 4), np.float32), np.ones((ROWS, 7, 2)))
    return Data(Problem("ranking", (4,), 1, ROWS), split, split, split)


def with_split(name: str, make, **changes):
    """That data set, with some parts of one split replaced by functions of them."""

    def changed() -> Data:
        data = make()
        split = data.shifted[name] if name in data.shifted else getattr(data, name)
        split = split._replace(**{field: change(getattr(split, field)) for field, change in changes.items()})
        if name in data.shifted:
            return dataclasses.replace(data, shifted={name: split})
        return dataclasses.replace(data, **{name: split})

    return changed


def at(index, value, kind=None):
    """A copy of an array with one value replaced."""

    def change(array):
        array = array.astype(kind or array.dtype)
        array[index] = value
        return array

    return change


def none_of(array):
    return array[:0]


def stated(make, **changes):
    """That data set, with other statements about its problem."""

    def changed() -> Data:
        data = make()
        return dataclasses.replace(data, problem=dataclasses.replace(data.problem, **changes))

    return changed


BAD = [
    (lambda: [1, 2], "its load returned a list, expected harness.Data"),
    (lambda: None, "its load returned None, expected harness.Data"),
    (lambda: dataclasses.replace(classes(), problem=None), "its problem is None, expected harness.Problem"),
    (lambda: dataclasses.replace(classes(), shifted=[1]), "its shifted splits are a list"),
    (lambda: dataclasses.replace(classes(), valid=None), "the valid split is missing"),
    (lambda: dataclasses.replace(classes(), shifted={"far": None}), "the shifted split 'far' is missing"),
    (lambda: dataclasses.replace(classes(), test=(1, 2)), "the test split is a tuple, expected a harness.Batch"),
    (with_split("train", classes, inputs=none_of, targets=none_of), "the train split has no rows"),
    (with_split("test", stream, inputs=none_of, targets=none_of), "the test split has no rows"),
    (
        with_split("train", classes, targets=lambda t: t[:-5]),
        "the train split has 12 inputs and 7 targets, expected one target for each input",
    ),
    (with_split("far", classes, inputs=lambda x: x[1:]), "the shifted split 'far' has 11 inputs and 12 targets"),
    (with_split("test", classes, targets=at(7, 3)), "the target of the test split, row 7, is 3, expected 0 to 2: "),
    (with_split("valid", classes, targets=at(4, -1)), "the target of the valid split, row 4, is -1, expected 0 to 2"),
    (with_split("far", classes, targets=at(2, 9)), "the target of the shifted split 'far', row 2, is 9"),
    (
        with_split("far", classes, targets=at(2, -2)),
        "the target of the shifted split 'far', row 2, is -2, expected 0 to 2, or -1 of no class: problem.output_size",
    ),
    (with_split("train", classes, targets=np.float32), "the target of the train split is float32, expected int64"),
    (with_split("test", classes, targets=lambda t: t > 0), "the target of the test split is bool, expected int64"),
    (
        with_split("valid", classes, targets=lambda t: t[:1]),
        "the valid split has 12 inputs and 1 target, expected one target for each input",
    ),
    (with_split("train", classes, targets=np.uint8), "the target of the train split is uint8, expected int64"),
    (with_split("train", classes, targets=lambda t: t[:, None]), "have shape (12, 1), expected one class for each row"),
    (with_split("train", classes, targets=lambda t: t.tolist()), "targets of the train split are a list, expected a n"),
    (with_split("test", classes, inputs=lambda x: x.tolist()), "inputs of the test split are a list, expected a numpy"),
    (
        with_split("train", classes, inputs=lambda x: x.astype(object)),
        "inputs of the train split are an array of object",
    ),
    (with_split("train", classes, targets=lambda t: t.astype(str)), "targets of the train split are an array of <U"),
    (with_split("train", classes, targets=lambda t: t[0]), "targets of the train split are a single number, exp"),
    (with_split("train", classes, targets=lambda t: np.array(1)), "are a single number, expected an array of rows"),
    (
        with_split("valid", classes, inputs=at((5, 1, 2), np.nan)),
        "the input of the valid split, row 5, column (1, 2), holds nan",
    ),
    (
        with_split("train", classes, inputs=at((3, 0, 0), np.inf)),
        "the input of the train split, row 3, column (0, 0), holds inf",
    ),
    (
        with_split("far", classes, inputs=at((0, 0, 0), -np.inf)),
        "the input of the shifted split 'far', row 0, column (0, 0), holds -inf",
    ),
    (with_split("train", classes, inputs=at((6, 0, 0), np.nan, np.float16)), "the input of the train split, row 6"),
    (
        with_split("train", classes, inputs=lambda x: x[:, :1]),
        "rows of the train split have shape (1, 3), problem.input_s",
    ),
    (
        with_split("test", classes, inputs=lambda x: x.reshape(ROWS, 6)),
        "have shape (6,), problem.input_shape is (2, 3)",
    ),
    (with_split("train", numbers, targets=at(8, np.nan)), "the target of the train split, row 8, holds nan"),
    (with_split("test", numbers, targets=at(9, np.inf)), "the target of the test split, row 9, holds inf"),
    (
        with_split("train", numbers, targets=lambda t: t[:, None]),
        "have shape (12, 1), expected one number for each row",
    ),
    (
        with_split("train", numbers, targets=lambda t: t > 0),
        "targets of the train split are bool; expected float32",
    ),
    (
        with_split("valid", numbers, targets=np.float64),
        "targets of the valid split are float64; expected float32",
    ),
    (
        with_split("test", numbers, targets=lambda t: np.arange(len(t))),
        "targets of the test split are int64; expected float32",
    ),
    (
        lambda: dataclasses.replace(
            numbers(), shifted={"far": Batch(numbers().test.inputs, numbers().test.targets.astype(np.float16))}
        ),
        "targets of the shifted split 'far' are float16; expected float32",
    ),
    (
        with_split("train", stream, inputs=at((0, 5), 5)),
        "the input of the train split, row 0, column 5, is 5, expected 0 to 4",
    ),
    (
        with_split("valid", stream, targets=at((0, 5), -2)),
        "the target of the valid split, row 0, column 5, is -2, expected 0 to 4",
    ),
    (with_split("train", stream, inputs=np.float32), "the input of the train split is float32, expected int64"),
    (with_split("train", stream, targets=lambda t: t[:, 1:]), "expected tokens (rows, L) and (rows, L - 1)"),
    (with_split("test", stream, targets=at((0, 5), 4)), "the target of the test split, row 0, is not inputs[:, 1:]"),
    (
        with_split("valid", ranking, inputs=at((1, 1), np.nan)),
        "the input of the valid split, row 1, column 1, holds nan",
    ),
    (
        with_split("valid", ranking, targets=at((3, 1, 1), np.inf)),
        "the target of the valid split, row 3, column (1, 1), holds inf",
    ),
    (with_split("valid", ranking, targets=lambda t: t[:-1]), "the valid split has 12 inputs and 11 targets"),
    (
        lambda: dataclasses.replace(classes(), problem=Problem("classification", (2, 3), 3, 100)),
        "problem.train_size is 100, the train split has 12 rows",
    ),
    (
        lambda: dataclasses.replace(stream(), problem=Problem("language", (), 5, 61, order="contiguous", window=10)),
        "problem.train_size is 61, the train split has 60 steps",
    ),
    (
        lambda: dataclasses.replace(stream(), problem=Problem("language", (), 5, 60, order="contiguous", window=61)),
        "the train split has 1 row of 60 steps, problem.window is 61",
    ),
    (stated(classes, input_shape=[2, 3]), "problem.input_shape is [2, 3], expected a tuple of whole numbers above 0"),
    (stated(classes, input_shape=(2, 0)), "problem.input_shape is (2, 0), expected a tuple"),
    (stated(classes, output_size=None), "problem.output_size is None, expected a whole number above 0"),
    (stated(stream, output_size=0), "problem.output_size is 0, expected a whole number above 0"),
    (stated(classes, train_size=None), "problem.train_size is None, expected a whole number above 0"),
    (stated(classes, order="random"), "problem.order is 'random', expected 'shuffled' or 'contiguous'"),
    (stated(stream, window=None), "problem.window is None, expected a whole number"),
    (stated(classes, target_scale=0.0), "target_mean is 0.0 and target_scale 0.0, expected 0 and 1 for classification"),
    (stated(stream, target_mean=1.0), "target_mean is 1.0 and target_scale 1.0, expected 0 and 1 for language"),
    (stated(numbers, target_mean=float("nan")), "problem.target_mean is nan, expected a finite number"),
    (stated(numbers, target_scale="x"), "problem.target_scale is 'x', expected a finite number"),
    (stated(numbers, target_scale=-2.0), "problem.target_scale is -2.0, expected a number above 0"),
    (
        with_split("train", numbers, inputs=lambda x: np.ma.masked_array(x, x > 0)),
        "inputs of the train split are a masked array",
    ),
]


@pytest.mark.parametrize("make", [classes, numbers, stream, ranking])
def test_sound_data_of_every_kind_are_passed_on_as_they_are(make):
    data = make()
    assert require_sound("mine", data) is data


def test_rows_of_a_shifted_split_may_belong_to_no_class():
    data = with_split("far", classes, targets=lambda targets: np.full_like(targets, NO_CLASS))()
    assert require_sound("mine", data) is data


@pytest.mark.parametrize(("make", "reason"), BAD)
def test_what_is_wrong_is_named_with_data_set_split_row_and_column(make, reason):
    with pytest.raises(HarnessError) as caught:
        require_sound("mine[noise=2]", make())
    assert str(caught.value).startswith("data set mine[noise=2]: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_first_bad_row_is_found_beyond_the_first_piece(monkeypatch):
    monkeypatch.setattr("harness.data.soundness.PIECE", 13)
    for row in (0, 5, 11):
        with pytest.raises(HarnessError, match=rf"row {row}, column \(1, 1\), holds nan"):
            require_sound("mine", with_split("train", classes, inputs=at((slice(row, None), 1, 1), np.nan))())


# --- where it is said ---------------------------------------------------------------------------------------------


class Never:
    """A learner that no bad data may reach."""

    def __init__(self, config):
        pass

    def init(self, problem, training, base):
        raise AssertionError("bad data reached the learner")


def plugin(make):
    kind = next(kind for kind in ("classification", "regression", "language", "ranking") if _kind(make) in (kind, ""))

    class Plugin:
        @hookimpl
        def harness_methods(self):
            yield Method("never", "is not reached", Never, (kind,))

        @hookimpl
        def harness_datasets(self):
            recipe = Recipe(Budget("updates", 1), 4)
            yield Dataset("mine", "bad rows", kind, lambda config, seed, folder: make(), DataOptions, recipe)

    return Plugin()


def _kind(make) -> str:
    data = make()
    return data.problem.kind if isinstance(data, Data) and data.problem else ""


@pytest.mark.sampled
@pytest.mark.parametrize("rows", ["", "[train=3,valid=3]"])
@pytest.mark.parametrize(("make", "reason"), BAD)
def test_a_trial_fails_with_that_line_before_training(catalog_of, make, reason, rows):
    catalog = catalog_of(plugin(make))
    (trial,) = plan_trials(catalog, Request(methods="never", datasets=f"mine{rows}", seeds="1", device="cpu"))
    record = run_trial(catalog, trial)
    assert record.status == "failed"
    assert record.reason.startswith("data set mine")
    assert reason in record.reason


@pytest.mark.parametrize(("make", "reason"), BAD)
def test_the_check_of_a_data_set_says_the_same(catalog_of, make, reason):
    import harness.checks

    catalog = catalog_of(plugin(make), harness.checks)
    (result,) = [case.run() for case in cases(catalog, "mine") if case.check.name == "data-as-stated"]
    assert result.status == "broken"
    assert reason in result.reason


def bytes_of(transform):
    """Pixels that travel as bytes and become numbers on the device."""

    def make() -> Data:
        split = Batch(np.arange(ROWS * 6, dtype=np.uint8).reshape(ROWS, 2, 3), np.arange(ROWS) % 3)
        problem = Problem("classification", (2, 3), 3, ROWS)
        return Data(problem, split, split, split, {"far": split}, transform=transform)

    return make


def constant(targets):
    return np.full_like(targets, 0.5)


ONLY_IN_TRAINING = [
    (
        with_split("valid", classes, inputs=lambda x: x.astype(np.float64)),
        "",
        "inputs of the valid split are float64; expected float32",
    ),
    (
        with_split("far", classes, inputs=lambda x: x > 0),
        "",
        "inputs of the shifted split 'far' are bool; expected flo",
    ),
    (
        with_split("train", numbers, inputs=lambda x: x.astype(np.float64)),
        "",
        "inputs of the train split are float64; expected float32",
    ),
    (bytes_of(lambda pixels: pixels.double() / 255), "", "inputs of the train split are float64; expected float32"),
    (bytes_of(None), "", "inputs of the train split are uint8; expected float32"),
    (
        with_split("train", numbers, targets=constant),
        "",
        "the train split has the target 0.5 in all of its 12 rows, expected different numbers",
    ),
    (numbers, "[train=1]", "mine[train=1]: the train split has 1 row, expected at least 2; take more rows"),
    (classes, "[train=1]", "mine[train=1]: the train split has 1 row, expected at least 2; take more rows"),
]


@pytest.mark.parametrize(("make", "rows", "reason"), ONLY_IN_TRAINING)
def test_a_trial_fails_with_what_its_own_rows_are_not_fit_for(catalog_of, make, rows, reason):
    catalog = catalog_of(plugin(make))
    (trial,) = plan_trials(catalog, Request(methods="never", datasets=f"mine{rows}", seeds="1", device="cpu"))
    record = run_trial(catalog, trial)
    assert record.status == "failed"
    assert record.reason.startswith("data set mine")
    assert reason in record.reason


@pytest.mark.parametrize(
    "make",
    [bytes_of(lambda pixels: pixels.float() / 255), stream, ranking, with_split("valid", numbers, targets=constant)],
)
def test_bytes_that_become_numbers_tokens_and_kinds_of_others_reach_the_learner(catalog_of, make):
    catalog = catalog_of(plugin(make))
    (trial,) = plan_trials(catalog, Request(methods="never", datasets="mine", seeds="1", device="cpu"))
    assert "bad data reached the learner" in run_trial(catalog, trial).reason


def test_streams_shorter_than_a_window_are_named_with_the_batch(catalog_of):
    catalog = catalog_of(plugin(stream))
    (trial,) = plan_trials(catalog, Request(methods="never", datasets="mine", seeds="1", device="cpu", batch_size=7))
    record = run_trial(catalog, trial)
    assert record.reason == (
        "data set mine: the train split has 60 steps, 8 for each of 7 streams, fewer than the 10 of a window; "
        "take more rows or a smaller batch size"
    )


def test_what_a_data_set_says_of_itself_is_still_a_reason_to_skip(catalog_of):
    def refuses():
        raise Unsupported("not on this machine")

    catalog = catalog_of(plugin(classes))
    catalog.datasets.get("mine").__dict__["load"] = lambda *_: refuses()
    (trial,) = plan_trials(catalog, Request(methods="never", datasets="mine", seeds="1", device="cpu"))
    assert run_trial(catalog, trial).status == "skipped"


def test_a_kind_that_is_no_text_is_named():
    with pytest.raises(HarnessError, match=r"data set odd: problem.kind is \['classification'\], expected a text"):
        require_sound("odd", stated(classes, kind=["classification"])())
