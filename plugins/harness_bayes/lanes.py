"""A whole grid of configurations on all folds as one batch, in a few lines and without a run:

    data = [load(i) for i in range(20)]
    trained = train(together, [DropoutOptions(rate=p) for p in (0.01, 0.1)], data, Budget("epochs", 400), 128)
    for lane in trained:
        learner = build(lane.config)
        learner.predict(lane.state, inputs)

Each lane has its own seed, initial weights, order of batches and noise, so that it is what it would be alone. Trials of
`harness run` are lanes likewise, and each ends as a record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

from harness import Budget, Data, Training, UsageError, derive
from harness_bayes.learner import Cohort
from harness_torch.backend import heap
from harness_torch.backend.torch_backend import TorchBackend

Together = Callable[[Sequence[Any]], Cohort[Any]]


class Lane(NamedTuple):
    """One configuration on one fold, trained. state: for the learner of its config."""

    config: Any
    fold: int
    seed: int
    state: Any


def train(
    together: Together,
    configurations: Sequence[Any],
    folds: Sequence[Data],
    budget: Budget,
    batch_size: int,
    device: str = "cpu",
    precision: str = "fp32",
    seeds: Sequence[int] | None = None,
) -> list[Lane]:
    """Every configuration on every fold, side by side; lanes in the order of configurations, and of folds within them.

    together: of a method, such as `harness_mc_dropout.learner:together`. folds: data as loaded. seeds: of each fold, by
    default its number. Raises UsageError for folds with other shapes or numbers of rows, and for a budget of seconds,
    Unsupported where the configurations cannot be trained as one.
    """
    _refuse_unlike(folds)
    numbers = list(range(len(folds)) if seeds is None else seeds)
    heap.keep_freed_blocks()
    backend = TorchBackend()
    placed = [backend.place(each, device) for each in folds]
    pairs = [(config, fold) for config, fold in product(configurations, range(len(folds)))]
    updates = _count_updates(budget, folds[0].problem.train_size, batch_size)
    trainings = [Training(derive(numbers[fold], "init"), device, precision, batch_size, updates) for _, fold in pairs]
    cohort = together([config for config, _ in pairs])
    state = cohort.init([folds[fold].problem for _, fold in pairs], trainings)
    orders = [derive(numbers[fold], "order") for _, fold in pairs]
    batches = backend.lane_batches([placed[fold] for _, fold in pairs], batch_size, orders)
    for _ in range(updates):
        state, _ = cohort.update(state, next(batches))
    return [Lane(config, fold, numbers[fold], cohort.lane(state, at)) for at, (config, fold) in enumerate(pairs)]


def _refuse_unlike(folds: Sequence[Data]) -> None:
    if not folds:
        raise UsageError("no folds: expected data to train on")
    first = _describe_shape(folds[0])
    for number, fold in enumerate(folds):
        if (found := _describe_shape(fold)) != first:
            raise UsageError(
                f"fold {number} has other shapes or numbers of rows than fold 0 ({found} and {first}): train it apart, "
                "since folds that are trained as one have the same"
            )


def _describe_shape(fold: Data) -> Any:
    return replace(fold.problem, target_mean=0.0, target_scale=1.0), fold.train.inputs.shape


def _count_updates(budget: Budget, rows: int, batch_size: int) -> int:
    if budget.unit == "seconds":
        raise UsageError(f"{budget}: lanes take epochs or updates, so that each has as many as alone")
    return round(budget.amount * (rows / min(batch_size, rows) if budget.unit == "epochs" else 1))
