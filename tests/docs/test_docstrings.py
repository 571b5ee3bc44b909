"""Docstrings begin with a verb or the thing's name, not with a relative clause that leaves the noun out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def riddles(source):
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, DOCUMENTED)]
    said = [(ast.get_docstring(node) or "").partition("\n")[0] for node in nodes]
    return [line for line in said if re.match(r"(What|Whatever|Who|Whoever|Whose|Which|Those)\b", line)]


@pytest.mark.parametrize("folder", ["harness", "plugins", "baselines", "tests"])
def test_no_docstring_begins_with_a_relative_clause(folder):
    found = {path: riddles(path.read_text(encoding="utf-8")) for path in (ROOT / folder).rglob("*.py")}
    assert {str(path): lines for path, lines in found.items() if lines} == {}


def test_a_relative_clause_is_told_from_a_noun():
    source = '"""Words."""\ndef read():\n    """What was read."""\nclass Line:\n    """Whole lines."""\n'
    assert riddles(source) == ["What was read."]


@pytest.mark.parametrize("folder", ["harness", "plugins", "baselines"])
def test_no_docstring_of_the_product_leaves_its_noun_to_the_name(folder):
    """As in "Of the bytes of a file" below a function that digests them."""
    sources = {path: path.read_text(encoding="utf-8") for path in (ROOT / folder).rglob("*.py")}
    nodes = ((path, node) for path, text in sources.items() for node in ast.walk(ast.parse(text)))
    found = [(str(path), ast.get_docstring(node)) for path, node in nodes if isinstance(node, DOCUMENTED)]
    assert [(path, text) for path, text in found if (text or "").startswith("Of ")] == []
