"""docs/compress.md: its Python runs, its commands work, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import torch

from harness.cli import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "compress.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line)[1:]
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S)
    for line in block.splitlines()
]


def test_the_python_leaves_a_smaller_model_that_runs(capsys):
    names: dict = {}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S):
        exec(block, names)
    assert capsys.readouterr().out.startswith("LSTM(8, 12, num_layers=2")
    assert names["model"](torch.randn(3, 12, 8)).shape == (3, 10)
    assert [len(kept) for kept in names["nodes"]] == [12] * 4


def test_the_commands_write_the_file_that_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    few = ["--updates", "2", "--seeds", "1", "--batch-size", "8", "--threads", "1", "--here"]
    for command in COMMANDS:
        assert main([*command, *(few if command[0] == "run" else [])]) == 0, capsys.readouterr().err
    assert re.search(r"^digits.safetensors: [\d.]+ kB$", capsys.readouterr().out, re.MULTILINE)
    assert [command[0] for command in COMMANDS] == ["run", "export"]


def test_what_the_page_names_is_there():
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGE):
        assert "://" in target or (ROOT / "docs" / target).exists(), target
