"""`harness report` and `harness show`, as a user calls them, on files alone."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest
from example_records import comparison, record

from harness import Budget
from harness.cli import main
from harness.records.store import Store


@pytest.fixture(autouse=True)
def only_core_plugins(monkeypatch):
    """The report needs no backend, no method and no data set: it works where they are not installed any more."""
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics")
    monkeypatch.setenv("COLUMNS", "120")


def written(folder, records):
    store = Store(folder)
    store.prepare()
    for place, each in enumerate(records):
        stamp = f"2026-01-01T00:00:{place:02d}.000+00:00"
        store.write(dataclasses.replace(each, finished=each.finished or stamp))
    return folder


@pytest.fixture
def results(tmp_path):
    return written(tmp_path / "results", comparison())


@pytest.fixture
def harness(capsys):
    """Call the program: exit code, standard output, standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


def refused(called: tuple[int, str, str], *words: str) -> None:
    """A mistake: exit code 2, nothing on standard output, a line or two with the words, perhaps two with the place."""
    code, out, err = called
    assert (code, out) == (2, "")
    assert len(err.splitlines()) <= 4
    for word in words:
        assert word in err


# --- report -------------------------------------------------------------------------------------------------------


def test_the_table_goes_to_standard_output(harness, results):
    code, out, err = harness("report", "--results", results)
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines() if " ± " in line][:3] == ["saf", "ottt", "bptt"]
    assert "bptt seed 2: timeout after 60 s" in out
    assert "\x1b" not in out


def test_the_default_folder(harness, results, monkeypatch):
    monkeypatch.chdir(results.parent)
    assert harness("report")[0] == 0


def test_methods_choose_rows_and_their_order(harness, results):
    _, out, _ = harness("report", "--results", results, "--methods", "ottt,saf", "--format", "json")
    rows = json.loads(out)["rows"]
    assert [row["method"] for row in rows] == ["ottt", "saf"]


@pytest.mark.parametrize(
    "wanted, rows",
    [
        ("saf[steps=4]", ["saf"]),
        ("saf[steps=4,*]", ["saf", "saf[steps=4,wide=True]"]),
        ("saf[*,steps=[4]]", ["saf", "saf[steps=4,wide=True]"]),
        ("saf[*]", ["saf", "saf[steps=4,wide=True]", "saf[steps=8]"]),
        ("*", ["saf", "saf[steps=4,wide=True]", "saf[steps=8]"]),
        ("saf[steps=8],*", ["saf[steps=8]", "saf", "saf[steps=4,wide=True]"]),
        ("saf", ["saf"]),
        ("saf[steps=[8,6]]", ["saf[steps=8]"]),
        ("saf[(steps,wide)=[(4,yes),(8,no)]]", ["saf[steps=4,wide=True]", "saf[steps=8]"]),
        ("saf(steps=4.0,wide=true)", ["saf[steps=4,wide=True]"]),
        ("saf(wide=true,*)", ["saf[steps=4,wide=True]"]),
        ("saf[sizes=(1,2),steps=8]", ["saf[steps=8]"]),
        ("saf[sizes=[1,2],*]", ["saf[steps=8]"]),
        ("saf[variant=final]", ["saf"]),
    ],
)
def test_parameters_choose_by_what_was_used(harness, tmp_path, wanted, rows):
    """As for `harness run`, sweeps and defaults included."""
    records = [
        record("saf", options={"steps": 4, "wide": False, "sizes": (1,), "variant": "final"}),
        record("saf[steps=4,wide=True]", options={"steps": 4, "wide": True, "sizes": (1,), "variant": "every"}),
        record("saf[steps=8]", options={"steps": 8, "wide": False, "sizes": (1, 2), "variant": "every"}),
    ]
    folder = written(tmp_path / "r", records)
    _, out, _ = harness("report", "--results", folder, "--methods", wanted, "--format", "json")
    assert [row["method"] for row in json.loads(out)["rows"]] == rows


def test_a_name_chooses_the_plain_method_and_a_star_its_variants(harness, tmp_path):
    folder = written(tmp_path / "r", [record("saf"), record("saf[steps=4]"), record("ottt[steps=4]")])

    def rows(methods: str) -> list[str]:
        _, out, _ = harness("report", "--results", folder, "--methods", methods, "--format", "json")
        return [row["method"] for row in json.loads(out)["rows"]]

    assert rows("saf") == ["saf"]
    assert rows("saf[steps=4]") == ["saf[steps=4]"]
    assert rows("saf[*]") == ["saf", "saf[steps=4]"]
    assert rows("ottt[*],saf") == ["ottt[steps=4]", "saf"]
    refused(harness("report", "--results", folder, "--methods", "ottt"), "'ottt' without options; ottt[*] is every")
    refused(harness("report", "--results", folder, "--methods", "saf[steps=5]"), "'saf' with these options; saf[*]")


def test_what_resolved_to_the_same_stands_for_a_label_that_is_not_there(harness, tmp_path):
    plain = record("saf", options={"steps": 4, "rate": 0.5})
    given = record("saf[steps=4]", options={"steps": 4, "rate": 0.5})
    for records, expected in (([plain], ["saf"]), ([plain, given], ["saf[steps=4]"])):
        folder = written(tmp_path / str(len(records)), records)
        _, out, _ = harness("report", "--results", folder, "--methods", "saf[steps=4]", "--format", "json")
        assert [row["method"] for row in json.loads(out)["rows"]] == expected


def test_every_variant_is_one_sweep_to_choose_from(harness, tmp_path):
    scores = {"saf": 0.8, "saf[steps=4]": 0.9, "ottt": 0.7}
    records = [record(name, scores={"accuracy@valid": value}) for name, value in scores.items()]
    method = dataclasses.replace(records[1].trial.method, given={"steps": 4})
    records[1] = dataclasses.replace(records[1], trial=dataclasses.replace(records[1].trial, method=method))
    folder = written(tmp_path / "r", records)
    call = ["report", "--results", folder, "--select", "accuracy@valid", "--format", "json", "--methods"]
    _, out, _ = harness(*call, "saf[*],ottt")
    assert [(row["method"], row["tried"]) for row in json.loads(out)["rows"]] == [
        ("saf[steps=[none,4]]", 2),
        ("ottt", 1),
    ]
    assert [row["method"] for row in json.loads(harness(*call, "*")[1])["rows"]] == list(scores)


def test_datasets_choose_tables(harness, tmp_path):
    records = [record(dataset="digits"), record(dataset="mnist[train=100]"), record(dataset="mnist")]
    folder = written(tmp_path / "r", records)

    def tables(datasets: str) -> list[str]:
        _, out, _ = harness("report", "--results", folder, "--datasets", datasets, "--format", "json")
        return [row["dataset"] for row in json.loads(out)["rows"]]

    assert tables("mnist") == ["mnist"]
    assert tables("mnist[*]") == ["mnist[train=100]", "mnist"]


def test_a_data_set_that_was_never_run_whole_is_shown_as_it_was_run_and_a_line_says_so(harness, tmp_path):
    folder = written(tmp_path / "r", [record(dataset="digits"), record(dataset="mnist[train=100]")])
    _, out, err = harness("report", "--results", folder, "--datasets", "mnist", "--format", "json")
    assert [row["dataset"] for row in json.loads(out)["rows"]] == ["mnist[train=100]"]
    assert err == "harness: no record of plain mnist; shown instead: mnist[train=100]\n"


def test_records_of_several_folders_are_one_comparison_and_a_note_says_whose_count(harness, tmp_path):
    old = [record("saf", seed, scores={"accuracy": 0.5}, finished="2026-01-01T00:00:00.000+00:00") for seed in range(2)]
    new = [record("saf", 1, scores={"accuracy": 0.9}, finished="2026-02-01T00:00:00.000+00:00"), record("ottt")]
    a, b = written(tmp_path / "a", old), written(tmp_path / "b", new)
    for first, second in ((a, b), (b, a)):
        _, out, err = harness("report", "--results", first, "--results", second, "--format", "json")
        report = json.loads(out)
        cells = {row["method"]: row["metrics"]["accuracy"] for row in report["rows"] if "accuracy" in row["metrics"]}
        assert cells["saf"]["mean"] == pytest.approx(0.7)
        assert {row["method"] for row in report["rows"]} == {"saf", "ottt"}
        sizes = {a: 2, b: 2}
        assert report["notes"][:2] == [
            f"records of {first} ({sizes[first]}) and {second} ({sizes[second]})",
            f"1 trial is in {first} and {second}: the newest record counts (1 of {b})",
        ]
        assert err == ""


def test_one_folder_by_two_names_is_one(harness, results, monkeypatch):
    monkeypatch.chdir(results.parent)
    alone = harness("report", "--format", "json")
    assert harness("report", "--results", "results", "--results", f"./{results.name}/", "--format", "json") == alone


def test_a_folder_without_records_is_named_beside_one_that_has_some(harness, results, tmp_path):
    refused(harness("report", "--results", results, "--results", tmp_path / "nothing"), str(tmp_path / "nothing"))


def test_show_looks_in_several_folders_and_says_so(harness, tmp_path):
    a = written(tmp_path / "a", [record("saf")])
    b = written(tmp_path / "b", [record("ottt")])
    code, out, err = harness("show", "ottt/digits/0", "--results", a, "--results", b)
    assert code == 0
    assert out.startswith("ottt on digits, seed 0: ok")
    assert err == f"harness: records of {a} (1) and {b} (1)\n"


@pytest.mark.parametrize("text", ["saf(steps=4)/digits/0", "saf[ steps = 4 ]/digits/0", "saf[steps=4,*]/digits/*"])
def test_show_knows_a_trial_however_its_options_are_written(harness, tmp_path, text):
    folder = written(tmp_path / "r", [record("saf"), record("saf[steps=4]"), record("ottt")])
    code, out, _ = harness("show", text, "--results", folder)
    assert (code, out.splitlines()[0]) == (0, "saf[steps=4] on digits, seed 0: ok")


def test_show_lists_what_a_star_selects(harness, tmp_path):
    folder = written(tmp_path / "r", [record("saf"), record("saf[steps=4]"), record("ottt")])
    code, out, err = harness("show", "saf[*]/digits/0", "--results", folder)
    assert (code, out) == (2, "")
    assert [line.split()[1] for line in err.splitlines()[1:]] == ["saf/digits/0,", "saf[steps=4]/digits/0,"]


def test_metrics_choose_columns(harness, results):
    _, out, _ = harness("report", "--results", results, "--metrics", "accuracy@best,train_seconds", "--format", "json")
    assert list(json.loads(out)["rows"][0]["metrics"]) == ["accuracy@best", "train_seconds"]


def test_a_target_adds_its_column(harness, tmp_path):
    folder = written(tmp_path / "r", [record(valid=[0.1, 0.9, 0.97])])
    _, out, _ = harness("report", "--results", folder, "--target", "0.95", "--format", "json")
    assert json.loads(out)["rows"][0]["metrics"]["seconds_to_target"]["mean"] == 2.0
    assert "seconds_to_target" in harness("report", "--results", folder, "--target", "0.95")[1]


@pytest.mark.parametrize("name", ["text", "markdown", "latex", "csv", "json"])
def test_a_file_gets_what_standard_output_would(harness, results, tmp_path, name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")  # as wide as a table in a file
    _, out, _ = harness("report", "--results", results, "--format", name)
    file = tmp_path / "table"
    code, nothing, _ = harness("report", "--results", results, "--format", name, "--output", file)
    assert (code, nothing) == (0, "")
    assert file.read_text(encoding="utf-8").split() == out.split()


def test_unreadable_records_are_named_and_set_aside(harness, results):
    folder = results / "trials"
    folder.joinpath("cut.json").write_text('{"schema": 1, "tri')
    folder.joinpath("newer.json").write_text('{"schema": 99}')
    folder.joinpath("other.json").write_text("[]")
    code, out, err = harness("report", "--results", results, "--format", "json")
    assert code == 0
    assert len(json.loads(out)["rows"]) == 3
    assert len(err.splitlines()) == 3
    for name in ("cut.json", "newer.json", "other.json"):
        assert name in err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--format", "jsno"], ["jsno", "did you mean 'json'"]),
        (["--metrics", "acuracy"], ["acuracy", "did you mean 'accuracy'"]),
        (["--metrics", "accuracy@bset"], ["accuracy@bset", "did you mean 'accuracy@best'"]),
        (["--metrics", "accuracy,"], ["--metrics", "empty"]),
        (["--methods", "ottt[steps=5]"], ["ottt"]),
        (["--methods", "ott"], ["ott", "did you mean 'ottt'"]),
        (["--methods", "saf,,ottt"], ["--methods", "empty"]),
        (["--datasets", "digit"], ["digit", "did you mean 'digits'"]),
        (["--target", "high"], ["--target", "high"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_slip_is_named(harness, results, arguments, words):
    refused(harness("report", "--results", results, *arguments), *words)


def test_a_folder_without_records(harness, tmp_path):
    refused(harness("report", "--results", tmp_path / "nowhere"), "nowhere", "harness run")
    Store(tmp_path).prepare()
    refused(harness("report", "--results", tmp_path), str(tmp_path), "harness run")


def test_a_file_that_cannot_be_written(harness, results, tmp_path):
    refused(harness("report", "--results", results, "--output", tmp_path / "no" / "table.tex"), "--output", "table.tex")


def test_nothing_heavy_is_imported_for_a_text_table_without_intervals(results):
    code = (
        "import sys; from harness.cli import main; main(sys.argv[1:]);"
        "heavy = {'torch', 'pandas', 'scipy', 'sklearn', 'numpy'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    command = [sys.executable, "-c", code, "report", "--results", str(results)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_values_per_trial(harness, results, tmp_path):
    call = ["report", "--results", results, "--per"]
    code, out, err = harness(*call, "trial", "--format", "csv", "--methods", "bptt")
    assert (code, err) == (0, "")
    assert [line.split(",")[:4] for line in out.splitlines()[1:]] == [
        ["bptt", "digits", str(seed), status] for seed, status in enumerate(("ok", "ok", "timeout"))
    ]
    file = tmp_path / "trials.json"
    assert harness(*call, "trial", "--format", "json", "--output", file) == (0, "", "")
    assert len(json.loads(file.read_text())["trials"]) == 9
    refused(harness(*call, "seed"), "--per seed", "row, trial")
    refused(harness(*call, "row", "--curves"), "--curves", "--per trial")
    refused(harness("report", "--results", results, "--per", "trial"), "not text", "csv, json")


# --- show ---------------------------------------------------------------------------------------------------------


def test_show_finds_a_trial_by_name_and_by_the_beginning_of_its_key(harness, tmp_path):
    records = [record("saf", key="abc1"), record("ottt", key="abd2", scores={"accuracy": 0.5})]
    folder = written(tmp_path / "r", records)
    for name in ("ottt/digits/0", "abd", "abd2"):
        code, out, _ = harness("show", name, "--results", folder)
        assert code == 0
        assert out.startswith("ottt on digits, seed 0: ok")


def test_show_as_json_is_the_record(harness, results):
    _, out, _ = harness("show", "saf/digits/1", "--results", results, "--format", "json")
    found = json.loads(out, parse_constant=pytest.fail)
    assert (found["schema"], found["trial"]["seed"], found["scores"]["ece"]) == (2, 1, 0.008)


def test_show_never_guesses(harness, tmp_path):
    records = [record("saf", key="abc1"), record("saf", key="abc2", budget=Budget("updates", 5))]
    folder = written(tmp_path / "r", records)
    for ambiguous in ("abc", "saf/digits/0"):
        code, out, err = harness("show", ambiguous, "--results", folder)
        assert (code, out) == (2, "")
        assert "abc1  saf/digits/0, 10 epochs" in err
        assert "abc2  saf/digits/0, 5 updates" in err
    refused(harness("show", "sfa/digits/0", "--results", folder), "did you mean 'saf/digits/0'")
    refused(harness("show", "", "--results", folder), "no such record")
    refused(harness("show", "abc1", "--results", folder, "--format", "xml"), "xml")
    refused(harness("show", "abc1", "--results", tmp_path / "nowhere"), "nowhere")
