"""docs/report.md: its command, as printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from harness.cli import main

ROOT = Path(__file__).parents[2]


def test_the_command_writes_the_page(tmp_path, monkeypatch):
    (command,) = re.findall(r"```sh\n(.*?)\n```", (ROOT / "docs" / "report.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(command)[1:]) == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "7 methods on digits" in page
    for title in ("The answer", "The trade-off", "The table", "Learning curves", "What the costs are made of"):
        assert title in page
    assert "Published and claimed" in page
    assert "How it was measured" in page
