"""`harness compare` beyond means over seeds: single test examples, several data sets, what sweeps were worth."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import statistics

import numpy as np
import pytest
from example_records import METRICS, choice, record
from scipy import stats

from harness import cli
from harness.records.example_files import Examples, write_examples
from harness.records.store import Store
from harness.report import summarise
from harness.report.rows.over_datasets import compare_over_datasets
from harness.report.rows.selecting import Choosing, parse_criterion
from harness.report.rows.tuning import weigh_sweeps
from harness.report.rows.versus import compare_table
from harness.statistics.ranks import interquartile_mean
from harness.statistics.subsets import expect_best, weigh_best

N = 60
IDS = np.arange(100, 100 + N, dtype=np.uint64)


def draw_right(method: str, seed: int) -> np.ndarray:
    shares = {"saf": 0.9, "ottt": 0.7, "bptt": 0.5}
    return np.random.default_rng([ord(method[0]), seed]).random(N) < shares[method]


def example_of(method: str, seed: int, right: np.ndarray, ids=IDS) -> tuple:
    """A record with the scores of its single examples, in an order of its own."""
    order = np.random.default_rng(len(method)).permutation(N)
    kept = Examples(ids[order], {"right": right[order], "log_score": np.full(N, -0.25, "f4")})
    scores = {"accuracy": float(right.mean()), "nll": 0.25}
    data = {"data": {"test.inputs": f"i{ids[0]}", "test.targets": f"t{ids[0]}"}}
    return record(method, seed, scores=scores, key=f"{method}{seed}", provenance=data), kept


def many(methods=("saf", "ottt"), seeds=3, own_tests=False) -> list[tuple]:
    return [
        example_of(method, seed, draw_right(method, seed), IDS + np.uint64(1000 * seed if own_tests else 0))
        for seed in range(seeds)
        for method in methods
    ]


def by_example(pairs: list[tuple], **replaced):
    known = {made.trial.key: kept for made, kept in pairs} | replaced
    summary = summarise([made for made, _ in pairs], METRICS)
    return compare_table(summary.tables[0], summary.metrics, known=known).by_example


# --- single examples ----------------------------------------------------------------------------------------------


def test_mcnemar_is_exact_within_each_seed_whatever_the_order_of_the_rows():
    (found,) = by_example(many())
    assert (found.left, found.right, found.score, found.reason) == ("ottt", "saf", "accuracy", "")
    for own in found.seeds:
        ottt, saf = draw_right("ottt", own.seed), draw_right("saf", own.seed)
        alone = int((ottt & ~saf).sum()), int((saf & ~ottt).sum())
        assert (own.left_alone, own.right_alone) == alone
        assert own.p_value == pytest.approx(stats.binomtest(alone[0], sum(alone)).pvalue)
    assert [own.seed for own in found.seeds] == [0, 1, 2]


def test_where_the_test_set_is_fixed_examples_are_drawn_anew_with_and_without_the_seeds():
    (found,) = by_example(many())
    differences = np.array([draw_right("ottt", s).astype(float) - draw_right("saf", s) for s in range(3)])
    assert (found.fixed, found.n) == (True, N)
    assert found.mean == pytest.approx(differences.mean())
    wide = stats.bootstrap((differences.mean(0),), np.mean, method="percentile", random_state=0).confidence_interval
    assert found.over_examples == pytest.approx((wide.low, wide.high), abs=0.015)
    low, high = found.over_both
    assert low < found.over_examples[0] < found.mean < found.over_examples[1] < high


def test_where_each_seed_has_a_test_set_of_its_own_no_interval_is_made_of_examples():
    (found,) = by_example(many(own_tests=True))
    assert (found.fixed, found.n, found.over_examples, found.over_both) == (False, None, None, None)
    assert len(found.seeds) == 3


def test_one_seed_says_nothing_of_other_trainings():
    (found,) = by_example(many(seeds=1))
    assert (found.fixed, found.over_both) == (None, None)
    assert found.over_examples is not None
    assert len(found.seeds) == 1


def test_several_rivals_have_intervals_that_hold_together():
    found = by_example(many(("saf", "ottt", "bptt")))
    assert {each.confidence for each in found} == {0.975}


def test_repeated_rows_are_paired_by_their_count():
    ids = IDS.copy()
    ids[:3] = ids[0]
    pairs = [example_of(method, 0, draw_right(method, 0), ids) for method in ("saf", "ottt")]
    assert by_example(pairs)[0].reason == ""
    fewer = ids.copy()
    fewer[2] = 7
    other = [pairs[0], example_of("ottt", 0, draw_right("ottt", 0), fewer)]
    other[1] = (dataclasses.replace(other[1][0], provenance=pairs[0][0].provenance), other[1][1])
    assert by_example(other)[0].reason == "their test examples are not the same"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ("no scores of single test examples are kept", "saf: no scores of single test examples are kept"),
        (Examples(IDS, {"right": np.zeros(N, bool)}), "saf: its single scores are of another training"),
        (Examples(IDS, {"log_score": np.zeros(N, "f4")}), "saf: not all of its single scores are finite numbers"),
        (Examples(IDS[:0], {"right": np.zeros(0, bool)}), "saf: not all of its single scores are finite numbers"),
    ],
    ids=["none", "stale", "other", "empty"],
)
def test_seeds_without_such_scores_are_left_out_with_the_reason(found, words):
    (one,) = by_example(many(), saf1=found)
    assert one.missing == {1: words}
    assert [own.seed for own in one.seeds] == [0, 2]
    (none,) = by_example(many(seeds=1), saf0=found)
    assert (none.reason, none.mean) == (words, None)


def test_regression_is_held_against_by_squared_errors():
    draw, pairs = np.random.default_rng(0), []
    for method, scale in (("exact", 1.0), ("rough", 2.0)):
        for seed in range(2):
            squared = (draw.normal(0, scale, N) ** 2).astype("f4")
            scores = {"rmse": math.sqrt(squared.mean(dtype=float))}
            pairs.append((record(method, seed, scores=scores, key=f"{method}{seed}"), squared))
    kept = [(made, Examples(IDS, {"squared_error": squared})) for made, squared in pairs]
    (found,) = by_example(kept)
    means = [float(squared.mean(dtype=float)) for _, squared in pairs]
    assert (found.score, found.seeds) == ("mean squared error", ())
    assert found.mean == pytest.approx((means[2] + means[3] - means[0] - means[1]) / 2)


# --- over data sets -----------------------------------------------------------------------------------------------

SHARES = {  # by data set, then method: two seeds
    "digits": {"saf": [0.9, 0.92], "ottt": [0.8, 0.84], "bptt": [0.7, 0.7]},
    "mnist": {"saf": [0.95, 0.97], "ottt": [0.96, 0.98], "bptt": [0.9, 0.91]},
    "rows": {"saf": [0.6, 0.62], "ottt": [0.5, 0.5], "bptt": [0.55, 0.57]},
}


def records_over(shares=SHARES, seconds=None):
    return [
        record(
            method,
            seed,
            dataset,
            scores={"accuracy": value},
            measured={"update_seconds": (seconds or {}).get((dataset, method), 1.0)},
            key=f"{method}{dataset}{seed}",
        )
        for dataset, methods in shares.items()
        for method, values in methods.items()
        for seed, value in enumerate(values)
    ]


def over(records, **asked):
    summary = summarise(records, METRICS, columns=["accuracy", "rmse", "update_seconds"])
    return compare_over_datasets(summary.tables, summary.metrics, **asked)


def test_ranks_are_those_of_friedman_and_nemenyi():
    (found,) = over(records_over())
    means = np.array([[np.mean(values) for values in methods.values()] for methods in SHARES.values()])
    assert found.methods == ("saf", "ottt", "bptt")
    assert found.ranking.ranks == pytest.approx(stats.rankdata(-means, axis=1).mean(0))
    assert found.ranking.p_value == pytest.approx(stats.friedmanchisquare(*means.T).pvalue)
    assert found.ranking.critical_difference == pytest.approx(2.343 * math.sqrt(3 * 4 / (6 * 3)), rel=1e-3)  # Demsar
    assert list(found.headlines.values()) == ["accuracy"] * 3


def test_scores_are_scaled_on_each_data_set_before_they_are_pooled():
    (found,) = over(records_over())
    scaled = []
    for methods in SHARES.values():
        means = [statistics.fmean(values) for values in methods.values()]
        scaled += [(value - min(means)) / (max(means) - min(means)) for value in methods["saf"]]
    assert found.middle[0] == pytest.approx(interquartile_mean(scaled))
    assert found.middle[0] == pytest.approx(stats.trim_mean(scaled, 0.25), abs=0.05)


def test_the_probability_of_improvement_is_that_of_mann_and_whitney():
    (found,) = over(records_over(), all_pairs=True)
    chances = [
        stats.mannwhitneyu(methods["ottt"], methods["saf"]).statistic / len(methods["saf"]) / len(methods["ottt"])
        for methods in SHARES.values()
    ]
    known = {(left, right): chance for left, right, chance in found.improvements}
    assert known["ottt", "saf"] == pytest.approx(statistics.fmean(chances))
    assert len(known) == 3


def test_a_profile_says_on_how_many_data_sets_a_cost_is_near_the_least():
    (found,) = over(records_over(seconds={("digits", "ottt"): 1.2, ("mnist", "ottt"): 3.0, ("rows", "saf"): 1.05}))
    profile = dict(zip(found.methods, found.profiles["update_seconds"], strict=True))
    assert profile["ottt"] == pytest.approx((1 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3, 1, 1))
    assert profile["saf"][:2] == pytest.approx((2 / 3, 1))


def test_lower_is_better_where_the_headline_says_so():
    low = {dataset: {m: [1 - v for v in values] for m, values in own.items()} for dataset, own in SHARES.items()}
    records = [dataclasses.replace(each, scores={"rmse": each.scores["accuracy"]}) for each in records_over(low)]
    (found,), (expected,) = over(records), over(records_over())
    assert found.ranking == expected.ranking
    assert found.improvements == expected.improvements


def test_methods_without_all_seeds_are_left_out_and_too_few_are_not_ranked():
    four = {dataset: {**methods, "rate": [0.5, 0.4]} for dataset, methods in SHARES.items()}
    four["mnist"] = {**four["mnist"], "rate": [0.5]}
    (found,) = over(records_over(four))
    assert (found.methods, found.left_out) == (("saf", "ottt", "bptt"), ("rate",))
    assert over(records_over({"digits": SHARES["digits"]})) == []
    assert over([each for each in records_over() if each.trial.method.name != "saf"]) == []


# --- tuning -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_the_best_expected_of_k_is_the_mean_over_all_subsets(k):
    values = [9.0, 7.0, 4.0, 4.0, 1.0]
    subsets = list(itertools.combinations(values, k))
    assert expect_best(values, 5, k) == pytest.approx(statistics.fmean(map(max, subsets)))
    assert sum(weigh_best(5, k)) == pytest.approx(1)


def test_where_a_subset_may_hold_none_with_a_score_nothing_is_expected():
    assert expect_best([3.0, 1.0], 4, 2) is None
    assert expect_best([3.0, 1.0], 4, 3) == pytest.approx((3 + 3 + 3 + 1) / 4)


VALID = {0.1: [0.5, 0.9], 0.3: [0.4, 0.2], 1.0: [0.8, 0.3]}
TEST = {0.1: [0.55, 0.95], 0.3: [0.5, 0.6], 1.0: [0.75, 0.1]}


def tuned_records(method="saf", lost=()):
    made = []
    for rate, valid in VALID.items():
        for seed, value in enumerate(valid):
            label = f"{method}[rate={rate}]"
            scores = {"nll@valid": value, "nll": TEST[rate][seed], "accuracy": 0.9}
            status = "failed" if (rate, seed) in lost else "ok"
            one = record(
                label, seed, scores=scores, key=f"{label}{seed}", measured={"train_seconds": 2.0}, status=status
            )
            given = dataclasses.replace(
                choice(label, {"rate": rate}), given={"rate": rate}, sweep=((("rate",), tuple((r,) for r in VALID)),)
            )
            made.append(dataclasses.replace(one, trial=dataclasses.replace(one.trial, method=given)))
    return made


def weighed(records, jointly=False):
    (found,) = weigh_sweeps(records, Choosing(parse_criterion("nll@valid", METRICS, jointly=jointly)))
    return found


def test_each_seed_chooses_for_itself_from_every_subset():
    found = weighed(tuned_records())
    (sweep,) = found.sweeps
    assert (found.by, found.test, sweep.tried, sweep.trials, sweep.seconds, sweep.seeds) == (
        "nll@valid",
        "nll",
        3,
        6,
        12.0,
        (0, 1),
    )
    for step in sweep.curve:
        chosen = [
            min(subset, key=lambda rate, seed=seed: VALID[rate][seed])
            for seed in (0, 1)
            for subset in itertools.combinations(VALID, step.k)
        ]
        half = len(chosen) // 2
        seeds = [0] * half + [1] * half
        assert step.valid == pytest.approx(statistics.fmean(VALID[r][s] for r, s in zip(chosen, seeds, strict=True)))
        assert step.test == pytest.approx(statistics.fmean(TEST[r][s] for r, s in zip(chosen, seeds, strict=True)))


def test_a_joint_choice_is_of_means_over_seeds():
    (sweep,) = weighed(tuned_records(), jointly=True).sweeps
    means = {rate: (statistics.fmean(VALID[rate]), statistics.fmean(TEST[rate])) for rate in VALID}
    assert sweep.curve[2][1:] == pytest.approx(min(means.values()))
    assert sweep.curve[0][1:] == pytest.approx(tuple(np.mean(list(means.values()), axis=0)))


def test_what_failed_was_tried_and_has_its_price():
    (sweep,) = weighed(tuned_records(lost={(0.3, 0)})).sweeps
    assert (sweep.tried, sweep.trials) == (3, 6)
    assert sweep.curve[0].valid is None
    assert sweep.curve[2].valid == pytest.approx((0.5 + 0.2) / 2)


# --- the command --------------------------------------------------------------------------------------------------


@pytest.fixture
def harness(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(records, *arguments: str, kept=None) -> tuple[int, str, str]:
        (tmp_path / "results").mkdir(exist_ok=True)
        store = Store(tmp_path / "results")
        for second, each in enumerate(records):
            store.write(dataclasses.replace(each, finished=f"2026-01-01T00:00:{second:02d}"))
        for made, examples in kept or ():
            write_examples(store.locate_examples(made.trial.key), examples, made.provenance["data"])
        code = cli.main(["compare", *arguments])
        out, err = capsys.readouterr()
        return code, " ".join(out.split()) if "json" not in arguments else out, err

    return call


def test_the_command_reads_the_files_beside_the_records(harness):
    pairs = many()
    code, out, err = harness([made for made, _ in pairs], kept=pairs)
    assert code == 0, err
    assert "McNemar's exact p within each seed, never pooled" in out
    assert "over 60 examples drawn anew, of these trainings (95 %)" in out
    assert "over seeds and examples, the one that holds for other trainings and other test examples" in out
    assert (
        out.count("below 20 seeds, intervals over seeds and examples are too narrow where trainings scatter more") == 1
    )


def test_the_command_says_where_the_error_of_the_test_set_is(harness):
    pairs = many(own_tests=True)
    _, out, _ = harness([made for made, _ in pairs], kept=pairs)
    assert out.count("the error of the test set is already part of the spread over seeds") == 1
    assert "drawn anew" not in out


def test_records_without_such_files_are_compared_as_ever_and_that_is_said(harness):
    code, out, err = harness([made for made, _ in many()])
    assert (code, err) == (0, "")
    assert "accuracy decides" in out
    assert "no scores of single test examples are kept of these trials, which --rerun would keep" in out


def test_a_cut_file_is_named(harness, tmp_path):
    pairs = many()
    records = [made for made, _ in pairs]
    harness(records, kept=pairs)
    path = Store(tmp_path / "results").locate_examples("saf1")
    path.write_bytes(path.read_bytes()[:100])
    code, out, _ = harness(records)
    assert code == 0
    assert "by example without seed 1: saf: its scores of single test examples cannot be read" in out


def test_json_has_all_of_it(harness):
    pairs = many()
    code, out, _ = harness([made for made, _ in pairs], "--format", "json", kept=pairs)
    values = json.loads(out)
    (own,) = values["tables"][0]["by_example"]
    assert code == 0
    assert [each["seed"] for each in own["seeds"]] == [0, 1, 2]
    assert (own["fixed"], own["n"], len(own["over_both"])) == (True, N, 2)
    assert values["over_datasets"] == values["tuning"] == []


def test_over_data_sets_is_the_last_section_and_in_json(harness):
    _, out, _ = harness(records_over(), "--metrics", "accuracy,update_seconds")
    last = out[out.index("over 3 data sets") :]
    assert "(Friedman)" in last
    assert "are told apart (Nemenyi, 0.05)" in last
    assert "update_seconds: share of data sets within so many times the least" in last
    assert "a run of ottt is better than one of saf with probability 0.25" in last
    _, out, _ = harness(records_over(), "--format", "json")
    (found,) = json.loads(out)["over_datasets"]
    assert found["methods"] == ["saf", "ottt", "bptt"]
    assert len(found["ranking"]["ranks"]) == 3
    assert found["improvements"][0].keys() == {"left", "right", "probability"}
    assert len(found["ratios"]) == len(found["profiles"]["update_seconds"][0])


def test_tuning_says_what_was_tried_and_what_it_cost(harness):
    records = [*tuned_records(), *tuned_records("ottt")]
    code, out, err = harness(records, "--select", "nll@valid", "--tuning")
    assert code == 0, err
    assert "expected nll@valid of the best of so many configurations tried, and its nll" in out
    assert "saf[rate=[0.1,0.3,1.0]] 3 6 12 s" in out
    _, out, _ = harness(records, "--select", "nll@valid", "--tuning", "--format", "json")
    (found,) = json.loads(out)["tuning"]
    assert [step["k"] for step in found["sweeps"][0]["curve"]] == [1, 2, 3]


def test_one_sweep_alone_has_its_tuning_and_without_a_choice_there_is_none(harness):
    code, out, err = harness(tuned_records(), "--select", "nll@valid", "--tuning")
    assert code == 0, err
    assert "tuning" in out
    code, _, err = harness(tuned_records(), "--tuning")
    assert code == 2
    assert "--tuning: say which validation score chooses, as in --select nll@valid" in err
