"""Trials one by one, as CSV and JSON: what is exact, what is empty, what a spreadsheet must not compute."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest
from example_records import METRICS, comparison, record

from harness import UsageError
from harness.report import render, render_trials, summarise


def lines(records, curves=False, **asked):
    return list(csv.DictReader(io.StringIO(render_trials(summarise(records, METRICS, **asked), "csv", curves))))


def trials(records, curves=False):
    return json.loads(render_trials(summarise(records, METRICS), "json", curves))["trials"]


def test_a_line_per_trial_whatever_became_of_it():
    found = lines(comparison())
    assert [(row["method"], row["seed"]) for row in found] == [
        (method, str(seed)) for method in ("saf", "ottt", "bptt") for seed in range(3)
    ]
    last = found[-1]
    assert (last["status"], last["reason"], last["accuracy"], last["key"]) == (
        "timeout",
        "after 60 s",
        "",
        "bptt-digits-2",
    )
    assert (last["budget"], last["batch_size"], last["device"], last["threads"]) == ("10 epochs", "128", "cpu", "1")


def test_numbers_are_exact_and_what_is_not_finite_is_empty():
    scores = {"accuracy": 1 / 3, "nll": math.inf, "brier": math.nan}
    (found,) = lines([record(scores=scores, readings={"update_seconds": 1e-9})])
    assert float(found["accuracy"]) == 1 / 3
    assert float(found["update_seconds"]) == 1e-9
    assert (found["nll"], found["brier"]) == ("", "")
    (same,) = trials([record(scores=scores)])
    assert same["scores"] == {"accuracy": 1 / 3, "nll": None, "brier": None}


def test_options_are_columns():
    rows = [record("saf", options={"steps": 4, "sizes": [1, 2]}), record("ottt", options={"wide": False, "rate": None})]
    first, second = lines(rows)
    assert (first["option.steps"], first["option.sizes"], first["option.wide"]) == ("4", "(1,2)", "")
    assert (second["option.steps"], second["option.wide"], second["option.rate"]) == ("", "False", "none")
    assert [each["options"] for each in trials(rows)] == [{"steps": 4, "sizes": [1, 2]}, {"wide": False, "rate": None}]


def test_chosen_metrics_are_the_columns():
    (found, *_) = lines(comparison(), columns=["nll"])
    assert "nll" in found
    assert "accuracy" not in found


def test_a_reading_that_is_called_like_a_column_has_another_name():
    readings = {"seed": 7.0}
    metric = type(METRICS[0])("seed", "", "", "neither")
    text = render_trials(summarise([record(seed=3, readings=readings)], [metric]), "csv")
    (found,) = csv.DictReader(io.StringIO(text))
    assert (found["seed"], found["value.seed"]) == ("3", "7.0")


def test_what_was_taken_over_is_named():
    over = {"costs": {"readings": ["forward_macs"], "seeds": [0]}}
    rows = [record(seed=0, readings={"forward_macs": 5}), record(seed=1, readings={"forward_macs": 5})]
    rows[1] = type(rows[1])(**{**vars(rows[1]), "provenance": {"carried_over": over}})
    assert [(row["forward_macs"], row["carried_over"]) for row in lines(rows)] == [("5.0", ""), ("5.0", "forward_macs")]
    assert [each["carried_over"] for each in trials(rows)] == [[], ["forward_macs"]]


def test_curves_are_long_in_csv_and_nested_in_json():
    rows = [record(valid=[0.5, 0.75]), record("ottt", status="oom")]
    found = lines(rows, curves=True)
    assert [(row["update"], row["quantity"], row["value"]) for row in found] == [
        ("0", "loss", "1.0"),
        ("0", "accuracy@valid", "0.5"),
        ("10", "loss", "1.0"),
        ("10", "accuracy@valid", "0.75"),
    ]
    curve, nothing = (each["curve"] for each in trials(rows, curves=True))
    assert [point["valid"] for point in curve] == [{"accuracy": 0.5}, {"accuracy": 0.75}]
    assert nothing == []
    assert "curve" not in trials(rows)[0]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", '=HYPERLINK("http://a.b")'])
def test_a_spreadsheet_computes_no_text(text):
    rows = [record(text, status="failed", reason=text, options={"x": text})]
    (found,) = lines(rows)
    assert [found[name] for name in ("method", "reason", "option.x")] == [f"'{text}"] * 3
    (found,) = csv.DictReader(io.StringIO(render(summarise([record(text, scores={"accuracy": -0.5})], METRICS), "csv")))
    assert (found["method"], found["mean"]) == (f"'{text}", "-0.5")
    assert trials(rows)[0]["method"] == text


def test_another_format_is_refused():
    with pytest.raises(UsageError, match="not text; formats: csv, json"):
        render_trials(summarise(comparison(), METRICS), "text")
