"""docs/values.md: its commands work, its example runs on what they write, its links lead somewhere."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
from pathlib import Path

from harness.cli import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "values.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line)[1:]
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S)
    for line in block.splitlines()
]


def test_the_example_runs_on_what_the_commands_write(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "results" / "saf-digits", tmp_path / "results")
    for command in COMMANDS:
        assert main(command) == 0, capsys.readouterr().err
    trials = list(csv.DictReader(Path("trials.csv").read_text().splitlines()))
    keys = {path.stem for path in Path("results/trials").glob("*.json")}
    assert {row["key"] for row in trials} <= keys
    assert [row["key"] for row in trials] == [
        each["key"] for each in json.loads(Path("trials.json").read_text())["trials"]
    ]
    capsys.readouterr()
    (example,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
    exec(example, {})
    shown = capsys.readouterr().out
    assert all(row["key"] in shown for row in trials if row["status"] == "ok")
    assert "NaN" not in shown


def test_every_named_column_is_there(tmp_path, monkeypatch):
    columns = [name for cell in re.findall(r"^\| (`.*?) \|", PAGE, re.M) for name in re.findall(r"`([^`]+)`", cell)]
    monkeypatch.chdir(ROOT / "results" / "saf-digits")
    written = ""
    for form in ([], ["--curves"]):
        out = str(tmp_path / "out.csv")
        assert main(["report", "--results", ".", "--per", "trial", "--format", "csv", *form, "--output", out]) == 0
        written += Path(out).read_text().splitlines()[0] + ","
    found = set(written.split(","))
    assert {name for name in columns if "NAME" not in name} <= found | {"..."}


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGE):
        assert "://" in target or (ROOT / "docs" / target).exists(), target
