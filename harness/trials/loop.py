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
from typing import Any, TypeVar

from harness import names
from harness.metrics.headline import headline
from harness.seeds import derive
from harness.trials import answers, predictions, scoring
from harness.trials.bench import Bench
from harness.trials.effort import Effort
from harness.trials.notes import Notes
from harness.trials.places import Diverged
from harness.types import Fit, Learner, Meter, Point, Progress

T = TypeVar("T")

WARMUP_UPDATES = 5
SETTLED_UPDATES = 2  # algorithms have been tried, the optimiser's state is there; no step has been captured yet
MOST_POINTS = 20
FEWEST_POINTS = 5
SECONDS_BETWEEN_REPORTS = 0.5
SET_UP = 0.5  # seconds of init that are no training: imports, allocation, compilation
SHARE_BEYOND = 0.01  # of a budget of seconds that finish may take beyond it without a word


def train(bench: Bench) -> tuple[Learner[Any], Any]:
    """Init, prepare, the loop, finish, the scores of what would be deployed: the trained learner and its state."""
    notes, data = bench.notes, bench.data
    with notes.phase("init"):
        learner: Any = bench.build()
        state = learner.init(data.problem, bench.training(), bench.base)
    if answers.offers(learner, "prepare"):
        state = _fitted(bench, "prepare", learner.prepare, state)
    state = _loop(bench, learner, state)
    if answers.offers(learner, "finish"):
        state = _fitted(bench, "finish", learner.finish, state)
        _warn_of_finish(bench)
        _evaluate(bench, learner, state, notes.curve[-1])
    with bench.evaluating():
        _score_test(bench, learner.predict, state, "")
        notes.scores |= _named(notes.curve[-1].valid, "valid")
        _score_valid_at_the_end(bench, learner, state)
    return learner, state


def look_further(bench: Bench, learner: Any, state: Any) -> None:
    """What is optional of a trained learner: its further views, and what it says of itself. What fails is a hole."""
    if answers.offers(learner, "views"):
        with bench.part("views"):
            _score_views(bench, learner, state)
    if answers.offers(learner, "describe"):
        with bench.part("describe"):
            bench.notes.claim(answers.facts(learner.describe(state)))


def _score_views(bench: Bench, learner: Learner[Any], state: Any) -> None:
    for name, predict, flaw in answers.views(learner):
        if flaw:
            bench.notes.hole(f"view {name}", flaw)
        else:
            with bench.hole(f"view {name}"), bench.evaluating():
                _score_test(bench, predict, state, name)


def _fitted(bench: Bench, phase: str, fit: Callable[[Any, Fit], Any], state: Any) -> Any:
    """What `prepare` or `finish` makes of the state; its time ends when the device has done it."""
    clock = bench.backend.clock(bench.trial.terms.device)
    with bench.notes.phase(phase):
        clock.start()
        state = fit(state, Fit(bench.data.train, bench.data.valid))
        clock.stop()
        clock.seconds()
    return state


def _warn_of_finish(bench: Bench) -> None:
    """A budget of seconds is for all that trains; what `finish` took beyond it is told, since no loop can stop it."""
    budget, seconds = bench.trial.terms.budget, bench.notes.seconds
    beyond = _before_updates(bench.notes) + math.fsum(seconds[phase] for phase in ("train", "finish")) - budget.amount
    if budget.unit == "seconds" and (beyond := min(beyond, seconds["finish"])) > SHARE_BEYOND * budget.amount:
        bench.notes.measured["finish_warning"] = f"finish trained on for {beyond:.3g} s beyond the budget of {budget}"


def _before_updates(notes: Notes) -> float:
    """Seconds of a budget that are gone before the first update: `prepare`, and what of `init` is more than set-up."""
    return notes.seconds.get("prepare", 0.0) + max(0.0, notes.seconds["init"] - SET_UP)


def _loop(bench: Bench, learner: Learner[Any], state: Any) -> Any:
    """Train until the budget is spent. Evaluation counts neither in seconds nor in the order of the batches."""
    per_epoch = bench.updates_per_epoch()
    clock, meter = bench.backend.clock(bench.trial.terms.device), bench.backend.meter()
    order = derive(bench.trial.seed, bench.trial.dataset.name, "order")
    batches = bench.backend.batches(bench.data, bench.trial.terms.batch_size, order)
    _evaluate(bench, learner, state, Point(0, 0.0, 0.0, {}, {}))
    gone = _before_updates(bench.notes)
    stops = _Stops(bench.trial.terms.budget.amount, bench.updates(), per_epoch, gone)
    effort = Effort()

    def look(done: int) -> None:
        seconds = math.fsum(clock.seconds())
        with effort.paused():
            means = _fit(bench, _finite(_means(meter, returned), done))
            _evaluate(bench, learner, state, Point(done, done / per_epoch, seconds, means, {}))
            bench.report(Progress("train", stops.fraction(done), bench.notes.curve[-1]))

    done, stale, tell = 0, False, time.perf_counter() + SECONDS_BETWEEN_REPORTS
    while not (stale or stops.spent(done)):
        if done == SETTLED_UPDATES:
            bench.settle()
        batch = next(batches)
        clock.start()
        try:
            returned = learner.update(state, batch)
        except Exception as error:
            answers.note_state(error, state)
            raise
        clock.stop()
        if not done:
            answers.a_step(returned)
        try:
            state, scalars = returned
            meter.add(scalars)
        except Exception:
            answers.a_step(returned)  # says better what is wrong, if it is this
            raise
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
    if bench.trial.terms.patience is not None:
        bench.notes.measured |= {"stopped_early": not stops.spent(done), "stopped_update": done}
    _note_times(bench.notes, list(clock.seconds()), per_epoch)
    if not done and gone >= bench.trial.terms.budget.amount and bench.updates() is None:
        _say_budget_was_gone(bench)
    return state


def _say_budget_was_gone(bench: Bench) -> None:
    """Why a budget of seconds left none for updates: what took it before the first one."""
    seconds = bench.notes.seconds
    phases = [phase for phase, least in (("init", SET_UP), ("prepare", 0.0)) if seconds.get(phase, 0.0) > least]
    took = " and ".join(f"{phase} took {seconds[phase]:.3g} s" for phase in phases)
    why = f"no updates: {took}, the budget is {bench.trial.terms.budget}"
    bench.notes.holes |= dict.fromkeys(("update_seconds", "train_seconds"), why)


class _Stops:
    """When to look at the validation split, and when to stop, in updates or in seconds of training.

    spent: seconds of the budget that are gone before the first update.
    """

    def __init__(self, seconds: float, updates: int | None, per_epoch: float, spent: float) -> None:
        self._updates = updates
        self._seconds = seconds
        self._started = time.perf_counter() - spent
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
    if bench.trial.terms.patience is None or not scores:
        return False
    return len(scores) - 1 - _best(scores) >= bench.trial.terms.patience


def _means(meter: Meter, returned: Any) -> Mapping[str, float]:
    """Of the scalars since the last point. Raises TypeError where what the last update returned are none."""
    try:
        return {name: float(value) for name, value in meter.read().items()}
    except Exception:
        answers.a_step(returned)
        raise


def _finite(scalars: Mapping[str, float], update: int) -> Mapping[str, float]:
    for name, value in scalars.items():
        if not math.isfinite(value):
            raise Diverged(f"{names.shown(name)} is {value} at update {update}")
    return scalars


def _fit(bench: Bench, scalars: Mapping[str, float]) -> Mapping[str, float]:
    """Those that a record can hold; the others leave a hole."""
    fit: dict[str, float] = {}
    for name, value in scalars.items():
        if flaw := names.flaw(name):
            bench.notes.hole(f"update.{names.shown(name)}", f"the name of the scalar {flaw}")
        elif len(fit) < answers.MOST_SCALARS:
            fit[name] = value
        else:
            bench.notes.hole("update", f"returned {len(scalars)} scalars; {answers.MOST_SCALARS} of them are kept")
    return fit


def _note_times(notes: Notes, laps: list[float], per_epoch: float) -> None:
    """The median of the steady updates; those that compile, tune and allocate are told apart."""
    notes.seconds["train"] = math.fsum(laps)
    notes.measured["train_seconds"] = math.fsum(laps)
    if not laps:
        del notes.measured["train_seconds"]  # nothing was trained in no time
        notes.holes |= dict.fromkeys(("update_seconds", "train_seconds"), "no updates")
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
        predictor = _predictor(bench, learner.predict, state)
        scores = scoring.score(bench.catalog, bench.data, bench.data.valid, predictor, wanted=scoring.on_the_curve)
        notes.curve.append(point._replace(valid=scores.found))
        if scores.nan:
            raise Diverged(f"validation {scores.nan} is nan at update {point.update}")
        for name, reason in scores.holes.items():
            notes.hole(f"{name}@valid", f"at update {point.update}: {reason}")
        if bench.base is not None and point.update == 0:
            _score_test(bench, learner.predict, state, "start")
        found = _headline_scores(bench)
        if found and _best(found) == len(found) - 1:
            _forget(notes, "valid-best", "best")
            notes.scores |= _named(scores.found, "valid-best")
            _score_test(bench, learner.predict, state, "best")
            notes.measured["best_update"] = point.update


def _score_valid_at_the_end(bench: Bench, learner: Learner[Any], state: Any) -> None:
    """The validation scores that no point of the curve has."""
    kind = bench.data.problem.kind
    if any(scoring.at_the_end(offer.value) for offer in scoring.applying(bench.catalog, kind)):
        predictor = _predictor(bench, learner.predict, state)
        scores = scoring.score(bench.catalog, bench.data, bench.data.valid, predictor, wanted=scoring.at_the_end)
        bench.notes.scores |= _named(scores.found, "valid")
        for name, reason in _named(scores.holes, "valid").items():
            bench.notes.hole(name, reason)


def _forget(notes: Notes, *views: str) -> None:
    """Scores, and their holes, of a point that is no longer the best."""
    for known in (notes.scores, notes.holes):
        for name in [name for name in known if name.partition("@")[2] in views]:
            del known[name]


def _headline_scores(bench: Bench) -> list[float]:
    """What decides on the validation curve so far, point by point, greater being better; empty if nothing does."""
    deciding = headline(bench.catalog.metrics.values(), bench.data.problem.kind, bench.trial.terms.headline)
    if deciding is None or deciding.name not in bench.notes.curve[-1].valid:
        return []
    sign = 1 if deciding.better == "higher" else -1
    return [sign * point.valid.get(deciding.name, -sign * math.inf) for point in bench.notes.curve]


def _best(scores: list[float]) -> int:
    """Which point is the best: of several that tie, the first, since the later ones are no improvement."""
    return scores.index(max(scores))


def _score_test(bench: Bench, predict: answers.View, state: Any, view: str) -> None:
    """Scores of the test split under the name of a view; the plain ones have none."""
    predictor = _predictor(bench, predict, state)
    wanted = scoring.on_the_curve if view in ("best", "start") else None
    data, based = bench.data, bench.base_predicted
    scores = scoring.score(bench.catalog, data, data.test, predictor, data.shifted, wanted, based)
    bench.notes.scores |= _named(scores.found, view)
    if not view and bench.prediction is not None and scores.prediction is not None:
        with bench.hole("test prediction"):
            predictions.keep(bench.prediction, scores.prediction, bench.test_rows)
    for name, reason in _named(scores.holes, view).items():
        bench.notes.hole(name, reason)


def _predictor(bench: Bench, predict: answers.View, state: Any) -> scoring.Predict:
    return lambda inputs: bench.backend.numpy(answers.a_prediction(answers.asked(predict, state, inputs)))


def _named(values: Mapping[str, T], view: str) -> dict[str, T]:
    return {f"{name}@{view}" if view else name: value for name, value in values.items()}
