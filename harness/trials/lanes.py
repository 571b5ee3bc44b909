"""Several trials trained as one, a lane each: the timed pass, and each lane as the trial that it is.

A lane has the bench, the batches and the points of the curve that its trial would have alone, and is scored through
the learner that it would have alone. What is raised over one lane ends that one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import Diverged, is_interrupt
from harness.trials import answers
from harness.trials.bench import Bench
from harness.trials.course import Course
from harness.trials.effort import Effort
from harness.trials.learner_start import Started, look_up_parts
from harness.trials.loop import SECONDS_BETWEEN_REPORTS
from harness.trials.pace import Stops, keep_scalars, note_times
from harness.trials.points import Points
from harness.trials.scalars import Scalars
from harness.types import Backend, Cohort, Point, Progress, Record, Trial


class Seat(NamedTuple):
    """A trial that is trained with others: who is told of it, and of its record.

    weights, prediction: where its trained arrays and its test prediction are kept, if anywhere. earlier: asks for the
    records of the same configuration with other seeds, of which readings may be taken over. examples: where the scores
    of its single test examples are kept.
    """

    trial: Trial
    report: Callable[[Progress], None]
    ended: Callable[[Record], None]
    weights: Path | None = None
    prediction: Path | None = None
    earlier: Callable[[], Sequence[Record]] = tuple
    examples: Path | None = None


class Lane:
    """One trial of a cohort: its bench, its ordinary learner, and whether it is over."""

    def __init__(self, seat: Seat, course: Course, bench: Bench) -> None:
        learner = bench.build()
        self.seat, self.bench = seat, bench
        self.started = Started(learner, look_up_parts(learner), None)
        self.points = Points(bench, self.started)
        self.over = False
        self._course = course

    @contextmanager
    def own_errors(self) -> Iterator[None]:
        """End this lane alone with an error that is raised inside, see `ending_trial`."""
        with ending_trial(self.seat, self._course, self.bench.backend):
            yield
            return
        self.over = True

    def add_curve_point(self, state: Any, point: Point, flaw: str, fraction: float) -> None:
        """A point of its curve. Raises Diverged where a scalar or a score is not finite."""
        if flaw:
            raise Diverged(flaw)
        self.points.add_point(state, point._replace(scalars=keep_scalars(self.bench.notes, point.scalars)))
        self.bench.report(Progress("train", fraction, self.bench.notes.curve[-1]))

    def finish_training(self, state: Any) -> None:
        """Finish the learner after its last update, and add the last point of its curve."""
        if "finish" in self.started.parts.offered:
            with self.bench.timed_phase("finish"):
                state = self.started.parts.finish(state, self.bench.fit_rows)
            self.points.add_finished(state)
        else:
            self.points.end_curve(state)
        self.started = replace(self.started, state=state)

    def end_trial(self) -> None:
        """It is measured: that was all."""
        self.over = True
        self.seat.ended(self._course.end_record())


@contextmanager
def ending_trial(seat: Seat, course: Course, backend: Backend) -> Iterator[None]:
    """Record an error inside for this trial alone. Want of memory is of all, and passes, as does an interrupt."""
    try:
        yield
    except BaseException as error:
        if is_interrupt(error) or backend.out_of_memory(error):
            raise
        seat.ended(course.end_record(error))


def lanes_going(lanes: Sequence[Lane]) -> Iterator[tuple[int, Lane]]:
    """Lanes that are not over, with their places."""
    return ((index, lane) for index, lane in enumerate(lanes) if not lane.over)


@contextmanager
def shared_phase(lanes: Sequence[Lane], phase: str) -> Iterator[None]:
    """A phase in which all lanes' work is done at once: each has its share of the time."""
    bench = lanes[0].bench
    clock, began = bench.backend.clock(bench.trial.terms.device), time.perf_counter()
    clock.start()
    yield
    clock.stop()
    clock.seconds()
    share = (time.perf_counter() - began) / len(lanes)
    for lane in lanes:
        seconds = lane.bench.notes.seconds
        seconds[phase] = seconds.get(phase, 0.0) + share


def train_lanes(lanes: Sequence[Lane], cohort: Cohort[Any], state: Any) -> Any:
    """Train all lanes until their budget is spent, or each is over; the state that they end with.

    Times are the lanes' shares: those of the whole, divided by how many there are.
    """
    bench, size = lanes[0].bench, len(lanes)
    per_epoch, batch_size = bench.updates_per_epoch(), bench.trial.terms.batch_size
    clock = bench.backend.clock(bench.trial.terms.device)
    scalars = Scalars(bench.backend.lane_meter(), size)
    orders = [lane.bench.derive_seed("order") for lane in lanes]
    batches = bench.backend.lane_batches([lane.bench.data for lane in lanes], batch_size, orders)
    for index, lane in lanes_going(lanes):
        own = cohort.lane(state, index)
        with lane.own_errors():
            lane.points.add_start(own)
    stops, effort = Stops(bench.trial.terms.budget.amount, bench.planned_updates(), per_epoch, 0.0), Effort()

    def note_points(done: int) -> None:
        with effort.paused_effort():
            means, seconds = scalars.take_means(), math.fsum(clock.seconds()) / size
            for index, lane in lanes_going(lanes):
                own = cohort.lane(state, index)
                with lane.own_errors():
                    point = Point(done, done / per_epoch, seconds, means[index], {})
                    lane.add_curve_point(own, point, scalars.lane_flaw(index), stops.spent_fraction(done))

    done, tell = 0, time.perf_counter() + SECONDS_BETWEEN_REPORTS
    while not stops.is_spent(done) and any(not lane.over for lane in lanes):
        batch = next(batches)
        clock.start()
        returned = answers.ask_learner(cohort.update, state, batch)
        clock.stop()
        state, values = answers.check_lane_step(returned, size) if not done else returned
        scalars.add_update(values)
        done += 1
        if stops.is_due(done):
            note_points(done)
        elif (now := time.perf_counter()) >= tell:
            for _, lane in lanes_going(lanes):
                lane.bench.report(Progress("train", stops.spent_fraction(done)))
            tell = now + SECONDS_BETWEEN_REPORTS
    _note_effort(lanes, effort, [lap / size for lap in clock.seconds()], per_epoch)
    return state


def _note_effort(lanes: Sequence[Lane], effort: Effort, laps: Sequence[float], per_epoch: float) -> None:
    """Note the time and effort of training, a share for each lane."""
    spent = effort.spent_effort()
    spent |= {name: value / len(lanes) for name, value in spent.items() if isinstance(value, float)}
    for _, lane in lanes_going(lanes):
        lane.bench.notes.environment |= spent
        note_times(lane.bench.notes, laps, per_epoch)
