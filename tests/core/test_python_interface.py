"""`harness.run` and `harness.read`: the digits of the command, failures as rows, mistakes, a notebook."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import harness
from harness import cli

TINY = Path(__file__).with_name("tiny.py")
ASKED = ("counts,breaks,counts[strength=5]", "2", "3")


@pytest.fixture(autouse=True)
def _few_plugins(monkeypatch, tmp_path):
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,executors")
    monkeypatch.chdir(tmp_path)


def run(**more):
    methods, seeds, updates = ASKED
    asked = {"seeds": int(seeds), "updates": int(updates), "threads": 1, "here": True, "plugins": [str(TINY)]}
    return harness.run(methods, **asked | more)


def call(*arguments):
    return cli.main([*arguments, "-p", str(TINY)])


def digits(results):
    """Scores and curves, which depend on no clock."""
    return [
        (each.trial.key, each.status, each.scores, [point.valid for point in each.curve])
        for each in sorted(results.records, key=lambda each: each.trial.key)
    ]


def test_a_run_has_the_digits_of_the_command(capsys):
    methods, seeds, updates = ASKED
    terms = ("--seeds", seeds, "--updates", updates, "--threads", "1", "--here", "--results", "by-command")
    assert call("run", "--methods", methods, *terms) == 1
    printed = capsys.readouterr().out
    found = run(results="by-python")
    assert len(found) == 6
    assert digits(found) == digits(harness.read("by-command"))
    assert printed.split()[:9] == found.table().split()[:9]
    assert "seed 1: failed: ValueError" in capsys.readouterr().err


def test_a_trial_that_fails_is_a_row_that_says_why():
    found = run()
    assert "breaks seeds 0, 1: failed: ValueError: [red]broken[/red] on purpose" in str(found)
    frame = found.to_pandas()
    assert frame.status.tolist().count("failed") == 2
    assert frame.set_index(["method", "seed"]).accuracy.notna().sum() == 4


def test_trials_that_have_a_record_do_not_run_again(capsys):
    first = digits(run())
    capsys.readouterr()
    assert digits(run()) == first
    assert "4 of 6 trials have a record; 2 to run" in capsys.readouterr().err


def test_what_is_read_narrows_and_keeps_every_value():
    run()
    found = harness.read("results", plugins=[str(TINY)]).only("counts[*]")
    assert len(found) == 4
    assert set(found.to_pandas("row").method) == {"counts", "counts[strength=5.0]"}
    points = found.to_pandas("point")
    assert {"loss", "accuracy@valid"} <= set(points.quantity)
    (pair,) = [each for each in found.compare().pairs if each.decides]
    assert (pair.left, pair.right, pair.n) == ("counts[strength=5.0]", "counts", 2)
    assert "accuracy decides" in str(found.compare("counts", "counts[strength=5]"))
    assert found.table("csv").startswith("method,dataset")


def test_html_is_escaped():
    record = next(each for each in run().records if each.status == "failed")
    assert "broken" in record.reason
    path = next(Path("results/trials").glob(f"{record.trial.key}.json"))
    path.write_text(path.read_text().replace("[red]broken[/red]", "<script>alert(1)</script>"))
    shown = harness.read("results")._repr_html_()
    assert "<th>breaks</th>" in shown
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_figures_are_drawn_and_saved(tmp_path):
    pytest.importorskip("matplotlib", reason="figures are drawn by matplotlib (extra plot)")
    figure = run().plot("curves", score="nll")
    assert figure.caption
    assert figure._repr_html_().startswith('<img src="data:image/svg+xml;base64,')
    figure.save(tmp_path / "curves.pdf")
    assert (tmp_path / "curves.pdf").read_bytes().startswith(b"%PDF")
    for mistake, words in (
        (lambda: figure.save("curves.txt"), "ending 'txt': unknown"),
        (lambda: figure.save("nowhere/curves.svg"), "not written"),
        (lambda: run().plot("curve"), "did you mean 'curves'"),
        (lambda: run().plot("curves", x="time"), "known: update, epoch, seconds"),
    ):
        with pytest.raises(harness.UsageError, match=words):
            mistake()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"methods": None}, "say which to run"),
        ({"methods": 3}, "methods = 3 is of the wrong type; expected a text or a list"),
        ({"methods": "cuonts"}, "did you mean 'counts'"),
        ({"methods": "counts", "epochs": 1, "updates": 2}, "give one budget, not epochs and updates"),
        ({"methods": "counts", "epochs": float("nan")}, "epochs = nan is of the wrong type"),
        ({"methods": "counts", "batch_size": 0}, "batch_size = 0; expected at least 1"),
        ({"methods": "counts", "workers": 0}, "workers = 0; expected at least 1"),
        ({"methods": "counts", "seeds": "three"}, "seeds = 'three'"),
        ({"methods": "counts", "results": ""}, "expected a folder"),
        ({"methods": "counts", "metrics": [1]}, "metrics has 1, of the wrong type"),
        ({"methods": "counts", "executor": "elsewhere"}, "elsewhere"),
        ({"methods": "counts", "suite": "nothing.toml"}, "nothing.toml"),
        ({"methods": "counts", "plugins": ["no_such_module"]}, "no_such_module"),
    ],
)
def test_mistakes_are_usage_errors_before_anything_runs(asked, words):
    with pytest.raises(harness.UsageError, match=words):
        harness.run(**{"plugins": [str(TINY)]} | asked)
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda: harness.read("nowhere"), "no records there"),
        (lambda: harness.read(3), "3: expected a folder"),
        (lambda: harness.read([]), "expected a folder"),
        (lambda: harness.read(["results", ""]), "expected a folder"),
        (lambda: harness.read("results", methods="saf"), "no record of 'saf'"),
        (lambda: harness.read("results", metrics="acuracy"), "did you mean 'accuracy'"),
        (lambda: harness.read("results").to_pandas("trials"), "did you mean 'trial'"),
        (lambda: harness.read("results").table("xml"), "unknown format 'xml'"),
        (lambda: harness.read("results").compare("counts"), "nothing to compare"),
        (lambda: harness.read("results").only(methods=[]), "expected a text"),
    ],
)
def test_mistakes_of_reading_are_usage_errors(read, words):
    run(seeds=1)
    with pytest.raises(harness.UsageError, match=words):
        read()


def test_importing_harness_imports_neither_a_run_nor_pandas():
    code = (
        "import sys, harness; print([m for m in ('harness.results', 'pandas', 'click', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


CELLS = (
    """
    import harness
    results = harness.run("counts,breaks", seeds=2, updates=3, threads=1, plugins={plugin!r})
    results
    """,
    "print([sorted(each.scores.items()) for each in results.records if each.status == 'ok'])",
)


@pytest.mark.timeout(240)
def test_a_notebook_shows_the_table_its_progress_and_the_digits_of_the_command():
    nbclient = pytest.importorskip("nbclient", reason="a notebook is run by nbclient (extra test)")
    pytest.importorskip("ipykernel", reason="a notebook is run in ipykernel (extra test)")
    from nbformat import v4

    cells = [v4.new_code_cell(textwrap.dedent(cell).strip().format(plugin=str(TINY))) for cell in CELLS]
    notebook = v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=200, kernel_name="python3").execute()
    first, second = (cell.outputs for cell in notebook.cells)
    shown = next(each.data for each in first if each.output_type == "execute_result")
    assert "<th>counts</th>" in shown["text/html"]
    assert "counts" in shown["text/plain"]
    said = "".join(each.text for each in first if each.output_type == "stream")
    assert "[4/4] breaks on coins, seed 1: failed: ValueError" in said
    terms = ("--seeds", "2", "--updates", "3", "--threads", "1", "--here", "--results", "by-command")
    assert call("run", "--methods", "counts", *terms) == 0
    records = harness.read("by-command").records
    assert second[0].text.strip() == str([sorted(each.scores.items()) for each in records])
