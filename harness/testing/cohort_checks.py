"""The check of trials that are trained as one: each lane is what its trial is alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import options
from harness.catalog import resolve
from harness.errors import Unsupported, UsageError
from harness.testing import tiny_data
from harness.testing.subjects import ORDER, SEED, Run, Subject, broken, find_difference
from harness.trials import answers
from harness.trials.learner_start import Started, look_up_parts
from harness.trials.scalars import Scalars
from harness.types import Batch, Cohort, Fit

UPDATES = 3
# Sums over lanes are taken in another order, and steps by the signs of gradients turn a rounding near zero into a
# whole step of one number: arrays are compared by their norms.
ALIKE = 1e-3


def cohort_as_alone(subject: Subject) -> None:
    """Two lanes with seeds, batches and options of their own, in either order; and one beside a lane that is nan."""
    if subject.method.cohort is None:
        raise Unsupported("it trains no several trials as one, which is optional")
    if subject.base is not None:
        raise Unsupported("it starts from the weights of another method, and such trials are trained one by one")
    lanes = [subject, replace(subject, given={**subject.given, **_vary_options(subject)})]
    for order in ((0, 1), (1, 0)):
        together = _Together(subject, lanes, order)
        for place, lane in enumerate(order):
            _require_alike(
                _train_alone(lanes[lane], lane), together.take_lane(place), f"lane {place} of two and its trial alone"
            )
    if subject.kind != "language":  # tokens cannot be nan
        beside = _Together(subject, lanes, (0, 1), spoilt=1).take_lane(0)
        _require_alike(_train_alone(subject, 0), beside, "a lane beside one that is nan and its trial alone")


def _vary_options(subject: Subject) -> dict[str, Any]:
    """Other values of batched options: half a number, one more, the other truth; those that are refused stay."""
    method = subject.method
    known = options.values(options.build(method.config, subject.given, method.name))
    found: dict[str, Any] = {}
    for name in method.batched_options:
        for value in _list_other_values(known[name]):
            try:
                options.build(method.config, {**subject.given, **found, name: value}, method.name)
            except UsageError:
                continue
            found[name] = value
            break
    return found


def _list_other_values(value: object) -> Iterator[Any]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, float):
        yield from (value / 2, value * 2)
    elif isinstance(value, int):
        yield from (value + 1, value - 1)


def _train_alone(subject: Subject, place: int) -> Run:
    """A trial alone, after as many updates, with the seeds of that lane."""
    run = subject.start(subject.training(SEED + place))
    batches = subject.batches(ORDER + place)
    for _ in range(UPDATES):
        run.update(next(batches))
    return run


class _Together:
    """Lanes after some updates as one. order: of the lanes. spoilt: the place whose inputs are nan."""

    def __init__(
        self, subject: Subject, lanes: Sequence[Subject], order: Sequence[int], spoilt: int | None = None
    ) -> None:
        self._lanes = [lanes[lane] for lane in order]
        self._subject, data, size = subject, subject.data, len(order)
        method = subject.method
        assert method.cohort is not None
        configs = [options.build(method.config, lane.given, method.name) for lane in self._lanes]
        self._cohort: Cohort[Any] = resolve(method.cohort, f"cohort of {method.name}")(configs)
        trainings = [subject.training(SEED + lane) for lane in order]
        self._state = self._cohort.init([data.problem] * size, trainings)
        if hasattr(self._cohort, "prepare"):
            self._state = self._cohort.prepare(self._state, [Fit(data.train, data.valid)] * size)
        self._scalars: list[Sequence[Mapping[str, float]]] = []
        batches = subject.backend.lane_batches([data] * size, tiny_data.BATCH, [ORDER + lane for lane in order])
        for _ in range(UPDATES):
            self._update_lanes(_spoil_lane(next(batches), spoilt))

    def _update_lanes(self, batch: Batch) -> None:
        size = len(self._lanes)
        check = partial(answers.check_lane_step, lanes=size)
        returned = answers.ask_learner(self._cohort.update, self._state, batch)
        self._state, scalars = self._subject.answered(check, returned)
        kept = Scalars(self._subject.backend.lane_meter(), size)
        kept.add_update(scalars)
        self._scalars.append(kept.take_means())

    def take_lane(self, place: int) -> Run:
        """A lane as the training that it would be alone."""
        lane = self._lanes[place]
        learner = lane.build()
        started = Started(learner, look_up_parts(learner), self._cohort.lane(self._state, place))
        run = Run(lane, self._subject.data, started=started)
        run.scalars = [scalars[place] for scalars in self._scalars]
        return run


def _spoil_lane(batch: Batch, place: int | None) -> Batch:
    if place is not None:
        batch.inputs[place] = float("nan")
    return batch


def _require_alike(alone: Run, lane: Run, what: str) -> None:
    """As they are trained, and finished."""
    for words in ("", ", finished"):
        seen, also = alone.seen(), lane.seen()
        if {name: array.shape for name, array in seen.items()} != {name: array.shape for name, array in also.items()}:
            broken(f"{what}{words}: they differ in the {find_difference(seen, also, ALIKE)}")
        for name, array in seen.items():
            if (share := _measure_distance(array, also[name])) > ALIKE:
                broken(f"{what}{words}: they differ in the {name}, by {share:.2g} of its norm")
        alone.finish()
        lane.finish()


def _measure_distance(one: NDArray[Any], other: NDArray[Any]) -> float:
    """The norm of their difference over that of the first, or over 1; infinite where one alone is not finite."""
    if not np.array_equal(np.isfinite(one), np.isfinite(other)):
        return math.inf
    gaps = np.where(np.isfinite(one), one - other, 0.0)
    return float(np.linalg.norm(gaps)) / max(float(np.linalg.norm(np.nan_to_num(one))), 1.0)
