"""docs/figures.md: its commands draw the files that they name, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from harness.cli import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line)[1:]
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S)
    for line in block.splitlines()
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[1])
def test_a_command_draws_the_file_that_it_names(command, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "results" / "saf-digits-memory", tmp_path / "results")
    assert main(command) == 0, capsys.readouterr().err
    out, err = capsys.readouterr()
    assert err == ""
    assert "n = 2 seeds" in out
    assert "Measured on" in out
    assert Path(command[command.index("--output") + 1]).stat().st_size > 1000
    if "--caption" in command:
        assert Path(command[-1]).read_text() == out


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGE):
        assert "://" in target or (ROOT / "docs" / target).exists(), target
