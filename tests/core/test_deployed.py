"""Instruments get the trained network, and leave it as it is."""

from __future__ import annotations

import json
import math
import weakref
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from slope import Slope, runner

from harness import Budget, ClassLogProbs, Instrument, Unsupported
from harness.cli import main


@pytest.fixture
def run(catalog_of):
    return runner(catalog_of)


class Watched(Slope):
    """Tells whoever watches with which slope it predicts, and whether it may be compiled."""

    predictions: ClassVar[list] = []

    def predict(self, state, inputs):
        self.predictions.append((float(state["slope"]), self.training.eager, len(inputs)))
        return super().predict(state, inputs)

    def describe(self, state):
        return {"slope": float(state["slope"])}


class Prediction:
    """Predictions that are asked for while it looks at the trained network."""

    def __init__(self):
        self.events = []

    def deployed(self, trained):
        predict, inputs = trained.eager(), trained.rows(10)
        before = len(Watched.predictions)
        predict(inputs)
        torch.rand(3)
        self.events += [trained.examples(inputs), *Watched.predictions[before:], torch.is_grad_enabled()]

    def readings(self):
        return {"events": self.events}


TRAINED = Instrument("trained", "x", Prediction)


@pytest.mark.parametrize("updates", [0, 3, 40])
def test_a_gauge_gets_an_eager_prediction_of_the_trained_network_without_gradients(run, updates):
    record = run(Watched, TRAINED, budget=Budget("updates", updates))
    slope = record.facts["slope"]
    assert record.readings["events"] == [10, [slope, True, 10], False]
    assert (slope == 0) == (updates == 0)


def test_the_plain_prediction_of_a_trained_network_is_the_learners_own(run):
    class Own(Prediction):
        def deployed(self, trained):
            before = len(Watched.predictions)
            trained.predict(trained.rows(70))
            self.events += Watched.predictions[before:]

    record = run(Watched, Instrument("own", "x", Own))
    assert record.readings["events"] == [[record.facts["slope"], False, 70]]


def test_rows_are_test_rows_in_order_and_repeated_as_needed(run):
    class Rows(Prediction):
        def deployed(self, trained):
            test = trained.data.test.inputs
            self.events = [torch.equal(trained.rows(65), torch.cat([test, test, test[:5]])), len(test)]

    assert run(Slope, Instrument("rows", "x", Rows)).readings["events"] == [True, 30]


def test_a_gauge_may_look_at_the_trained_network_and_at_an_update_of_a_fresh_state(run):
    class Both(Prediction):
        def deployed(self, trained):
            self.events.append("deployed")

        @contextmanager
        def session(self):
            self.events.append("born")
            yield
            self.events.append("dead")

        @contextmanager
        def measure(self, stage, examples):
            self.events += [stage, examples]
            yield

    assert run(Slope, Instrument("both", "x", Both)).readings["events"] == ["deployed", "born", "update", 10, "dead"]
    looking_on = Instrument("both", "x", Both, intrusive=False)
    assert run(Slope, looking_on).readings["events"] == ["born", "dead", "deployed"]


def test_a_prediction_is_measured_as_finish_has_left_the_network(run):
    class TwiceAsDear(Slope):
        def init(self, problem, training, base):
            return super().init(problem, training, base) | {"draws": 1}

        def finish(self, state, fit):
            return state | {"draws": 2}

        def predict(self, state, inputs):
            slope, sides = state["slope"].reshape(1, 1), torch.tensor([[0.0, 1.0]])
            draws = torch.stack([inputs @ slope @ sides for _ in range(state["draws"])])
            return ClassLogProbs(draws.log_softmax(-1), torch.full((len(draws),), -math.log(len(draws))))

    class Once(TwiceAsDear):
        def finish(self, state, fit):
            return state

    counting = Instrument("inference_macs", "x", "harness_torch.instruments.operation_counts:Inference")
    dear, cheap = (run(learner, counting).readings["inference_macs"] for learner in (TwiceAsDear, Once))
    assert (dear, cheap) == (2 * (1 + 2), 1 + 2)


def test_what_a_gauge_leaves_in_the_state_reaches_no_score_and_nothing_that_is_kept(run):
    class Spoils(Prediction):
        def deployed(self, trained):
            trained.state["slope"] += 100

    class Viewed(Watched):
        def __init__(self, config):
            super().__init__(config)
            self.views = {"mirror": lambda state, inputs: self.predict(state, -inputs)}

    spoilt, sound = run(Viewed, Instrument("spoils", "x", Spoils)), run(Viewed)
    assert (spoilt.scores, spoilt.facts, spoilt.holes) == (sound.scores, sound.facts, {})
    assert spoilt.measured["nonzeros"] == sound.measured["nonzeros"]


def test_a_gauge_that_fails_at_the_trained_network_is_a_hole_and_measures_no_update(run):
    class Fails(Prediction):
        def deployed(self, trained):
            raise Unsupported("the driver is too old")

        def session(self):
            raise AssertionError

        measure = session

    record = run(Slope, Instrument("fails", "x", Fails), TRAINED)
    assert (record.status, record.holes) == ("ok", {"fails": "the driver is too old"})
    assert "events" in record.readings


def test_what_is_measured_of_the_trained_network_leaves_no_trace(run):
    class Noisy(Slope):
        def update(self, state, batch):
            state, scalars = super().update(state, batch)
            return state | {"slope": state["slope"] + 0.01 * torch.randn(())}, scalars

        def predict(self, state, inputs):
            torch.rand(2)
            return super().predict(state, inputs)

    records = []
    for extras in ((), (TRAINED,)):
        torch.manual_seed(3)
        records.append(run(Noisy, *extras))
        records.append(float(torch.rand(())))
    (one, drawn, other, again) = records
    assert (one.scores, one.facts, one.curve[-1].valid, drawn) == (
        other.scores,
        other.facts,
        other.curve[-1].valid,
        again,
    )
    assert one.status == other.status == "ok"


def test_the_trained_state_is_gone_before_a_fresh_one_is_measured(run):
    class Held:
        alive: ClassVar = weakref.WeakSet()

        def __init__(self):
            self.alive.add(self)

    class Holds(Slope):
        def init(self, problem, training, base):
            return super().init(problem, training, base) | {"held": Held()}

    class Alive:
        def __init__(self):
            self.events = []

        def session(self):
            self.events.append(len(Held.alive))
            return nullcontext()

        def measure(self, stage, examples):
            return nullcontext()

        def readings(self):
            return {"alive": self.events}

    record = run(Holds, TRAINED, Instrument("fresh", "x", Alive), budget=Budget("updates", 3))
    assert (record.status, record.holes) == ("ok", {})
    assert record.readings["alive"][0] == 0


def test_where_no_eager_learner_predicts_from_the_trained_state_there_is_a_hole(run):
    class KeepsItsSlope(Slope):
        def init(self, problem, training, base):
            self.slope = torch.zeros(())
            return super().init(problem, training, base)

        def update(self, state, batch):
            state, scalars = super().update(state, batch)
            self.slope = state["slope"]
            return state, scalars

        def predict(self, state, inputs):
            return super().predict(state | {"slope": self.slope}, inputs)

    class NotEagerly(Slope):
        def predict(self, state, inputs):
            if self.training.eager:
                raise RuntimeError("nothing but graphs")
            return super().predict(state, inputs)

    class NeverTwice(Slope):
        def init(self, problem, training, base):
            if training.eager:
                raise Unsupported("not while anyone looks")
            return super().init(problem, training, base)

    for learner, reason in (
        (KeepsItsSlope, "predicts something else from the trained state: is a part of it kept in the learner?"),
        (NotEagerly, "RuntimeError: nothing but graphs"),
        (NeverTwice, "not while anyone looks"),
    ):
        record = run(learner, TRAINED, budget=Budget("updates", 40))
        assert (record.status, list(record.holes)) == ("ok", ["trained"])
        assert reason in record.holes["trained"]
        assert record.scores
        assert "events" not in record.readings


EVIDENCE = """
import tiny
from harness import Instrument, Method, Metric, hookimpl

class Evidence:
    def deployed(self, trained):
        self.rows_seen = float(trained.state["counts"].sum())

    def readings(self):
        return {"evidence": self.rows_seen}

class States(tiny.Counts):
    def describe(self, state):
        return {"stated": 63.0}

@hookimpl
def harness_methods():
    yield Method("states", "x", States, ("classification",), config=tiny.Prior)

@hookimpl
def harness_instruments():
    yield Instrument("evidence", "how much it has seen", Evidence)

@hookimpl
def harness_metrics():
    yield Metric("evidence", "how much it has seen", "", "higher", measures="quantity", exact=True)
    yield Metric("stated", "how much it says it has seen", "", "higher", measures="quantity", exact=True)
"""
CLAIMS = """
methods = "states"
seeds = 2
[[claims]]
text = "it has seen enough"
left = "states.evidence"
at_least = 60
[[claims]]
text = "it says so"
left = "states.stated"
at_least = 60
"""


def test_a_claim_may_rest_on_what_is_read_of_the_trained_network_and_not_on_what_a_method_states(
    tmp_path, monkeypatch, capsys
):
    tiny = Path(__file__).with_name("tiny.py")
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,executors")
    monkeypatch.syspath_prepend(tiny.parent)
    (tmp_path / "evidence.py").write_text(EVIDENCE)
    (tmp_path / "enough.toml").write_text(CLAIMS)
    asked = ["--suite", str(tmp_path / "enough.toml"), "--results", str(tmp_path / "results"), "--here"]
    assert main(["run", "-p", str(tiny), "-p", str(tmp_path / "evidence.py"), *asked]) == 0
    asked = [*asked[:-1], "--format", "json"]
    capsys.readouterr()
    assert main(["report", "-p", str(tiny), "-p", str(tmp_path / "evidence.py"), *asked]) == 0
    measured, stated = json.loads(capsys.readouterr().out)["claims"]
    # Six updates of ten rows, and a prior of one for each of three classes.
    assert (measured["verdict"], measured["measured"]) == ("holds", 63.0)
    assert stated["verdict"] == "not measured"
    assert "stated by the method, not measured" in stated["reason"]
