"""Examples in docstrings of the core are as they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import harness

ROOT = Path(harness.__file__).parents[1]
EXAMPLES = [path for path in sorted((ROOT / "harness").rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_in_docstrings_give_what_stands_below_them(path):
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0
