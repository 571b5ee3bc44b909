"""Sweeps: what one item of --methods stands for, and the configuration of it that validation chooses for each seed."""

from __future__ import annotations

import dataclasses
import json
import statistics
from dataclasses import dataclass
from pathlib import Path

import pytest
from example_records import METRICS, record

from harness import Record, UsageError, option
from harness.cli import main
from harness.records.format import from_json, to_json
from harness.records.store import Store
from harness.report import FORMATS, render, summarise
from harness.report.rows.selecting import Choosing, parse_criterion
from harness.selections import expansion, selection
from harness.types import Choice, Sweep

TINY = Path(__file__).with_name("tiny.py")
NLL = parse_criterion("nll@valid", METRICS)
ACCURACY = parse_criterion("accuracy@valid", METRICS)
SWEEP = "saf[rate=[0.1,0.3,1.0]]"


def configured(label: str, seed: int = 0, item: str = "", **others) -> Record:
    """A record of one configuration, selected by the item."""
    (selected,) = selection.parse(label, "")
    (given,) = expansion.list_combinations(selected)
    choice = Choice(selected.name, given, given, label, selected.provider, sweep_of(item))
    made = record(label, seed, key=f"{label}-{seed}-{others.get('dataset', 'digits')}", **others)
    return dataclasses.replace(made, trial=dataclasses.replace(made.trial, method=choice))


def sweep_of(item: str) -> Sweep:
    return selection.parse(item, "")[0].sweeps if item else ()


def scored(label: str, valid, test=0.0, item: str = "", seed: int = 0, **others) -> Record:
    return configured(label, seed, item, scores={"nll@valid": valid, "nll": test}, **others)


def swept(*valid: float, test=(0.9, 0.8, 0.7), seed: int = 0, **others) -> list[Record]:
    """One trial of each configuration of the sweep."""
    pairs = zip((0.1, 0.3, 1.0), valid, test, strict=False)
    return [scored(f"saf[rate={rate}]", v, t, SWEEP, seed, **others) for rate, v, t in pairs]


def summary_of(records, by=NLL, items=(), apart=None):
    return summarise(records, METRICS, select=Choosing(by, tuple(items), apart or {}))


def rows_of(records, by=NLL, **asked):
    (table,) = summary_of(records, by, **asked).tables
    return table.rows


def chosen(records, by=NLL, **asked):
    """By row: how often each configuration was chosen, or how many there were to choose from."""
    return {row.method: dict(row.times) or row.tried for row in rows_of(records, by, **asked)}


def said(records, by=NLL, **asked):
    return "\n".join(summary_of(records, by, **asked).notes)


# --- groups -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Config:
    steps: int = 4
    rate: float = option(0.1, "learning rate")
    variant: str = "every"
    sizes: tuple[int, ...] = (64,)
    slow: bool = False


@pytest.mark.parametrize(
    ("item", "group"),
    [
        ("saf", "saf"),
        ("saf(slow=yes)", "saf[slow=True]"),
        ("saf[rate=[.2,.3],steps=4,slow=no]", "saf[rate=[0.2,0.3]]"),
        ("saf[rate=[1,.03],steps=8]", "saf[steps=8,rate=[1.0,0.03]]"),
        ("saf[rate=[.1,0.2], (variant,steps)=[(final,4),(every,8)]]", None),
        ("saf[sizes=[(1,2),(3,)],variant='4']", "saf[variant='4',sizes=[(1,2),(3)]]"),
        ("there:saf[rate=[1,2]]", "there:saf[rate=[1.0,2.0]]"),
    ],
)
def test_all_choices_of_an_item_carry_its_normal_form_which_selects_them_again(item, group):
    (selected,) = selection.parse(item, "--methods")
    choices = expansion.expand(selected, Config, "saf")
    (found,) = {expansion.format_item(choice) for choice in choices}
    (again,) = selection.parse(found, "--methods")
    repeated = expansion.expand(again, Config, "saf")
    assert {choice.label for choice in repeated} == {choice.label for choice in choices}
    assert {expansion.format_item(choice) for choice in repeated} == {found}
    assert found == (group or "saf[(variant,steps)=[(final,4),(every,8)],rate=[0.1,0.2]]")


def test_a_record_keeps_the_sweep_that_it_is_of():
    (made, *_) = swept(0.5)
    read = from_json(json.loads(json.dumps(to_json(made))))
    assert read.trial.method.sweep == made.trial.method.sweep == ((("rate",), ((0.1,), (0.3,), (1.0,))),)


@pytest.mark.parametrize("sweep", [3, [["rate"]], [[["rate", "steps"], [[0.1]]]]])
def test_a_sweep_that_is_none_makes_no_record(sweep):
    value = to_json(swept(0.5)[0])
    value["trial"]["method"]["sweep"] = sweep
    with pytest.raises((TypeError, ValueError)):
        from_json(value)


# --- choosing -----------------------------------------------------------------------------------------------------


def test_the_best_validation_score_chooses_even_where_its_test_score_is_worst():
    (row,) = rows_of(swept(0.5, 0.4, 0.6, test=(0.1, 0.9, 0.2)))
    assert (row.method, row.times, row.tried, row.selected_by) == (SWEEP, {"rate=0.3": 1}, 3, "nll@valid")
    assert row.cells["nll"].mean == 0.9


def test_the_score_at_the_best_point_chooses_if_asked_to():
    """The final scores, on validation and on test, speak for the other one."""
    final = {"nll@valid": (0.5, 0.3), "nll": (0.6, 0.2), "nll@best": (0.6, 0.2)}
    records = [
        configured(f"saf[rate={rate}]", 0, "saf[rate=[0.1,0.3]]", scores={"nll@valid-best": best} | finals)
        for rate, best, finals in (
            (0.1, 0.25, {name: pair[0] for name, pair in final.items()}),
            (0.3, 0.28, {name: pair[1] for name, pair in final.items()}),
        )
    ]
    assert chosen(records, parse_criterion("nll@valid-best", METRICS)) == {"saf[rate=[0.1,0.3]]": {"rate=0.1": 1}}
    assert chosen(records) == {"saf[rate=[0.1,0.3]]": {"rate=0.3": 1}}


def test_the_direction_is_the_metrics():
    scores = {0.1: 0.7, 0.3: 0.9, 1.0: 0.8}
    records = [
        configured(f"saf[rate={rate}]", item=SWEEP, scores={"accuracy@valid": score}) for rate, score in scores.items()
    ]
    assert chosen(records, ACCURACY) == {SWEEP: {"rate=0.3": 1}}


def test_each_seed_chooses_for_itself_and_the_row_is_of_what_they_chose():
    """0.3 is the best on the mean, and for neither."""
    records = [*swept(0.1, 0.3, 0.9, seed=0), *swept(0.9, 0.3, 0.1, seed=1)]
    (row,) = rows_of(records)
    assert (row.method, row.seeds, row.times) == (SWEEP, (0, 1), {"rate=0.1": 1, "rate=1.0": 1})
    assert row.cells["nll"].mean == pytest.approx((0.9 + 0.7) / 2)
    assert row.choice == f"{SWEEP}: chosen of 3 by nll@valid for each seed: rate=0.1 1x, rate=1.0 1x"


def test_what_was_chosen_most_often_is_said_first():
    records = [each for seed, best in enumerate((1.0, 0.1, 0.1)) for each in swept(0.5, best, 0.3, seed=seed)]
    (row,) = rows_of(records)
    assert row.choice.endswith("rate=0.3 2x, rate=1.0 1x")


def test_of_two_that_tie_the_first_is_chosen():
    assert chosen(swept(0.4, 0.2, 0.2)) == {SWEEP: {"rate=0.3": 1}}


def test_one_is_chosen_for_all_seeds_by_the_mean_if_asked_to():
    records = [*swept(0.1, 0.3, 0.9, seed=0), *swept(0.9, 0.3, 0.1, seed=1)]
    (row,) = rows_of(records, dataclasses.replace(NLL, jointly=True))
    assert (row.method, row.seeds, row.tried) == ("saf[rate=0.3]", (0, 1), 3)
    assert row.choice == "saf[rate=0.3]: chosen of 3 by nll@valid"


def test_a_cost_over_unlike_configurations_has_a_range_and_is_no_rival():
    unlike = [*swept(0.1, 0.3, 0.9, seed=0), *swept(0.9, 0.3, 0.1, seed=1)]
    costs = {"saf[rate=0.1]": 2.0, "saf[rate=1.0]": 6.0}
    unlike = [with_cost(each, costs.get(each.trial.method.label, 9.0)) for each in unlike]
    alike = [with_cost(scored("ottt", 0.2, seed=seed), 5.0) for seed in (0, 1)]
    first, second = rows_of([*unlike, *alike])
    cost = first.cells["total_macs"]
    assert (cost.mean, cost.sd, cost.range, cost.exact, cost.best) == (4.0, None, (2.0, 6.0), False, False)
    assert cost.relative is None
    assert second.cells["total_macs"].relative is None
    assert first.cells["nll"].sd is not None
    shown = " ".join(render(summary_of([*unlike, *alike]), "text").split())
    assert "4 (2 to 6)" in shown
    assert "is called a count" not in shown
    assert "over seeds whose configurations differ" in shown


def test_a_cost_over_one_configuration_is_as_ever():
    records = [with_cost(each, 3.0) for seed in (0, 1) for each in swept(0.1, 0.3, 0.9, seed=seed)]
    (row,) = rows_of(records)
    assert (row.cells["total_macs"].range, row.cells["total_macs"].sd) == (None, 0.0)


def test_an_option_that_no_longer_exists_makes_no_other_configuration():
    old = with_cost(scored("ottt", 0.2, seed=0, options={"rate": 0.1, "gone": None}), 2.0)
    new = with_cost(scored("ottt", 0.2, seed=1, options={"rate": 0.1}), 6.0)
    (row,) = rows_of([old, new])
    assert row.cells["total_macs"].range is None
    assert not [note for note in summary_of([old, new]).notes if "defaults" in note]


def with_cost(made: Record, macs: float) -> Record:
    return dataclasses.replace(made, readings={"total_macs": macs})


def test_each_data_set_and_each_protocol_chooses_for_itself():
    digits, mnist = swept(0.1, 0.2, 0.3), swept(0.3, 0.1, 0.2, dataset="mnist")
    slower = swept(0.3, 0.2, 0.1, threads=2)
    tables = summary_of([*digits, *mnist, *slower]).tables
    assert [[dict(row.times) for row in table.rows] for table in tables] == [
        [{"rate=0.1": 1}],
        [{"rate=1.0": 1}],
        [{"rate=0.3": 1}],
    ]


def test_items_side_by_side_are_no_sweep_and_nothing_is_said_of_a_choice():
    records = [scored("saf[rate=0.1]", 0.2), scored("saf[rate=0.3]", 0.1)]
    assert chosen(records) == {"saf[rate=0.1]": 1, "saf[rate=0.3]": 1}
    assert "chosen" not in render(summary_of(records), "text")


def test_without_a_criterion_every_configuration_is_a_row():
    assert chosen(swept(0.3, 0.2, 0.1), None) == {f"saf[rate={rate}]": None for rate in (0.1, 0.3, 1.0)}


def test_an_item_makes_a_sweep_of_what_was_run_one_by_one():
    records = [scored("saf[rate=0.1]", 0.2), scored("saf[rate=0.3]", 0.1), scored("ottt", 0.5)]
    assert chosen(records, items=["ottt,saf[rate=[.1,.3]]"]) == {"saf[rate=[0.1,0.3]]": {"rate=0.3": 1}, "ottt": 1}


def test_sweeps_that_share_a_configuration_are_one():
    first, second = "saf[rate=[0.1,0.3]]", "saf[rate=[0.3,1.0]]"
    records = [
        scored("saf[rate=0.1]", 0.2, item=first),
        scored("saf[rate=0.3]", 0.3, item=first),
        scored("saf[rate=1.0]", 0.4, item=second),
    ]
    assert chosen(records) == {SWEEP: {"rate=0.1": 1}}


def test_a_record_without_a_sweep_joins_the_sweep_that_holds_it():
    old = scored("saf[rate=0.1]", 0.1)
    assert chosen([old, *swept(0.9, 0.5, 0.6)[1:]]) == {SWEEP: {"rate=0.1": 1}}


def test_what_is_asked_for_by_name_is_of_no_wider_sweep_that_it_was_once_run_in():
    assert chosen(swept(0.3, 0.2, 0.1)[:2], items=["saf[rate=[0.1,0.3]]"]) == {"saf[rate=[0.1,0.3]]": {"rate=0.3": 1}}
    plain = [scored("saf", 0.3, item="saf[rate=[0.1,0.3]]")]
    assert [row.method for row in rows_of(plain, items=["saf"])] == ["saf"]


def test_every_variant_of_a_method_is_of_the_sweeps_that_it_was_run_in():
    assert "no record here of 1 of its 3" in said(swept(0.3, 0.2, 0.1)[:2], items=["saf[*]"])


def test_a_sweep_of_other_options_stands_for_its_own_record():
    records = [scored("saf[rate=0.1]", 0.2), scored("saf[rate=0.3]", 0.1, item="saf[a=[1,2]]")]
    assert set(chosen(records)) == {"saf[rate=0.1]", "saf[rate=0.3]"}


def test_coupled_sweeps_and_tuples_from_a_file_find_their_members():
    item = "saf[(steps,sizes)=[(4,(1,2)),(8,(3))]]"
    records = [scored("saf[steps=4,sizes=(1,2)]", 0.2, item=item), scored("saf[steps=8,sizes=(3)]", 0.1, item=item)]
    read = [from_json(json.loads(json.dumps(to_json(each)))) for each in records]
    assert chosen(read) == {item: {"steps=8,sizes=(3)": 1}}


# --- rows within a choice -----------------------------------------------------------------------------------------


def sized(valid: dict[tuple[int, float], float], seed: int = 0) -> list[Record]:
    item = "prune[nodes=[8,16],rate=[0.1,0.3]]"
    return [
        scored(f"prune[nodes={nodes},rate={rate}]", score, item=item, seed=seed)
        for (nodes, rate), score in valid.items()
    ]


def test_options_that_are_rows_of_their_own_part_a_sweep_and_the_rest_is_chosen_from():
    records = [
        *sized({(8, 0.1): 0.5, (8, 0.3): 0.4, (16, 0.1): 0.1, (16, 0.3): 0.2}),
        *sized({(8, 0.1): 0.5, (8, 0.3): 0.4, (16, 0.1): 0.3, (16, 0.3): 0.2}, seed=1),
    ]
    assert chosen(records, apart={"prune": ("nodes",)}) == {
        "prune[nodes=8,rate=[0.1,0.3]]": {"rate=0.3": 2},
        "prune[nodes=16,rate=[0.1,0.3]]": {"rate=0.1": 1, "rate=0.3": 1},
    }


def test_a_sweep_over_such_an_option_alone_leaves_every_value_a_row():
    item = "prune[nodes=[8,16]]"
    records = [scored("prune[nodes=8]", 0.5, item=item), scored("prune[nodes=16]", 0.1, item=item)]
    assert chosen(records, apart={"prune": ("nodes",)}) == {"prune[nodes=8]": 1, "prune[nodes=16]": 1}
    assert "chosen" not in render(summary_of(records, apart={"prune": ("nodes",)}), "text")


@pytest.mark.parametrize(
    "asked", [{}, {"items": ["saf[rate=[0.1,0.3],steps=4]"]}, {"items": ["harness-bench:saf[rate=[0.1,0.3],steps=4]"]}]
)
def test_the_configuration_of_a_sweep_whose_label_leaves_defaults_out_is_of_it(asked):
    item = "" if asked else "saf[rate=[0.1,0.3],steps=4]"
    records = [scored("saf", 0.2, item=item), scored("saf[rate=0.3]", 0.1, item=item)]
    records = [with_options(each, {"rate": 0.1, "steps": 4}) for each in records]
    assert list(chosen(records, **asked).values()) == [{"rate=0.3": 1}]
    assert "no record" not in said(records, **asked)


def test_what_the_configurations_of_a_row_were_given_is_no_different_default():
    item = "saf[rate=[0.1,0.3]]"
    scores = {("saf", 0): 0.1, ("saf[rate=0.3]", 0): 0.2, ("saf", 1): 0.2, ("saf[rate=0.3]", 1): 0.1}
    records = [scored(label, score, item=item, seed=seed) for (label, seed), score in scores.items()]
    records = [with_options(each, {"rate": 0.1, "steps": 4}) for each in records]
    assert list(chosen(records).values()) == [{"rate=0.1": 1, "rate=0.3": 1}]
    assert "different defaults" not in said(records)


def with_options(made: Record, defaults: dict) -> Record:
    method = dataclasses.replace(made.trial.method, options={**defaults, **made.trial.method.given})
    return dataclasses.replace(made, trial=dataclasses.replace(made.trial, method=method))


# --- what was not in the running ----------------------------------------------------------------------------------


def test_a_configuration_that_failed_in_a_seed_is_passed_over_there_and_that_is_said():
    records = [*swept(0.1, 0.4, 0.5, seed=0), *swept(0.1, 0.4, 0.5, seed=1)]
    records[3] = dataclasses.replace(records[3], status="diverged", reason="loss is nan at update 7", scores={})
    assert chosen(records) == {SWEEP: {"rate=0.1": 1, "rate=0.3": 1}}
    assert "passed over: saf[rate=0.1] seed 1: diverged: loss is nan at update 7" in said(records)


def test_a_seed_in_which_nothing_ended_ok_is_lacking_and_its_failure_is_shown():
    records = [*swept(0.1, 0.4, 0.5, seed=0), *swept(0.1, 0.4, 0.5, seed=1)]
    records[3:] = [dataclasses.replace(each, status="oom", reason="", scores={}) for each in records[3:]]
    (row,) = rows_of(records)
    assert (row.seeds, dict(row.statuses), row.lacking_seeds) == ((0,), {"ok": 1, "oom": 1}, (1,))
    assert row.failures == (f"{SWEEP} seed 1: oom",)


def test_chosen_for_all_seeds_a_configuration_that_failed_for_one_is_passed_over():
    records = [*swept(0.1, 0.4, 0.5, seed=0), *swept(0.1, 0.4, 0.5, seed=1)]
    records[3] = dataclasses.replace(records[3], status="diverged", reason="loss is nan at update 7", scores={})
    jointly = dataclasses.replace(NLL, jointly=True)
    assert chosen(records, jointly) == {"saf[rate=0.3]": 3}
    assert "saf[rate=0.1] seed 1: diverged: loss is nan at update 7" in said(records, jointly)


def test_a_configuration_without_a_record_is_counted_and_said():
    records = swept(0.2, 0.1)
    (row,) = rows_of(records)
    assert (row.tried, dict(row.times)) == (3, {"rate=0.3": 1})
    assert f"{SWEEP}: no record here of 1 of its 3 configurations" in said(records)


def test_scores_that_are_no_numbers_choose_nothing():
    records = swept(float("nan"), 0.4, float("inf"))
    assert chosen(records) == {SWEEP: {"rate=0.3": 1}}
    assert "saf[rate=0.1]: no nll@valid" in said(records)


def test_where_nothing_can_be_chosen_every_row_stays_with_its_failure():
    records = [dataclasses.replace(each, status="oom", scores={}) for each in swept(0.1, 0.2, 0.3)]
    assert chosen(records) == {f"saf[rate={rate}]": None for rate in (0.1, 0.3, 1.0)}
    assert f"{SWEEP}: none is chosen, no trial ended with nll@valid" in said(records)


def test_unequal_numbers_of_configurations_are_warned_of():
    assert f"unequal numbers of configurations to choose from: {SWEEP} 3, ottt 1" in said(
        [*swept(0.1, 0.2, 0.3), scored("ottt", 0.1)]
    )
    two = "ottt[rate=[1,2]]"
    fair = [scored(f"ottt[rate={rate}]", 0.1, item=two) for rate in (1, 2)]
    assert "unequal" not in said([*fair, scored("bptt[a=1]", 0.1, item="bptt[a=[1,2]]")])


@pytest.mark.parametrize("format_", [name for name in FORMATS if name not in ("csv", "json")])
def test_every_readable_format_says_what_was_chosen(format_):
    shown = render(summary_of(swept(0.3, 0.1, 0.2)), format_)
    assert f"{SWEEP}: chosen of 3 by nll@valid for each seed: rate=0.3 1x" in shown.replace(r"\allowbreak{}", "")


# --- mistakes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nl@valid", ["unknown metric", "did you mean 'nll'"]),
        ("total_macs@valid", ["a cost", "nll@valid"]),
        ("nll", ["only validation may choose", "nll@valid"]),
        ("nll@best", ["only validation may choose", "nll@valid or nll@valid-best"]),
        ("nll@training-forward", ["only validation may choose"]),
        ("", ["unknown metric"]),
    ],
)
def test_a_criterion_that_cannot_decide_is_refused(text, words):
    with pytest.raises(UsageError) as raised:
        parse_criterion(text, METRICS)
    assert str(raised.value).startswith(f"--select {text}: ")
    assert all(word in str(raised.value) for word in words)


# --- the command line ---------------------------------------------------------------------------------------------


@pytest.fixture
def harness(tmp_path, monkeypatch, capsys):
    """Call the program on the tiny plugin, trials in this process: exit code, standard output, standard error."""
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,executors")
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, "-p", str(TINY)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


def best_of(name: str, **given) -> dict[int, Record]:
    """By seed, the record of the method `counts` on disk with the lowest score."""
    records, problems = Store(Path("results")).read_newest()
    assert not problems
    swept = [each for each in records if each.trial.method.given]
    return {
        seed: min((each for each in swept if each.trial.seed == seed), key=lambda each: each.scores[name])
        for seed in {each.trial.seed for each in swept}
    }


def test_a_run_reports_what_was_chosen_and_the_report_agrees(harness):
    methods = "counts[strength=[0.1,10,1000]],counts"
    code, out, err = harness("run", "--here", "--methods", methods, "--seeds", "2", "--select", "nll@valid")
    assert code == 0, err
    assert "counts[strength=[0.1,10.0,1000.0]]: chosen of 3 by nll@valid for each seed: strength=" in out
    assert "unequal numbers" in out
    code, out, _ = harness("report", "--select", "nll@valid", "--format", "json")
    rows = json.loads(out)["rows"]
    assert code == 0
    assert [(row["method"], row["tried"], row["selected_by"]) for row in rows] == [
        ("counts[strength=[0.1,10.0,1000.0]]", 3, "nll@valid"),
        ("counts", 1, "nll@valid"),
    ]
    best = best_of("nll@valid")
    assert rows[0]["metrics"]["nll"]["mean"] == pytest.approx(statistics.fmean(e.scores["nll"] for e in best.values()))
    assert sum(rows[0]["times"].values()) == 2


def test_the_report_makes_a_sweep_of_what_it_was_asked_for(harness):
    harness("run", "--here", "--methods", "counts[strength=0.1],counts[strength=1000]", "--seeds", "1")
    asked = ("report", "--select", "nll@valid", "--format", "json")
    assert [row["tried"] for row in json.loads(harness(*asked)[1])["rows"]] == [1, 1]
    (row,) = json.loads(harness(*asked, "--methods", "counts[strength=[.1,1000]]")[1])["rows"]
    assert (row["method"], row["tried"]) == ("counts[strength=[0.1,1000.0]]", 2)
    (best,) = best_of("nll@valid").values()
    assert row["times"] == {f"strength={best.trial.method.options['strength']}": 1}


@pytest.mark.parametrize("flag", ["--refit", "--select-jointly"])
def test_what_needs_a_choice_says_so(harness, flag):
    for command in (("run", "--here", "--methods", "counts"), ("report",)):
        code, _, err = harness(*command, flag)
        if "no records" not in err:
            assert (code, f"{flag}: say which validation score chooses" in err) == (2, True)


def test_a_choice_for_all_seeds_is_refused_where_test_rows_differ_from_seed_to_seed(harness):
    methods = "counts[strength=[0.1,1000]]"
    code, out, err = harness("run", "--here", "--methods", methods, "--select", "nll@valid", "--select-jointly")
    assert (code, out) == (2, "")
    assert "does not say that its test rows are the same for every seed" in err
    assert "leave --select-jointly out" in err


def test_a_suite_may_say_what_chooses(harness, tmp_path):
    suite = tmp_path / "s.toml"
    suite.write_text('methods = "counts[strength=[0.1,1000]]"\nseeds = 1\nselect = "accuracy@valid"\n')
    code, out, err = harness("run", "--here", "--suite", str(suite))
    assert code == 0, err
    assert "chosen of 2 by accuracy@valid" in out


@pytest.mark.parametrize("text", ["nlll@valid", "length@valid", "nll", "rmse@valid"])
def test_a_run_refuses_a_criterion_before_it_trains(harness, text):
    code, out, err = harness("run", "--here", "--methods", "counts", "--select", text)
    assert (code, out) == (2, "")
    assert f"--select {text}" in err
    assert not Path("results").exists()


def test_a_report_refuses_a_criterion_that_no_record_has(harness):
    harness("run", "--here", "--methods", "counts", "--seeds", "1")
    code, out, err = harness("report", "--select", "brier@valid")
    assert code == 0, err
    (path,) = Path("results/trials").glob("*.json")
    value = json.loads(path.read_text())
    del value["scores"]["brier@valid"]
    path.write_text(json.dumps(value))
    code, out, err = harness("report", "--select", "brier@valid")
    assert (code, out) == (2, "")
    assert "--select brier@valid: no record has such a score" in err


# --- time to target -----------------------------------------------------------------------------------------------


def test_time_to_target_knows_nothing_of_test_scores():
    high = {"accuracy": 0.99, "accuracy@best": 0.99}
    slow = record(valid=[0.1, 0.5, 0.9], scores=high)
    (table,) = summarise([slow], METRICS, target=0.95).tables
    assert table.rows[0].cells["seconds_to_target"].mean is None
    (table,) = summarise([dataclasses.replace(slow, scores={"accuracy": 0.1})], METRICS, target=0.9).tables
    assert table.rows[0].cells["seconds_to_target"].mean == 2.0
