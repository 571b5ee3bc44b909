"""Instruments that measure only where a run asks for their column."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import main

TINY = Path(__file__).with_name("tiny.py")
SLOW = """
from contextlib import nullcontext
from harness import Instrument, Metric, hookimpl

class Slow:
    def deployed(self, trained):
        self.found = {"patience_seconds": 2.5}
    def readings(self):
        return self.found

@hookimpl
def harness_instruments():
    yield Instrument("patience_seconds", "takes long", Slow, on_request=True)

@hookimpl
def harness_metrics():
    yield Metric("patience_seconds", "how long one waits", "s", "lower")
"""


@pytest.fixture
def harness(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,executors")
    monkeypatch.chdir(tmp_path)
    Path("slow.py").write_text(SLOW)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, "-p", str(TINY), "-p", "slow.py"])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


RUN = ("run", "--methods", "counts", "--seeds", "1")


def readings() -> dict:
    (path,) = Path("results/trials").glob("*.json")
    return json.loads(path.read_text())["readings"]


@pytest.mark.parametrize("where", [("--here",), ()], ids=["here", "elsewhere"])
def test_a_column_that_is_asked_for_is_measured_and_another_is_not(harness, where):
    assert harness(*RUN, *where)[0] == 0
    assert "patience_seconds" not in readings()
    code, out, err = harness(*RUN, *where, "--metrics", "accuracy,patience_seconds")
    assert code == 0, err
    assert "patience_seconds is measured on request, and 1 of the trials that have a record did without" in err
    assert "--rerun measures it" in err
    assert "not measured" in out
    code, out, err = harness(*RUN, *where, "--metrics", "accuracy,patience_seconds", "--rerun", "*")
    assert code == 0, err
    assert readings()["patience_seconds"] == 2.5
    assert "on request" not in err


def test_a_suite_may_ask_for_it(harness):
    Path("s.toml").write_text('methods = "counts"\nseeds = 1\nmetrics = ["accuracy", "patience_seconds"]\n')
    code, _, err = harness("run", "--here", "--suite", "s.toml")
    assert code == 0, err
    assert readings()["patience_seconds"] == 2.5
