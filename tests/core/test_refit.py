"""Choosing without looking at test rows, and what was chosen trained anew on training and validation rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import Record
from harness.cli import main
from harness.records.store import Store

PLUGINS = [str(Path(__file__).with_name(name)) for name in ("tiny.py", "folded.py")]
SWEEP = "creeps[rate=[0.1,0.5,0.9]]"
CHOOSE = ("--methods", SWEEP, "--seeds", "4", "--select", "rmse@valid")


@pytest.fixture
def harness(tmp_path, monkeypatch, capsys):
    """Call the program on the tiny plugins, trials in this process: exit code, standard output, standard error."""
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,executors")
    monkeypatch.chdir(tmp_path)

    def call(command: str, *arguments: str) -> tuple[int, str, str]:
        here = ("--here",) if command == "run" else ()
        code = main([command, *here, *arguments, *(word for plugin in PLUGINS for word in ("-p", plugin))])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


def records(refit: bool | None = None) -> list[Record]:
    found, problems = Store(Path("results")).read_newest()
    assert not problems
    return [each for each in found if refit in (None, each.trial.refit)]


def json_rows(harness, *arguments: str) -> list[dict]:
    code, out, err = harness("report", "--format", "json", *arguments)
    assert code == 0, err
    return json.loads(out)["rows"]


# --- without looking ----------------------------------------------------------------------------------------------


def test_no_row_that_took_part_in_a_choice_is_scored_for_it(harness):
    """Rows that one seed validates with are tested on by another: a choice for all seeds together would have looked."""
    assert harness("run", *CHOOSE)[0] == 0
    looked, tested = {}, {}
    for each in records():
        looked[each.trial.seed] = looked.get(each.trial.seed, 0) | int(each.scores["members@valid"])
        tested[each.trial.seed] = int(each.scores["members"])
    assert all(not looked[seed] & tested[seed] for seed in looked)
    assert any(looked[one] & tested[other] for one in looked for other in tested)
    (row,) = json_rows(harness, "--select", "rmse@valid")
    best = {
        seed: min((each for each in records() if each.trial.seed == seed), key=lambda each: each.scores["rmse@valid"])
        for seed in looked
    }
    assert row["metrics"]["rmse"]["mean"] == pytest.approx(sum(each.scores["rmse"] for each in best.values()) / 4)
    assert sum(row["times"].values()) == 4


def test_where_test_rows_are_fixed_one_may_be_chosen_for_all_seeds(harness):
    code, out, err = harness("run", *CHOOSE, "--datasets", "fixed", "--select-jointly")
    assert code == 0, err
    assert "chosen of 3 by rmse@valid\n" in out
    code, _, err = harness("report", "--select", "rmse@valid", "--select-jointly")
    assert code == 0, err


def test_sizes_stay_rows_while_rates_are_chosen(harness):
    code, _, err = harness("run", "--methods", "creeps[rate=[0.1,0.9],size=[2,3]]", "--select", "rmse@valid")
    assert code == 0, err
    rows = json_rows(harness, "--select", "rmse@valid")
    assert [row["method"] for row in rows] == ["creeps[rate=[0.1,0.9],size=2]", "creeps[rate=[0.1,0.9],size=3]"]


def test_a_claim_and_a_published_value_name_a_choice_by_its_selection(harness):
    Path("s.toml").write_text(
        f'methods = "{SWEEP}"\nseeds = 3\nselect = "rmse@valid"\n'
        f'[[published]]\nmethod = "{SWEEP}"\ndataset = "lines"\nmetric = "rmse"\nvalue = 12.0\nsource = "someone"\n'
        f'[[claims]]\ntext = "it creeps"\nleft = "{SWEEP}.rmse"\nat_most = 100\n'
    )
    code, out, err = harness("run", "--suite", "s.toml")
    assert code == 0, err
    assert "holds" in out
    assert f"{SWEEP}.rmse = " in " ".join(out.split())


# --- trained anew -------------------------------------------------------------------------------------------------


def test_what_was_chosen_is_trained_on_both_splits_and_scored_on_test_rows_only(harness):
    code, out, err = harness("run", *CHOOSE, "--refit")
    assert code == 0, err
    assert "trained on training and validation rows" in out
    assert "rmse@best" not in out
    first, second = records(False), records(True)
    assert (len(first), len(second)) == (12, 4)
    for each in second:
        assert each.measured["rows"] == {"train": 30, "valid": 0, "test": 10}
        assert not [name for name in each.scores if "@" in name]
        assert each.readings["refit"]
        rivals = [other for other in first if other.trial.seed == each.trial.seed]
        best = min(rivals, key=lambda other: other.scores["rmse@valid"])
        assert each.trial.method.options == best.trial.method.options
        assert each.scores["members"] == best.scores["members"]
        assert each.trial.key != best.trial.key
    (row,) = json_rows(harness, "--select", "rmse@valid", "--refit")
    assert row["method"] == SWEEP
    assert row["n"] == 4
    assert row["metrics"]["rmse"]["mean"] == pytest.approx(sum(each.scores["rmse"] for each in second) / 4)


def test_a_report_shows_both_stages_as_tables_of_their_own(harness):
    harness("run", *CHOOSE, "--refit")
    rows = json_rows(harness, "--select", "rmse@valid")
    assert [row["method"] for row in rows] == [SWEEP, SWEEP]
    assert [row["protocol"].get("refit") for row in rows] == [None, True]


def test_a_dry_run_shows_both_stages(harness):
    out = harness("run", *CHOOSE, "--refit", "--dry-run")[1]
    assert "12 trials, 12 to run" in out
    assert "for each seed what rmse@valid chooses of these 12 trials" in out
    harness("run", *CHOOSE)
    out = harness("run", *CHOOSE, "--refit", "--dry-run")[1]
    assert "12 trials, 0 to run" in out
    assert "4 trials, 4 to run" in out
    harness("run", *CHOOSE, "--refit")
    assert "4 trials, 0 to run" in harness("run", *CHOOSE, "--refit", "--dry-run")[1]


def test_a_resumed_run_goes_on_in_either_stage(harness):
    harness("run", *CHOOSE, "--refit")
    lost = [*records(False)[:2], *records(True)[:1]]
    kept = {each.trial.key: each.finished for each in records() if each not in lost}
    for each in lost:
        Store(Path("results")).locate_record(each.trial.key).unlink()
    assert harness("run", *CHOOSE, "--refit")[0] == 0
    assert len(records()) == 16
    assert {each.trial.key: each.finished for each in records() if each.trial.key in kept} == kept


def test_a_data_set_may_standardise_anew(harness):
    code, _, err = harness("run", *CHOOSE, "--refit", "--datasets", "anew")
    assert code == 0, err
    (first, *_), (second, *_) = records(False), records(True)
    assert second.measured["rows"]["train"] == 30
    assert "refit" not in second.readings
    assert first.provenance["data"] != second.provenance["data"]


def test_what_a_chosen_one_starts_from_is_trained_anew_too(harness):
    methods = ("--methods", "starts[strength=[0.1,1000]]", "--datasets", "coins", "--seeds", "1")
    code, _, err = harness("run", *methods, "--select", "nll@valid", "--refit")
    assert code == 0, err
    found = {each.trial.method.name: each for each in records(True)}
    assert set(found) == {"starts", "counts"}
    assert found["starts"].trial.base.key == found["counts"].trial.key
    assert found["counts"].measured["rows"]["valid"] == 0


def test_every_official_split_chooses_for_itself(harness):
    code, _, err = harness("run", "--methods", SWEEP, "--seeds", "all", "--select", "rmse@valid", "--refit")
    assert code == 0, err
    (row,) = json_rows(harness, "--select", "rmse@valid", "--refit")
    assert row["n"] == 20
    assert sum(row["times"].values()) == 20
    tested = [int(each.scores["members"]) for each in records(True)]
    assert len(set(tested)) == 20


def test_a_suite_may_ask_for_it(harness):
    Path("s.toml").write_text(f'methods = "{SWEEP}"\nseeds = 2\nselect = "rmse@valid"\nrefit = true\n')
    code, out, err = harness("run", "--suite", "s.toml")
    assert code == 0, err
    assert "trained on training and validation rows" in out
    assert "trained on training and validation rows" in harness("report", "--suite", "s.toml")[1]


def test_patience_cannot_stop_what_has_no_validation_rows(harness):
    code, out, err = harness("run", *CHOOSE, "--refit", "--patience", "2")
    assert (code, out) == (2, "")
    assert "--refit: --patience stops training by validation scores" in err
    assert not Path("results").exists()


def test_what_was_trained_anew_is_told_apart_wherever_records_are_named(harness):
    code, _, err = harness("run", *CHOOSE, "--refit")
    assert code == 0, err
    lines = [line.split(",") for line in harness("report", "--format", "csv", "--metrics", "rmse")[1].splitlines()]
    assert {line[lines[0].index("refit")] for line in lines[1:]} == {"", "True"}
    anew = records(True)[0].trial
    _, _, err = harness("show", f"{anew.method.label}/lines/{anew.seed}")
    (line,) = [line for line in err.splitlines() if anew.key in line]
    assert "trained on training and validation rows" in line


def test_the_terms_of_a_trial_are_columns_of_csv(harness):
    code, _, err = harness("run", "--methods", "creeps", "--seeds", "1", "--headline", "members")
    assert code == 0, err
    lines = [line.split(",") for line in harness("report", "--format", "csv", "--metrics", "rmse")[1].splitlines()]
    assert lines[1][lines[0].index("headline")] == "members"


def test_the_second_stage_is_announced(harness):
    _, _, err = harness("run", *CHOOSE, "--refit")
    assert "second stage: 4 trials, trained anew on training and validation rows together" in err
    assert err.index("[12/12]") < err.index("second stage") < err.index("[4/4]")


def test_trials_of_this_process_all_find_the_same_libraries(harness):
    code, out, err = harness("run", "--methods", "creeps", "--seeds", "2")
    assert code == 0, err
    assert len({each.environment.get("blas") for each in records()}) == 1
    assert "different environments" not in out


@pytest.mark.parametrize("methods", ["counts[strength=[1,2]],starts", "starts,counts[strength=[1,2]]"])
def test_a_sweep_of_which_one_is_what_another_method_starts_from_is_chosen_from_as_a_whole(harness, methods):
    asked = ("--datasets", "coins", "--seeds", "2", "--select", "nll@valid", "--refit")
    code, out, err = harness("run", "--methods", methods, *asked)
    assert code == 0, err
    assert "counts[strength=[1.0,2.0]]: chosen of 2" in " ".join(out.split())
    rows = json_rows(harness, "--select", "nll@valid", "--refit")
    assert {row["method"] for row in rows} == {"counts[strength=[1.0,2.0]]", "starts"}


def test_a_dry_run_tells_which_outdated_records_of_the_second_stage_are_kept(harness):
    plugin = Path("mine.py")
    plugin.write_text(
        (Path(__file__).with_name("folded.py"))
        .read_text()
        .replace('"creeps"', '"crawls"', 1)
        .split("@hookimpl\ndef harness_datasets")[0]
    )
    asked = (
        "-p",
        "mine.py",
        "--methods",
        "crawls[rate=[0.1,0.5]]",
        "--seeds",
        "2",
        "--select",
        "rmse@valid",
        "--refit",
    )
    code, _, err = harness("run", *asked)
    assert code == 0, err
    plugin.write_text(f"{plugin.read_text()}\nCHANGED = True\n")
    _, out, _ = harness("run", *asked, "--keep-outdated", "--dry-run")
    assert out.count("has a record of older code") == 6
    assert ", to run" not in out


def test_what_is_planned_of_the_second_stage_is_called_trained_anew(harness):
    assert harness("run", *CHOOSE, "--refit")[0] == 0
    Store(Path("results")).locate_record(records(True)[0].trial.key).unlink()
    _, out, _ = harness("report", "--select", "rmse@valid")
    assert "planned, no record: " in out
    assert "4 updates, trained anew, seed" in " ".join(out.split())


def test_where_nothing_is_chosen_there_is_no_second_stage_and_that_is_said(harness):
    plugin = Path("bare.py")
    plugin.write_text(
        "from dataclasses import replace\nfrom harness import Batch, Dataset, hookimpl\n"
        "from tests.core import folded\n\n"
        "def load(config, seed, folder):\n    data = folded.load(config, seed, folder)\n"
        "    empty = Batch(data.valid.inputs[:0], data.valid.targets[:0])\n    return replace(data, valid=empty)\n\n"
        "@hookimpl\ndef harness_datasets():\n    yield Dataset('bare', 'no validation', 'regression', load, folds=2)\n"
    )
    asked = ("-p", "bare.py", "--datasets", "bare", "--methods", SWEEP, "--select", "rmse@valid", "--refit")
    _, out, err = harness("run", "--updates", "2", "--batch-size", "4", "--seeds", "1", *asked)
    assert "no second stage: validation chose nothing" in err, err
    assert "none is chosen, no trial ended with rmse@valid" in " ".join(out.split())
    assert (
        "no second stage"
        in harness("run", "--updates", "2", "--batch-size", "4", "--seeds", "1", *asked, "--dry-run")[1]
    )


def test_a_claim_on_one_configuration_is_of_what_was_trained_anew_alone(harness):
    Path("s.toml").write_text(
        f'methods = "{SWEEP}"\nseeds = 2\nselect = "rmse@valid"\nrefit = true\n'
        '[[claims]]\ntext = "it creeps"\nleft = "creeps[rate=0.9].rmse"\nat_most = 100\n'
    )
    code, out, err = harness("run", "--suite", "s.toml")
    assert code == 0, err
    assert any(each.trial.method.label == "creeps[rate=0.9]" for each in records(True))
    assert out.count("it creeps") == 1


def test_what_stays_a_row_of_its_own_is_listed_with_the_method(harness):
    code, out, err = harness("list", "creeps")
    assert code == 0, err
    assert ["row_options", "size"] in [line.split() for line in out.splitlines()]
