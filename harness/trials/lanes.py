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
from harness.seeds import derive
from harness.trials import answers
from harness.trials.bench import Bench
from harness.trials.course import Course
from harness.trials.effort import Effort
from harness.trials.loop import SECONDS_BETWEEN_REPORTS
from harness.trials.pace import Stops, kept, note_times
from harness.trials.points import Points
from harness.trials.scalars import Scalars
from harness.trials.starting import Started, parts_of
from harness.types import Backend, Cohort, Fit, Point, Progress, Record, Trial


class Seat(NamedTuple):
    """A trial that is trained with others: who is told of it, and of its record.

    weights, prediction: where its trained arrays and its test prediction are kept, if anywhere. earlier: asks for the
    records of the same configuration with other seeds, of which readings may be taken over.
    """

    trial: Trial
    report: Callable[[Progress], None]
    ended: Callable[[Record], None]
    weights: Path | None = None
    prediction: Path | None = None
    earlier: Callable[[], Sequence[Record]] = tuple


class Lane:
    """One trial of a cohort: its bench, its ordinary learner, and whether it is over."""

    def __init__(self, seat: Seat, course: Course, bench: Bench) -> None:
        learner = bench.build()
        self.seat, self.bench = seat, bench
        self.started = Started(learner, parts_of(learner), None)
        self.points = Points(bench, self.started)
        self.over = False
        self._course = course

    @property
    def fit(self) -> Fit:
        return Fit(self.bench.data.train, self.bench.data.valid)

    @contextmanager
    def own(self) -> Iterator[None]:
        """What is raised inside ends this lane, see `ending`."""
        with ending(self.seat, self._course, self.bench.backend):
            yield
            return
        self.over = True

    def look(self, state: Any, point: Point, flaw: str, fraction: float) -> None:
        """A point of its curve. Raises Diverged where a scalar or a score is not finite."""
        if flaw:
            raise Diverged(flaw)
        self.points.add(state, point._replace(scalars=kept(self.bench.notes, point.scalars)))
        self.bench.report(Progress("train", fraction, self.bench.notes.curve[-1]))

    def finish(self, state: Any) -> None:
        """What follows the last update of its learner, and the last point of its curve."""
        if "finish" in self.started.parts.offered:
            with self.bench.timed("finish"):
                state = self.started.parts.finish(state, self.fit)
            self.points.finished(state)
        else:
            self.points.end(state)
        self.started = replace(self.started, state=state)

    def end(self) -> None:
        """It is measured: that was all."""
        self.over = True
        self.seat.ended(self._course.ended())


@contextmanager
def ending(seat: Seat, course: Course, backend: Backend) -> Iterator[None]:
    """What is raised inside becomes the record of this trial alone. Want of memory is of all, and passes, as does an
    interrupt.
    """
    try:
        yield
    except BaseException as error:
        if is_interrupt(error) or backend.out_of_memory(error):
            raise
        seat.ended(course.ended(error))


def going(lanes: Sequence[Lane]) -> Iterator[tuple[int, Lane]]:
    """Lanes that are not over, with their places."""
    return ((index, lane) for index, lane in enumerate(lanes) if not lane.over)


@contextmanager
def shared(lanes: Sequence[Lane], phase: str) -> Iterator[None]:
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


def train(lanes: Sequence[Lane], cohort: Cohort[Any], state: Any) -> Any:
    """Train all lanes until their budget is spent, or each is over; the state that they end with.

    Times are the lanes' shares: those of the whole, divided by how many there are.
    """
    bench, size = lanes[0].bench, len(lanes)
    per_epoch, batch_size = bench.updates_per_epoch(), bench.trial.terms.batch_size
    clock = bench.backend.clock(bench.trial.terms.device)
    scalars = Scalars(bench.backend.lane_meter(), size)
    orders = [derive(lane.bench.trial.seed, lane.bench.trial.dataset.name, "order") for lane in lanes]
    batches = bench.backend.lane_batches([lane.bench.data for lane in lanes], batch_size, orders)
    _begin(lanes, cohort, state)
    stops, effort = Stops(bench.trial.terms.budget.amount, bench.updates(), per_epoch, 0.0), Effort()

    def look(done: int) -> None:
        with effort.paused():
            means, seconds = scalars.means(), math.fsum(clock.seconds()) / size
            for index, lane in going(lanes):
                own = cohort.lane(state, index)
                with lane.own():
                    point = Point(done, done / per_epoch, seconds, means[index], {})
                    lane.look(own, point, scalars.flaw(index), stops.fraction(done))

    done, tell = 0, time.perf_counter() + SECONDS_BETWEEN_REPORTS
    while not stops.spent(done) and any(not lane.over for lane in lanes):
        batch = next(batches)
        clock.start()
        returned = answers.asked(cohort.update, state, batch)
        clock.stop()
        state, values = answers.a_step_of_lanes(returned, size) if not done else returned
        scalars.add(values)
        done += 1
        if stops.due(done):
            look(done)
        elif (now := time.perf_counter()) >= tell:
            for _, lane in going(lanes):
                lane.bench.report(Progress("train", stops.fraction(done)))
            tell = now + SECONDS_BETWEEN_REPORTS
    _note(lanes, effort, [lap / size for lap in clock.seconds()], per_epoch)
    return state


def _begin(lanes: Sequence[Lane], cohort: Cohort[Any], state: Any) -> None:
    for index, lane in going(lanes):
        own = cohort.lane(state, index)
        with lane.own():
            lane.points.begin(own)


def _note(lanes: Sequence[Lane], effort: Effort, laps: Sequence[float], per_epoch: float) -> None:
    """What it took, a share for each lane."""
    spent = effort.spent()
    spent |= {name: value / len(lanes) for name, value in spent.items() if isinstance(value, float)}
    for _, lane in going(lanes):
        lane.bench.notes.environment |= spent
        note_times(lane.bench.notes, laps, per_epoch)
