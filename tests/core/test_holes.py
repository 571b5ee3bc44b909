"""One bad part of a trial costs that part: everything else is kept, and the hole says what failed and why."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import tiny

import harness.metrics
from harness import Diverged, Instrument, Method, Metric, PluginError, Reading, hookimpl
from harness.catalog import Catalog
from harness.planning.plan import plan_trials
from harness.records.format import from_json, to_json
from harness.suites.suite import Request
from harness.trials.trial import run_trial

RULER = {"length": 2_500_000}


class Backend:
    @hookimpl
    def harness_backends(self):
        yield from tiny.harness_backends()


class Plugin:
    def __init__(self, learner, *extras, data=lambda data: data):
        self.learner, self.extras, self.data = learner, extras, data

    @hookimpl
    def harness_methods(self):
        yield Method("subject", "a method", self.learner, ("classification",))

    @hookimpl
    def harness_datasets(self):
        (coins,) = tiny.harness_datasets()
        yield replace(coins, load=lambda config, seed, folder: self.data(tiny.load(config, seed, folder)))

    @hookimpl
    def harness_metrics(self):
        yield from (extra for extra in self.extras if isinstance(extra, Metric))

    @hookimpl
    def harness_instruments(self):
        yield from (extra for extra in self.extras if isinstance(extra, Instrument))


class Counts(tiny.Counts):
    def __init__(self, config):
        super().__init__(tiny.Prior())


def catalog(learner=Counts, *extras, **more):
    return Catalog.of(harness.metrics, Backend(), Plugin(learner, *extras, **more))


def run(learner=Counts, *extras, data=lambda data: data, told=None, **asked):
    loaded = catalog(learner, *extras, data=data)
    (trial,) = plan_trials(loaded, Request(methods="subject", seeds="[0]", **asked))
    return run_trial(loaded, trial, report=(lambda _: None) if told is None else told.append)


SOUND = run()


def unchanged(record):
    """The trial is whole but for its holes, and can be written."""
    assert (record.status, record.reason) == ("ok", "")
    assert record.scores.items() >= SOUND.scores.items()
    assert [point.valid for point in record.curve] == [point.valid for point in SOUND.curve]
    assert record.measured.keys() == SOUND.measured.keys()
    assert from_json(to_json(record)).holes == record.holes
    return record.holes


def gauge(readings, intrusive=True, name="gauge"):
    """An instrument with what it reads: a value, or a function that gives it."""

    class Gauge(tiny.Ruler):
        def readings(self):
            return readings() if callable(readings) else readings

    return Instrument(name, "reads", Gauge, intrusive=intrusive)


def raising(error):
    def function(*arguments):
        raise error

    return function


def kind(error):
    return "called sys.exit(2)" if isinstance(error, SystemExit) else type(error).__name__


# --- names ------------------------------------------------------------------------------------------------------------

BAD_NAMES = ["", " ", "a@b", "best ", "a\x1b[31mb", "a\nb", 3, None, ("a",), "x" * 200]
HARNESS_NAMES = [
    "update_seconds",
    "train_seconds",
    "epoch_seconds",
    "warmup_seconds",
    "prepare_seconds",
    "finish_seconds",
    "seconds_to_target",
    "best_update",
    "stopped_early",
    "rows",
    "parameters",
    "finish",
    "predict",
    "bytes_at_death",
]


@pytest.mark.parametrize("name", ["valid", "valid-best", "best", "start", *BAD_NAMES])
def test_a_view_never_takes_the_name_of_a_score_of_the_harness(name):
    class Cheats(Counts):
        def __init__(self, config):
            super().__init__(config)
            self.views = {name: self.knows, "known": self.knows}

        def knows(self, state, inputs):
            prediction = self.predict(state, inputs)
            return prediction._replace(log_probs=prediction.log_probs[..., ::-1])

    record = run(Cheats)
    holes = unchanged(record)
    assert record.scores["accuracy@known"] != record.scores["accuracy"]
    assert set(record.scores) == {*SOUND.scores, *(f"{name}@known" for name in ("accuracy", "nll", "brier", "ece"))}
    ((key, reason),) = holes.items()
    assert key.startswith("view ")
    assert reason.startswith("the name ")


@pytest.mark.parametrize("intrusive", [True, False])
@pytest.mark.parametrize("name", [*HARNESS_NAMES, "accuracy", "nll", "rmse", "update_seconds_at_least", *BAD_NAMES])
def test_a_reading_never_takes_a_name_that_the_harness_measures_by(name, intrusive):
    record = run(Counts, gauge({name: 1e-12, "other": 5}, intrusive))
    ((key, reason),) = unchanged(record).items()
    assert record.readings == {"other": 5}
    assert key.startswith("gauge.")
    assert reason.startswith("the name ")


@pytest.mark.parametrize("name", [*HARNESS_NAMES, "accuracy", "depth", *BAD_NAMES])
def test_a_data_set_never_takes_a_name_that_is_measured(name):
    depth = Metric("depth", "read by an instrument", "", "lower")
    record = run(Counts, depth, gauge({"depth": 7}), data=lambda data: replace(data, readings={name: 1e-12, "own": 5}))
    ((key, reason),) = unchanged(record).items()
    assert record.readings == {"own": 5, "depth": 7}
    assert key.startswith("data set coins.")
    assert reason.startswith("the name ")


def test_of_two_readings_of_one_name_the_second_is_a_hole_and_what_is_measured_goes_before_what_data_say():
    record = run(
        Counts, gauge({"depth": 1}, name="one"), gauge({"depth": 2}, name="two"),
        data=lambda data: replace(data, readings={"depth": 3}),
    )  # fmt: skip
    assert record.readings == {"depth": 1}
    assert unchanged(record) == {
        "data set coins.depth": "the name is taken: it is a reading of one",
        "two.depth": "the name is taken: it is a reading of one",
    }


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_of_facts_scalars_and_shifted_splits_are_texts_without_an_at(name):
    class Names(Counts):
        def update(self, state, batch):
            return super().update(state, batch)[0], {name: 1.0, "loss": 2.0}

        def describe(self, state):
            return {name: 1, "own": 2}

    seen = []
    metric = Metric("seen", "x", "", "lower", ("classification",), lambda outcome: seen.append(outcome))
    record = run(Names, metric, data=lambda data: replace(data, shifted={name: data.test, "far": data.test}))
    holes = unchanged(record)
    assert {key.partition(".")[0] for key in holes} == {"update", "describe", "shifted"}
    assert record.facts == {"own": 2}
    assert {tuple(point.scalars) for point in record.curve[1:]} == {("loss",)}
    assert {tuple(outcome.shifted) for outcome in seen} == {(), ("far",)}


@pytest.mark.parametrize("name", HARNESS_NAMES)
@pytest.mark.parametrize("compute", [None, lambda outcome: 1e-12])
def test_a_metric_by_a_name_of_the_harness_is_refused_when_its_plugin_is_loaded(name, compute):
    loaded = catalog(Counts, Metric(name, "x", "s", "higher", ("classification",), compute))
    with pytest.raises(PluginError, match=f"{name}.* taken by what the harness itself measures"):
        loaded.metrics.values()


@pytest.mark.parametrize("name", ["", "a@valid", "a b", 3, None])
def test_a_metric_by_a_name_that_no_score_can_have_is_refused(name):
    with pytest.raises(PluginError, match="a name is letters, digits"):
        catalog(Counts, Metric(name, "x", "s", "higher", ("classification",), float)).metrics.values()


def test_no_plugin_computes_the_harness_s_own_scores_in_its_place():
    mine = Plugin(Counts, Metric("accuracy", "x", "", "higher", ("classification",), lambda outcome: 1.0))
    for plugins in ((harness.metrics, mine), (mine, harness.metrics)):
        loaded = Catalog()
        for plugin in plugins:
            loaded.register(plugin, getattr(plugin, "__name__", "mine"))
        offered = [offer for offer in loaded.metrics.offers() if offer.value.name == "accuracy"]
        assert [offer.plugin.name for offer in offered] == ["harness.metrics"]
        (problem,) = loaded.problems
        assert problem.plugin == "mine"
        assert "metric 'accuracy' is offered by harness.metrics already" in problem.message


def test_the_harness_s_own_headline_decides_which_point_is_the_best_wherever_its_plugin_stands():
    class Improves(Counts):
        """Wrong until its third update."""

        def predict(self, state, inputs):
            believed = state["counts"] if state["updates"] > 2 else np.array([1.0, 2.0, 3.0])
            return super().predict({"counts": believed}, inputs)

    first = Metric("first", "x", "", "higher", ("classification",), lambda outcome: 1.0, headline=True)
    for order in (slice(None), slice(None, None, -1)):
        loaded = Catalog.of(*[harness.metrics, Backend(), Plugin(Improves, first)][order])
        (trial,) = plan_trials(loaded, Request(methods="subject", seeds="[0]"))
        assert run_trial(loaded, trial).measured["best_update"] > 0
        assert next(metric.name for metric in loaded.metrics.values() if metric.headline) == "accuracy"


def test_a_metric_cannot_write_into_what_the_others_score():
    def writes(outcome):
        outcome.prediction.log_probs[:] = 0.0
        outcome.targets[:] = 0
        return 1.0

    record = run(Counts, Metric("writes", "x", "", "lower", ("classification",), writes))
    assert "read-only" in unchanged(record)["writes"]


# --- metrics ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compute", "words"),
    [
        (raising(KeyError("lost")), "KeyError: 'lost' (test_holes.py line "),
        (raising(SystemExit(3)), "called sys.exit(3)"),
        (lambda outcome: math.nan, "odd is nan; expected a finite number"),
        (lambda outcome: -math.inf, "odd is -inf; expected a finite number"),
        (lambda outcome: 10**400, "no number: int too large"),
        (lambda outcome: "0.5", "is str; expected a number or None"),
        (lambda outcome: 1j, "is complex; expected a number or None"),
        (lambda outcome: [1.0], "is list; expected a number or None"),
        (lambda outcome: np.zeros(3), "expected a number or None"),
    ],
)
@pytest.mark.parametrize("headline", [False, True])
def test_a_metric_that_fails_costs_its_own_score(compute, words, headline):
    metric = Metric("odd", "x", "", "higher", ("classification",), compute, headline=headline)
    holes = unchanged(run(Counts, metric))
    assert set(holes) == {"odd", "odd@best", "odd@valid"}
    assert all(words in reason for reason in holes.values()), holes
    assert holes["odd@valid"].startswith("at update 0: odd")


def test_a_metric_that_fails_now_and_then_leaves_no_score_of_another_point_behind():
    calls = []

    def once(outcome):
        calls.append(outcome)
        if len(calls) > 2:
            raise OverflowError("full")
        return float(len(calls))

    class Improves(Counts):
        """Wrong until its third update."""

        def predict(self, state, inputs):
            believed = state["counts"] if state["updates"] > 2 else np.array([1.0, 2.0, 3.0])
            return super().predict({"counts": believed}, inputs)

    record = run(Improves, Metric("odd", "x", "", "higher", ("classification",), once))
    assert record.measured["best_update"] > 0
    assert not any(name.startswith("odd") for name in record.scores)
    assert "OverflowError: full" in record.holes["odd@best"]


def test_nan_of_the_harness_s_own_scores_means_diverged_and_so_does_any_of_a_nan_prediction():
    class Nan(Counts):
        def predict(self, state, inputs):
            prediction = super().predict(state, inputs)
            return prediction._replace(log_probs=prediction.log_probs * (math.nan if state["updates"] > 1 else 1))

    record = run(Nan)
    assert record.status == "diverged"
    assert "is nan at update" in record.reason


# --- what a learner may offer besides ---------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(2), MemoryError(), RecursionError("deep")])
@pytest.mark.parametrize("part", ["describe", "save", "view"])
def test_an_optional_part_of_a_learner_that_raises_costs_that_part(part, error):
    class Fails(Counts):
        def __init__(self, config):
            super().__init__(config)
            self.views = {"odd": raising(error) if part == "view" else self.predict}

        def describe(self, state):
            return raising(error)() if part == "describe" else {"own": 1}

        def save(self, state):
            return raising(error)() if part == "save" else super().save(state)

    record = run(Fails)
    assert record.status == "ok"
    ((key, reason),) = record.holes.items()
    assert key == ("view odd" if part == "view" else part)
    assert kind(error) in reason
    assert "(test_holes.py line" in reason
    assert (record.facts == {"own": 1}) == (part != "describe")
    assert ("parameters" in record.measured) == (part != "save")
    assert ("accuracy@odd" in record.scores) == (part != "view")


@pytest.mark.parametrize(
    ("part", "returned", "words"),
    [
        ("describe", [1], "describe returned list, expected {name: value}"),
        ("describe", None, "describe returned NoneType"),
        ("save", {"a": 3}, "save(state) must be flat, {name: array}, with texts for names; a is int"),
        ("save", {3: np.zeros(2)}, "with texts for names; 3 is ndarray of shape (2,)"),
        ("save", [np.zeros(2)], "save returned list, expected {name: array}"),
    ],
)
def test_an_optional_part_that_answers_something_else_says_what_was_expected(part, returned, words):
    record = run(type("Odd", (Counts,), {part: lambda self, state: returned}))
    assert record.status == "ok"
    assert words in record.holes[part]


@pytest.mark.parametrize(
    ("views", "key", "words"),
    [
        ([1], "views", "views is list, expected {name: function}"),
        ({"odd": 3}, "view odd", "is int, expected a function"),
        ({"odd": lambda state, inputs: inputs}, "view odd", "returned ndarray of shape"),
        ({"odd": lambda state, inputs: None}, "view odd", "returned NoneType"),
    ],
)
def test_views_that_are_none_say_what_was_expected(views, key, words):
    record = run(type("Odd", (Counts,), {"views": views}))
    assert words in unchanged(record)[key]


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda state: None, "update returned NoneType, expected (state, {name: scalar})"),
        (lambda state: (state, None), "update returned tuple, expected (state, {name: scalar})"),
        (lambda state: (state, {}, 1), "update returned tuple, expected (state, {name: scalar})"),
        (lambda state: (state, {"loss": np.zeros(3)}), "update returned ndarray of shape (3,) as the scalar loss"),
        (lambda state: (state, {"loss": "low"}), "update returned str as the scalar loss, expected one number"),
    ],
)
@pytest.mark.parametrize("update", [0, 3])
def test_an_update_that_returns_something_else_fails_in_words_first_or_later(returned, words, update):
    class Odd(Counts):
        def update(self, state, batch):
            after, scalars = super().update(state, batch)
            return (after, scalars) if state["updates"] < update else returned(after)

    record = run(Odd)
    assert (record.status, record.reason.removeprefix("TypeError: ").startswith(words)) == ("failed", True), record


def test_a_failed_trial_names_the_deepest_line_of_the_plugin_once():
    class Odd(Counts):
        def update(self, state, batch):
            return self.step(state)

        def step(self, state):
            return np.zeros((2, 3)) @ np.zeros((2, 3))

    record = run(Odd)
    line = Odd.step.__code__.co_firstlineno + 1
    assert record.reason.endswith(f"(test_holes.py line {line}, in step)")
    assert record.reason.count("line") == 1


class Own(BaseException):
    """No Exception."""


@pytest.mark.parametrize("error", [SystemExit(2), Own("mine"), GeneratorExit()])
def test_what_ends_a_trial_is_named_with_its_place_whatever_it_is(error):
    class Ends(Counts):
        def update(self, state, batch):
            raise error

    record = run(Ends)
    assert record.status == "failed"
    assert record.reason.startswith(kind(error))
    assert record.reason.endswith(f"(test_holes.py line {Ends.update.__code__.co_firstlineno + 1}, in update)")


def test_a_reason_is_one_clean_line_whatever_was_raised():
    class Shouts(Counts):
        def update(self, state, batch):
            raise ValueError("\x1b[31mred\x07 " + "x" * 5_000_000)

    record = run(Shouts)
    assert record.reason.startswith("ValueError: red xxx")
    assert len(record.reason) <= 500
    assert record.reason.endswith(", in update)")
    assert len(record.traceback) < 21_000
    assert "\x1b" not in record.traceback


def test_a_shifted_split_that_cannot_be_predicted_costs_itself():
    class Narrow(Counts):
        def predict(self, state, inputs):
            if len(inputs) == 7:
                raise ValueError("seven rows")
            return super().predict(state, inputs)

    def shifted(data):
        seven = data.test._replace(inputs=data.test.inputs[:7], targets=data.test.targets[:7])
        return replace(data, shifted={"odd": seven})

    holes = unchanged(run(Narrow, data=shifted))
    assert "ValueError: seven rows" in holes["shifted.odd"]


# --- instruments ------------------------------------------------------------------------------------------------------


class Hostile:
    """An error whose message cannot be had."""


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("not even this")


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(2), MemoryError(), GeneratorExit(), Mute()])
@pytest.mark.parametrize("intrusive", [True, False])
def test_an_instrument_that_ends_itself_costs_its_readings(error, intrusive):
    broken = gauge(raising(error), intrusive, "broken")
    record = run(Counts, gauge({"before": 1}, intrusive, "first"), broken, gauge({"after": 2}, intrusive, "last"))
    ((key, reason),) = unchanged(record).items()
    assert key == "broken"
    assert reason.startswith(kind(error))
    assert record.readings == {"before": 1, "after": 2}


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def cyclic():
    value = []
    value += [value] * 50
    return value


class Freed:
    def tolist(self):
        raise RuntimeError("freed")


class Huge:
    shape = (10**9,)

    def tolist(self):
        raise AssertionError("never asked for")


UNFIT = [
    (nested(490), "nested deeper than 20 levels"),
    (nested(100_000), "nested deeper than 20 levels"),
    (cyclic(), ""),
    ("x" * 2**21, "larger than 1 MB"),
    (list(range(10**6)), "larger than 1 MB"),
    (Huge(), "larger than 1 MB"),
    (Freed(), "cannot be written as JSON: RuntimeError: freed"),
    (object(), "is a object, which JSON does not hold"),
    (10**5000, "beyond the range of floats"),
    (math.nan, "is nan; expected a finite number"),
    (np.float64("inf"), "is inf; expected a finite number"),
]


@pytest.mark.parametrize(("value", "words"), UNFIT, ids=range(len(UNFIT)))
def test_a_value_that_no_record_holds_costs_itself(value, words):
    class Says(Counts):
        def describe(self, state):
            return {"odd": value, "own": 1}

    record = run(Says, gauge({"odd": value, "other": 2}), data=lambda data: replace(data, readings={"read": value}))
    holes = unchanged(record)
    assert set(holes) == {"odd", "read", "describe.odd"}
    assert all(words in reason for reason in holes.values()), holes
    assert (record.facts, record.readings) == ({"own": 1}, {"other": 2})


def test_all_that_plugins_say_is_bounded():
    class Says(Counts):
        def describe(self, state):
            return {f"fact {number}": "x" * 10**6 for number in range(50)}

        def update(self, state, batch):
            return super().update(state, batch)[0], {f"scalar {number}": 1.0 for number in range(3000)}

    record = run(Says, gauge({f"reading {number}": number for number in range(3000)}))
    holes = unchanged(record)
    assert "beyond the 16 MB" in holes["describe.fact 49"]
    assert holes["gauge"] == "has 3000 readings; the first 1000 are kept"
    assert holes["update"] == "returned 3000 scalars; 1000 of them are kept"
    assert len(record.readings) == len(record.curve[-1].scalars) == 1000


@pytest.mark.parametrize("said", [None, [1], "text", 3])
def test_readings_that_are_none_say_what_was_expected(said):
    assert unchanged(run(Counts, gauge(lambda: said))) == {
        "gauge": f"returned {type(said).__name__} for its readings; expected {{name: value}}"
    }


def test_texts_that_stand_below_tables_are_one_clean_line():
    said = {"gauge_warning": "\x1b[31mhot\n" + "x" * 5000, "depth_at_least": "some\nuncounted", "text": "two\nlines"}
    readings = run(Counts, gauge(said)).readings
    assert readings["gauge_warning"].startswith("hot xxx")
    assert len(readings["gauge_warning"]) <= 500
    assert (readings["depth_at_least"], readings["text"]) == ("some uncounted", "two\nlines")


def test_what_is_noted_is_a_copy():
    kept = {"list": [1]}

    class Says(Counts):
        def describe(self, state):
            return kept

    record = run(Says)
    kept["list"].append(2)
    assert record.facts == {"list": [1]}


# --- what is told on the way ------------------------------------------------------------------------------------------


def test_the_record_so_far_is_told_before_anything_that_may_fail_is_tried():
    told = []
    record = run(Counts, gauge({"a": 1}, name="one"), gauge({"b": 2}, name="two"), told=told)
    told = [progress for progress in told if progress.record is not None]
    assert [progress.missing for progress in told] == [
        ("save", "one", "two"),
        ("save", "one", "two"),
        ("one", "two"),  # each gauge may look at the trained network first
        ("two", "one"),
        ("one", "two"),
        ("two",),
    ]
    assert {progress.record.status for progress in told} == {"ok"}
    assert all(progress.record.scores == record.scores for progress in told)
    assert told[-1].record.readings == {"a": 1}


@pytest.mark.parametrize("part", ["views", "describe"])
@pytest.mark.parametrize("error", [ValueError("not ready"), SystemExit(3)])
def test_an_optional_part_that_cannot_even_be_looked_up_costs_itself_alone(part, error):
    def look(self):
        raise error

    record = run(type("Odd", (Counts,), {part: property(look)}))
    assert record.status == "ok"
    assert record.scores["accuracy"] >= 0
    assert str(error) in record.holes[part]


class Warns(Counts):
    def describe(self, state):
        return {"heat": Reading(3.5, warning="too hot"), "cold": 1}


def test_a_fact_may_warn():
    record = from_json(to_json(run(Warns)))
    assert (record.facts["heat"], record.facts["cold"]) == (3.5, 1)
    assert record.warnings == {"describe.heat": "too hot"}


class Finds(Counts):
    def prepare(self, state, fit):
        raise Diverged("the start is nan; give a smaller rate")


def test_a_learner_may_find_that_it_has_diverged():
    record = run(Finds)
    assert (record.status, record.reason, record.traceback) == ("diverged", "the start is nan; give a smaller rate", "")
