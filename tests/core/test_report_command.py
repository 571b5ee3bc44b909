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
        ("saf[steps=4]", ["saf", "saf[steps=4,wide=True]"]),
        ("saf[steps=[8,6]]", ["saf[steps=8]"]),
        ("saf[(steps,wide)=[(4,yes),(8,no)]]", ["saf[steps=4,wide=True]", "saf[steps=8]"]),
        ("saf(wide=true)", ["saf[steps=4,wide=True]"]),
        ("saf[sizes=(1,2)]", ["saf[steps=8]"]),
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


def test_a_name_chooses_all_its_rows(harness, tmp_path):
    folder = written(tmp_path / "r", [record("saf"), record("saf[steps=4]"), record("ottt")])
    _, out, _ = harness("report", "--results", folder, "--methods", "saf", "--format", "json")
    assert [row["method"] for row in json.loads(out)["rows"]] == ["saf", "saf[steps=4]"]


def test_datasets_choose_tables(harness, tmp_path):
    folder = written(tmp_path / "r", [record(dataset="digits"), record(dataset="mnist[train=100]")])
    _, out, _ = harness("report", "--results", folder, "--datasets", "mnist", "--format", "json")
    assert [row["dataset"] for row in json.loads(out)["rows"]] == ["mnist[train=100]"]


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


def test_nothing_heavy_is_imported_for_the_text_table(results):
    code = (
        "import sys; from harness.cli import main; main(sys.argv[1:]);"
        "heavy = {'torch', 'pandas', 'scipy', 'sklearn', 'numpy'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    command = [sys.executable, "-c", code, "report", "--results", str(results)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


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
    assert (found["schema"], found["trial"]["seed"], found["scores"]["ece"]) == (1, 1, 0.008)


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
