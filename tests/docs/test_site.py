"""docs/ as a site: its map names every page, links lead somewhere, and Sphinx, where it is there, warns of nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
MAP = (DOCS / "index.md").read_text(encoding="utf-8")
HAS_SPHINX = all(find_spec(name) for name in ("sphinx", "myst_parser", "furo"))


def test_the_map_names_every_page_once():
    assert sorted(re.findall(r"\]\(([\w/]+\.md)\)", MAP)) == [page for page in PAGES if page != "index.md"]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page):
    text = re.sub(r"```.*?```", "", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\((?![a-z]+:)([^)#\s]+)", text)
    assert [each for each in targets if not ((DOCS / page).parent / each).exists()] == []


@pytest.mark.slow
@pytest.mark.skipif(not HAS_SPHINX, reason="the extra docs is not installed")
def test_the_site_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-n", "--keep-going", str(DOCS), str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert "reference/nouns.html" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
