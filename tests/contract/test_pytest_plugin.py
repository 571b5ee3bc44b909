"""`pytest --harness-plugin NAME`: one test for each promise, and nothing at all for those who do not ask."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from test_check_command import SOURCE, TINY

BACKEND = f"""
sys.path.append({str(TINY.parent)!r})
import tiny

@hookimpl
def harness_backends():
    yield BackendOffer("numpy", tiny.NumpyBackend, tiny.check)
"""
pytest_plugins = ["pytester"]


@pytest.fixture
def run(pytester, monkeypatch):
    """A project with a plugin and one test of its own; pytest in this process, without other installed plugins."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics")
    monkeypatch.setattr(sys, "path", list(sys.path))
    pytester.makepyfile(mine=f"import sys\n{textwrap.dedent(SOURCE)}{BACKEND}", test_own="def test_of_my_own(): pass")
    return lambda *arguments: pytester.runpytest_inprocess("-p", "harness.pytest_plugin", *arguments)


def test_every_promise_is_a_test_beside_one_s_own(run):
    result = run("--harness-plugin", "./mine.py", "-v", "-rs")
    outcome = result.parseoutcomes()
    assert outcome["failed"] == 1
    assert outcome["passed"] + outcome["skipped"] == 32
    result.stdout.fnmatch_lines(
        [
            "*test_of_my_own PASSED*",
            "*uniform::deterministic PASSED*",
            "*careless::prediction-well-formed FAILED*",
            "*a row's probabilities, exp(log_probs), sum to 3; expected 1*",
            "*SKIPPED*it has no save(state), which is optional*",
        ]
    )
    assert "Traceback" not in result.stdout.str()


def test_promises_are_chosen_as_other_tests_are(run):
    result = run("--harness-plugin", "./mine.py", "-k", "uniform and options-described")
    result.assert_outcomes(passed=1, deselected=32)


def test_a_plugin_that_offers_nothing_is_a_usage_error(run):
    result = run("--harness-plugin", "nothing")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --harness-plugin: -p nothing: no plugin, module or .py file of this name"])
    result = run("--harness-plugin", "harness_torch.checks")
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_who_does_not_ask_gets_only_their_own_tests(run):
    run().assert_outcomes(passed=1)


def test_it_imports_nothing_heavy_at_first():
    heavy = ("torch", "numpy", "pandas", "click")
    code = f"import sys, harness.pytest_plugin; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
