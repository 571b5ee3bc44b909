"""`harness agree` of a method with its reference, as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.cli import main


def with_reference(method: str, dataset: str, folder: Path) -> dict[str, Any]:
    output = folder / "agree.json"
    setting = ["--datasets", dataset, "--batch-size", "6", "--device", "cpu", "--threads", "1"]
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
