"""`harness compare`: who is told apart from whom, by which test, and what is said where none can decide."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from example_records import METRICS, record
from scipy import stats

from harness import cli
from harness.records.store import Store
from harness.report import summarise
from harness.report.rows.versus import compare_table

ROWS = {"rows": {"train": 1000, "valid": 300, "test": 400}}


def records_of(scores: dict[str, list[float]], **others):
    """Of each method, an accuracy for each seed."""
    return [
        record(method, seed, scores={"accuracy": value}, measured=ROWS, key=f"{method}{seed}", **others)
        for seed in range(max(map(len, scores.values())))
        for method, values in scores.items()
        for value in values[seed : seed + 1]
    ]


def compared(scores: dict[str, list[float]], **asked):
    summary = summarise(records_of(scores), METRICS)
    return compare_table(summary.tables[0], summary.metrics, **asked)


def deciding(scores: dict[str, list[float]], **asked):
    return [each for each in compared(scores, **asked).found if each.decides]


SAF, NEAR, FAR = [0.90, 0.91, 0.92, 0.93], [0.901, 0.909, 0.921, 0.930], [0.80, 0.83, 0.80, 0.84]


# --- the score that decides ---------------------------------------------------------------------------------------


def test_a_pair_has_students_t_its_effect_and_its_test_rows():
    (found,) = deciding({"saf": SAF, "ottt": FAR})
    differences = np.subtract(FAR, SAF)
    assert (found.left, found.right, found.n) == ("ottt", "saf", 4)
    assert found.p_value == found.adjusted == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    assert (found.low, found.high) == pytest.approx(
        stats.t.interval(0.95, 3, differences.mean(), stats.sem(differences))
    )
    assert found.effect == pytest.approx(differences.mean() / differences.std(ddof=1) * (1 - 3 / 11))
    assert found.examples == (pytest.approx(400 * differences.mean()), 400)
    assert found.apart


def test_several_rivals_are_judged_by_holm_and_their_intervals_hold_together():
    near, far = deciding({"saf": SAF, "ottt": NEAR, "bptt": FAR})
    assert far.adjusted == pytest.approx(2 * far.p_value)
    assert near.adjusted == pytest.approx(near.p_value)
    differences = np.subtract(FAR, SAF)
    assert far.low == pytest.approx(stats.t.interval(0.975, 3, differences.mean(), stats.sem(differences))[0])
    assert [near.apart, far.apart] == [False, True]


def test_all_pairs_are_compared_where_that_is_asked_for():
    found = deciding({"saf": SAF, "ottt": NEAR, "bptt": FAR}, all_pairs=True)
    assert [(each.left, each.right) for each in found] == [("ottt", "saf"), ("bptt", "saf"), ("bptt", "ottt")]


def test_sign_flips_say_nothing_where_so_few_seeds_cannot_decide():
    (few,) = deciding({"saf": [0.9] * 5, "ottt": [0.80, 0.81, 0.82, 0.83, 0.84]})
    (enough,) = deciding({"saf": [0.9] * 6, "ottt": [0.80, 0.81, 0.82, 0.83, 0.84, 0.85]})
    assert few.flipped is None
    assert enough.flipped == 2 / 2**6


def test_equal_differences_have_no_test_and_no_interval():
    (found,) = deciding({"saf": [0.90, 0.91, 0.92], "ottt": [0.85, 0.86, 0.87]})
    assert (found.p_value, found.low, found.apart) == (None, None, False)
    assert found.mean == pytest.approx(-0.05)


def test_the_seeds_that_a_difference_needs_are_those_of_the_difference_that_was_named():
    near, wanted = (deciding({"saf": SAF, "ottt": NEAR}, detect=each)[0].needed for each in (0.01, 0.0005))
    assert near is not None
    assert wanted is not None
    assert near < wanted
    assert deciding({"saf": SAF, "ottt": NEAR})[0].needed is None


def test_bca_stands_beside_from_twenty_seeds_on():
    draw = np.random.default_rng(0)
    scores = {name: draw.normal(0.9, 0.01, 20).tolist() for name in ("saf", "ottt")}
    (found,) = deciding(scores)
    assert found.bca is not None
    assert found.bca == pytest.approx((found.low, found.high), abs=0.004)
    assert deciding({name: values[:19] for name, values in scores.items()})[0].bca is None


# --- costs, and what cannot be compared ---------------------------------------------------------------------------


def costs(**seconds: list[float]):
    records = []
    for method, values in seconds.items():
        for seed, value in enumerate(values):
            readings = {"update_seconds": value, "forward_macs": 10.0 * len(method)}
            records.append(record(method, seed, scores={"accuracy": 0.9 + seed / 100}, readings=readings))
    summary = summarise(records, METRICS)
    return {each.metric: each for each in compare_table(summary.tables[0], summary.metrics).found}


def test_costs_are_ratios_by_seed_with_an_interval_of_their_logarithms():
    found = costs(saf=[1.0, 2.0, 4.0], ottt=[1.1, 2.4, 4.2])["update_seconds"]
    logs = np.log([1.1, 1.2, 1.05])
    assert found.mean == pytest.approx(math.exp(logs.mean()))
    assert (found.low, found.high) == pytest.approx(np.exp(stats.t.interval(0.95, 2, logs.mean(), stats.sem(logs))))
    assert found.is_ratio


def test_counts_are_told_apart_without_chance():
    found = costs(saf=[1.0, 1.1], ottt=[1.0, 1.1])["forward_macs"]
    assert (found.mean, found.exact, found.apart) == (pytest.approx(4 / 3), True, True)


def test_what_cannot_be_compared_says_why():
    apart = compared({"saf": SAF[:2], "ottt": []})
    assert apart.found == ()
    records = [*records_of({"saf": SAF}), record("ottt", 9, scores={"accuracy": 0.9})]
    summary = summarise(records, METRICS)
    (found,) = (each for each in compare_table(summary.tables[0], summary.metrics).found if each.decides)
    assert found.reason == "no seed in common"


# --- the command --------------------------------------------------------------------------------------------------


@pytest.fixture
def harness(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    store = Store(tmp_path / "results")
    for each in records_of({"saf": SAF, "ottt": NEAR, "bptt": FAR}):
        store.write(each)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["compare", *arguments])
        return (code, *capsys.readouterr())

    return call


def test_the_command_says_which_score_decides_and_how(harness):
    code, out, err = harness("saf", "ottt", "bptt", "--detect", "0.001")
    assert code == 0, err
    words = " ".join(out.split())
    assert "accuracy decides: p of Student's t below 0.05, by Holm over 2 comparisons" in words
    assert "sign flips decide from 7 seeds on, and these are 4" in words
    assert "ottt - saf: not told apart" in words
    assert "bptt - saf: below" in words
    assert "what was asked for needs" in words


def test_json_has_every_pair_and_its_numbers(harness):
    code, out, _ = harness("--format", "json", "--all-pairs")
    (table,) = json.loads(out)["tables"]
    assert code == 0
    assert (table["headline"], table["comparisons"]) == ("accuracy", 3)
    apart = {frozenset((pair["left"], pair["right"])): pair["apart"] for pair in table["pairs"] if pair["decides"]}
    assert apart.pop(frozenset(("saf", "ottt"))) is False
    assert list(apart.values()) == [True, True]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("saf",), "nothing to compare: no table has two methods"),
        (("saf", "ottt", "--methods", "bptt"), "as arguments or in --methods, not in both"),
        (("saf", "nobody"), "nobody"),
        (("--format", "csv"), "--format csv: unknown"),
    ],
)
def test_mistakes_are_answered_in_a_line(harness, arguments, words):
    code, out, err = harness(*arguments)
    assert (code, out) == (2, "")
    assert words in err


# --- calibration --------------------------------------------------------------------------------------------------


def rejected(n: int, rivals: int, deviation: float, tables: int, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    """Of each simulated table, whether each rival is told apart: accuracies on 359 images, seeds that both share."""
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(tables):
        own = 340 + draw.normal(0, 3, (1, n)) + draw.normal(0, deviation / math.sqrt(2), (rivals + 1, n))
        own[1:] += shift
        right = np.clip(np.rint(own), 0, 359) / 359
        scores = {f"m{place}": row.tolist() for place, row in enumerate(right)}
        found.append([each.apart for each in deciding(scores)])
    return np.array(found)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("n", [3, 5, 10])
def test_equal_methods_are_told_apart_in_one_of_twenty_pairs(n):
    share = rejected(n, rivals=1, deviation=5.0, tables=2000).mean()
    assert 0.035 <= share <= 0.065


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("n", [3, 5, 10])
def test_of_tables_with_five_rivals_one_in_twenty_has_a_false_difference(n):
    assert rejected(n, rivals=5, deviation=5.0, tables=2000).any(axis=1).mean() <= 0.065


@pytest.mark.slow
def test_ten_seeds_find_a_shift_of_a_deviation_and_a_fifth():
    assert rejected(10, rivals=1, deviation=8.0, shift=-1.2 * 8.0, tables=500).mean() >= 0.8
