"""docs/export.md: its commands work, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from harness.cli import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line)[1:]
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S)
    for line in block.splitlines()
]


def test_the_commands_write_the_file_that_is_named(tmp_path, monkeypatch, capsys):
    pytest.importorskip("nir")
    monkeypatch.chdir(tmp_path)
    few = ["--updates", "2", "--batch-size", "8", "--threads", "1", "--here"]
    for command in COMMANDS:
        assert main([*command, *(few if command[0] == "run" else [])]) == 0, capsys.readouterr().err
    assert re.search(r"^digits.nir: [\d.]+ MB$", capsys.readouterr().out, re.MULTILINE)
    assert [command[0] for command in COMMANDS] == ["run", "export"]


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGE):
        assert "://" in target or (ROOT / "docs" / target).exists(), target
