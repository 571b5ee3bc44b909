"""Computed figures: trade-offs, curves, swept options, costs in parts, leaders, and commands to run it again."""

from __future__ import annotations

import dataclasses
import math
import shlex

import pytest
from example_records import METRICS, comparison, record

from harness import Budget, Metric, Point
from harness.report import summarise
from harness.report.rows import again, curves, leaders, parts, swept, tradeoff
from harness.statistics import compute_interval


def table_of(records, metrics=METRICS, **options):
    summary = summarise(records, metrics, **options)
    return summary.tables[0], summary.metrics


# --- trade-offs ---------------------------------------------------------------------------------------------------


def scored(method, accuracy, cost, seeds=2, **others):
    scores = [{"accuracy": accuracy + seed / 1000} for seed in range(seeds)]
    readings = {} if cost is None else {"total_macs": cost}
    return [record(method, seed, scores=each, readings=readings, **others) for seed, each in enumerate(scores)]


def test_the_front_is_what_no_row_beats_in_both():
    records = scored("a", 0.9, 10) + scored("b", 0.8, 5) + scored("c", 0.7, 7) + scored("d", 0.95, 30)
    points = tradeoff.place_points(*table_of(records)[:1], "accuracy", "total_macs", table_of(records)[1])
    assert {point.row.method: point.front for point in points} == {"a": True, "b": True, "c": False, "d": True}
    assert all(point.is_placed and not point.apart for point in points)


def test_rows_that_are_not_compared_say_why():
    records = scored("a", 0.9, 10) + scored("hole", 0.99, None) + scored("few", 0.99, 1, seeds=1)
    records += [record("dead", seed, status="oom", reason="out of memory") for seed in range(2)]
    table, metrics = table_of(records)
    points = {p.row.method: p for p in tradeoff.place_points(table, "accuracy", "total_macs", metrics)}
    assert [name for name, point in points.items() if point.front] == ["a"]
    assert points["hole"].apart == "not measured"
    assert points["few"].apart == "lacks seed 1"
    assert "oom" in points["dead"].apart
    assert [name for name, point in points.items() if not point.is_placed] == ["hole", "dead"]


def test_a_lower_bound_is_on_no_front():
    records = scored("a", 0.9, 10)
    records += [dataclasses.replace(each, at_least={"total_macs": "numpy"}) for each in scored("b", 0.8, 5)]
    table, metrics = table_of(records)
    points = tradeoff.place_points(table, "accuracy", "total_macs", metrics)
    assert [(point.front, point.apart) for point in points] == [(True, ""), (False, "at least; numpy")]


def test_no_front_where_no_value_is_the_best():
    metrics = [each for each in METRICS if each.name != "total_macs"]
    metrics.append(Metric("total_macs", "", "", "neither", measures="cost"))
    table, shown = table_of(scored("a", 0.9, 10) + scored("b", 0.8, 5), metrics)
    assert not any(point.front for point in tradeoff.place_points(table, "accuracy", "total_macs", shown))


def test_axes_begin_with_the_headline_and_a_cost_that_most_rows_have():
    table, metrics = table_of(comparison())
    assert tradeoff.pick_axes(table, metrics) == ("accuracy", "update_seconds")  # one row lacks its activation_bytes
    assert tradeoff.list_scores(table, metrics) == ["accuracy", "nll", "brier", "ece", "accuracy@best"]
    assert "activation_bytes" in tradeoff.list_costs(table, metrics)
    table, metrics = table_of([record(scores={"accuracy": 1.0})])
    assert tradeoff.pick_axes(table, metrics) is None


# --- curves -------------------------------------------------------------------------------------------------------


def curved(seed, *points, **others):
    curve = tuple(Point(at, at / 10, seconds, {}, {"accuracy": score}) for at, seconds, score in points)
    return dataclasses.replace(record(seed=seed, **others), curve=curve)


def test_curves_are_averaged_at_the_updates_that_all_seeds_have():
    first = curved(0, (0, 0, 0.1), (10, 1, 0.5), (20, 2, 0.8), (30, 3, 0.9))
    second = curved(1, (0, 0, 0.1), (10, 3, 0.7), (20, 5, math.nan))
    dead = curved(2, (0, 0, 0.1), status="diverged")
    (row,) = table_of([first, second, dead])[0].rows
    found = curves.average_curve(row, "accuracy", "seconds")
    assert [(point.at, point.n) for point in found] == [(0, 2), (2, 2)]
    assert found[0][1:4] == (0.1, None, None)  # equal values have no interval
    assert (found[1].low, found[1].high) == compute_interval([0.5, 0.7])
    assert [point.at for point in curves.average_curve(row, "accuracy", "update")] == [0, 10]
    assert curves.average_curve(row, "nll", "update") == ()


def test_scores_on_curves_come_headline_first():
    points = (Point(1, 1.0, 1.0, {}, {"nll": 1.0, "accuracy": 0.5, "unknown": 1.0}),)
    scores = {"accuracy": 0.5, "nll": 1.0}
    table, metrics = table_of([dataclasses.replace(record(scores=scores), curve=points)])
    assert curves.list_curve_scores(table, metrics) == ["accuracy", "nll"]


# --- swept options ------------------------------------------------------------------------------------------------


def variant(steps, kind="every", method="saf"):
    options = {"steps": steps, "kind": kind, "fused": True}
    label = f"{method}[steps={steps},kind={kind}]"
    made = record(label, options=options, scores={"accuracy": 0.9})
    given = {"steps": steps, "kind": kind}
    choice = dataclasses.replace(made.trial.method, given=given)
    return dataclasses.replace(made, trial=dataclasses.replace(made.trial, method=choice))


def test_rows_that_differ_in_one_number_make_a_line():
    several = [variant(8), variant(4), variant(4, "final"), variant(16, "final"), variant(4, method="ottt")]
    table, _ = table_of(several)
    first, second = swept.find_lines(table)
    assert (first.label, first.option, [value for value, _ in first.points]) == ("saf[kind=every]", "steps", [4, 8])
    assert (second.label, [value for value, _ in second.points]) == ("saf[kind=final]", [4, 16])
    assert first.points[0][1].method == "saf[steps=4,kind=every]"


def test_two_options_that_vary_together_are_no_sweep():
    table, _ = table_of([variant(4), variant(8, "final")])
    assert swept.find_lines(table) == ()


# --- parts --------------------------------------------------------------------------------------------------------

READINGS = {
    "forward_macs": 100,
    "backward_macs": 200,
    "optimizer_macs": 0,
    "total_macs": 300,
    "forward_elementwise_ops": 10,
    "backward_elementwise_ops": 20,
    "optimizer_elementwise_ops": 5,
    "inference_macs": 1000,
    "inference_elementwise_ops": 50,
    "inference_bytes_moved": 800,
    "synaptic_macs": 100,
    "synaptic_acs": 300,
    "state_bytes": 30,
    "activation_bytes": 100,
    "tensor_peak_bytes": 170,
    "inference_activation_bytes": 60,
    "energy_joules": 12.0,
}


def measured_row(**without):
    readings = {name: value for name, value in READINGS.items() if name not in without}
    return table_of([record(readings=readings, measured={"stored_bytes": 40})])[0].rows[0]


def test_parts_add_up_to_their_whole():
    row = measured_row()
    update = parts.split_update(row)
    assert sum(part.amount for part in update if part.what == parts.MACS) == READINGS["total_macs"]
    assert [part.of for part in update] == ["forward"] * 2 + ["backward"] * 2 + ["optimiser"] * 2
    assert sum(part.amount for part in parts.split_training_memory(row)) == READINGS["tensor_peak_bytes"]
    assert [part.amount for part in parts.split_training_memory(row)] == [30, 70, 70]
    assert [part.amount for part in parts.split_prediction_memory(row)] == [40, 60]
    assert [part.amount for part in parts.split_prediction(row)] == [1000, 50]
    assert [part.amount for part in parts.split_effective(row)] == [100, 300]


def test_parts_of_what_was_not_measured_are_none():
    row = table_of([record(status="failed", reason="no")])[0].rows[0]
    for split in (parts.split_update, parts.split_prediction, parts.split_effective, parts.split_training_memory):
        assert split(row) == ()
    assert parts.estimate_energy(row) == (None, None, None, None, None)
    assert next(part.what for part in parts.split_training_memory(measured_row(state_bytes=0))) == "activations"


def test_energy_of_a_prediction_by_hand():
    found = parts.estimate_energy(measured_row())
    assert found.executed == pytest.approx(1000 * 4.6e-12)
    assert found.effective == pytest.approx(100 * 4.6e-12 + 300 * 0.9e-12)
    assert (found.cache, found.dram) == pytest.approx((800 * 12.5e-12, 800 * 162.5e-12))
    assert found.metered == 12.0


# --- leaders ------------------------------------------------------------------------------------------------------


def test_a_leader_is_told_from_some():
    noise = (0.0, 0.001, 0.003)
    values = {"best": (0.99, 0.991, 0.992), "near": [0.99 - each for each in noise], "far": [0.8 + e for e in noise]}
    records = [
        record(method, seed, scores={"accuracy": score}, readings={"total_macs": cost})
        for cost, (method, scores) in enumerate(values.items(), 1)
        for seed, score in enumerate(scores)
    ]
    table, metrics = table_of(records)
    lead = leaders.find_lead(table, "accuracy", metrics)
    assert (lead.row.method, lead.next.method) == ("best", "near")
    assert [row.method for row in lead.alike] == ["near"]
    assert [row.method for row in lead.apart] == ["far"]
    counts = leaders.find_lead(table, "total_macs", metrics)
    assert counts.exact
    assert counts.row.method == "best"
    assert len(counts.apart) == 2


def test_one_seed_tells_nothing_apart():
    table, metrics = table_of([record("a", scores={"accuracy": 0.9}), record("b", scores={"accuracy": 0.8})])
    lead = leaders.find_lead(table, "accuracy", metrics)
    assert [row.method for row in lead.alike] == ["b"]
    assert leaders.find_lead(table_of([record(scores={"accuracy": 1.0})])[0], "accuracy", metrics) is None


# --- commands -----------------------------------------------------------------------------------------------------


def test_the_command_of_a_row_has_every_term():
    records = [record("saf[steps=4]", seed, budget=Budget("epochs", 8)) for seed in (0, 1)]
    table, _ = table_of(records)
    expected = "harness run --methods saf[steps=4] --datasets digits --seeds 2 --epochs 8 --batch-size 128"
    expected += " --device cpu --precision fp32 --threads 1"
    assert shlex.split(again.write_row_command(table.rows[0])) == expected.split()
    assert "'saf[steps=4]'" in again.write_row_command(table.rows[0])


def test_the_command_of_a_table_names_all_methods_and_rare_terms():
    first = record("a", 3)
    terms = dataclasses.replace(first.trial.terms, deterministic=True, patience=2, budget=Budget("seconds", 0.5))
    first = dataclasses.replace(first, trial=dataclasses.replace(first.trial, terms=terms))
    second = dataclasses.replace(first, trial=dataclasses.replace(record("b", 5).trial, terms=terms))
    words = shlex.split(again.write_table_command(table_of([first, second])[0]))
    assert words[words.index("--methods") + 1] == "a,b"
    assert words[words.index("--seeds") + 1] == "[3,5]"
    assert words[words.index("--seconds") + 1] == "0.5"
    assert "--deterministic" in words
    assert words[words.index("--patience") + 1] == "2"
