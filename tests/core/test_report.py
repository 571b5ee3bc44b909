"""From records to tables: what is averaged, what is not, and what is said of it."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import re

import pytest
from example_records import METRICS, comparison, record

from harness import Budget, UsageError
from harness.report import FORMATS, render, render_record, summarise
from harness.report.formats.one_record import draw_sparkline
from harness.report.formats.tex import escape_name
from harness.report.rows.table import Cell
from harness.report.wording.numbers import format_ratio, scale
from harness.types import Metric

SECONDS = Metric("update_seconds", "", "s", "lower")
BYTES = Metric("activation_bytes", "", "bytes", "lower")
COUNT = Metric("parameters", "", "", "lower")
SCORE = Metric("accuracy", "", "", "higher", compute="somewhere:accuracy")


def rows(records, **asked):
    return [row for table in summarise(records, METRICS, **asked).tables for row in table.rows]


def cell(records, name, **asked):
    """The cell of the only row."""
    (row,) = rows(records, **asked)
    return row.cells[name]


def accuracies(*values: float, method: str = "saf", **others):
    return [record(method, seed, scores={"accuracy": value}, **others) for seed, value in enumerate(values)]


# --- rows ---------------------------------------------------------------------------------------------------------


def test_mean_and_deviation_over_seeds():
    found = cell(accuracies(0.9, 0.92, 0.94), "accuracy")
    assert (found.mean, found.sd, found.n) == (pytest.approx(0.92), pytest.approx(0.02), 3)
    assert found.hole == ""


def test_a_cell_knows_its_values_by_seed_and_the_interval_of_their_mean():
    found = cell(accuracies(0.9, 0.92, 0.94), "accuracy")
    assert found.values == {0: 0.9, 1: 0.92, 2: 0.94}
    assert found.interval == pytest.approx((0.92 - 4.302653 * 0.02 / 3**0.5, 0.92 + 4.302653 * 0.02 / 3**0.5))
    assert cell(accuracies(0.9), "accuracy").interval is cell(accuracies(0.9, 0.9), "accuracy").interval is None


def test_a_row_knows_the_record_of_each_seed_whatever_became_of_it():
    (row,) = rows([*accuracies(0.9), *accuracies(0.8), record(seed=1, status="oom")])
    assert [(each.trial.seed, each.status, each.scores.get("accuracy")) for each in row.records] == [
        (0, "ok", 0.8),
        (1, "oom", None),
    ]


def test_rows_keep_the_order_of_first_appearance():
    records = [record(m, s, d) for s in range(2) for d in ("b", "a") for m in ("z", "y")]
    tables = summarise(records, METRICS).tables
    assert [(table.dataset, [row.method for row in table.rows]) for table in tables] == [
        ("b", ["z", "y"]),
        ("a", ["z", "y"]),
    ]


def test_parameters_make_another_row():
    found = rows([*accuracies(0.9), *accuracies(0.8, method="saf[steps=4]")])
    assert [row.method for row in found] == ["saf", "saf[steps=4]"]


def test_only_ok_trials_count_and_every_status_is_counted():
    lost = [
        record(seed=2, status="timeout", reason="after 60 s", scores={"accuracy": 0.1}),
        record(seed=3, status="failed", reason="RuntimeError: boom\nmore"),
        record(seed=4, status="failed", reason="RuntimeError: boom"),
        record(seed=5, status="oom"),
    ]
    (row,) = rows([*accuracies(0.9, 0.92), *lost])
    assert row.n == 2
    assert row.cells["accuracy"].mean == pytest.approx(0.91)
    assert row.statuses == {"ok": 2, "timeout": 1, "failed": 2, "oom": 1}
    assert row.failures == (
        "saf seed 2: timeout after 60 s",
        "saf seeds 3, 4: failed: RuntimeError: boom",
        "saf seed 5: oom",
    )


def test_the_last_record_of_a_seed_counts():
    """Two GPUs of one machine are one device, so one seed may have two records."""
    assert cell([*accuracies(0.5, device="cuda:0"), *accuracies(0.9, device="cuda:1")], "accuracy").mean == 0.9


@pytest.mark.parametrize(
    "change",
    [{"budget": Budget("epochs", 20)}, {"budget": Budget("updates", 10)}, {"device": "cuda"}, {"threads": 2}],
    ids=str,
)
def test_different_protocols_are_never_averaged_or_compared(change):
    first, second = summarise([*accuracies(0.9), *accuracies(0.5, **change)], METRICS).tables
    assert first.protocol != second.protocol
    assert [first.rows[0].cells["accuracy"].mean, second.rows[0].cells["accuracy"].mean] == [0.9, 0.5]
    assert not first.rows[0].cells["accuracy"].best
    assert first.rows[0].cells["accuracy"].relative is None


def test_a_value_that_is_no_number_is_a_hole_not_a_zero():
    found = cell(accuracies(0.9, math.nan, 0.94), "accuracy")
    assert (found.mean, found.n) == (pytest.approx(0.92), 2)
    assert found.hole == "not a finite number (seed 1)"


@pytest.mark.parametrize("number", [math.inf, -math.inf, 10**400])
def test_a_number_beyond_the_range_is_a_hole_too(number):
    found = summarise([record(readings={"activation_bytes": number})], METRICS)
    assert found.tables[0].rows[0].cells["activation_bytes"].hole == "not a finite number"
    assert "activation_bytes" in render_record(record(readings={"activation_bytes": number}), METRICS)


def test_numbers_at_the_edge_of_the_range_do_not_stop_the_report():
    huge = [record("a", readings={"train_seconds": 1e-300}), record("b", readings={"train_seconds": 1e308})]
    summary = summarise(huge, METRICS, columns=["train_seconds"])
    assert all("b" in render(summary, name) for name in FORMATS)
    assert summary.tables[0].rows[1].cells["train_seconds"].relative is None


def test_holes_have_their_reason():
    measured = record(readings={"activation_bytes": 5})
    failed = record(seed=1, holes={"activation_bytes": "RuntimeError: no storage"})
    assert cell([measured, failed], "activation_bytes").hole == "RuntimeError: no storage (seed 1)"
    assert cell([failed], "activation_bytes").hole == "RuntimeError: no storage"
    assert cell([measured], "forward_macs", columns=["forward_macs"]).hole == "not measured"
    assert cell([measured], "rmse", columns=["rmse"]).hole == "nothing to score here, a metric for regression"
    for name in ("accuracy@start", "base_agreement"):
        assert cell([measured], name, columns=[name]).hole == "it starts from no trained network"


def test_numbers_come_from_scores_readings_phases_and_facts():
    found = record(
        scores={"accuracy@best": 0.9},
        readings={"train_seconds": 2.0},
        seconds={"prepare": 3.0},
        facts={"parameters": 4},
    )
    (row,) = rows([found])
    assert {name: entry.mean for name, entry in row.cells.items()} == {
        "accuracy@best": 0.9,
        "train_seconds": 2.0,
        "prepare_seconds": 3.0,
        "total_seconds": 3.0,
        "total_with_base_seconds": 3.0,
        "parameters": 4.0,
    }


def test_the_total_time_is_told_with_and_without_that_of_what_a_method_starts_from():
    base = record("base", seconds={"init": 1.0, "train": 10.0, "evaluate": 100.0})
    pruned = record("pruned", seconds={"prepare": 2.0, "train": 3.0})
    pruned = dataclasses.replace(pruned, trial=dataclasses.replace(pruned.trial, base=base.trial))
    cells = [row.cells for row in rows([base, pruned])]
    assert [each["total_seconds"].mean for each in cells] == [11.0, 5.0]
    assert [each["total_with_base_seconds"].mean for each in cells] == [11.0, 16.0]
    alone = cell([pruned], "total_with_base_seconds")
    assert (alone.mean, alone.hole) == (None, "no record of base, which it starts from, that ended ok")


def test_what_the_harness_measured_goes_before_what_an_instrument_says_it_read():
    (row,) = rows([record(measured={"update_seconds": 0.5}, readings={"update_seconds": 1e-12})])
    assert row.cells["update_seconds"].mean == 0.5
    (older,) = rows([record(readings={"update_seconds": 0.25})])
    assert older.cells["update_seconds"].mean == 0.25


def test_the_harness_warns_below_the_table_as_instruments_do_in_older_records_too():
    for said in ({"warnings": {"finish": "finish took long"}}, {"measured": {"finish_warning": "finish took long"}}):
        assert notes(record(**said)) == ("finish took long (saf seed 0)",)


def test_a_measurement_goes_before_a_claim_and_a_claim_is_called_one():
    measured = summarise([record(readings={"parameters": 10}, facts={"parameters": 4})], METRICS)
    claimed = summarise([record(facts={"parameters": 4})], METRICS)
    attempted = summarise([record(facts={"parameters": 4}, holes={"parameters": "no save"})], METRICS)
    assert measured.tables[0].rows[0].cells["parameters"].mean == 10
    assert measured.notes == ()
    assert claimed.notes == ("parameters: stated by the method, not measured (saf)",)
    assert attempted.tables[0].rows[0].cells["parameters"].hole == "no save"


def test_costs_are_set_against_the_first_method_scores_are_not():
    saf, ottt, bptt = rows(comparison())
    assert [row.cells["forward_macs"].relative for row in (saf, ottt, bptt)] == pytest.approx([1, 1.6, 2.1])
    assert ottt.cells["accuracy"].relative is None
    assert bptt.cells["activation_bytes"].relative is None


def test_the_headline_score_is_set_against_the_first_row_seed_by_seed():
    """The seeds differ by tenths, the methods by hundredths: the deviations of the rows hide what the pairs show."""
    records = [*accuracies(0.5, 0.7, 0.9), *accuracies(0.51, 0.72, 0.91, 0.1, method="ottt")]
    records += accuracies(0.4, method="bptt")
    first, second, third = rows(records)
    assert (first.against, third.against) == (None, None)
    assert (second.against.method, second.against.metric) == ("saf", "accuracy")
    mean, sd, n, low, high = second.against.difference
    half = 4.302653 * sd / math.sqrt(3)  # Student's t with two degrees of freedom
    assert (mean, sd, n) == (pytest.approx(0.04 / 3), pytest.approx(0.01 / math.sqrt(3)), 3)
    assert (low, high) == (pytest.approx(mean - half), pytest.approx(mean + half))
    shown = render(summarise(records, METRICS), "text", 80)
    assert re.search(r"^ +accuracy less that of saf, paired by seed \(95 % interval\):$", shown, re.MULTILINE)
    assert re.search(r"^ +ottt +\+0\.013 \(-0\.001 to \+0\.028\), n=3, over seeds 0, 1, 2 alone$", shown, re.MULTILINE)
    _, row, other = json.loads(render(summarise(records, METRICS), "json"))["rows"]
    assert (row["difference"]["against"], row["difference"]["metric"], row["difference"]["n"]) == ("saf", "accuracy", 3)
    assert row["difference"]["low"] == pytest.approx(low)
    assert other["difference"] is None


def test_a_difference_is_of_what_ended_ok_and_of_a_column_that_is_shown():
    failed = [record("ottt", seed, status="failed", scores={"accuracy": 0.1}) for seed in (0, 1)]
    records = [*accuracies(0.5, 0.7, 0.9), *accuracies(0.5, 0.7, 0.9, method="ottt"), *failed]
    assert rows(records)[1].against is None
    equal = [*accuracies(0.5, 0.7, 0.9), *accuracies(0.5, 0.7, 0.9, method="ottt")]
    assert "ottt  0, equal in all 3 seeds" in render(summarise(equal, METRICS), "text", 80)
    assert "less that of" not in render(summarise(equal, METRICS, columns=["nll"]), "text", 80)


def test_the_best_by_the_metrics_own_direction():
    saf, ottt, bptt = rows(comparison())
    assert [row.cells["accuracy"].best for row in (saf, ottt, bptt)] == [False, True, False]
    assert [row.cells["brier"].best for row in (saf, ottt, bptt)] == [True, False, False]
    assert not any(row.cells["ece"].best for row in (saf, ottt, bptt)), "all agree, none is best"


def test_a_mean_over_fewer_trials_than_its_row_is_never_the_best():
    found = rows(
        [
            *accuracies(0.9, 0.9),
            *accuracies(0.8, 0.8, method="worse"),
            *accuracies(0.99, math.nan, method="lucky"),
        ]
    )
    assert [row.cells["accuracy"].best for row in found] == [True, False, False]


def test_seconds_to_target_is_the_first_point_at_or_above():
    found = cell([record(valid=[0.1, 0.94, 0.95, 0.93, 0.99])], "seconds_to_target", target=0.95)
    assert found.mean == 2.0


def test_a_target_that_was_not_reached_is_a_hole():
    records = [record(seed=0, valid=[0.1, 0.96]), record(seed=1, valid=[0.1, 0.93]), record(seed=2)]
    found = cell(records, "seconds_to_target", target=0.95)
    assert (found.mean, found.n) == (1.0, 1)
    assert found.hole == (
        "validation accuracy 0.95 not reached, 0.93 at best (seed 1); no validation accuracy on the curve (seed 2)"
    )


def test_what_starts_from_a_trained_network_has_no_time_to_a_target():
    base, own = record("dense", valid=[0.1, 0.95]), record("a", valid=[0.96, 0.97])
    own = dataclasses.replace(own, trial=dataclasses.replace(own.trial, base=base.trial))
    found = [row.cells["seconds_to_target"] for row in summarise([base, own], METRICS, target=0.95).tables[0].rows]
    assert found[0].mean is not None
    assert (found[1].mean, found[1].hole) == (
        None,
        "it starts from a trained network, whose time would be no part of this",
    )


def test_a_target_for_a_loss_is_reached_from_above():
    falling = record(valid=[0.1])
    points = tuple(falling.curve[0]._replace(seconds=float(s), valid={"rmse": 3.0 - s}) for s in range(3))
    found = cell([dataclasses.replace(falling, curve=points)], "seconds_to_target", target=2.0)
    assert found.mean == 1.0


# --- notes --------------------------------------------------------------------------------------------------------


def notes(*records):
    return summarise(records, METRICS).notes


def test_parallel_workers_are_told():
    assert notes(record(environment={"workers": 4})) == (
        "timings taken with 4 workers at once: they disturb each other",
    )
    assert notes(record(environment={"workers": 1})) == ()


def test_different_environments_are_told_the_load_is_not():
    """Differences that change no score, such as the number of cores, are told of times alone."""
    same = {"gpu": {"name": "A"}}
    here = record("saf", environment={"torch": "2.8", "load": [0.1], "temperature": 50.5, "cores": 2, **same})
    there = record("ottt", environment={"torch": "2.9", "load": [1.3], "temperature": 80.1, "cores": 4, **same})
    assert notes(here, there) == (
        "scores and times are of different environments: torch 2.8 (saf); 2.9 (ottt)",
        "times are of different environments: cores 2 (saf); 4 (ottt)",
    )


def test_different_seeds_are_told():
    assert notes(record("saf", 0), record("saf", 1), record("ottt", 1)) == (
        "rows that lack seeds are never the best and have no ratio but of counts: ottt 0",
        "means are over different seeds: saf 0, 1; ottt 1",
    )


def test_a_default_that_has_changed_is_told():
    (note,) = notes(record("saf", 0, options={"steps": 4}), record("saf", 1, options={"steps": 6}))
    assert note == "saf: records with different defaults, steps = 4 (saf seed 0) and 6 (saf seed 1)"


def test_a_whole_instrument_that_failed_is_told():
    assert notes(record(holes={"memory": "RuntimeError: no"})) == ("memory: RuntimeError: no (saf)",)


def test_scores_of_an_absent_plugin_are_told():
    assert notes(record(scores={"charm@best": 1.0})) == (
        "scores that no installed plugin describes are left out: charm",
    )


def test_a_metric_whose_source_has_changed_between_records_is_told():
    sources = {"saf": {"mine": "1", "other": "1"}, "ottt": {"mine": "2", "other": "1"}, "bptt": {"mine": "1"}}
    records = [record(name, seed, provenance={"measured_by": by}) for name, by in sources.items() for seed in (0, 1)]
    records += [record("old"), record("odd", provenance={"measured_by": "somebody"})]
    (note,) = [note for note in summarise(records, METRICS).notes if "source" in note]
    assert note == "what mine measures is of different versions of its source: saf, bptt; ottt"


def test_a_step_that_is_not_the_one_that_is_profiled_is_told():
    steps = {
        "saf": {"kernels": "triton", "captured": True},
        "saf[steps=8]": {"kernels": "triton", "captured": True},
        "ottt": {"kernels": "eager", "captured": True},
        "bptt": {"kernels": "eager", "captured": False},
        "dense": {"kernels": 3, "captured": "perhaps"},
    }
    records = [record(method, seed, facts=facts) for method, facts in steps.items() for seed in range(2)]
    records.append(record("spiky", status="failed", facts={"captured": True}))
    (note,) = [note for note in summarise(records, METRICS).notes if "eager" in note]
    assert note == (
        "readings of memory and operations are of the eager step, times are not: "
        "saf, saf[steps=8] by triton kernels, a captured graph; ottt by a captured graph"
    )
    eager = [record("bptt", facts={"kernels": "eager", "captured": False}), record("plain")]
    assert "eager" not in " ".join(summarise(eager, METRICS).notes)


def test_a_note_repeats_what_an_instrument_warns_of():
    warned = record(readings={"gpu_warning": "the GPU was shared", "gpu_foreign_processes": 1})
    assert notes(warned, record("ottt", readings={"gpu_warning": "the GPU was shared"}), record("bptt")) == (
        "the GPU was shared (saf seed 0, ottt seed 0)",
    )


# --- numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "metric, means, deviation, expected",
    [
        (SECONDS, [0.00251, 0.0041], 0.00003, ["2.510 ms", "4.100 ms"]),
        (SECONDS, [3.2e-8], None, ["32 ns"]),
        (SECONDS, [5400.0], None, ["5400 s"]),
        (BYTES, [1_150_000, 6_100_000], None, ["1.150 MB", "6.100 MB"]),
        (BYTES, [3_000_000_000], None, ["3 GB"]),
        (BYTES, [12], None, ["12 B"]),
        (COUNT, [4810], None, ["4810"]),
        (COUNT, [272_000], None, ["272 k"]),
        (COUNT, [0.125], None, ["0.1250"]),
        (COUNT, [0], None, ["0"]),
        (SCORE, [0.98524, 0.9], 0.0021, ["0.9852", "0.9000"]),
        (SCORE, [0.98524], None, ["0.9852"]),
        (SCORE, [123456.7], None, ["123457"]),
        (SCORE, [1.5e9], 1e8, ["1.5e+09"]),
        (SCORE, [1e-7], 1e-8, ["1e-07"]),
    ],
)
def test_numbers_read_well(metric, means, deviation, expected):
    chosen = scale([Cell(mean, deviation, 3) for mean in means], metric)
    assert [f"{chosen.format(mean)} {chosen.unit}".strip() for mean in means] == expected


@pytest.mark.parametrize("value, shown", [(1, "1.00x"), (0.614, "0.61x"), (0.01234, "0.012x"), (12.34, "12.3x")])
def test_ratios_read_well(value, shown):
    assert format_ratio(value) == shown


def test_sparkline():
    assert draw_sparkline([0, 0.5, 1, math.nan]) == "▁▅█ "
    assert draw_sparkline([0.3, 0.3]) == "▁▁"
    assert draw_sparkline([0.1, 0.9, 0.92, 0.94, 0.95]) == "▁▁▄▇█", "the beginning flattens nothing"
    assert draw_sparkline([]) == ""


# --- formats ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 100, 140])
def test_the_terminal_table_keeps_to_its_width(width):
    shown = render(summarise(comparison(), METRICS), "text", width)
    assert max(map(len, shown.splitlines())) <= width
    assert "\x1b" not in shown
    assert "…" not in shown
    for name in ("accuracy", "nll", "brier", "ece", "update_seconds", "activation_bytes", "forward_macs", "total_macs"):
        assert len(re.findall(rf"\b{name} [↑↓]", shown)) == 1
    # The final score first, the one at the best point of the validation curve beside it, and no other view.
    assert shown.index("accuracy ") < shown.index("accuracy@best") < shown.index("brier")
    assert "accuracy@valid" not in shown


def test_the_terminal_table_says_what_matters():
    shown = render(summarise(comparison(), METRICS), "text", 140)
    assert re.search(r"saf +3 +0\.9820 ± 0\.0010 ", shown)
    assert re.search(r"ottt +3 +0\.9826 ± 0\.0010\* ", shown)
    assert re.search(r"2\.51\d* ± 0\.010\*? +1\.00x", shown)
    assert re.search(r"18\.56 ± 0 +1\.60x", shown)
    assert re.search(r"bptt .* - \[1\]", shown)
    assert "[1] RuntimeError: no storage" in shown
    assert "bptt seed 2: timeout after 60 s" in shown
    assert "10 epochs, batch 128, cpu, fp32, 1 thread" in shown
    assert re.search(r"mean ± standard deviation over n seeds; \*: best; x: relative to saf", shown)


def test_colours_mark_the_best_instead_of_a_star():
    shown = render(summarise(comparison(), METRICS), "text", 100, colour=True)
    assert "\x1b[1;32m0.9826 ± 0.0010\x1b[0m" in shown
    assert "*" not in shown


@pytest.mark.parametrize("name", FORMATS)
def test_brackets_in_a_label_are_no_markup(name):
    """rich, Markdown and LaTeX all have their own idea of brackets, stars, bars and underscores."""
    label = "my_method[path=a|b*c,size=[1,2],bold=yes]"
    shown = render(summarise(accuracies(0.9, 0.91, method=label, dataset="data_set[n=5]"), METRICS), name, 200)
    expected = {"latex": escape_name(label), "markdown": label.replace("|", r"\|")}.get(name, label)
    assert expected in (
        shown if name != "csv" else "\n".join(",".join(line) for line in csv.reader(io.StringIO(shown)))
    )


def test_a_long_label_is_folded_at_its_commas():
    label = "saf[variant=final,steps=4,update=online]"
    shown = render(summarise([*comparison(), *accuracies(0.9, 0.8, 0.7, method=label)], METRICS), "text", 100)
    assert re.search(r"^saf\[variant=final, .*\n  steps=4,update=online\]$", shown, re.MULTILINE)


def test_a_method_without_an_ok_trial_keeps_its_row():
    skipped = record("other", status="skipped", reason="other takes language, digits is classification")
    shown = render(summarise([*comparison(), skipped], METRICS), "text", 100)
    assert re.search(r"^other +0/1 +- ", shown, re.MULTILINE)
    assert "other seed 0: skipped: other takes language, digits is classification" in shown


def test_nothing_but_failures():
    summary = summarise([record(status="killed", reason="signal 9")], METRICS)
    for name in FORMATS:
        if name != "csv":  # one line per metric, and there is none
            assert "saf seed 0: killed: signal 9" in render(summary, name)


def test_markdown():
    shown = render(summarise(comparison(), METRICS, columns=["accuracy", "forward_macs"]), "markdown")
    assert [re.sub(r"[ -]+", " ", line) for line in shown.splitlines()] == [
        "### `digits`",
        "",
        "10 epochs, batch 128, cpu, fp32, 1 thread",
        "",
        "| method | n | accuracy ↑ | forward_macs [M MACs] ↓ |",
        "|: | :| :| :|",
        "| `saf` | 3 | 0.9820 ± 0.0010 | **11.60 ± 0** (1.00x) |",
        "| `ottt` | 3 | **0.9826 ± 0.0010** | 18.56 ± 0 (1.60x) |",
        "| `bptt` | 2/3 | 0.9826 ± 0.0007 | 24.36 ± 0 (2.10x) |",
        "",
        " accuracy less that of saf, paired by seed (95 % interval): ottt +0.0006, equal in all 3 seeds",
        " accuracy less that of saf, paired by seed (95 % interval): bptt +0.0011, equal in all 2 seeds, "
        "over seeds 0, 1 alone",
        " bptt seed 2: timeout after 60 s",
        "",
        " rows that lack seeds are never the best and have no ratio but of counts: bptt 2",
        " means are over different seeds: saf 0, 1, 2; ottt 0, 1, 2; bptt 0, 1",
    ]


def test_latex_is_booktabs_with_names_escaped_and_mathematics_not():
    shown = render(summarise(comparison(), METRICS, columns=["accuracy", "forward_macs"]), "latex")
    for expected in (r"\toprule", r"\midrule", r"\bottomrule", r"forward\_macs", r"\textbf{0.9826 $\pm$ 0.0010}"):
        assert expected in shown
    assert shown.count("{") == shown.count("}")
    assert not re.search("[\x02\x03±↑↓µ]", "\n".join(line for line in shown.splitlines() if not line.startswith("%")))
    body = [line for line in shown.splitlines() if line.endswith(r"\\")]
    assert {line.count(" & ") for line in body} == {3}


def test_csv_is_long_and_unrounded():
    lines = list(csv.DictReader(io.StringIO(render(summarise(comparison(), METRICS), "csv"))))
    assert list(lines[0])[:8] == ["method", "dataset", "metric", "mean", "sd", "n", "unit", "better"]
    by_place = {(line["method"], line["metric"]): line for line in lines}
    update = by_place["ottt", "update_seconds"]
    assert (float(update["mean"]), update["n"], update["unit"]) == (pytest.approx(0.00401), "3", "s")
    assert by_place["bptt", "activation_bytes"]["mean"] == ""
    assert by_place["saf", "accuracy@best"]["sd"] == "0.0"


def test_json_is_what_other_tools_read():
    found = json.loads(render(summarise(comparison(), METRICS), "json"), parse_constant=pytest.fail)
    assert (found["schema"], found["claims"]) == (1, [])
    saf, _, bptt = found["rows"]
    assert {"method": "saf", "dataset": "digits", "n": 3, "statuses": {"ok": 3}}.items() <= saf.items()
    assert saf["metrics"]["forward_macs"] == {
        "mean": 11.6e6,
        "sd": 0.0,
        "n": 3,
        "unit": "MACs",
        "better": "lower",
        "exact": True,
    }
    assert bptt["metrics"]["activation_bytes"]["mean"] is None
    assert bptt["holes"] == {"activation_bytes": "RuntimeError: no storage"}
    assert bptt["statuses"] == {"ok": 2, "timeout": 1}


def test_json_of_one_trial_has_no_deviation_and_no_nan():
    found = json.loads(render(summarise(accuracies(math.nan), METRICS), "json"), parse_constant=pytest.fail)
    assert found["rows"][0]["metrics"]["accuracy"] == {
        "mean": None,
        "sd": None,
        "n": 0,
        "unit": "",
        "better": "higher",
    }


def test_an_unknown_format():
    with pytest.raises(UsageError, match=r"'markdwon'; did you mean 'markdown'"):
        render(summarise(comparison(), METRICS), "markdwon")


# --- one record ---------------------------------------------------------------------------------------------------


def test_show_leaves_nothing_out():
    full = record(
        "saf[steps=4]",
        options={"steps": 4, "variant": "every"},
        status="failed",
        reason="RuntimeError: boom",
        scores={"accuracy@training-forward": 0.97, "accuracy": 0.98, "charm": 2.0},
        readings={"update_seconds": 0.0025, "uncovered": ["aten::x"], "depth": {"deep": 3}, "warmup_seconds": 1.5},
        seconds={"load": 0.5},
        valid=[0.1, 0.5, 0.9],
        holes={"energy": "no GPU"},
        facts={"neurons": 64},
        environment={"torch": "2.13", "gpu": {"name": "none"}},
        provenance={"method": {"version": "1.0"}},
        traceback="Traceback [most recent]\n  boom",
        finished="2026-01-01",
    )
    shown = render_record(full, METRICS, 100)
    for expected in (
        "saf[steps=4] on digits, seed 0: failed",
        "RuntimeError: boom",
        "variant  every",
        r"accuracy@training-forward  0.9700",
        "2.500 ms per update",
        "warmup_seconds  1.500 s",
        "charm  ",
        "['aten::x']",
        "depth.deep",
        "load  500 ms",
        "▁▅█",
        "energy  no GPU",
        "neurons  64",
        "gpu.name  none",
        "method.version  1.0",
        "Traceback [most recent]",
    ):
        assert expected in shown
    assert "\x1b" not in shown
    assert shown.index("accuracy  ") < shown.index("accuracy@training-forward") < shown.index("charm")


def test_show_of_a_trial_that_never_began():
    shown = render_record(record(status="skipped", reason="takes language"), METRICS)
    assert "digits, seed 0: skipped" in shown
    assert "takes language" in shown
    assert "scores" not in shown
