"""docs/python.md: its code runs, one piece after the other."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from commands import forked

import harness

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
CODE = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FEW = ["--updates", "1", "--batch-size", "2", "--threads", "1", "--here"]


def test_the_code_of_the_page_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib", reason="figures are drawn by matplotlib (extra plot)")
    monkeypatch.chdir(tmp_path)
    done = forked(["run", "--methods", "saf,ottt", "--seeds", "2", *FEW], dict(os.environ), tmp_path, timeout=240)
    assert done.returncode == 0, done.stderr
    run = harness.run

    def run_few(methods, seeds):
        assert seeds == 3
        return run(methods, seeds=2, updates=1, batch_size=2, threads=1)  # they have records

    monkeypatch.setattr(harness, "run", run_few, raising=False)
    names = {}
    for code in CODE:
        exec(compile(code, "docs/python.md", "exec"), names)
    out = capsys.readouterr().out
    assert "### `digits`" in out
    assert "ottt - saf" in out
    assert (tmp_path / "tradeoff.svg").read_text().startswith("<?xml")


def test_every_way_to_read_results_is_in_the_table():
    public = [name for name in vars(harness.Results) if not name.startswith("_")]
    assert [name for name in public if f"results.{name}" not in PAGE and f".{name}(" not in PAGE] == []
