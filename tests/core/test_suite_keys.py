"""Keys of a suite's file besides those of its run: columns, values of single seeds, files that lie beside it."""

import math
import re
import statistics
import textwrap
from pathlib import Path

import pytest

import harness.metrics
from harness import Dataset, Method, UsageError, hookimpl
from harness.catalog import Catalog
from harness.cli import main
from harness.planning.plan import plan_trials
from harness.report import render, summarise, with_suite
from harness.suites import references, suite
from harness.suites.suite import Request
from tests.core import tiny
from tests.core.example_records import METRICS, record

PLUGIN = """
from harness import Method, hookimpl

@hookimpl
def harness_methods():
    yield Method("NAME", "a method", "nowhere:build", ("classification",))
"""


class Plugin:
    @hookimpl
    def harness_backends(self):
        yield from tiny.harness_backends()

    @hookimpl
    def harness_methods(self):
        yield Method("old", "a method", "nowhere:build", ("classification",))

    @hookimpl
    def harness_datasets(self):
        yield Dataset("toy", "a toy", "classification", "nowhere:load", default=True)


def catalog():
    return Catalog.of(harness.metrics, Plugin())


def written(folder: Path, text: str) -> Path:
    file = folder / "suite.toml"
    file.write_text(textwrap.dedent(text))
    return file


def published(folder: Path, **values):
    """The one published value of a suite that says these of it."""
    said = {
        "method": '"old"',
        "dataset": '"toy"',
        "metric": '"accuracy"',
        "value": "0.9",
        "source": '"A 2020"',
    } | values
    lines = "\n".join(f"{name} = {value}" for name, value in said.items())
    (entry,) = suite.read_suite(written(folder, f'methods = "old"\n[[published]]\n{lines}\n')).published
    return entry


# --- published values ---------------------------------------------------------------------------------------------


def test_a_standard_error_becomes_the_deviation_of_so_many_runs(tmp_path):
    assert published(tmp_path, se="0.01", n="25").sd == pytest.approx(0.05)


def test_values_by_seed_say_how_many_they_are_and_how_they_deviate(tmp_path):
    entry = published(tmp_path, by_seed="[0.8, 0.9, 1.0]")
    assert (entry.n, entry.by_seed) == (3, (0.8, 0.9, 1.0))
    assert entry.sd == pytest.approx(statistics.stdev([0.8, 0.9, 1.0]))
    assert published(tmp_path, by_seed="[0.8, 0.9]", sd="0.3").sd == 0.3


@pytest.mark.parametrize(
    "values, flaw",
    [
        ({"sd": "0.1", "se": "0.1", "n": "4"}, "both sd and se"),
        ({"se": "0.1"}, "se = 0.1 needs n"),
        ({"se": "-0.1", "n": "4"}, "a standard error is at least 0"),
        ({"by_seed": "[]"}, "by_seed is empty"),
        ({"by_seed": "[0.1, true]"}, "by_seed has True"),
        ({"by_seed": '[0.1, "a"]'}, "by_seed has 'a'"),
        ({"by_seed": "[0.1, nan]"}, "by_seed has nan"),
        ({"by_seed": "[0.1, 0.2]", "n": "3"}, "n = 3, but by_seed has 2 values"),
        ({"by_seed": "0.1"}, "expected a list"),
    ],
)
def test_what_does_not_go_together_names_the_entry_and_the_key(tmp_path, values, flaw):
    with pytest.raises(UsageError, match="published entry 1") as raised:
        published(tmp_path, **values)
    assert flaw in str(raised.value)


def reported(entry, style="text", **readings):
    scores = {0: 0.91, 1: 0.93, 7: 0.5}
    records = [record("old", seed, "toy", scores={"accuracy": score}, **readings) for seed, score in scores.items()]
    said = suite.Comparison(Path("s"), Request(), "", (entry,))
    return render(with_suite(summarise(records, METRICS), records, METRICS, said), style, 140)


@pytest.mark.parametrize("style", ["text", "markdown", "latex"])
def test_the_report_gives_the_paired_difference_to_the_published_run(tmp_path, style):
    shown = reported(published(tmp_path, by_seed="[0.90, 0.91, 0.99]"), style)
    assert "less published, by seed" in shown.replace(r"\\{}", " ")  # as LaTeX breaks lines
    low, high = (0.015 + sign * 12.706 * statistics.stdev([0.01, 0.02]) / math.sqrt(2) for sign in (-1, 1))
    assert f"+0.015 ({low:+.3f} to {high:+.3f}), n=2" in shown


def test_without_two_seeds_in_common_there_is_no_difference(tmp_path):
    assert "less published" not in reported(published(tmp_path, by_seed="[0.90]"))
    assert "less published" not in reported(published(tmp_path))


def test_programs_get_the_difference_too(tmp_path):
    assert '"difference": {\n    "mean": 0.015' in reported(published(tmp_path, by_seed="[0.90, 0.91]"), "json")


# --- columns ------------------------------------------------------------------------------------------------------


def test_a_suite_names_the_columns_of_its_table(tmp_path):
    file = written(tmp_path, 'methods = "old"\nmetrics = ["nll", "accuracy@best"]\n')
    assert references.parse_metrics(references.find_suite(catalog(), str(file)).request) == ["nll", "accuracy@best"]
    assert references.parse_metrics(suite.read_suite(written(tmp_path, 'methods = "old"\n')).request) is None


def test_what_the_command_names_overrides_the_suite_s_columns(tmp_path):
    said = suite.read_suite(written(tmp_path, 'metrics = "nll"\n')).request
    assert Request(metrics="ece").over(said).metrics == "ece"
    assert Request().over(said).metrics == "nll"


@pytest.mark.parametrize(
    "metrics, flaw",
    [('["nil"]', "unknown metric 'nil'"), ("[3]", "metrics has 3"), ("3", "expected a text or a list")],
)
def test_a_column_that_nobody_offers_names_the_suite(tmp_path, metrics, flaw):
    file = written(tmp_path, f'methods = "old"\nmetrics = {metrics}\n')
    with pytest.raises(UsageError, match=r"suite .*suite\.toml") as raised:
        references.find_suite(catalog(), str(file))
    assert flaw in str(raised.value)


def test_a_run_of_a_suite_prints_its_columns(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,executors")
    file = written(tmp_path, 'methods = "counts"\nseeds = 1\nmetrics = ["nll"]\n')
    asked = ["run", "--suite", str(file), "--here", "--results", str(tmp_path / "r"), "-p", tiny.__file__]
    assert main(asked) == 0
    out = capsys.readouterr().out
    assert "nll" in out
    assert "accuracy" not in out
    assert main(["report", "--suite", str(file), "--results", str(tmp_path / "r"), "-p", tiny.__file__]) == 0
    assert "accuracy" not in capsys.readouterr().out


# --- the file -----------------------------------------------------------------------------------------------------


def test_a_file_of_methods_is_sought_beside_the_suite(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "mine.py").write_text(PLUGIN.replace("NAME", "beside"))
    (elsewhere / "mine.py").write_text(PLUGIN.replace("NAME", "lost"))
    file = written(tmp_path, 'methods = ["./mine.py", "old"]\nseeds = 1\n')
    monkeypatch.chdir(elsewhere)
    loaded = catalog()
    request = references.find_suite(loaded, str(file)).request
    assert [trial.method.name for trial in plan_trials(loaded, request)] == ["beside", "old"]


def test_a_file_that_the_command_names_is_sought_where_the_user_is(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.py").write_text(PLUGIN.replace("NAME", "here"))
    file = written(tmp_path, 'methods = "old"\nseeds = 1\n')
    monkeypatch.chdir(elsewhere)
    loaded = catalog()
    request = Request(methods="./mine.py").over(references.find_suite(loaded, str(file)).request)
    assert [trial.method.name for trial in plan_trials(loaded, request)] == ["here"]


def test_a_file_that_is_not_beside_the_suite_is_named_where_it_was_sought(tmp_path):
    file = written(tmp_path, 'methods = "./mine.py"\n')
    with pytest.raises(UsageError, match=re.escape(str(tmp_path / "mine.py"))):
        references.find_suite(catalog(), str(file))


def test_a_byte_order_mark_is_no_syntax_error(tmp_path):
    file = tmp_path / "suite.toml"
    file.write_bytes('methods = "old"\r\nsummary = "größer"\r\n'.encode("utf-8-sig"))
    assert suite.read_suite(file).request.methods == "old"
    file.write_bytes("methods = 'größer'".encode("latin-1"))
    with pytest.raises(UsageError, match="not TOML"):
        suite.read_suite(file)
