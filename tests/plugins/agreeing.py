"""`harness agree` of methods that are installed, or in a plugin's file, and what it says as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

from harness.cli import main

DEVICE = ("--device", "cpu", "--threads", "1")


def with_reference(method: str, dataset: str, folder: Path) -> dict[str, Any]:
    output = folder / "agree.json"
    setting = ["--datasets", dataset, "--batch-size", "6", *DEVICE]
    code = main(["agree", method, "--reference", *setting, "--format", "json", "--output", str(output)])
    assert code == 0
    found: dict[str, Any] = json.loads(output.read_text())
    return found


def agree(method: str, dataset: str, folder: Path) -> dict[str, Any]:
    """The agreement in float64, which has to be exact; and float32 within its rounding."""
    found = with_reference(method, dataset, folder)
    assert found["float64"]["max_relative_difference"] < 1e-11, found
    assert found["float32"]["max_relative_difference"] < 1e-3, found
    said: dict[str, Any] = found["float64"]
    return said


def command(plugin, tmp_path, monkeypatch, capfd, *beside: str) -> Callable[..., tuple[int, str, str]]:
    """Call the command with a plugin in a file, and no other than these: exit code, standard output and error."""
    monkeypatch.setenv("HARNESS_PLUGINS", ",".join(["torch", "metrics", "executors", *beside]))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugin.py").write_text(dedent(plugin))

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(["agree", *arguments, "-p", "plugin.py", *DEVICE])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


def as_json(harness: Callable[..., tuple[int, str, str]], *arguments: str) -> dict[str, Any]:
    """The JSON answer of such a call."""
    code, out, err = harness(*arguments, "--format", "json")
    assert code == 0, err
    said: dict[str, Any] = json.loads(out)
    return said
