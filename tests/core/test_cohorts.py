"""Trials that are trained as one: each is, up to rounding, what it is alone, and costs none of the others."""

from __future__ import annotations

import itertools
import math
from contextlib import contextmanager

import lanes
import pytest
import tiny

import harness.metrics
from harness import Instrument, Training, Unsupported, derive, hookimpl
from harness.catalog import Catalog
from harness.planning.plan import plan_trials
from harness.suites.suite import Request
from harness.trials.cohort import run_cohort
from harness.trials.lanes import Seat
from harness.trials.trial import run_trial


class Backend:
    """The numpy backend alone, without the rest of that plugin."""

    harness_backends = staticmethod(tiny.harness_backends)


@pytest.fixture
def catalog():
    return Catalog.of(harness.metrics, Backend, lanes)


def trials_of(catalog, methods, **asked):
    return plan_trials(catalog, Request(methods=methods, **{"seeds": "all", **asked}))


def together(catalog, trials, columns=(), **paths):
    """The records of trials that are trained as one, in the order in which they end."""
    records, told = [], []
    seats = [
        Seat(trial, report=lambda news, key=trial.key: told.append((key, news)), ended=records.append, **paths)
        for trial in trials
    ]
    run_cohort(catalog, seats, columns=columns)
    return records, told


def timeless(record):
    """The parts of a record that hold no time."""
    curve = [(point.update, point.epoch, point.scalars, point.valid) for point in record.curve]
    best, rows = record.measured.get("best_update"), record.measured["rows"]
    stated = record.provenance["data"]
    return record.status, record.reason, record.scores, curve, record.facts, best, rows, stated


def require_alike(record, alone):
    one, other = timeless(record), timeless(alone)
    assert one[0:2] == other[0:2]
    assert one[4:] == other[4:]
    assert one[2] == pytest.approx(other[2], rel=1e-9)
    assert len(one[3]) == len(other[3])
    for point, expected in zip(one[3], other[3], strict=True):
        assert point[:2] == expected[:2]
        assert point[2] == pytest.approx(expected[2], rel=1e-9)
        assert point[3] == pytest.approx(expected[3], rel=1e-9)


# --- the same records -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["steps", "finishes", "prepares"])
def test_each_trial_has_the_record_that_it_has_alone(catalog, method):
    trials = trials_of(catalog, f"{method}[rate=[0.03,0.1,0.3],noise=[0.0,0.05]]")
    records, _ = together(catalog, trials)
    assert [record.trial for record in records] == trials
    for record in records:
        require_alike(record, run_trial(catalog, record.trial))
    assert len({record.scores["rmse"] for record in records}) == len(trials) == 30


@pytest.mark.parametrize("order", [(0, 1, 2), (4, 0), (3,), (5, 4, 3, 2, 1, 0)])
def test_a_lane_does_not_depend_on_the_other_lanes(catalog, order):
    trials = trials_of(catalog, "steps[rate=[0.03,0.1,0.3]]", seeds="[0,1]")
    whole = {record.trial.key: record for record in together(catalog, trials)[0]}
    for record in together(catalog, [trials[place] for place in order])[0]:
        require_alike(record, whole[record.trial.key])


def test_lanes_with_other_numbers_of_rows_are_cohorts_of_their_own(catalog):
    trials = trials_of(catalog, "steps[rate=[0.1,0.2]]", datasets="line[uneven=yes]")
    records, _ = together(catalog, trials)
    sizes = {(record.trial.seed, record.measured["cohort"]) for record in records}
    assert sizes == {(0, 8), (1, 8), (3, 8), (4, 8), (2, 2)}
    for record in records:
        require_alike(record, run_trial(catalog, record.trial))


def test_arrays_and_predictions_are_kept_of_each(catalog, tmp_path):
    trials = trials_of(catalog, "steps", seeds="[0,1]")
    seats = [
        Seat(trial, lambda news: None, lambda record: None, tmp_path / f"{trial.seed}", tmp_path / f"{trial.seed}.npz")
        for trial in trials
    ]
    run_cohort(catalog, seats)
    for trial in trials:
        run_trial(catalog, trial, weights=tmp_path / "alone")
        kept, own = (tiny.NumpyBackend().load(tmp_path / name)["weights"] for name in (f"{trial.seed}", "alone"))
        assert kept == pytest.approx(own, rel=1e-9)
        assert (tmp_path / f"{trial.seed}.npz").exists()


def test_each_tells_its_points_and_that_it_is_scored_before_it_is_measured(catalog):
    trials = trials_of(catalog, "steps", seeds="[0,1]")
    records, told = together(catalog, trials)
    for record in records:
        own = [news for key, news in told if key == record.trial.key]
        points = [news.point for news in own if news.point]
        assert points == [point for point in record.curve if point.update]
        scored = [news for news in own if news.record]
        assert scored[0].record.scores["rmse"] == record.scores["rmse"]
        assert scored[0].missing == ("crps@valid", "describe", "save")
    described = next(place for place, (_, news) in enumerate(told) if news.record and "describe" not in news.missing)
    assert {key for key, news in told[:described] if news.record} == {trial.key for trial in trials}


# --- times ------------------------------------------------------------------------------------------------------------


class Ticks:
    """A clock whose every lap is a second."""

    def __init__(self):
        self.laps = []

    def start(self):
        pass

    def stop(self):
        self.laps.append(1.0)

    def seconds(self):
        return self.laps


def test_times_are_shares_of_the_whole(catalog, monkeypatch):
    monkeypatch.setattr(tiny.NumpyBackend, "clock", lambda self, device: Ticks())
    records, _ = together(catalog, trials_of(catalog, "steps", seeds="[0,1,2,3]"))
    for record in records:
        assert record.measured["cohort"] == 4
        assert record.measured["update_seconds"] == 0.25
        assert record.measured["train_seconds"] == record.seconds["train"] == 20 / 4
        assert record.measured["warmup_seconds"] == 5 / 4
        assert record.measured["epoch_seconds"] == pytest.approx(0.25 * 30 / 8)
        assert [point.seconds for point in record.curve] == [point.update / 4 for point in record.curve]
    assert len({record.seconds["init"] for record in records}) == 1


# --- what costs one ---------------------------------------------------------------------------------------------------


def test_a_lane_that_diverges_is_told_at_its_update_and_harms_no_other(catalog):
    trials = trials_of(catalog, "steps[rate=[0.1,1e200],noise=0.0]", seeds="[0,1]")
    records, _ = together(catalog, trials)
    by_rate = {(record.trial.method.options["rate"], record.trial.seed): record for record in records}
    for seed in (0, 1):
        lost = by_rate[1e200, seed]
        assert lost.status == "diverged"
        update, last = first_flaw(catalog, lost.trial)
        assert lost.reason == f"loss is inf at update {update}; last finite {last:.4g}, at update {update - 1}"
        require_alike(by_rate[0.1, seed], run_trial(catalog, by_rate[0.1, seed].trial))
    assert by_rate[0.1, 0].measured["cohort"] == 4


def first_flaw(catalog, trial):
    """The first update whose loss is not finite, and the loss before, of the learner alone."""
    data = lanes.load(lanes.Uneven(), trial.seed, None)
    learner = lanes.Steps(lanes.Rates(**trial.method.options))
    training = Training(derive(trial.seed, "line", "init"), "cpu", "fp32", 8, 20)
    state, last = learner.init(data.problem, training, None), math.nan
    batches = tiny.NumpyBackend().batches(data, 8, derive(trial.seed, "line", "order"))
    for update in itertools.count(1):
        state, scalars = learner.update(state, next(batches))
        if not math.isfinite(scalars["loss"]):
            return update, last
        last = scalars["loss"]
    raise AssertionError


def test_the_last_finite_value_may_have_been_fetched_long_before(catalog, monkeypatch):
    trials = trials_of(catalog, "steps[rate=[0.1,1e60],noise=0.0]", seeds="[0]")
    once, _ = together(catalog, trials)
    monkeypatch.setattr("harness.trials.scalars.MOST_KEPT", 1)
    often, _ = together(catalog, trials)
    assert once[0].reason == often[0].reason
    assert "; last finite" in once[0].reason
    require_alike(often[1], once[1])


def test_a_trial_alone_says_the_same_of_where_it_diverged(catalog):
    """Also before its first point, which has no mean to tell."""
    trials = trials_of(catalog, "steps[rate=[0.1,1e200],noise=0.0]", seeds="[0,1]")
    records, _ = together(catalog, trials)
    alone = {trial.key: run_trial(catalog, trial) for trial in trials}
    lost = [record for record in records if record.status == "diverged"]
    assert len(lost) == 2
    for record in lost:
        assert alone[record.trial.key].status == "diverged"
        assert alone[record.trial.key].reason == record.reason
        assert len(alone[record.trial.key].curve) == 1


def test_training_ends_with_the_last_lane(catalog, monkeypatch):
    updates = []
    update = lanes.Lanes.update
    monkeypatch.setattr(lanes.Lanes, "update", lambda *given: updates.append(1) or update(*given))
    records, _ = together(catalog, trials_of(catalog, "steps[rate=1e200]", budget=None, seeds="[0,1]"))
    assert {record.status for record in records} == {"diverged"}
    assert len(updates) < 20


def test_data_that_cannot_be_loaded_cost_their_own_trials(catalog):
    trials = trials_of(catalog, "steps[rate=[0.1,0.2]]", datasets="line[broken=yes]")
    records, _ = together(catalog, trials)
    assert {(record.trial.seed, record.status) for record in records} == {
        (0, "ok"),
        (1, "failed"),
        (2, "ok"),
        (3, "ok"),
        (4, "ok"),
    }
    failed = next(record for record in records if record.status == "failed")
    assert failed.reason.startswith("ValueError: fold 1 is broken (lanes.py line")


def test_what_is_raised_over_one_trained_lane_is_its_own(catalog, monkeypatch):
    class Odd(lanes.Steps):
        def finish(self, state, fit):
            if self.config.rate == 0.2:
                raise ValueError("odd")
            return state

    monkeypatch.setitem(lanes.METHODS, "finishes", (Odd, lanes.Lanes))
    catalog = Catalog.of(harness.metrics, Backend, lanes)
    records, _ = together(catalog, trials_of(catalog, "finishes[rate=[0.1,0.2]]", seeds="[0]"))
    assert {record.trial.method.options["rate"]: record.status for record in records} == {0.1: "ok", 0.2: "failed"}


def test_learners_are_told_how_much_memory_their_process_may_hold(catalog, monkeypatch):
    told = []

    class Told(lanes.Lanes):
        def init(self, problems, trainings):
            told.extend(training.memory for training in trainings)
            return super().init(problems, trainings)

    monkeypatch.setitem(lanes.METHODS, "steps", (lanes.Steps, Told))
    catalog = Catalog.of(harness.metrics, Backend, lanes)
    seats = [
        Seat(trial, lambda news: None, lambda record: None) for trial in trials_of(catalog, "steps", seeds="[0,1]")
    ]
    run_cohort(catalog, seats, memory=7 * 2**30)
    assert set(told) == {7 * 2**30}
    assert len(told) >= 2


# --- what costs all ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "error", "words"),
    [
        ("unmade", ValueError, "no lanes today"),
        ("refuses", Unsupported, "these are no lanes"),
        ("hungry", MemoryError, "too many lanes"),
        ("wide", TypeError, r"as the scalar loss, expected one number for each of 5 lanes, of shape \(5,\)"),
        ("unprepared", TypeError, r"unprepared has prepare\(state, fit\), and its cohort no prepare\(state, fits\)"),
    ],
)
def test_what_is_raised_over_all_passes_and_no_record_is_told(catalog, method, error, words):
    records = []
    seats = [Seat(trial, lambda news: None, records.append) for trial in trials_of(catalog, method)]
    with pytest.raises(error, match=words):
        run_cohort(catalog, seats)
    assert records == []


# --- instruments ------------------------------------------------------------------------------------------------------


class Watch(tiny.Ruler):
    @contextmanager
    def session(self):
        yield

    def readings(self):
        return {"watched": 1}


class Gauges:
    harness_metrics = staticmethod(tiny.harness_metrics)

    @hookimpl
    def harness_instruments(self):
        yield Instrument("ruler", "measures an update", tiny.Ruler, repeats=True)
        yield Instrument("watch", "looks on", Watch, intrusive=False)


def test_instruments_that_accompany_training_say_why_they_do_not_and_the_others_measure_each(catalog):
    catalog = Catalog.of(harness.metrics, Backend, lanes, Gauges())
    records, _ = together(catalog, trials_of(catalog, "steps", seeds="[0,1]"))
    for record in records:
        assert record.readings["length"] == 2_500_000
        assert record.holes["watch"] == (
            "it accompanies training, and this trial was trained as one with others; --one-by-one measures it"
        )


def test_what_repeats_is_taken_over_from_lanes_that_have_ended(catalog):
    catalog = Catalog.of(harness.metrics, Backend, lanes, Gauges())
    records = []
    seats = [
        Seat(trial, lambda news: None, records.append, earlier=lambda: records)
        for trial in trials_of(catalog, "steps", seeds="[0,1,2,3]")
    ]
    run_cohort(catalog, seats)
    over = [record.provenance.get("carried_over", {}).get("ruler", {}).get("seeds") for record in records]
    assert over == [None, None, [0, 1], [0, 1]]
    assert {record.readings["length"] for record in records} == {2_500_000}
