"""The map of the repository in CONTRIBUTING.md: the modules that its tables name are there, and all that are there are
named.

The paragraph above a table of modules names their package first. In a first column, `report/` names a package as a
whole, and `report/` (`rows`, `timing`) a package with all of its modules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SOURCES = (ROOT, ROOT / "plugins", ROOT / "baselines")
HEADS = ("module", "modules", "package or module")
MOST_WORDS = 12  # of our own: more than that nobody keeps in mind
WITHOUT_A_NAME = ("__init__", "__main__", "version")


class Named(NamedTuple):
    """A name in a table, by the line that it stands in. A package ends with a slash."""

    line: int
    folder: Path
    name: str

    def is_there(self) -> bool:
        path = self.folder / self.name
        return path.is_dir() if self.name.endswith("/") else path.is_file() or Path(f"{path}.py").is_file()


def read_tables(text: str) -> list[Named]:
    found, paragraph, lines = [], "", text.splitlines()
    for number, line in enumerate(lines, 1):
        if not line.startswith("|"):
            paragraph = f"{paragraph} {line}" if lines[number - 2] else line if line else paragraph
        elif line.split("|")[1].strip() in HEADS:
            folder = find_package(paragraph, number)
            found += [
                Named(at, (folder / path).parent, Path(path).name + path[len(path.rstrip("/")) :])
                for at, cell in read_cells(lines, number + 2)
                for path in read_paths(cell)
            ]
    return found


def find_package(paragraph: str, line: int) -> Path:
    names = [name.replace(".", "/") for name in re.findall(r"`([\w.]+)`", paragraph)]
    folders = [source / name for name in names for source in SOURCES if (source / name).is_dir()]
    assert folders, f"CONTRIBUTING.md:{line}: the paragraph above this table of modules names no package, as `harness`"
    return folders[0]


def read_cells(lines: list[str], first: int) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines[first - 1 :], first):
        if not line.startswith("|"):
            return
        yield number, line.split("|")[1]


def read_paths(cell: str) -> Iterator[str]:
    """Below the table's package. In brackets stand the modules of the package before them, if it is one."""
    depth, package = 0, ""
    for name, bracket in re.findall(r"`([^`]+)`|([()])", cell):
        if bracket:
            depth += 1 if bracket == "(" else -1
        else:
            package = package if depth else name if name.endswith("/") else ""
            yield package + name if depth else name


def list_modules(folder: Path) -> set[str]:
    modules = {path.stem for path in folder.glob("*.py")} - set(WITHOUT_A_NAME)
    return modules | {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")}


def find_mistakes(text: str) -> list[str]:
    tables = read_tables(text)
    mistakes = [
        f"CONTRIBUTING.md:{line}: `{name}`: there is no such module in {folder.relative_to(ROOT)}"
        for line, folder, name in tables
        if not Named(line, folder, name).is_there()
    ]
    for folder in dict.fromkeys(each.folder for each in tables):
        lines = {each.name: each.line for each in tables if each.folder == folder}
        mistakes += [
            f"{folder.relative_to(ROOT)}/{name if name.endswith('/') else f'{name}.py'}: not named in the table of its "
            f"package, CONTRIBUTING.md:{min(lines.values())}"
            for name in sorted(list_modules(folder) - lines.keys())
        ]
    return mistakes


def test_the_tables_name_the_modules_that_are_there():
    assert find_mistakes(TEXT) == []


@pytest.mark.parametrize(
    ("cell", "mistake"),
    [
        ("`costs/`, `offerings`", "CONTRIBUTING.md:5: `offerings`: there is no such module in plugins/harness_torch"),
        (
            "`costs/` (`formulas`)",
            "plugins/harness_torch/costs/matrix_products.py: not named in the table of its package, CONTRIBUTING.md:5",
        ),
        ("`offers`", "plugins/harness_torch/costs/: not named in the table of its package, CONTRIBUTING.md:5"),
    ],
)
def test_a_mistake_names_file_and_line(cell, mistake):
    text = f"Inside `harness_torch`:\n\n| package or module | what it does |\n| --- | --- |\n| {cell} | something |\n"
    assert mistake in find_mistakes(text)


def test_the_folders_of_the_first_table_are_there():
    head = TEXT.splitlines().index("| folder | what it holds | may import |")
    cells = [cell for _, cell in read_cells(TEXT.splitlines(), head + 3)]
    assert len(cells) > 5
    for name in re.findall(r"`([^`]+)`", " ".join(cells)):
        assert any(ROOT.glob(name.rstrip("/"))), f"CONTRIBUTING.md: there is no folder {name}"


def read_words(text: str) -> list[str]:
    _, _, below = text.partition("\n## Words of our own\n")
    glossary, _, _ = below.partition("\n## ")
    return re.findall(r"^- `(\w+)`: ", glossary, re.MULTILINE)


def test_the_glossary_is_short():
    words = read_words(TEXT)
    assert 0 < len(words) <= MOST_WORDS
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("word", read_words(TEXT))
def test_the_code_names_things_by_the_words_of_the_glossary(word):
    name = re.compile(
        rf"^\s*(?:class|def) \w*{word}|\b(?:self\.)?_?{word}(?:s|es)?\b[^\n=]* = ", re.MULTILINE | re.IGNORECASE
    )
    files = (path for source in ("harness", "plugins") for path in (ROOT / source).rglob("*.py"))
    assert any(name.search(path.read_text(encoding="utf-8")) for path in files), (
        f"CONTRIBUTING.md: nothing is called {word} any more: take it out of the words of our own"
    )
