"""The timed pass of a trial: training with nothing that could disturb it, and the scores along the way.

Validation decides everything that is decided during training. Test predictions are scored at the best validation
point and at the end; test rows never reach a learner's update.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.errors import Diverged, Unsupported
from harness.trials import answers, scoring
from harness.trials.bench import Bench
from harness.trials.effort import Effort
from harness.trials.learner_start import Started
from harness.trials.pace import Stops, keep_scalars, note_times
from harness.trials.points import Points
from harness.trials.record_notes import Notes
from harness.trials.scalars import Scalars
from harness.types import Point, Progress

SETTLED_UPDATES = 2  # algorithms have been tried, the optimiser's state is there; no step has been captured yet
SECONDS_BETWEEN_REPORTS = 0.5
SET_UP = 0.5  # seconds of init that are no training: imports, allocation, compilation
SHARE_BEYOND = 0.01  # of a budget of seconds that finish may take beyond it without a word


def train_learner(bench: Bench) -> Started:
    """Init, prepare, the loop, finish, and the validation scores on the way: the learner and its trained state."""
    require_validation(bench)
    started = bench.start_fresh(bench.fit_rows, phase=bench.timed_phase)
    points = Points(bench, started)
    state = _run_updates(bench, points, started)
    if "finish" in started.parts.offered:
        with bench.timed_phase("finish"):
            state = started.parts.finish(state, bench.fit_rows)
        _warn_of_finish(bench)
        points.add_finished(state)
    else:
        points.end_curve(state)
    return replace(started, state=state)


def require_validation(bench: Bench) -> None:
    """Without validation rows nothing is chosen on the way: no best point, and no patience."""
    if len(bench.data.valid.inputs):
        return
    why = f"{bench.trial.dataset.label} has no validation rows here"
    if bench.trial.terms.patience is not None:
        raise Unsupported(f"{why}, and --patience stops by what they score; leave --patience out")
    for offer in scoring.applying_metrics(bench.catalog, bench.data.problem.kind, scoring.of_any_split):
        bench.notes.holes |= {f"{offer.value.name}@{view}": why for view in ("valid", "valid-best", "best")}


def look_at_parts(bench: Bench, trained: Started) -> None:
    """Look at the optional parts of a trained learner: its further views, and its facts. One that fails is a hole."""
    parts = trained.parts
    if "views" in parts.offered:
        with bench.measured_part("views"):
            _score_views(bench, trained)
    if "describe" in parts.offered:
        with bench.measured_part("describe"):
            bench.notes.add_facts(answers.check_facts(parts.describe(trained.state)))


def _score_views(bench: Bench, trained: Started) -> None:
    points = Points(bench, trained)
    for name, predict, flaw in trained.parts.views():
        if flaw:
            bench.notes.add_hole(f"view {name}", flaw)
        else:
            with bench.hole_on_error(f"view {name}"), bench.evaluation_phase():
                points.score_view(predict, trained.state, name)


def _warn_of_finish(bench: Bench) -> None:
    """A budget of seconds is for all that trains; what `finish` took beyond it is told, since no loop can stop it."""
    budget, seconds = bench.trial.terms.budget, bench.notes.seconds
    beyond = _before_updates(bench.notes) + math.fsum(seconds[phase] for phase in ("train", "finish")) - budget.amount
    if budget.unit == "seconds" and (beyond := min(beyond, seconds["finish"])) > SHARE_BEYOND * budget.amount:
        bench.notes.warnings["finish"] = f"finish trained on for {beyond:.3g} s beyond the budget of {budget}"


def _before_updates(notes: Notes) -> float:
    """Seconds of a budget that are gone before the first update: `prepare`, and what of `init` is more than set-up."""
    return notes.seconds.get("prepare", 0.0) + max(0.0, notes.seconds["init"] - SET_UP)


def _run_updates(bench: Bench, points: Points, started: Started) -> Any:
    """Train until the budget is spent. Evaluation counts neither in seconds nor in the order of the batches."""
    learner, state = started.learner, started.state
    per_epoch = bench.updates_per_epoch()
    clock, scalars = bench.backend.clock(bench.trial.terms.device), Scalars(bench.backend.lane_meter(), 1)
    batches = bench.ordered_batches()
    points.add_start(state)
    gone = _before_updates(bench.notes)
    stops = Stops(bench.trial.terms.budget.amount, bench.planned_updates(), per_epoch, gone)
    effort = Effort()

    def note_point(done: int) -> None:
        seconds = math.fsum(clock.seconds())
        with effort.paused_effort():
            means = keep_scalars(bench.notes, _take_means(scalars, returned))
            points.add_point(state, Point(done, done / per_epoch, seconds, means, {}))
            bench.report(Progress("train", stops.spent_fraction(done), bench.notes.curve[-1]))

    done, stale, tell = 0, False, time.perf_counter() + SECONDS_BETWEEN_REPORTS
    while not (stale or stops.is_spent(done)):
        if done == SETTLED_UPDATES:
            for settle in bench.settles:
                settle()
        batch = next(batches)
        clock.start()
        try:
            returned = learner.update(state, batch)
        except Exception as error:
            answers.note_state(error, state)
            raise
        clock.stop()
        if not done:
            answers.check_step(returned)
        try:
            state, values = returned
            scalars.add_update(values)
        except Exception:
            answers.check_step(returned)  # says better what is wrong, if it is this
            raise
        done += 1
        if stops.is_due(done):
            clock.seconds()  # what the device still has to do is training and counts; then time stands still
            with stops.pause_clock():
                note_point(done)
            stale = points.out_of_patience()
        elif (now := time.perf_counter()) >= tell:
            bench.report(Progress("train", stops.spent_fraction(done)))
            tell = now + SECONDS_BETWEEN_REPORTS
    if done and bench.notes.curve[-1].update < done:
        note_point(done)
    bench.notes.environment |= effort.spent_effort()
    if bench.trial.terms.patience is not None:
        bench.notes.measured |= {"stopped_early": not stops.is_spent(done), "stopped_update": done}
    note_times(bench.notes, list(clock.seconds()), per_epoch)
    if not done and gone >= bench.trial.terms.budget.amount and bench.planned_updates() is None:
        _say_budget_was_gone(bench)
    return state


def _say_budget_was_gone(bench: Bench) -> None:
    """Why a budget of seconds left none for updates: what took it before the first one."""
    seconds = bench.notes.seconds
    phases = [phase for phase, least in (("init", SET_UP), ("prepare", 0.0)) if seconds.get(phase, 0.0) > least]
    took = " and ".join(f"{phase} took {seconds[phase]:.3g} s" for phase in phases)
    why = f"no updates: {took}, the budget is {bench.trial.terms.budget}"
    bench.notes.holes |= dict.fromkeys(("update_seconds", "train_seconds"), why)


def _take_means(scalars: Scalars, returned: Any) -> Mapping[str, float]:
    """Take the means of the scalars since the last point.

    Raises Diverged where one was not finite, and TypeError where what the last update returned are none.
    """
    try:
        (means,) = scalars.take_means()
    except Exception:
        answers.check_step(returned)
        raise
    if flaw := scalars.lane_flaw(0):
        raise Diverged(flaw)
    return means
