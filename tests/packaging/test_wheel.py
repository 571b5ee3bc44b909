"""The distribution as a stranger gets it: sdist, wheel, installed elsewhere, and a stranger's plugin beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("wheel")  # one wheel for all

ROOT = Path(__file__).resolve().parents[2]
CENTROID = ROOT / "tests" / "data" / "harness_centroid"


def call(*command: str | Path, cwd: Path, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HARNESS_", "PYTHON"))}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=clean | environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the sdist, not from the checkout."""
    out = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    (built,) = out.glob("*.whl")
    return built


def installed_in() -> list[Path]:
    """This environment's packages, and those of an environment that it stands upon, nearest first."""
    folders = [Path(sysconfig.get_path("purelib")), *map(Path, sys.path)]
    return [folder for folder in dict.fromkeys(folders) if folder.name == "site-packages" and folder.is_dir()]


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with our wheel and the stranger's plugin; the dependencies are borrowed from this one."""
    home = tmp_path_factory.mktemp("elsewhere")
    venv.create(home / "venv", with_pip=False, symlinks=True)
    python = home / "venv" / "bin" / "python"
    site = Path(call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip())
    # A .pth would also bring this environment's editable install: list its packages one by one instead.
    for found in (each for folder in installed_in() for each in folder.iterdir()):
        link = site / found.name
        if "harness" not in found.name and not found.name.endswith(".pth") and not link.exists():
            link.symlink_to(found)
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-build-isolation")
    call(*pip, "--no-index", wheel, cwd=home)
    call(*pip, "--no-index", CENTROID, cwd=home)
    return home


def test_the_wheel_holds_the_core_and_every_plugin_and_nothing_else(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    packages = {top for top in tops if not top.endswith(".dist-info")}
    sources = {path.name for root in ("plugins", "baselines") for path in (ROOT / root).glob("harness_*")}
    assert packages == {"harness"} | sources


def test_the_wheel_holds_every_file_of_ours(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    for root in (ROOT, ROOT / "plugins", ROOT / "baselines"):
        ours = [path for package in root.glob("harness*") for path in package.rglob("*") if path.is_file()]
        ours = [path for path in ours if "__pycache__" not in path.parts]
        assert {path.relative_to(root).as_posix() for path in ours} - held == set()


def test_list_works_from_the_wheel(elsewhere: Path):
    listing = json.loads(call(elsewhere / "venv" / "bin" / "harness", "list", "--format", "json", cwd=elsewhere))
    methods = {method["name"] for method in listing["methods"]}
    assert {"saf", "ottt", "bptt", "centroid"} <= methods


def test_a_foreign_plugin_runs_through_the_command_line(elsewhere: Path):
    harness = elsewhere / "venv" / "bin" / "harness"
    run = ("run", "--methods", "centroid", "--seeds", "2", "--epochs", "1", "--device", "cpu", "--threads", "1")
    table = call(harness, *run, "--results", elsewhere / "results", cwd=elsewhere)
    assert "centroid" in table
    report = json.loads(call(harness, "report", "--results", elsewhere / "results", "--format", "json", cwd=elsewhere))
    (row,) = report["rows"]
    assert (row["method"], row["n"], row["statuses"]) == ("centroid", 2, {"ok": 2})
    assert row["metrics"]["accuracy"]["mean"] > 0.8
