"""Several trials in one process, trained as one: load, train, and of each trial all that a trial is asked for.

What is raised over one trial ends that one, what is raised over all passes: nobody has learnt anything by then.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.catalog import Catalog, resolve
from harness.records import environment
from harness.seeds import derive
from harness.trials import carrying
from harness.trials.bench import Bench
from harness.trials.course import Course
from harness.trials.lanes import Lane, Seat, ending, going, shared, train
from harness.trials.loop import look_further, require_validation
from harness.trials.notes import Notes
from harness.trials.profiling import look_at_trained, profile, unaccompanied
from harness.trials.trial import configured, data_of, keep, note_data, score_and_tell
from harness.types import Backend, Cohort, Data

UNACCOMPANIED = "it accompanies training, and this trial was trained as one with others; --one-by-one measures it"


def run_cohort(
    catalog: Catalog,
    seats: Sequence[Seat],
    data_folder: Path | None = None,
    columns: Sequence[str] = (),
    memory: int | None = None,
) -> None:
    """Run trials that differ in their seed and in `Method.batched_options` alone, and tell each one's record.

    Those whose rows are not as many, or of another shape, are trained as cohorts of their own, one after the other.
    Raises what the method's cohort raises, and MemoryError where memory of the device or the host is exhausted: trials
    that were not told a record by then, nor that they are trained and scored, have none. memory: the most bytes that
    this process may hold, which is told to the learners.
    """
    backend: Backend = resolve(catalog.backends.values()[0].factory)()
    backend.setup(seats[0].trial)
    try:
        for group in _alike(list(_lanes(catalog, seats, backend, data_folder, columns, memory))):
            _run(group)
    except BaseException as error:
        if backend.out_of_memory(error) and not isinstance(error, MemoryError):
            raise MemoryError(f"{type(error).__name__}: {error}") from error
        raise


# --- from trials to lanes ---------------------------------------------------------------------------------------------


def _lanes(
    catalog: Catalog,
    seats: Sequence[Seat],
    backend: Backend,
    folder: Path | None,
    columns: Sequence[str],
    memory: int | None,
) -> Iterator[Lane]:
    """Those whose data can be loaded and whose learner can be built."""
    machine = {**environment.machine(), **backend.environment(seats[0].trial.terms.device)}
    known: dict[int, tuple[Data, Notes]] = {}
    sharing = Counter(seat.trial.seed for seat in seats)
    for seat in seats:
        course = Course(catalog, seat.trial, backend, seat.report)
        course.notes.environment |= machine
        with ending(seat, course, backend):
            data = _data(catalog, seat, backend, folder, known, course.notes)
            course.notes.seconds["load"] /= sharing[seat.trial.seed]
            bench = _bench(catalog, seat, backend, data, course)
            yield Lane(seat, course, dataclasses.replace(bench, columns=tuple(columns), memory=memory))


def _data(
    catalog: Catalog,
    seat: Seat,
    backend: Backend,
    folder: Path | None,
    known: dict[int, tuple[Data, Notes]],
    notes: Notes,
) -> Data:
    """Loaded once for a seed; rows that are the same for several seeds are on the device once."""
    seed = seat.trial.seed
    if seed not in known:
        own = Notes()
        known[seed] = _once(data_of(catalog, seat.trial, backend, folder, own), own, known.values()), own
    data, found = known[seed]
    notes.provenance["data"] = found.provenance["data"]
    notes.holes |= found.holes
    notes.seconds |= found.seconds
    return data


def _once(data: Data, notes: Notes, known: Iterable[tuple[Data, Notes]]) -> Data:
    """The same data with the rows of others that are equal to the digit."""
    for other, found in known:
        if found.provenance["data"] == notes.provenance["data"] and other.problem == data.problem:
            return dataclasses.replace(other, readings=data.readings)
    return data


def _bench(catalog: Catalog, seat: Seat, backend: Backend, data: Data, course: Course) -> Bench:
    method, config = configured(catalog, seat.trial)
    return Bench(
        catalog=catalog,
        trial=seat.trial,
        backend=backend,
        data=data,
        build=lambda: resolve(method.factory)(config),
        weights=None,
        notes=course.notes,
        report=seat.report,
        tell=course.tell,
        prediction=seat.prediction,
    )


def _alike(lanes: Sequence[Lane]) -> list[list[Lane]]:
    """Lanes whose problems differ in the scale of their targets alone, together."""
    groups: dict[Any, list[Lane]] = {}
    for lane in lanes:
        data = lane.bench.data
        problem = dataclasses.replace(data.problem, target_mean=0.0, target_scale=1.0)
        shapes = tuple(data.train.inputs.shape), tuple(data.train.targets.shape)
        groups.setdefault((problem, shapes, data.augment is None), []).append(lane)
    return list(groups.values())


# --- one cohort -------------------------------------------------------------------------------------------------------


def _run(lanes: Sequence[Lane]) -> None:
    for lane in lanes:
        with lane.own():
            note_data(lane.bench)
            lane.bench.notes.measured["cohort"] = len(lanes)
            unaccompanied(lane.bench, UNACCOMPANIED)
            require_validation(lane.bench)
    lanes = [lane for _, lane in going(lanes)]
    if not lanes:
        return
    with lanes[0].bench.backend.isolated(_seed(lanes[0])):
        cohort, state = _start(lanes)
        state = train(lanes, cohort, state)
        for index, lane in going(lanes):
            own = cohort.lane(state, index)
            with lane.own(), lane.bench.backend.isolated(_seed(lane)):
                lane.finish(own)
                score_and_tell(lane.bench, lane.started)
    del cohort, state
    for _, lane in going(lanes):
        with lane.own():
            _measure(lane)
            lane.end()


def _start(lanes: Sequence[Lane]) -> tuple[Cohort[Any], Any]:
    """The method's cohort with its state, ready for the first update."""
    bench = lanes[0].bench
    method, _ = configured(bench.catalog, bench.trial)
    assert method.cohort is not None
    with shared(lanes, "init"):
        cohort = resolve(method.cohort)([configured(bench.catalog, lane.bench.trial)[1] for lane in lanes])
        state = cohort.init([lane.bench.data.problem for lane in lanes], [lane.bench.training() for lane in lanes])
    if hasattr(cohort, "prepare"):
        with shared(lanes, "prepare"):
            state = cohort.prepare(state, [lane.fit for lane in lanes])
    elif any("prepare" in lane.started.parts.offered for lane in lanes):
        raise TypeError(f"{method.name} has prepare(state, fit), and its cohort no prepare(state, fits)")
    return cohort, state


def _measure(lane: Lane) -> None:
    """What is asked of a trained learner once all are scored, and the profiled pass."""
    bench, backend = lane.bench, lane.bench.backend
    machine = backend.environment(bench.trial.terms.device)
    carried = carrying.carried(bench.catalog, lane.seat.earlier(), machine)
    intrusive = {each.name for each in bench.catalog.instruments.values() if each.intrusive}
    bench.carried.update({name: each for name, each in carried.items() if name in intrusive})
    carrying.carry(bench.notes, bench.carried, bench.read)
    bench.pending[:] = [name for name in bench.pending if name not in bench.carried]
    with backend.isolated(_seed(lane)):
        look_further(bench, lane.started)
    keep(bench, lane.started, lane.seat.weights)
    with bench.notes.phase("profile"):
        gauges = look_at_trained(bench, lane.started, [])
        lane.started = dataclasses.replace(lane.started, state=None)  # its memory is not the profiled pass's
        profile(bench, gauges)


def _seed(lane: Lane) -> int:
    return derive(lane.bench.trial.seed, lane.bench.trial.dataset.name, "global")
