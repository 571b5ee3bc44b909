"""The README and pages of docs say what is so: their commands run, their files are the files, links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from commands import forked

from harness import cli

pytestmark = pytest.mark.xdist_group("readme")  # one run for all

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = (
    "asking",
    "comparing",
    "again",
    "reading",
    "agreement",
    "resuming",
    "data",
)  # of docs/, beside those that have a test of their own
TEXT = "\n".join([README, *((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8") for page in PAGES)])
CENTROID = ROOT / "tests" / "data" / "harness_centroid"

SH_BLOCKS = re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
SHOWN = dict(re.findall(r"<!-- output: harness (.*?) -->\n```text\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
PRINTED_FILES = dict(re.findall(r"^`([^`\n]+)`\n```\w+\n(.*?)^```$", README, re.MULTILINE | re.DOTALL))

PROMISED_OPTIONS = """
--methods --datasets --seeds --epochs --updates --seconds --batch-size --device --precision --threads --deterministic
--data-dir --results --workers --timeout --memory --suite --metrics --target --select --dry-run --here --debug -p
"""


def commands() -> list[str]:
    """Every call of the program in the sh blocks, without what stands before and after it on its line."""
    parts = [part.strip() for block in SH_BLOCKS for line in block.splitlines() for part in line.split("&&")]
    return [shlex.join(words[1:]) for words in map(shlex.split, parts) if words and Path(words[0]).name == "harness"]


def foreign(line: str) -> list[str]:
    """Loads the plugin that the README installs."""
    return ["-p", "harness_centroid"] if "centroid" in line else []


# --- the plugin ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(p for p in CENTROID.rglob("*") if p.suffix in (".py", ".toml")), ids=str)
def test_the_plugin_that_is_printed_is_the_one_that_is_tested(path):
    name = path.relative_to(CENTROID).as_posix()
    assert PRINTED_FILES[name] == path.read_text(encoding="utf-8")


# --- commands -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with the records of one tiny run and a plugin in a file, as a reader of the README would have them."""
    folder = tmp_path_factory.mktemp("desk")
    call = ["run", "--methods", "saf,ottt", "--seeds", "1", "--updates", "1", "--batch-size", "2", "--threads", "1"]
    done = forked([*call, "--here"], os.environ, folder, timeout=240)
    assert done.returncode == 0, done.stderr
    shutil.copy(CENTROID / "harness_centroid" / "__init__.py", folder / "my_method.py")
    shutil.copytree(folder / "results", folder / "other-machine")
    return folder


@pytest.fixture
def harness(desk, monkeypatch, capsys):
    monkeypatch.chdir(desk)
    monkeypatch.syspath_prepend(CENTROID)
    monkeypatch.delenv("HARNESS_DATA_DIR", raising=False)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(arguments)
        return (code, *capsys.readouterr())

    return call


def test_the_readme_shows_commands_of_every_sort():
    assert {line.split()[0] for line in commands()} >= {
        "run",
        "report",
        "show",
        "list",
        "env",
        "data",
        "plugins",
        "agree",
    }


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("run ")])
def test_every_run_is_planned(harness, line):
    code, out, err = harness(*shlex.split(line), *foreign(line), "--dry-run")
    if "mnist" in line and code:  # its files may not be here; that is found, and answered with what fetches them
        assert (code, out) == (2, "")
        assert "run: harness data fetch mnist --data-dir data" in err
        return
    if "uci-yacht" in line and code:
        assert (code, out) == (2, "")
        assert "run: harness data fetch uci-yacht" in err
        return
    assert code == 0, err
    assert re.search(r"^\d+ trials?, \d+ to run on ", out, re.MULTILINE)


@pytest.mark.parametrize("line", [line for line in commands() if line.split()[0] not in ("run", "data", "posterior")])
def test_every_other_command_works_on_a_results_folder(harness, desk, line):
    code, out, err = harness(*shlex.split(line), *foreign(line))
    assert code == 0, err
    output = re.search(r"--output (\S+)", line)
    assert (desk / output[1]).read_text() if output else out


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("posterior ")])
def test_a_posterior_that_has_not_converged_is_none(harness, tmp_path, line):
    """The README's, with a few trajectories instead of its budget."""
    short = ["--trajectories", "10", "--epochs", "1", "--threads", "1", "--results", str(tmp_path)]
    code, out, err = harness(*shlex.split(line), *short)
    assert code == 1, err
    assert "gm-vi" in out


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("data ")])
def test_every_data_command_is_understood(harness, tmp_path, line):
    words = shlex.split(line)
    checked = ["verify" if word == "fetch" else word for word in words]  # no test uses a network
    code, out, err = harness(*checked, "--data-dir", str(tmp_path))
    assert code == (1 if words[1:] == ["verify", "mnist"] or "fetch" in words else 0), err
    assert "mnist" in out
    assert harness(*words, "--help")[0] == 0


def test_the_first_command_is_the_one_whose_output_is_shown():
    assert commands()[0] == next(iter(SHOWN))


def test_methods_agree_as_shown(harness):
    """But for the roundings of float32 and float64 and the threads, which are the machine's."""
    code, out, err = harness("agree", "saf", "ottt")
    assert code == 0, err
    rounding, threads = r"\b\d\.\de-\d\d\b|(?<= )0(?=\n| )", r"\d+ threads?"
    found, shown = (re.sub(rounding, "#", re.sub(threads, "", text)) for text in (out, SHOWN["agree saf ottt"]))
    assert [line.split() for line in found.splitlines()] == [line.split() for line in shown.splitlines()]


def test_the_picture_says_what_its_command_says(harness, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    command, caption = re.search(r"^`harness (plot .*?)`\ndraws it, and says: (.*)$", README, re.MULTILINE).groups()
    words = shlex.split(command)
    picture = ROOT / words[words.index("--output") + 1]
    monkeypatch.chdir(ROOT)
    words[words.index("--output") + 1] = str(tmp_path / picture.name)
    code, out, err = harness(*words)
    assert code == 0, err
    assert out.strip() == caption
    drawn, shown = ((tmp_path / picture.name).read_text(encoding="utf-8"), picture.read_text(encoding="utf-8"))
    markers = [re.findall(r'<use xlink:href="#\w+" x="([\d.]+)" y="([\d.]+)"', text) for text in (drawn, shown)]
    assert markers[0] == markers[1]
    assert len(markers[0]) >= 26  # two panels of thirteen methods


# --- names that others rely on ------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", PROMISED_OPTIONS.split())
def test_every_promised_option_is_there(harness, option):
    code, out, _ = harness("run", "--help")
    assert code == 0
    assert re.search(rf"^\s+(-\w, )?{option}\b", out, re.MULTILINE)


def test_the_method_table_names_every_method_of_ours(harness):
    methods = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    for name in re.findall(r"^\| `([\w-]+)` \|", methods, re.MULTILINE):
        assert harness("list", name)[0] == 0


# --- links and paths ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "results/README.md"], ids=str)
def test_links_to_files_lead_to_files(document):
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8"))
    assert [target for target in targets if "://" not in target and not (document.parent / target).exists()] == []


def test_no_file_names_a_path_of_the_machine_it_was_written_on():
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    here = Path(__file__).resolve()
    forbidden = re.compile(rb"(?<![\w.])/(work|tmp|root|home)/")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    contents = {path: path.read_bytes() for path in files if path.is_file() and path.resolve() != here}
    assert len(contents) > 50
    assert [str(path.relative_to(ROOT)) for path, content in contents.items() if forbidden.search(content)] == []
