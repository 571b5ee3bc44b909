"""One trial from description to record: the loop, the budget, the clock, the scores, the profiled pass."""

from __future__ import annotations

import math
import random
import re
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
import pytest
import torch
from slope import ROWS, Slope, runner

from harness import (
    Budget,
    Instrument,
    Metric,
    RegressionMixture,
    Unsupported,
    derive,
)
from harness.report.rows import timing
from harness_torch.backend.torch_backend import TorchBackend


@pytest.fixture
def run(catalog_of):
    return runner(catalog_of)


def unplaced(reason):
    """A reason without the place in this file where it arose."""
    assert re.search(r" \(test_trial\.py line \d+, in \w+\)$", reason)
    return reason.rpartition(" (")[0]


# --- the loop -----------------------------------------------------------------------------------------------------


def test_a_learner_is_told_how_much_memory_its_process_may_hold(run):
    assert run(Slope, memory=2**31).facts["training"]["memory"] == 2**31
    assert run(Slope).facts["training"]["memory"] is None


def test_an_epoch_shows_every_training_row_once_and_no_other(run):
    record = run(Slope, budget=Budget("epochs", 1))
    assert record.status == "ok", record.traceback
    assert len(record.facts["seen"]) == len(set(record.facts["seen"])) == ROWS["train"]
    assert record.curve[-1].update == 6
    assert record.curve[-1].epoch == 1.0
    assert record.measured["rows"] == ROWS


@pytest.mark.parametrize(("budget", "updates"), [(("epochs", 2.5), 15), (("updates", 7), 7), (("epochs", 0), 0)])
def test_the_budget_is_met_exactly(run, budget, updates):
    record = run(Slope, budget=Budget(*budget))
    assert record.status == "ok", record.traceback
    assert record.curve[-1].update == updates
    assert record.facts["training"]["updates"] == updates


def test_a_budget_of_seconds_stops_soon_after_and_tells_the_learner_nothing_of_updates(run):
    record = run(Slope, budget=Budget("seconds", 0.2))
    assert record.status == "ok", record.traceback
    assert record.facts["training"]["updates"] is None
    assert record.curve[-1].update == len(record.facts["seen"]) / 10
    assert record.curve[-1].update > 10


def test_methods_share_split_order_and_initial_seed(run):
    class Other(Slope):
        def update(self, state, batch):
            state["seen"].append(batch.inputs[:, 0].clone())
            torch.rand(100)
            random.random()
            return state, {}

    one, other = run(Slope), run(Other)
    assert one.facts["seen"] == other.facts["seen"]
    assert one.facts["training"] == other.facts["training"]
    assert one.facts["training"]["seed"] == derive(0, "pair", "init")
    assert run(Slope, seed=1).facts["seen"] != one.facts["seen"]


def test_a_learner_that_draws_globally_depends_on_the_seed_and_leaves_no_trace(run):
    class Draws(Slope):
        def init(self, problem, training, base):
            return super().init(problem, training, base) | {
                "slope": torch.rand(()) + random.random() + np.random.rand()  # noqa: NPY002
            }

    torch.manual_seed(11)
    before = torch.get_rng_state()
    first, again, other = (run(Draws, seed=seed, budget=Budget("updates", 0)).scores["nll"] for seed in (0, 0, 1))
    assert first == again != other
    assert torch.equal(torch.get_rng_state(), before)


def test_the_same_trial_gives_the_same_record(run):
    first, again = run(Slope), run(Slope)
    assert first.scores == again.scores
    assert [point.valid for point in first.curve] == [point.valid for point in again.curve]


def test_subsets_are_used_and_noted(run):
    record = run(Slope, datasets="pair[train=20,test=10]", budget=Budget("epochs", 1))
    assert record.measured["rows"] == {"train": 20, "valid": 20, "test": 10}
    assert len(record.facts["seen"]) == 20


# --- scores and curve ---------------------------------------------------------------------------------------------


def test_final_best_and_validation_scores_are_told_apart(run):
    class Forgets(Slope):
        """Right until update 6, wrong ever after."""

        def predict(self, state, inputs):
            good = len(state["seen"]) <= 6
            return super().predict({"slope": torch.tensor(5.0 if good else -5.0)}, inputs)

    record = run(Forgets, budget=Budget("epochs", 4))
    assert record.scores["accuracy"] == 0.0
    assert record.scores["accuracy@best"] == 1.0
    assert record.scores["accuracy@valid"] == 0.0
    assert record.scores["accuracy@valid-best"] == 1.0
    # The first of equally good points.
    assert record.measured["best_update"] == 0


def test_further_views_are_scored_beside(run):
    class Viewed(Slope):
        def __init__(self, config):
            super().__init__(config)
            self.views = {"reversed": lambda state, inputs: self.predict(state, -inputs)}

    record = run(Viewed, budget=Budget("epochs", 5))
    assert record.scores["accuracy"] == 1.0
    assert record.scores["accuracy@reversed"] == 0.0


def test_the_curve_holds_means_of_the_learners_scalars(run):
    class Counting(Slope):
        def update(self, state, batch):
            state["seen"].append(batch.inputs[:, 0])
            return state, {"number": torch.tensor(float(len(state["seen"])))}

    record = run(Counting, budget=Budget("updates", 10))
    assert [(point.update, dict(point.scalars)) for point in record.curve] == [
        (0, {}), (2, {"number": 1.5}), (4, {"number": 3.5}), (6, {"number": 5.5}),
        (8, {"number": 7.5}), (10, {"number": 9.5}),
    ]  # fmt: skip
    assert sorted(point.seconds for point in record.curve) == [point.seconds for point in record.curve]


def test_evaluation_is_not_counted_as_training(run, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    class Slow(Slope):
        def update(self, state, batch):
            now[0] += 1.0
            return super().update(state, batch)

        def predict(self, state, inputs):
            now[0] += 100.0
            return super().predict(state, inputs)

    record = run(Slow, budget=Budget("updates", 8))
    assert record.measured["train_seconds"] == 8.0
    assert record.measured["update_seconds"] == 1.0
    assert record.curve[-1].seconds == 8.0
    assert record.seconds["evaluate"] >= 100.0


def test_the_backend_knows_when_it_is_only_evaluated(run, monkeypatch):
    now, seen = ["training"], {"update": set(), "predict": set()}

    @contextmanager
    def evaluating(self):
        now.append("evaluating")
        yield
        now.pop()

    class Watched(Slope):
        def update(self, state, batch):
            seen["update"].add(now[-1])
            return super().update(state, batch)

        def predict(self, state, inputs):
            seen["predict"].add(now[-1])
            return super().predict(state, inputs)

    monkeypatch.setattr(TorchBackend, "evaluating", evaluating)
    assert run(Watched, budget=Budget("updates", 8)).status == "ok"
    assert seen == {"update": {"training"}, "predict": {"evaluating"}}


def test_warm_up_updates_are_told_apart(run, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    class Compiles(Slope):
        def update(self, state, batch):
            now[0] += 50.0 if not state["seen"] else 1.0
            return super().update(state, batch)

    record = run(Compiles, budget=Budget("updates", 20))
    assert record.measured["update_seconds"] == 1.0
    assert record.measured["warmup_seconds"] == 54.0
    assert record.measured["train_seconds"] == 69.0


def test_prepare_and_finish_see_training_and_validation_rows_only(run):
    shown = []

    class Calibrated(Slope):
        def prepare(self, state, fit):
            shown.append([len(fit.train.inputs), len(fit.valid.inputs)])
            return state

        finish = prepare

    record = run(Calibrated)
    assert record.status == "ok", record.traceback
    assert shown[0] == [60, 20]
    assert {"prepare", "finish"} <= record.seconds.keys()


class Clockwork(Slope):
    """An update takes a second; the factory, `init`, `prepare` and `finish` take what the test says."""

    now: ClassVar = [0.0]
    takes: ClassVar = {}

    def __init__(self, config):
        self.now[0] += self.takes.get("factory", 0.0)
        super().__init__(config)

    def init(self, problem, training, base):
        self.now[0] += self.takes.get("init", 0.0)
        return super().init(problem, training, base)

    def prepare(self, state, fit):
        self.now[0] += self.takes.get("prepare", 0.0)
        return state

    def update(self, state, batch):
        self.now[0] += 1.0
        return super().update(state, batch)

    def predict(self, state, inputs):
        self.now[0] += 50.0
        return super().predict(state, inputs)

    def finish(self, state, fit):
        self.now[0] += self.takes.get("finish", 0.0)
        return state


@pytest.fixture
def clockwork(run, monkeypatch):
    monkeypatch.setattr("time.perf_counter", lambda: Clockwork.now[0])

    def go(*budget, **takes):
        monkeypatch.setattr(Clockwork, "takes", takes)
        return run(Clockwork, budget=Budget(*budget))

    return go


@pytest.mark.parametrize(("prepare", "updates"), [(0.0, 10), (4.0, 6), (9.5, 1), (10.0, 0), (25.0, 0)])
def test_prepare_is_taken_off_a_budget_of_seconds(clockwork, prepare, updates):
    record = clockwork("seconds", 10, prepare=prepare)
    assert (record.status, record.curve[-1].update) == ("ok", updates)
    assert record.seconds["prepare"] == prepare
    assert record.seconds["train"] == updates
    why = f"no updates: prepare took {prepare:g} s, the budget is 10 seconds"
    said = {} if updates else dict.fromkeys(("update_seconds", "train_seconds"), why)
    assert record.holes == said


@pytest.mark.parametrize("where", ["init", "factory"])
@pytest.mark.parametrize(("takes", "updates"), [(0.4, 10), (0.5, 10), (4.5, 6), (30.0, 0)])
def test_what_init_takes_beyond_a_set_up_is_taken_off_a_budget_of_seconds(clockwork, where, takes, updates):
    record = clockwork("seconds", 10, **{where: takes})
    assert (record.status, record.curve[-1].update) == ("ok", updates)
    assert record.seconds["init"] == pytest.approx(takes)
    why = f"no updates: init took {takes:g} s, the budget is 10 seconds"
    said = {} if updates else dict.fromkeys(("update_seconds", "train_seconds"), why)
    assert record.holes == said


@pytest.mark.parametrize(
    ("takes", "note"), [(0.4, ()), (0.9, ()), (6.0, ("tiny spends 6 s in init beside 10 s of updates",))]
)
def test_an_init_that_may_train_is_a_column_and_a_note(clockwork, takes, note):
    record = clockwork("updates", 10, init=takes)
    assert tuple(each for each in timing.note_timing([record], [record]) if " in init " in each) == note
    assert timing.find_phases([record], [record]) == (["init_seconds"] if note else [])


class Learns(Slope):
    """Trains in `predict`."""

    def predict(self, state, inputs):
        state["slope"] += 0.1
        return super().predict(state, inputs)


@pytest.mark.parametrize(
    ("learner", "warning"),
    [(Slope, None), (Learns, "predict changed what is saved: it trains, or counts")],
)
def test_a_prediction_that_changes_what_is_saved_is_a_warning(run, learner, warning):
    record = run(learner)
    assert (record.status, record.holes) == ("ok", {})
    assert record.warnings.get("predict") == warning


def test_a_budget_of_updates_is_what_it_is_whatever_prepare_takes(clockwork):
    record = clockwork("updates", 10, prepare=1000.0, finish=1000.0)
    assert record.curve[-1].update == 10
    assert record.warnings == {}
    assert (record.seconds["prepare"], record.seconds["finish"]) == (1000.0, 1000.0)


@pytest.mark.parametrize(
    ("takes", "warning"),
    [
        ({"finish": 0.0}, None),
        ({"finish": 0.05}, None),
        ({"finish": 3.0}, "finish trained on for 3 s beyond the budget of 10 seconds"),
        ({"finish": 3.0, "prepare": 40.0}, "finish trained on for 3 s beyond the budget of 10 seconds"),
    ],
)
def test_finish_beyond_a_budget_of_seconds_is_a_warning(clockwork, takes, warning):
    record = clockwork("seconds", 10, **takes)
    assert record.status == "ok"
    assert record.warnings.get("finish") == warning


# --- how a trial ends ---------------------------------------------------------------------------------------------


class Raises(Slope):
    def update(self, state, batch):
        raise ZeroDivisionError("one over none")


class Refuses(Slope):
    def init(self, problem, training, base):
        raise Unsupported("rows of one feature are too narrow")


class RunsOut(Slope):
    def update(self, state, batch):
        return torch.empty(2**60), {}


class BecomesNan(Slope):
    at = 3

    def update(self, state, batch):
        state, _ = super().update(state, batch)
        return state, {"loss": torch.tensor(math.nan if len(state["seen"]) == self.at else 1.0)}


class BecomesNanLater(BecomesNan):
    at = 6


class PredictsNan(Slope):
    def predict(self, state, inputs):
        prediction = super().predict(state, inputs)
        return prediction._replace(log_probs=prediction.log_probs * math.nan)


class WrongRows(Slope):
    def predict(self, state, inputs):
        return super().predict(state, inputs[1:])


class WrongType(Slope):
    def predict(self, state, inputs):
        return inputs


class WrongWeights(Slope):
    def predict(self, state, inputs):
        return super().predict(state, inputs)._replace(log_weights=torch.ones(1))


class WrongKind(Slope):
    def predict(self, state, inputs):
        return RegressionMixture(inputs.T, inputs.T**2, torch.zeros(1))


class TooFewClasses(Slope):
    def predict(self, state, inputs):
        prediction = super().predict(state, inputs)
        return prediction._replace(log_probs=torch.zeros_like(prediction.log_probs[..., :1]))


class PredictsLogits(Slope):
    def predict(self, state, inputs):
        return super().predict(state, inputs)._replace(log_probs=torch.zeros(1, len(inputs), 2))


class ReturnsTheState(Slope):
    def update(self, state, batch):
        return {"slope": state["slope"], "seen": []}


class ReturnsALoss(Slope):
    def update(self, state, batch):
        return state, torch.zeros(())


@pytest.mark.parametrize(
    ("learner", "status", "reason"),
    [
        (Raises, "failed", "ZeroDivisionError: one over none"),
        (Refuses, "skipped", "rows of one feature are too narrow"),
        (RunsOut, "oom", "memory"),
        (BecomesNan, "diverged", "loss is nan at update 3; last finite 1, at update 2"),
        (BecomesNanLater, "diverged", "loss is nan at update 6; last finite 1, at update 5"),
        (PredictsNan, "diverged", "validation nll is nan at update 4"),
        (WrongRows, "failed", "20 rows"),
        (WrongType, "failed", ""),
        (WrongWeights, "failed", "predict: the samples' weights, exp(log_weights), sum to 2.718; expected 1"),
        (WrongKind, "failed", "predict: returned RegressionMixture for classification; expected ClassLogProbs"),
        (TooFewClasses, "failed", "predict: log_probs for 20 rows has shape (1, 20, 1); expected (S, 20, 2)"),
        (PredictsLogits, "failed", "a row's probabilities, exp(log_probs), sum to 2; expected 1 (log_softmax?)"),
        (ReturnsTheState, "failed", "TypeError: update returned dict, expected (state, {name: scalar})"),
        (ReturnsALoss, "failed", "TypeError: update returned tuple, expected (state, {name: scalar})"),
    ],
)
def test_whatever_a_method_does_becomes_a_status_with_its_reason(run, learner, status, reason):
    record = run(learner, budget=Budget("updates", 20))
    assert record.status == status, record.traceback
    assert reason in record.reason
    assert bool(record.traceback) == (status in ("failed", "oom"))


def test_an_interrupt_passes(run):
    class Interrupted(Slope):
        def update(self, state, batch):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Interrupted)


# --- the profiled pass --------------------------------------------------------------------------------------------


class Counter:
    """An instrument that takes part in nothing: what it was asked, in order."""

    def __init__(self):
        self.events = []

    @contextmanager
    def session(self):
        self.events.append("born")
        torch.rand(7)
        yield
        self.events.append("dead")

    @contextmanager
    def measure(self, stage, examples):
        self.events.append(f"{stage} {examples}")
        yield

    def readings(self):
        return {"events": list(self.events), "count": len(self.events)}


COUNTER = Instrument("counter", "counts", Counter)


def test_an_instrument_gets_a_fresh_state_and_a_steady_update(run):
    record = run(Slope, COUNTER)
    assert record.readings["events"] == ["born", "update 10", "dead"]


def test_scores_are_bitwise_equal_with_and_without_instruments(run):
    class Noisy(Slope):
        """Draws from the global generator, as a careless method does."""

        def update(self, state, batch):
            state, scalars = super().update(state, batch)
            return state | {"slope": state["slope"] + 0.01 * torch.randn(())}, scalars

    torch.manual_seed(3)
    with_instrument = run(Noisy, COUNTER)
    torch.manual_seed(3)
    without = run(Noisy)
    assert with_instrument.scores == without.scores


def test_a_profile_that_fails_is_a_hole_and_not_a_failed_trial(run):
    class Broken(Counter):
        def readings(self):
            raise RuntimeError("no such counter")

    record = run(Slope, Instrument("broken", "x", Broken), COUNTER)
    assert record.status == "ok"
    assert unplaced(record.holes["broken"]) == "RuntimeError: no such counter"
    assert record.readings["count"] == 3


def test_an_instrument_that_only_looks_on_accompanies_the_timed_pass(run):
    record = run(Slope, Instrument("onlooker", "x", Counter, intrusive=False))
    assert record.readings["events"] == ["born", "dead"]

    class Blind(Counter):
        def session(self):
            raise OSError("nothing to see")

    record = run(Slope, Instrument("blind", "x", Blind, intrusive=False))
    assert (record.status, unplaced(record.holes["blind"])) == ("ok", "OSError: nothing to see")

    class Fading(Counter):
        @contextmanager
        def session(self):
            yield
            raise OSError("lost it")

    record = run(Slope, Instrument("fading", "x", Fading, intrusive=False))
    assert (record.status, unplaced(record.holes["fading"])) == ("ok", "OSError: lost it")
    assert record.scores


def test_an_instrument_that_only_looks_on_may_look_away_from_evaluation(run):
    class Looks(Counter):
        @contextmanager
        def pause(self):
            self.events.append("away")
            yield
            self.events.append("back")

    record = run(Slope, Instrument("onlooker", "x", Looks, intrusive=False), budget=Budget("updates", 5))
    evaluations = len(record.curve) + 1  # each point, then the final scores
    assert record.readings["events"] == ["born", *["away", "back"] * evaluations, "dead"]

    class Stumbles(Counter):
        def pause(self):
            raise OSError("blinded")

    record = run(Slope, Instrument("onlooker", "x", Stumbles, intrusive=False))
    assert (record.status, unplaced(record.holes["onlooker"])) == ("ok", "OSError: blinded")
    assert "events" not in record.readings


def test_an_instrument_that_only_looks_on_hears_when_the_first_updates_are_over(run):
    class Hears(Counter):
        def settle(self):
            self.events.append("settled")

    class Learns(Slope):
        def update(self, state, batch):
            gauges[-1].events.append("update")
            return super().update(state, batch)

    gauges = []
    onlooker = Instrument("onlooker", "x", lambda: gauges.append(Hears()) or gauges[-1], intrusive=False)
    record = run(Learns, onlooker, budget=Budget("updates", 4))
    assert record.readings["events"] == ["born", "update", "update", "settled", "update", "update", "dead"]
    record = run(Learns, onlooker, budget=Budget("updates", 2))
    assert record.readings["events"] == ["born", "update", "update", "dead"]

    class Stumbles(Counter):
        def settle(self):
            raise OSError("deafened")

    record = run(Slope, Instrument("onlooker", "x", Stumbles, intrusive=False))
    assert (record.status, unplaced(record.holes["onlooker"])) == ("ok", "OSError: deafened")


def test_an_instrument_that_does_not_apply_says_so_in_its_own_words(run):
    class Absent(Counter):
        def session(self):
            raise Unsupported("no such device")

    for intrusive in (True, False):
        record = run(Slope, Instrument("absent", "x", Absent, intrusive=intrusive))
        assert (record.status, record.holes) == ("ok", {"absent": "no such device"})


def test_parameters_are_counted_and_costs_read(run):
    record = run(Slope)
    assert record.measured["parameters"] == 1
    assert {"update_seconds", "train_seconds", "epoch_seconds"} <= record.measured.keys()


def test_a_metric_of_a_plugin_is_scored_like_ours(run):
    def confident(outcome):
        return float(np.exp(outcome.prediction.log_probs).max(-1).mean())

    metric = Metric("confidence", "x", "1", "higher", ("classification",), confident)
    record = run(Slope, metric)
    assert 0.5 <= record.scores["confidence"] <= 1.0


def test_the_record_says_where_it_was_taken(run):
    record = run(Slope)
    assert {"torch", "cpu", "threads", "python", "load", "harness"} <= record.environment.keys()
    assert record.provenance["method"]["plugin"] == "Plugin"
