"""`harness new`: what it writes can be installed, is tested by its own tests, and runs beside a method of ours."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from commands import forked

from harness.cli import main
from harness.cli.new import NOUNS

pytestmark = pytest.mark.xdist_group("new")  # one environment for all

NAMES = {"method": "mine", "dataset": "rings", "metric": "sureness", "instrument": "cpu_seconds", "suite": "halves"}
FEW = ["--seeds", "1", "--threads", "1", "--here"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A package of each noun, in an environment that stands upon this one, with the commands that were printed."""
    folder = tmp_path_factory.mktemp("new")
    said = {}
    for noun, name in NAMES.items():
        done = forked(["new", noun, name], os.environ, folder)
        assert done.returncode == 0, done.stderr
        said[noun] = re.findall(r"^  (.+)$", done.stdout, re.MULTILINE)
    return folder, said


@pytest.fixture(scope="module")
def python(desk):
    folder, _ = desk
    venv.create(folder / ".venv", with_pip=False, symlinks=True)
    python = folder / ".venv" / "bin" / "python"
    (site,) = (folder / ".venv" / "lib").glob("python*/site-packages")
    (site / "below.pth").write_text("\n".join(path for path in sys.path if Path(path).is_dir()))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-index", "--no-deps"]
    packages = [word for name in NAMES.values() for word in ("-e", f"./{name}")]
    call([*pip, "--no-build-isolation", *packages], folder)
    return python


def call(command, cwd):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HARNESS_", "PYTHON", "PYTEST"))}
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("noun", NAMES)
def test_its_own_tests_pass_as_it_is(desk, python, noun):
    folder, said = desk
    assert said[noun][-1] == f"pytest ./{NAMES[noun]}"
    found = call([python, "-m", "pytest", "-q", f"./{NAMES[noun]}"], folder)
    passed = int(re.search(r"(\d+) passed", found)[1])
    assert passed > (1 if NOUNS[noun].contract else 0)


def test_a_newcomer_compares_with_saf_after_under_five_commands(desk, python):
    folder, said = desk
    commands = ["harness new method mine", *said["method"]]
    first = next(place for place, line in enumerate(commands) if line.startswith("harness run"))
    assert first + 1 < 5
    assert commands[first] == "harness run --methods mine,saf --datasets digits --epochs 1"
    found = call([python, "-m", *shlex.split(commands[first]), *FEW], folder)
    assert re.search(r"^mine +1 ", found, re.MULTILINE)
    assert re.search(r"^saf +1 ", found, re.MULTILINE)


@pytest.mark.parametrize("noun", [noun for noun in NAMES if noun != "method"])
def test_the_first_run_of_another_noun_works(desk, python, noun):
    folder, said = desk
    line = next(line for line in said[noun] if line.startswith("harness run"))
    found = call([python, "-m", *shlex.split(line), "--dry-run"], folder)
    assert re.search(r"^\d+ trials, \d+ to run on ", found, re.MULTILINE)


@pytest.mark.parametrize("noun", NAMES)
def test_one_file_works_as_it_is(tmp_path, monkeypatch, capsys, noun):
    monkeypatch.chdir(tmp_path)
    ending = "toml" if noun == "suite" else "py"
    assert main(["new", noun, f"./first_{noun}.{ending}"]) == 0
    for line in re.findall(r"^  harness (.+)$", capsys.readouterr().out, re.MULTILINE):
        words = shlex.split(line)
        few = ["--seeds", "1", "--updates", "2", "--batch-size", "8", "--threads", "1", "--here"]
        few += [] if noun == "method" else ["--dry-run"]  # a trial of each is run by its package's tests
        asked = [word for word in words if word not in ("--epochs", "1", "5")]
        asked = [word.removesuffix(",saf") for word in asked]
        assert main([*asked, *few] if words[0] == "run" else words) == 0, capsys.readouterr().err
    assert (
        main(["new", noun, f"second-{noun}" if noun in ("method", "dataset", "suite") else "second", "--single-file"])
        == 0
    )
    assert len([*tmp_path.glob(f"*.{ending}")]) == 2


def write_something(folder):
    (folder / "mine").mkdir()
    (folder / "mine" / "notes").write_text("all of my work")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("method saf", "method 'saf': the name is taken, see harness list methods"),
        ("metric update_seconds", "metric 'update_seconds': the name is taken"),
        ("metric finish", "metric 'finish': the name is taken"),
        ("instrument accuracy", "instrument 'accuracy': the name is taken"),
        (
            "method My-Method",
            "'My-Method' is no name for a method: expected lower-case letters and digits, parted by '-'",
        ),
        ("method 2fast", "'2fast' is no name for a method"),
        (
            "metric my-metric",
            "'my-metric' is no name for a metric: expected lower-case letters and digits, parted by '_'",
        ),
        ("method mine", "the folder mine is not empty; nothing is overwritten: choose another with --output"),
        ("method other --output mine/notes", "mine/notes is a file; expected a folder, new or empty"),
        ("method ./there.py", "there.py is there already; nothing is overwritten"),
        ("method ./there.py --output mine", "--output is the folder of a package; the single file is there.py"),
        ("method torch", "a package harness_torch is installed already; choose another name"),
        ("model mine", "'model' is not one of 'method', 'dataset', 'metric', 'instrument', 'suite'"),
    ],
)
def test_a_mistake_is_said_and_writes_nothing(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    write_something(tmp_path)
    (tmp_path / "there.py").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert main(["new", *words.split()]) == 2
    assert said in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "there.py").read_text() == "mine"


def test_a_package_can_go_into_an_empty_folder_elsewhere(tmp_path, capsys):
    (tmp_path / "with blanks").mkdir()
    assert main(["new", "method", "my-own", "--output", str(tmp_path / "with blanks")]) == 0
    assert f"pip install -e '{tmp_path}/with blanks[test]'" in capsys.readouterr().out
    assert (tmp_path / "with blanks" / "src" / "harness_my_own" / "learner.py").is_file()
