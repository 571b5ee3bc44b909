"""The timed pass of a trial: training with nothing that could disturb it, and the scores along the way.

Validation decides everything that is decided during training. Test predictions are scored at the best validation
point and at the end; test rows never reach a learner's update.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, get_args

from harness.seeds import derive
from harness.trials import scoring
from harness.trials.bench import Bench, Diverged, Notes
from harness.trials.effort import Effort
from harness.types import Array, Fit, Learner, Point, Prediction, Progress

PREDICTIONS: tuple[type[Prediction], ...] = get_args(Prediction)
WARMUP_UPDATES = 5
SETTLED_UPDATES = 2  # algorithms have been tried, the optimiser's state is there; no step has been captured yet
MOST_POINTS = 20
FEWEST_POINTS = 5
SECONDS_BETWEEN_REPORTS = 0.5


def train(bench: Bench) -> tuple[Learner[Any], Any]:
    """Init, prepare, the loop, finish, the final scores: the trained learner and its state."""
    notes, data = bench.notes, bench.data
    with notes.phase("init"):
        learner = bench.build()
        state = learner.init(data.problem, bench.training(), bench.base)
    if hasattr(learner, "prepare"):
        with notes.phase("prepare"):
            state = learner.prepare(state, Fit(data.train, data.valid))
    state = _loop(bench, learner, state)
    if hasattr(learner, "finish"):
        with notes.phase("finish"):
            state = learner.finish(state, Fit(data.train, data.valid))
        _evaluate(bench, learner, state, notes.curve[-1])
    with bench.evaluating():
        _final_scores(bench, learner, state)
    notes.facts |= learner.describe(state) if hasattr(learner, "describe") else {}
    return learner, state


def _loop(bench: Bench, learner: Learner[Any], state: Any) -> Any:
    """Train until the budget is spent. Evaluation counts neither in seconds nor in the order of the batches."""
    per_epoch = bench.updates_per_epoch()
    clock, meter = bench.backend.clock(bench.trial.device), bench.backend.meter()
    order = derive(bench.trial.seed, bench.trial.dataset.name, "order")
    batches = bench.backend.batches(bench.data, bench.trial.batch_size, order)
    _evaluate(bench, learner, state, Point(0, 0.0, 0.0, {}, {}))
    stops = _Stops(bench.trial.budget.amount, bench.updates(), per_epoch)
    effort = Effort()

    def look(done: int) -> None:
        seconds = math.fsum(clock.seconds())
        with effort.paused():
            scalars = _finite(meter.read(), done)
            _evaluate(bench, learner, state, Point(done, done / per_epoch, seconds, scalars, {}))
            bench.report(Progress("train", stops.fraction(done), bench.notes.curve[-1]))

    done, stale, tell = 0, False, time.perf_counter() + SECONDS_BETWEEN_REPORTS
    while not (stale or stops.spent(done)):
        if done == SETTLED_UPDATES:
            bench.settle()
        batch = next(batches)
        clock.start()
        returned = learner.update(state, batch)
        clock.stop()
        state, scalars = returned if done else _a_step(returned)
        meter.add(scalars)
        done += 1
        if stops.due(done):
            clock.seconds()  # what the device still has to do is training and counts; then time stands still
            with stops.pause():
                look(done)
            stale = _out_of_patience(bench)
        elif (now := time.perf_counter()) >= tell:
            bench.report(Progress("train", stops.fraction(done)))
            tell = now + SECONDS_BETWEEN_REPORTS
    if done and bench.notes.curve[-1].update < done:
        look(done)
    bench.notes.environment |= effort.spent()
    if bench.trial.patience is not None:
        bench.notes.measured |= {"stopped_early": not stops.spent(done), "stopped_update": done}
    _time_readings(bench.notes, list(clock.seconds()), per_epoch)
    return state


class _Stops:
    """When to look at the validation split, and when to stop, in updates or in seconds of training."""

    def __init__(self, seconds: float, updates: int | None, per_epoch: float) -> None:
        self._updates = updates
        self._seconds = seconds
        self._started = time.perf_counter()
        if updates is None:
            self._points = FEWEST_POINTS * 2
            self._due_seconds = self._seconds / self._points
        else:
            self._points = min(MOST_POINTS, max(FEWEST_POINTS, round(updates / per_epoch)))
            self._due_updates = {round(updates * i / self._points) for i in range(1, self._points + 1)}

    def spent(self, done: int) -> bool:
        return self._elapsed() >= self._seconds if self._updates is None else done >= self._updates

    def due(self, done: int) -> bool:
        if self._updates is not None:
            return done in self._due_updates
        if self._elapsed() < self._due_seconds:
            return False
        # One update may have taken longer than is between two points.
        self._due_seconds = max(self._due_seconds + self._seconds / self._points, self._elapsed())
        return True

    def fraction(self, done: int) -> float:
        return min(1.0, self._elapsed() / self._seconds if self._updates is None else done / self._updates)

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Time inside does not count."""
        began = time.perf_counter()
        yield
        self._started += time.perf_counter() - began

    def _elapsed(self) -> float:
        return time.perf_counter() - self._started


def _out_of_patience(bench: Bench) -> bool:
    """Whether validation has not improved for as many points as the trial has patience; a tie is no improvement."""
    scores = _headline_scores(bench)
    if bench.trial.patience is None or not scores:
        return False
    return len(scores) - 1 - _best(scores) >= bench.trial.patience


def _a_step(returned: Any) -> tuple[Any, Mapping[str, Any]]:
    """What the first update returned, if it is what an update returns; the others are like it."""
    if isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], Mapping):
        return returned
    raise TypeError(f"update returned {type(returned).__name__}, expected (state, {{name: scalar}})")


def _finite(scalars: Mapping[str, float], update: int) -> Mapping[str, float]:
    for name, value in scalars.items():
        if not math.isfinite(value):
            raise Diverged(f"{name} is {value} at update {update}")
    return scalars


def _time_readings(notes: Notes, laps: list[float], per_epoch: float) -> None:
    """The median of the steady updates; those that compile, tune and allocate are told apart."""
    notes.seconds["train"] = math.fsum(laps)
    notes.measured["train_seconds"] = math.fsum(laps)
    if not laps:
        notes.holes["update_seconds"] = "no updates"
        return
    warm = min(WARMUP_UPDATES, len(laps) // 2)
    notes.measured["update_seconds"] = statistics.median(laps[warm:])
    notes.measured["epoch_seconds"] = notes.measured["update_seconds"] * per_epoch
    notes.measured["warmup_seconds"] = math.fsum(laps[:warm])


# --- scores -----------------------------------------------------------------------------------------------------------


def _evaluate(bench: Bench, learner: Learner[Any], state: Any, point: Point) -> None:
    """Score the validation split, append the point, and keep the scores of both splits at the best one."""
    notes = bench.notes
    with bench.evaluating():
        valid = scoring.score(bench.catalog, bench.data, bench.data.valid, _predictor(bench, learner.predict, state))
        notes.curve.append(point._replace(valid=valid))
        for name, value in valid.items():
            if math.isnan(value):
                raise Diverged(f"validation {name} is nan at update {point.update}")
        if bench.base is not None and point.update == 0:
            notes.scores |= _named(_test_scores(bench, learner.predict, state), "start")
        scores = _headline_scores(bench)
        if scores and _best(scores) == len(scores) - 1:
            notes.scores |= _named(valid, "valid-best")
            notes.scores |= _named(_test_scores(bench, learner.predict, state), "best")
            notes.measured["best_update"] = point.update


def _headline_scores(bench: Bench) -> list[float]:
    """What decides on the validation curve so far, point by point, greater being better; empty if nothing does."""
    headline = scoring.headline(bench.catalog, bench.data.problem.kind)
    if headline is None or headline.name not in bench.notes.curve[-1].valid:
        return []
    sign = 1 if headline.better == "higher" else -1
    return [sign * point.valid.get(headline.name, -sign * math.inf) for point in bench.notes.curve]


def _best(scores: list[float]) -> int:
    """Which point is the best: of several that tie, the first, since the later ones are no improvement."""
    return scores.index(max(scores))


def _final_scores(bench: Bench, learner: Learner[Any], state: Any) -> None:
    notes = bench.notes
    notes.scores |= _test_scores(bench, learner.predict, state)
    notes.scores |= _named(notes.curve[-1].valid, "valid")
    for view, predict in getattr(learner, "views", {}).items():
        notes.scores |= _named(_test_scores(bench, predict, state), view)


def _test_scores(bench: Bench, predict: Callable[[Any, Array], Any], state: Any) -> dict[str, float]:
    return scoring.score(
        bench.catalog, bench.data, bench.data.test, _predictor(bench, predict, state), bench.data.shifted
    )


def _predictor(bench: Bench, predict: Callable[[Any, Array], Any], state: Any) -> scoring.Predict:
    return lambda inputs: bench.backend.numpy(_a_prediction(predict(state, inputs)))


def _a_prediction(value: Any) -> Prediction:
    if not isinstance(value, PREDICTIONS):
        expected = ", ".join(kind.__name__ for kind in PREDICTIONS)
        raise TypeError(f"predict returned {type(value).__name__}, expected one of {expected}")
    return value


def _named(scores: Mapping[str, float], view: str) -> dict[str, float]:
    return {f"{name}@{view}": value for name, value in scores.items()}
