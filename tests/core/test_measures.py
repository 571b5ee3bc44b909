"""The fields in which a metric describes itself, and those of a reading beside its number."""

import dataclasses

import numpy as np
import pytest

import harness.checks
import harness.metrics
from harness import Instrument, Method, Metric, PluginError, Reading, UsageError, hookimpl
from harness.catalog import Catalog
from harness.planning.plan import plan_trials
from harness.records.format import from_json, to_json
from harness.report import render, render_record, summarise
from harness.report.rows.selecting import parse_criterion
from harness.suites.suite import Request
from harness.testing import cases
from harness.trials.trial import run_trial
from tests.core import tiny
from tests.core.example_records import METRICS, record


class Backend:
    """The tiny one alone, without the instruments beside it."""

    @hookimpl
    def harness_backends(self):
        yield from tiny.harness_backends()


class Plugin:
    def __init__(self, *metrics, readings=None, data_readings=None):
        self.metrics, self.readings, self.data_readings = metrics, readings, data_readings or {}

    @hookimpl
    def harness_methods(self):
        yield Method("subject", "a method", tiny.Counts, ("classification",), config=tiny.Prior)

    @hookimpl
    def harness_datasets(self):
        def load(config, seed, folder):
            return dataclasses.replace(tiny.load(config, seed, folder), readings=self.data_readings)

        (coins,) = tiny.harness_datasets()
        yield dataclasses.replace(coins, load=load)

    @hookimpl
    def harness_metrics(self):
        yield from self.metrics

    @hookimpl
    def harness_instruments(self):
        if self.readings is not None:
            said = self.readings
            gauge = type("Gauge", (tiny.Ruler,), {"readings": lambda self: said})
            yield Instrument("gauge", "reads", gauge)


def catalog(*metrics, **said):
    return Catalog.of(harness.metrics, Backend(), Plugin(*metrics, **said))


def run(*metrics, **said):
    loaded = catalog(*metrics, **said)
    (trial,) = plan_trials(loaded, Request(methods="subject", seeds="[0]"))
    return run_trial(loaded, trial)


# --- measures -----------------------------------------------------------------------------------------------------


def test_what_is_computed_is_a_score_and_what_is_read_a_cost_unless_it_says_otherwise():
    assert Metric("bound", "", "", "higher", compute=len).measures == "score"
    assert Metric("seconds", "", "s", "lower").measures == "cost"
    assert Metric("bound", "", "nats", "higher", measures="quantity").measures == "quantity"


def table(metric, *values, columns=None):
    records = [record(f"m{n}", 0, readings={metric.name: value}) for n, value in enumerate(values)]
    return summarise(records, [*METRICS, metric], columns=columns).tables[0]


def test_a_quantity_has_no_ratio_and_may_be_the_best():
    bound = Metric("bound", "evidence bound", "nats", "higher", measures="quantity")
    first, second = (row.cells["bound"] for row in table(bound, 200_000.0, 400_000.0).rows)
    assert (first.relative, second.relative) == (None, None)
    assert (first.best, second.best) == (False, True)


def test_a_quantity_stands_in_a_table_where_it_is_asked_for():
    drift = Metric("drift", "", "", "lower", ("classification",), compute=len, measures="quantity")
    assert "drift" not in table(drift, 1.0, 2.0).columns
    assert "drift" in table(drift, 1.0, 2.0, columns=["drift"]).columns


def test_a_computed_cost_has_a_ratio():
    price = Metric("price", "", "", "lower", ("classification",), compute=len, measures="cost")
    assert [row.cells["price"].relative for row in table(price, 2.0, 4.0).rows] == [1.0, 2.0]


@pytest.mark.parametrize(
    "metric, flaw",
    [
        (Metric("m", "", "", "lower", compute=len, measures="ratio"), "measures must be one of score, cost, quantity"),
        (Metric("m", "", "", "lower", measures="score"), "measures is 'score' and there is no compute"),
        (Metric("m", "", "", "lower", compute=len, headline=True, curve=False), "headline needs curve"),
        (Metric("m", "", "", "lower", requires="scipy"), "requires must be a tuple"),
    ],
)
def test_fields_that_do_not_go_together_are_refused_with_the_plugin(metric, flaw):
    with pytest.raises(PluginError, match=flaw):
        catalog(metric).fill_shelves()


# --- bounds -------------------------------------------------------------------------------------------------------

LISTED = {"uncovered": {"aten::fft": {"share": 0.2}}}


def bound(metric, *others, **said):
    one = record(**said)
    (row,) = summarise([one], [metric, *others]).tables[0].rows
    return row.cells[metric.name].lower_bound


def test_no_count_is_bounded_for_its_name():
    plain = Metric("model_macs", "", "", "lower")
    assert bound(plain, readings={"model_macs": 3, **LISTED}) == ""
    named = dataclasses.replace(plain, bounded_by="uncovered")
    assert bound(named, readings={"model_macs": 3, **LISTED}).endswith("20 % of the bytes: aten::fft")


def test_a_metric_is_at_least_where_what_bounds_it_is():
    one = Metric("work", "", "", "lower", bounded_by="total")
    other = Metric("total", "", "", "lower", bounded_by="uncovered")
    assert bound(one, readings={"work": 3, "total": 4}, at_least={"total": "left torch"}) == "left torch"
    assert bound(one, other, readings={"work": 3, "total": 4, **LISTED}).endswith("aten::fft")
    assert bound(one, readings={"work": 3, "total": 4, **LISTED}) == ""


def test_metrics_that_bound_each_other_come_to_an_end():
    one, other = Metric("a", "", "", "lower", bounded_by="b"), Metric("b", "", "", "lower", bounded_by="a")
    assert bound(one, other, readings={"a": 1, "b": 2}) == ""


# --- readings -----------------------------------------------------------------------------------------------------

HOT = Reading(3, warning="it was\nhot", at_least="work left the room")


def test_a_reading_has_its_number_its_warning_and_its_bound_in_fields():
    found = run(Metric("depth", "", "", "lower"), readings={"depth": HOT, "plain": 1}, data_readings={"part": HOT})
    assert (found.readings["depth"], found.readings["plain"], found.readings["part"]) == (3, 1, 3)
    assert found.warnings == {"depth": "it was hot", "part": "it was hot"}
    assert found.at_least == {"depth": "work left the room", "part": "work left the room"}


def test_warnings_and_bounds_come_back_from_a_file_and_stand_in_the_report():
    metrics = [Metric("depth", "how deep", "", "lower")]
    found = from_json(to_json(run(*metrics, readings={"depth": HOT})))
    summary = summarise([found], metrics)
    assert summary.tables[0].rows[0].cells["depth"].lower_bound == "work left the room"
    assert any(note.startswith("it was hot") for note in summary.notes)
    shown = render_record(found, metrics)
    assert "≥ 3 (at least: work left the room)" in shown
    assert "it was hot" in shown


def test_an_older_record_is_read_as_it_was():
    value = to_json(record(readings={"depth": 3, "depth_at_least": "left torch", "gpu_warning": "shared"}))
    del value["warnings"], value["at_least"]
    summary = summarise([from_json(value)], [Metric("depth", "how deep", "", "lower")])
    assert summary.tables[0].rows[0].cells["depth"].lower_bound == "left torch"
    assert "shared (saf seed 0)" in summary.notes


def test_a_warning_that_is_no_text_is_a_hole_and_the_number_stays():
    found = run(readings={"depth": Reading(3, warning=7)})
    assert (found.status, found.readings, found.warnings) == ("ok", {"depth": 3}, {})
    assert found.holes == {"depth": "warning of depth of gauge is int; expected a text"}


def test_what_an_instrument_reads_takes_the_place_of_a_data_set_s_warning_too():
    found = run(readings={"depth": 1}, data_readings={"depth": HOT})
    assert (found.readings, found.warnings, found.at_least) == ({"depth": 1}, {}, {})


# --- when, and with what ------------------------------------------------------------------------------------------


def test_what_is_no_curve_is_computed_at_the_end_only():
    calls = []

    def seldom(outcome):
        calls.append(len(outcome.targets))
        return 0.5

    found = run(Metric("seldom", "", "", "lower", ("classification",), compute=seldom, curve=False))
    assert len(calls) == 2  # the test rows and the validation rows, once each
    assert (found.scores["seldom"], found.scores["seldom@valid"]) == (0.5, 0.5)
    assert not any("seldom" in point.valid for point in found.curve)
    assert not any(name.startswith("seldom@") and name.endswith("best") for name in found.scores)


def test_its_best_point_says_why_it_has_none():
    seldom = Metric("seldom", "", "", "lower", ("classification",), compute=len, curve=False)
    found = run(dataclasses.replace(seldom, compute=lambda outcome: 0.5))
    (row,) = summarise([found], [*METRICS, seldom], columns=["seldom@best"]).tables[0].rows
    assert row.cells["seldom@best"].hole == "computed at the end of training only"


def test_a_metric_whose_module_is_missing_is_a_hole_with_the_reason():
    needs = Metric("needs", "", "", "lower", ("classification",), compute=np.size, requires=("nowhere_at_all",))
    found = run(needs)
    assert (found.status, found.holes["needs"]) == ("ok", "needs nowhere_at_all, not installed")


def test_modules_of_metrics_are_imported_once_for_all_trials_of_their_kind():
    from harness.results.runs import list_preloads

    one = Metric("one", "", "", "lower", ("classification",), compute=len, requires=("json.tool",))
    other = Metric("other", "", "", "lower", ("regression",), compute=len, requires=("wave",))
    loaded = catalog(one, other)
    assert list_preloads(loaded, plan_trials(loaded, Request(methods="subject", seeds="[0]"))) == ("json.tool",)


# --- no value is the best -----------------------------------------------------------------------------------------

SHARE = Metric("share", "of rows within", "", "neither", ("classification",), compute=len)


def test_what_has_no_best_value_marks_none_and_has_no_arrow():
    records = [record(f"m{n}", 0, scores={"share": value}) for n, value in enumerate((0.9, 1.0))]
    summary = summarise(records, [*METRICS, SHARE])
    assert [row.cells["share"].best for row in summary.tables[0].rows] == [False, False]
    (head,) = [line for line in render(summary, "markdown").splitlines() if "share" in line]
    assert [word.strip() for word in head.split("|")[2:-1]] == ["n", "share"]


def test_nobody_chooses_by_what_has_no_best_value():
    with pytest.raises(UsageError, match="share has no best value; known: accuracy@valid"):
        parse_criterion("share@valid", [*METRICS, SHARE])
    with pytest.raises(UsageError, match="share has no best value"):
        plan_trials(catalog(SHARE), Request(methods="subject", seeds="[0]", headline="share"))
    with pytest.raises(PluginError, match="headline needs better: it decides which point"):
        catalog(dataclasses.replace(SHARE, headline=True)).fill_shelves()


def test_the_contract_asks_no_direction_of_it():
    loaded = Catalog.of(harness.checks, Backend(), Plugin(dataclasses.replace(SHARE, compute=lambda outcome: 0.5)))
    results = {case.check.name: case.run() for case in cases(loaded, "share")}
    assert results.pop("metric-direction").reason == "it has no best value"
    assert {result.status for result in results.values()} == {"ok"}
