"""Checks of a learner in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import Unsupported
from harness.testing.subjects import Arrays, Subject, are_close, broken, require_same
from harness.types import Batch, Data

ROW_TOLERANCE = 1e-3  # of a loss summed in another order, with steps in between


def deterministic(subject: Subject) -> None:
    """Two learners, one seed."""
    first, second = subject.start(), subject.start()
    require_same("two states of the same seed", first.seen(), second.seen(), subject.exact)
    first.updates(3)
    second.updates(3)
    require_same("3 updates on the same batches, twice", first.seen(), second.seen(), subject.exact)


def states_apart(subject: Subject) -> None:
    """Two trainings by one learner, taking turns, end as each does alone."""
    alone = subject.start()
    alone.updates(3)
    learner = subject.build()
    first = subject.start(learner=learner)
    first.updates(2)
    second = subject.start(learner=learner)
    second.updates(2)
    first.updates(1)
    second.updates(1)
    for which, run in (("first", first), ("second", second)):
        what = f"the {which} of two states of one learner against a state alone (is something kept in the learner?)"
        require_same(what, alone.seen(), run.seen(), subject.exact)


def global_seeds_ignored(subject: Subject) -> None:
    """Under other seeds of every global generator."""
    require_same(
        "training under two seeds of the global generators (draw from a generator seeded with training.seed)",
        _train_under_global_seed(subject, 1),
        _train_under_global_seed(subject, 2),
        subject.exact,
    )


def _train_under_global_seed(subject: Subject, seed: int) -> Arrays:
    with subject.backend.isolated(seed):
        run = subject.start()
        run.updates(3)
        return run.seen()


def batches_apart(subject: Subject) -> None:
    """The rows of the second batch in another order: its loss stays, unless each meets what another row left behind.

    Control: where even the first update's loss depends on the order, the learner draws something for each row.
    """
    first, second = _take_batch(subject, 0), _take_batch(subject, 1)
    alone, turned = _record_losses(subject, [first]), _record_losses(subject, [_rotate_rows(first)])
    if not alone[0]:
        raise Unsupported("its updates return no scalars to compare")
    if not _are_near(alone[0], turned[0]):
        raise Unsupported("its first update already depends on the order of the rows, as one with noise for each does")
    kept, changed = _record_losses(subject, [first, second]), _record_losses(subject, [first, _rotate_rows(second)])
    if not _are_near(kept[1], changed[1]):
        broken(
            "the second update depends on the order of its rows, the first does not: something of the batch before is "
            f"carried over; scalars {dict(kept[1])} and {dict(changed[1])}"
        )


def _take_batch(subject: Subject, index: int) -> Batch:
    """A batch that begins a stream."""
    batches = subject.batches()
    return [next(batches) for _ in range(index + 1)][index]._replace(first=True)


def _rotate_rows(batch: Batch) -> Batch:
    rows = [*range(1, len(batch.inputs)), 0]
    return batch._replace(inputs=batch.inputs[rows], targets=batch.targets[rows])


def _record_losses(subject: Subject, batches: list[Batch]) -> list[Mapping[str, float]]:
    run = subject.start()
    for batch in batches:
        run.update(batch)
    return run.scalars


def _are_near(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    return all(are_close(np.array(one[name]), np.array(other[name]), ROW_TOLERANCE) for name in one)


def any_budget(subject: Subject) -> None:
    """`updates` is what is planned, for schedules; None where nobody knows."""
    for planned, done in ((None, 3), (1, 1), (2, 4)):
        run = subject.start(subject.training(updates=planned))
        run.updates(done)
        run.finish()
        for name, array in run.seen().items():
            if not np.isfinite(array).all():
                broken(f"with updates={planned}, after {done} updates: the {name} is not finite")


def data_untouched(subject: Subject) -> None:
    """Batches, the rows given to `prepare` and `finish`, and the inputs of a prediction."""
    before = _copy_rows(subject, subject.data)
    run = subject.start()
    batches = subject.batches()
    for index in range(1, 3):
        batch = next(batches)
        rows = subject.numpy(batch.inputs), subject.numpy(batch.targets)
        run.update(batch)
        if not all(map(np.array_equal, rows, (subject.numpy(batch.inputs), subject.numpy(batch.targets)))):
            broken(f"update {index} overwrote the batch that it was given")
    for view in run.predictors:
        run.predict(subject.data.valid.inputs, view)
    run.finish()
    after = _copy_rows(subject, subject.data)
    for name, array in before.items():
        if not np.array_equal(array, after[name]):
            broken(f"it overwrote the {name}")


def _copy_rows(subject: Subject, data: Data) -> dict[str, NDArray[np.float64]]:
    splits = {"training": data.train, "validation": data.valid}
    return {
        f"{name} {field}": subject.numpy(getattr(split, field))
        for name, split in splits.items()
        for field in ("inputs", "targets")
    }


def arrays_kept(subject: Subject) -> None:
    """Saved arrays, from which another method or a later session starts, are kept."""
    run = subject.start()
    run.updates(2)
    saved = _copy_arrays(subject, run.saved())
    require_same("two saves of one state", saved, _copy_arrays(subject, run.saved()), exact=True)
    read = subject.through_file(run.saved())
    require_same("saved arrays and those read back from a file", saved, _copy_arrays(subject, read), exact=True)


def _copy_arrays(subject: Subject, named: Mapping[str, Any]) -> Arrays:
    if not named:
        broken("save(state) returned no arrays")
    return {name: subject.numpy(array) for name, array in named.items()}
