"""`harness check`: a line for each promise, an exit code for all of them."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from harness.cli import main

TINY = Path(__file__).parents[1] / "core" / "tiny.py"  # its backend is there at once
SOURCE = """
    import numpy as np
    from harness import *

    class Uniform:
        def __init__(self, config):
            pass

        def init(self, problem, training, base):
            return problem.output_size

        def update(self, state, batch):
            return state, {}

        def predict(self, state, inputs):
            return ClassLogProbs(np.full((1, len(inputs), state), -np.log(state)), np.zeros(1))

    class Careless(Uniform):
        def predict(self, state, inputs):
            return ClassLogProbs(np.zeros((1, len(inputs), state)), np.zeros(1))

    @hookimpl
    def harness_methods():
        yield Method("uniform", "learns nothing", Uniform, ("classification",))
        yield Method("careless", "is no distribution", Careless, ("classification",))
    """


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(textwrap.dedent(SOURCE))
    return str(path)


@pytest.fixture(autouse=True)
def few_plugins(monkeypatch):
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics")


def check(*arguments):
    return main(["check", *arguments, "-p", "harness.checks", "-p", str(TINY)])


def test_a_sound_method_is_exit_0_with_a_line_for_each_check(plugin, capsys):
    assert check("uniform", "-p", plugin) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == "method uniform"
    assert len(lines) == 16
    assert all("ok" in line or "not applicable: " in line for line in lines)
    assert [line.split() for line in lines if line.split()[0] == "deterministic"] == [["deterministic", "ok"]]


def test_a_broken_promise_is_exit_1_and_its_line_has_the_reason(plugin, capsys):
    assert check("uniform", "careless", "-p", plugin) == 1
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if "broken" in line]
    assert line.split(maxsplit=1) == [
        "prediction-well-formed",
        "broken: predict: a row's probabilities, exp(log_probs), sum to 3; expected 1 (log_softmax?)",
    ]
    assert "\n\nmethod careless\n" in out


def test_debug_shows_where_a_check_was_interrupted(plugin, capsys):
    path = Path(plugin)
    path.write_text(path.read_text().replace("return state, {}", "raise KeyError('lost')"))
    assert check("uniform", "-p", plugin) == 1
    assert capsys.readouterr().err == ""
    assert check("uniform", "-p", plugin, "--debug") == 1
    out, err = capsys.readouterr()
    assert "kinds-taken             broken: raised KeyError: 'lost'" in out
    assert "in update" in err


def test_an_error_is_told_once_with_its_place_and_the_checks_that_fail_by_it_are_counted(plugin, capsys):
    path = Path(plugin)
    path.write_text(path.read_text().replace("return state, {}", "raise KeyError('lost')"))
    line = path.read_text().splitlines().index("        raise KeyError('lost')") + 1
    assert check("uniform", "-p", plugin) == 1
    out = capsys.readouterr().out
    assert out.count("KeyError") == 1
    assert f"kinds-taken             broken: raised KeyError: 'lost' (mine.py line {line}, in update)\n" in out
    alike = out.count("broken: as above (kinds-taken)\n") + 1
    assert alike > 10
    assert out.splitlines()[-1] == f"  {alike} of {len(out.splitlines()) - 2} checks are broken, all by one error"


@pytest.mark.parametrize(
    ("changed", "into", "reason"),
    [
        ("return state, {}", "pass", "update returned NoneType, expected (state, {name: scalar})"),
        ("return problem.output_size", "pass", "the state is None: did init, or the update before, return none?"),
        ("return state, {}", "return state, {'loss': batch.inputs}", "as the scalar loss, expected one number"),
    ],
)
def test_what_a_learner_returns_wrongly_is_said_in_words(plugin, capsys, changed, into, reason):
    path = Path(plugin)
    path.write_text(path.read_text().replace(changed, into))
    assert check("uniform", "-p", plugin) == 1
    assert reason in capsys.readouterr().out


def test_a_file_is_checked_as_it_is_run(plugin, capsys, monkeypatch):
    path = Path(plugin)
    path.write_text(
        path.read_text()
        + textwrap.dedent(
            """
            @hookimpl
            def harness_metrics():
                yield Metric("half", "of the rows", "", "higher", ("classification",), lambda outcome: 0.5)
            """
        )
    )
    monkeypatch.chdir(path.parent)
    for name in ("./mine.py", str(path)):
        assert check(name) == 1
        out = capsys.readouterr().out
        heads = [line for line in out.splitlines() if line and not line.startswith(" ")]
        assert heads == ["method uniform", "method careless", "metric half"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "it implements no hook: is @hookimpl missing?"),
        ("raise ValueError('no')", "mine.py: ValueError: no"),
        (
            "from harness import *\n@hookimpl\ndef harness_metrics(): yield Metric('rows', 'x', '', 'lower')",
            "metric 'rows': the name is taken by what the harness itself measures",
        ),
        (
            "from harness import *\n@hookimpl\ndef harness_suites(): return []",
            "it offers no method, data set or metric",
        ),
    ],
)
def test_a_file_that_offers_nothing_to_check_is_a_mistake_in_the_call(plugin, capsys, text, message):
    Path(plugin).write_text(text)
    assert check(plugin) == 2
    assert message in capsys.readouterr().err


def test_json_says_the_same_to_a_program(plugin, capsys):
    assert check("careless", "accuracy", "--format", "json", "-p", plugin) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["schema"] == 1
    (broken,) = [row for row in said["results"] if row["status"] == "broken"]
    assert (broken["of"], broken["name"], broken["check"]) == ("method", "careless", "prediction-well-formed")
    assert {row["status"] for row in said["results"] if row["of"] == "metric"} == {"ok"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["unform"], "no method, data set or metric 'unform'; did you mean 'uniform'?"),
        (["uniform[steps=3]"], "there is no parameter 'steps'"),
        (["uniform", "--device", "gpu"], "--device gpu"),
        ([], "Missing argument 'NAME...'"),
    ],
)
def test_a_mistake_in_the_call_is_exit_2(plugin, capsys, arguments, message):
    assert check(*arguments, "-p", plugin) == 2
    assert message in capsys.readouterr().err


def test_the_checks_are_listed(monkeypatch, capsys):
    monkeypatch.setenv("HARNESS_PLUGINS", "torch")
    assert main(["list", "checks", "-p", "harness.checks"]) == 0
    out = capsys.readouterr().out
    for name in ("deterministic", "no-leak", "splits-apart", "metric-direction"):
        assert name in out


def test_the_plugin_of_the_readme_keeps_the_contract(monkeypatch, capsys):
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,torch")
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "data" / "harness_centroid")
    arguments = ["check", "centroid", "-p", "harness_centroid", "-p", "harness.checks"]
    assert main(arguments) == 0, capsys.readouterr().out
