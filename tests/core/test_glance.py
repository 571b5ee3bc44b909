"""Points of a curve: by a glance on the way, by the prediction where it counts; and nan before the first update."""

from __future__ import annotations

import math

import pytest
import torch
from slope import Slope, runner

from harness import Budget


@pytest.fixture
def run(catalog_of):
    return runner(catalog_of)


class Fixed(Slope):
    """Predicts by the slopes given for each number of updates; who asked is kept."""

    by_predict = ()
    by_glance = ()

    def __init__(self, config):
        super().__init__(config)
        self.asked = []

    def at(self, slopes, state, inputs):
        slope = slopes[min(len(state["seen"]), len(slopes) - 1)]
        return super().predict({"slope": torch.tensor(float(slope))}, inputs)

    def predict(self, state, inputs):
        self.asked.append(["predict", len(state["seen"]), len(inputs)])
        return self.at(self.by_predict, state, inputs)

    def describe(self, state):
        return {"asked": self.asked}


class Glancing(Fixed):
    """Glances find the network best after one update, predictions after two; both are sure and wrong at first."""

    by_predict = (-9.0, 0.0, 4.0, -1.0)
    by_glance = (-9.0, 3.0, -2.0, -3.0)

    def glance(self, state, inputs):
        self.asked.append(["glance", len(state["seen"]), len(inputs)])
        return self.at(self.by_glance, state, inputs)


def nll(record, update):
    (found,) = [point.valid["nll"] for point in record.curve if point.update == update]
    return found


def alike(run, slope, **asked):
    """The record of a network that predicts by one slope all the time."""

    class Same(Fixed):
        by_predict = (slope,)

    return run(Same, **asked)


VALID, TEST = 20, 30


def test_points_on_the_way_are_by_a_glance_and_every_other_score_is_by_the_prediction(run):
    record = run(Glancing, budget=Budget("updates", 3))
    assert record.status == "ok", record.traceback
    by = {slope: alike(run, slope, budget=Budget("updates", 3)) for slope in (-9.0, 3.0, -2.0, 0.0, -1.0)}
    slopes = (-9.0, 3.0, -2.0, -1.0)  # the first and the last by the prediction
    assert [nll(record, update) for update in range(4)] == [nll(by[slope], 0) for slope in slopes]
    assert record.measured["best_update"] == 1
    assert record.scores["nll@valid-best"] == by[0.0].scores["nll@valid"]
    assert record.scores["nll@best"] == by[0.0].scores["nll"]
    assert record.scores["nll@valid"] == by[-1.0].scores["nll@valid"]
    assert record.scores["nll"] == by[-1.0].scores["nll"]


def test_predictions_on_the_way_are_of_points_that_glances_find_the_best_so_far(run):
    record = run(Glancing, budget=Budget("updates", 3))
    seen = record.facts["asked"]
    assert [each for each in seen if each[0] == "glance"] == [["glance", update, VALID] for update in range(4)]
    assert [update for name, update, rows in seen if name == "predict" and rows == VALID] == [0, 1, 3]
    assert [update for name, update, rows in seen if name == "predict" and rows == TEST] == [0, 1, 3]


def test_without_a_glance_every_point_is_by_the_prediction(run):
    class Plain(Fixed):
        by_predict = Glancing.by_predict

    record = run(Plain, budget=Budget("updates", 3))
    assert [update for _, update, rows in record.facts["asked"] if rows == VALID] == [0, 1, 2, 3]
    assert record.measured["best_update"] == 2


def test_patience_goes_by_glances(run):
    record = run(Glancing, budget=Budget("updates", 5), patience=1)
    assert (record.measured["stopped_early"], record.measured["stopped_update"]) == (True, 2)
    assert nll(record, 2) == nll(alike(run, 4.0, budget=Budget("updates", 0)), 0)  # the last point, by its prediction


def test_the_point_after_finish_is_by_the_prediction(run):
    class Finishing(Glancing):
        def finish(self, state, fit):
            return state | {"seen": [*state["seen"], None]}

    record = run(Finishing, budget=Budget("updates", 1))
    assert [name for name, update, rows in record.facts["asked"] if update == 2 and rows == VALID] == [
        "glance",
        "predict",
    ]
    assert record.curve[-1].valid["nll"] == nll(alike(run, 4.0, budget=Budget("updates", 0)), 0)


# --- nan --------------------------------------------------------------------------------------------------------------


class Mended(Fixed):
    """Nan until it is updated."""

    by_predict = (math.nan, -1.0, 2.0)


def test_a_network_that_is_nan_before_its_first_update_is_the_worst_point_and_may_be_mended(run):
    record = run(Mended, budget=Budget("updates", 1))
    assert (record.status, record.reason) == ("ok", "")
    assert record.curve[0].valid == {}
    assert record.measured["best_update"] == 1  # though it is all wrong
    assert record.scores["accuracy@best"] == record.scores["accuracy"] == 0.0
    assert "at update 0: nll is nan" in record.holes["nll@valid"]


@pytest.mark.parametrize(
    ("slopes", "updates", "where"),
    [
        ((math.nan,), 3, 1),
        ((math.nan,), 0, 0),
        ((math.nan, 1.0, math.nan, 1.0), 3, 2),
        ((1.0, 1.0, math.nan), 2, 2),
    ],
)
def test_it_has_diverged_if_it_is_nan_later_or_at_the_end(run, slopes, updates, where):
    class Nan(Fixed):
        by_predict = slopes

    record = run(Nan, budget=Budget("updates", updates))
    assert (record.status, record.reason) == ("diverged", f"validation nll is nan at update {where}")


def test_finish_may_mend_a_network_that_is_never_updated(run):
    class Finishing(Mended):
        def finish(self, state, fit):
            return state | {"seen": [None, None]}

    record = run(Finishing, budget=Budget("updates", 0))
    assert (record.status, record.scores["accuracy"]) == ("ok", 1.0)


def test_patience_begins_with_the_first_point_that_has_a_score(run):
    record = run(Mended, budget=Budget("updates", 5), patience=2)
    assert record.measured["best_update"] == 2
    assert record.measured["stopped_update"] == 4
