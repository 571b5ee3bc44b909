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
from harness.trials import carrying
from harness.trials.course import Course
from harness.trials.lanes import Lane, Seat, ending_trial, lanes_going, shared_phase, train_lanes
from harness.trials.loop import look_at_parts, require_validation
from harness.trials.profiling import look_at_trained, note_unaccompanied, profile_update
from harness.trials.record_notes import Notes
from harness.trials.trial import configure_method, keep_trained, make_bench, note_data, place_data, score_and_tell
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
        for group in _group_by_problem(list(_make_lanes(catalog, seats, backend, data_folder, columns, memory))):
            _run_group(group)
    except BaseException as error:
        if backend.out_of_memory(error) and not isinstance(error, MemoryError):
            raise MemoryError(f"{type(error).__name__}: {error}") from error
        raise


# --- from trials to lanes ---------------------------------------------------------------------------------------------


def _make_lanes(
    catalog: Catalog,
    seats: Sequence[Seat],
    backend: Backend,
    folder: Path | None,
    columns: Sequence[str],
    memory: int | None,
) -> Iterator[Lane]:
    """Yield the lanes whose data can be loaded and whose learner can be built."""
    machine = {**environment.describe_machine(), **backend.environment(seats[0].trial.terms.device)}
    known: dict[int, tuple[Data, Notes]] = {}
    sharing = Counter(seat.trial.seed for seat in seats)
    for seat in seats:
        course = Course(catalog, seat.trial, backend, seat.report)
        course.notes.environment |= machine
        with ending_trial(seat, course, backend):
            data = _load_for_seat(catalog, seat, backend, folder, known, course.notes)
            course.notes.seconds["load"] /= sharing[seat.trial.seed]
            bench = make_bench(catalog, seat.trial, backend, data, course.notes, seat.report, course.tell_trained)
            bench = dataclasses.replace(bench, prediction=seat.prediction, examples=seat.examples)
            yield Lane(seat, course, dataclasses.replace(bench, columns=tuple(columns), memory=memory))


def _load_for_seat(
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
        known[seed] = _share_equal_rows(place_data(catalog, seat.trial, backend, folder, own), own, known.values()), own
    data, found = known[seed]
    notes.provenance["data"], notes.test_rows = found.provenance["data"], found.test_rows
    notes.holes |= found.holes
    notes.seconds |= found.seconds
    return data


def _share_equal_rows(data: Data, notes: Notes, known: Iterable[tuple[Data, Notes]]) -> Data:
    """The same data with the rows of others that are equal to the digit."""
    for other, found in known:
        if found.provenance["data"] == notes.provenance["data"] and other.problem == data.problem:
            return dataclasses.replace(other, readings=data.readings)
    return data


def _group_by_problem(lanes: Sequence[Lane]) -> list[list[Lane]]:
    """Lanes whose problems differ in the scale of their targets alone, together."""
    groups: dict[Any, list[Lane]] = {}
    for lane in lanes:
        data = lane.bench.data
        problem = dataclasses.replace(data.problem, target_mean=0.0, target_scale=1.0)
        shapes = tuple(data.train.inputs.shape), tuple(data.train.targets.shape)
        groups.setdefault((problem, shapes, data.augment is None), []).append(lane)
    return list(groups.values())


# --- one cohort -------------------------------------------------------------------------------------------------------


def _run_group(lanes: Sequence[Lane]) -> None:
    for lane in lanes:
        with lane.own_errors():
            note_data(lane.bench)
            lane.bench.notes.measured["cohort"] = len(lanes)
            note_unaccompanied(lane.bench, UNACCOMPANIED)
            require_validation(lane.bench)
    lanes = [lane for _, lane in lanes_going(lanes)]
    if not lanes:
        return
    with lanes[0].bench.backend.isolated(lanes[0].bench.derive_seed("global")):
        cohort, state = _start_cohort(lanes)
        state = train_lanes(lanes, cohort, state)
        for index, lane in lanes_going(lanes):
            own = cohort.lane(state, index)
            with lane.own_errors(), lane.bench.backend.isolated(lane.bench.derive_seed("global")):
                lane.finish_training(own)
                score_and_tell(lane.bench, lane.started)
    del cohort, state
    for _, lane in lanes_going(lanes):
        with lane.own_errors():
            _measure_lane(lane)
            lane.end_trial()


def _start_cohort(lanes: Sequence[Lane]) -> tuple[Cohort[Any], Any]:
    """The method's cohort with its state, ready for the first update."""
    benches = [lane.bench for lane in lanes]
    method, _ = configure_method(benches[0].catalog, benches[0].trial)
    assert method.cohort is not None
    with shared_phase(lanes, "init"):
        cohort = resolve(method.cohort)([configure_method(each.catalog, each.trial)[1] for each in benches])
        state = cohort.init([each.data.problem for each in benches], [each.training_setup() for each in benches])
    if hasattr(cohort, "prepare"):
        with shared_phase(lanes, "prepare"):
            state = cohort.prepare(state, [lane.bench.fit_rows for lane in lanes])
    elif any("prepare" in lane.started.parts.offered for lane in lanes):
        raise TypeError(f"{method.name} has prepare(state, fit), and its cohort no prepare(state, fits)")
    return cohort, state


def _measure_lane(lane: Lane) -> None:
    """Measure a trained lane once all are scored: its optional parts and the profiled pass."""
    bench, backend = lane.bench, lane.bench.backend
    machine = backend.environment(bench.trial.terms.device)
    carried = carrying.find_carried(bench.catalog, lane.seat.earlier(), machine)
    intrusive = {each.name for each in bench.catalog.instruments.values() if each.intrusive}
    bench.carried.update({name: each for name, each in carried.items() if name in intrusive})
    carrying.carry_over(bench.notes, bench.carried, bench.note_readings)
    bench.pending[:] = [name for name in bench.pending if name not in bench.carried]
    with backend.isolated(bench.derive_seed("global")):
        look_at_parts(bench, lane.started)
    keep_trained(bench, lane.started, lane.seat.weights)
    with bench.notes.timing("profile"):
        gauges = look_at_trained(bench, lane.started, [])
        lane.started = dataclasses.replace(lane.started, state=None)  # its memory is not the profiled pass's
        profile_update(bench, gauges)
