"""docs/tutorial.md: its commands work in their order, its files are whole, what they print looks as is shown."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import shlex
import sys
from pathlib import Path

import pytest

from harness import cli

pytestmark = pytest.mark.xdist_group("tutorial")  # one desk for all

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S) for line in block.splitlines()]
SHOWN = dict(re.findall(r"<!-- output: (harness .*?) -->\n```text\n(.*?)^```$", PAGE, re.M | re.S))
FILES = dict(re.findall(r"^`(\w+\.\w+)`\n```\w+\n(.*?)^```$", PAGE, re.M | re.S))
FEW = ["--seeds", "1", "--updates", "2", "--batch-size", "8", "--threads", "1", "--here"]
BUDGET = ("--epochs", "--seeds")
VERDICTS = ("holds", "fails", "open")


def shorten(line):
    """The words of a command; of a run with a few updates of one seed as its budget."""
    words = shlex.split(line)[1:]
    if words[0] != "run":
        return words
    kept = [word for place, word in enumerate(words) if word not in BUDGET and words[place - 1] not in BUDGET]
    return [*kept, *FEW]


def read_names(text):
    """The names in what a command prints: of rows, of columns and of claims; no number and no unit."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if line[:1] in ("", " ", "─") or not words:
            continue
        if words[0] in VERDICTS:
            found.append(" ".join(words[1:]))
        else:
            found += [word for word in words if re.match(r"[a-z]\w\w", word)] if words[0] == "method" else words[:1]
    return set(found)


def install(folder, package):
    """The package of a folder as `pip install -e` leaves it: on the path, with its entry point."""
    described = folder / f"{package}.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: harness-mine\nVersion: 0.1.0\n")
    (described / "entry_points.txt").write_text(f"[harness]\nmine = {package}\n")
    importlib.invalidate_caches()


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """Output of each command, in the order of the page, in one folder."""
    folder = tmp_path_factory.mktemp("tutorial")
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        patch.syspath_prepend(folder / "mine" / "src")
        for name, text in FILES.items():
            (folder / name).write_text(text, encoding="utf-8")
        for line in COMMANDS:
            if line.startswith("harness "):
                found[line] = call(shorten(line))
            else:
                assert line == "pip install -e './mine[test]'"  # tests/packaging/test_new.py runs it
                install(folder, "harness_mine")
        yield found
    for name in [each for each in sys.modules if each.partition(".")[0] == "harness_mine"]:
        del sys.modules[name]  # else it passes for installed in what runs next


def call(words):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = cli.main(words)
    assert code == 0, words
    return said.getvalue()


def test_the_page_goes_all_the_way():
    titles = ["Hello", "A package of your own", "Run", "Compare", "Check", "Claim", "Publish"]
    assert re.findall(r"^## (.*)$", PAGE, re.MULTILINE)[: len(titles)] == titles
    assert set(SHOWN) <= set(COMMANDS)
    assert set(FILES) == {"mine.toml", "halved.py", "langevin.py"}


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("harness ")])
def test_a_command_works_and_prints_what_is_shown(printed, line):
    out = printed[line]
    assert out or "--output" in line
    if line.startswith(("harness new", "harness check")):
        assert out == SHOWN.get(line, out)
    elif line in SHOWN:
        assert read_names(out) == read_names(SHOWN[line])


def test_no_check_of_the_page_is_broken(printed):
    said = [out for line, out in printed.items() if line.startswith("harness check")]
    assert len(said) == 3
    assert not any("broken" in out for out in said)


def test_links_lead_somewhere():
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", PAGE):
        text = (ROOT / "docs" / target).read_text(encoding="utf-8") if target else PAGE
        anchors = {name.strip().lower().replace(" ", "-") for name in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
        assert not anchor or anchor in anchors, anchor
