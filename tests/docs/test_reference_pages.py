"""docs/reference is what docs/write_reference.py writes of the code, and has what a plugin's author looks for."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

import harness

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "reference"
SPEC = importlib.util.spec_from_file_location("write_reference", ROOT / "docs" / "write_reference.py")
write_reference = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(write_reference)
WRITTEN = write_reference.compose_pages()


@pytest.mark.parametrize("page", WRITTEN)
def test_a_page_is_what_the_code_says(page):
    assert (PAGES / page).read_text(encoding="utf-8") == WRITTEN[page], "python docs/write_reference.py"


def test_no_page_is_left_over():
    assert {path.name for path in PAGES.iterdir()} == WRITTEN.keys()


def test_every_name_that_a_plugin_may_import_is_there():
    assert re.findall(r"^## (\w+)$", WRITTEN["nouns.md"], re.MULTILINE) == [
        name for name in harness.__all__ if not name.startswith("_")
    ]


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("nouns.md", r"^\| `train` \| `int \\\| None` \| `None` \| training rows to use"),
        ("nouns.md", r"^- `measure\(stage: Literal\['update'\], examples: int\)"),
        ("nouns.md", r"`deployed\(trained\)`, called once with a `Trained`"),
        ("hooks.md", r"session\.catalog\.methods\.names\(\)"),
        ("catalogue.md", r"^\| `datasets` \| `Shelf\[Dataset\]` \|"),
        ("suite.md", r"^\| `select_jointly` \| true or false \| "),
        ("record.md", r"^\| `holes` \| object of string by name \| "),
        ("commands.md", r"^## harness run\n"),
    ],
)
def test_what_was_sought_in_private_code_is_there(page, said):
    assert re.search(said, WRITTEN[page], re.MULTILINE)


@pytest.mark.parametrize("page", WRITTEN)
def test_links_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", re.sub(r"```.*?```", "", WRITTEN[page], flags=re.S)):
        text = WRITTEN[page] if not target else (PAGES / target).resolve().read_text(encoding="utf-8")
        assert not anchor or anchor in {name.lower() for name in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
