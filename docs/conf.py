"""The pages as a site: `sphinx-build -W -n docs build/docs`, with the extra `docs`.

They are Markdown that a code host shows as it is. For the site alone, links to files outside of this folder lead to the
code host, and the map, index.md, gets the table of contents that its links make.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

project = "harness"
author = "The harness developers"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "harness"
exclude_patterns = ["write_reference.py"]
myst_heading_anchors = 3
HERE = Path(__file__).parent
HOST = "https://github.com/harness-bench/harness/blob/main"


def _lead_outside(folder: Path, link: re.Match[str]) -> str:
    """A link to a file that is no page, as a link to the code host."""
    path = (folder / link[1]).resolve()
    if path.is_relative_to(HERE):
        return link[0]
    return f"]({HOST}/{path.relative_to(HERE.parent).as_posix()}{link[2] or ''})"


def adapt_page(app: Sphinx, name: str, source: list[str]) -> None:
    del app
    folder = (HERE / name).parent
    source[0] = re.sub(r"\]\((?![a-z]+:)([^)#\s]+)(#[^)]*)?\)", lambda link: _lead_outside(folder, link), source[0])
    if name == "index":
        pages = dict.fromkeys(re.findall(r"\]\(([\w/]+)\.md\)", source[0]))
        source[0] += "\n```{toctree}\n:hidden:\n\n" + "\n".join(pages) + "\n```\n"


def setup(app: Sphinx) -> None:
    app.connect("source-read", adapt_page)
