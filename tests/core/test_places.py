"""Paths of a command mean what they meant when it was given, wherever a plugin goes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import forked

TINY = Path(__file__).with_name("tiny.py")
WANDERS = """
import os
from pathlib import Path
from harness import Method, hookimpl
import tiny_copy

{at_import}

class Wanders(tiny_copy.Counts):
    def update(self, state, batch):
        os.chdir("/")
        return super().update(state, batch)

@hookimpl
def harness_methods():
    yield Method("wanders", "x", Wanders, ("classification",), config=tiny_copy.Prior)

@hookimpl
def harness_run_started(trials):
    os.chdir("/")
"""
SUITE = 'methods = "wanders"\nseeds = 1\n'


@pytest.mark.parametrize("at_import", ["", "os.chdir('/')", "os.chdir(Path(__file__).parent / 'deep')"])
@pytest.mark.parametrize("here", [True, False], ids=["here", "elsewhere"])
def test_relative_paths_are_those_of_the_command_though_plugins_change_the_working_directory(tmp_path, at_import, here):
    (tmp_path / "plugins/deep").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "plugins/tiny_copy.py").write_text(TINY.read_text())
    (tmp_path / "plugins/a_wanderer.py").write_text(WANDERS.format(at_import=at_import))
    (tmp_path / "suite.toml").write_text(SUITE)
    command = ["run", "-p", "plugins/a_wanderer.py", "-p", "./plugins/tiny_copy.py"]
    command += ["--suite", "./suite.toml", "--results", "here/results", "--data-dir", "data"]
    environment = os.environ | {"HARNESS_PLUGINS": "metrics,executors", "PYTHONPATH": str(Path.cwd())}

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        words = [*command, *more, *(["--here"] if here else [])]
        if at_import != "os.chdir('/')":
            return forked(words, environment, tmp_path)
        program = [sys.executable, "-m", "harness", *words]
        return subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)

    done = run("--seeds", "2")
    assert done.returncode == 0, done.stderr + done.stdout
    assert len(list((tmp_path / "here/results/trials").glob("*.json"))) == 2
    assert "2 of 2 trials have a record; 0 to run" in run("--seeds", "2").stderr
    file = run("--seeds", "2", "--methods", "./plugins/a_wanderer.py")
    assert "2 of 2 trials have a record; 0 to run" in file.stderr, file.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "here", "plugins", "suite.toml"]
