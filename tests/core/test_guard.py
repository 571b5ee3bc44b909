"""A plugin's hooks cannot end a run, nor change the process for what comes after them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import forked

from harness.catalog import Catalog, Settings, load_catalog
from harness.hookspecs import hookimpl

TINY = Path(__file__).with_name("tiny.py")
ENVIRONMENT = os.environ | {"HARNESS_PLUGINS": "metrics,executors"}

DEEDS = {
    "raises": "raise RuntimeError('no')",
    "exits": "sys.exit(9)",
    "interrupts": "raise KeyboardInterrupt",
    "ends a generator": "raise GeneratorExit",
    "cannot be told": "raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})()",
    "closes stdout": "sys.stdout.close(); sys.stdout.buffer.close()",
    "closes stderr": "sys.stderr.close()",
    "closes descriptors": "os.closerange(0, 3)",
    "replaces streams": "sys.stdout = sys.stderr = sys.stdin = None",
    "sends stdout elsewhere": "os.dup2(os.open(os.devnull, os.O_WRONLY), 1)",
    "changes folder": "os.chdir('/')",
    "takes permissions": "os.umask(0o777)",
    "ignores signals": "[signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM)]",
    "replaces exit": "sys.exit = lambda *_: None",
    "replaces environment": "os.environ = {}",
    "returns much": "return 'x' * 10**8",
    "leaves a daemon thread": "threading.Thread(target=threading.Event().wait, daemon=True).start()",
}
PLUGIN = """
import os, signal, sys, threading
from harness import hookimpl

def deed():
    {deed}

@hookimpl
def harness_run_started(trials): return deed()
@hookimpl
def harness_trial_started(trial): return deed()
@hookimpl
def harness_trial_finished(trial, record): return deed()
@hookimpl
def harness_run_finished(records): return deed()
"""


# How the interpreter ends is told by one that was started.
OF_AN_INTERPRETER = ("closes stdout", "closes stderr", "closes descriptors", "replaces streams", "replaces exit")


def words(folder: Path, deed: str) -> list[str]:
    (folder / "rude.py").write_text(PLUGIN.format(deed=deed))
    arguments = ["run", "--methods", "counts,breaks", "--seeds", "1", "--results", "results"]
    return [*arguments, "-p", "./rude.py", "-p", str(TINY)]


def in_an_interpreter(folder: Path, deed: str, *, code: str = "") -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, sys.path))
    program = [sys.executable, "-c", f"import sys; {code}from harness.cli import main; sys.exit(main())"]
    return subprocess.run(
        [*program, *words(folder, deed)],
        cwd=folder,
        env=ENVIRONMENT | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("deed", DEEDS)
def test_a_run_ends_as_its_trials_do_whatever_a_hook_does(tmp_path, deed):
    interpreted = deed in OF_AN_INTERPRETER
    act = DEEDS[deed]
    done = in_an_interpreter(tmp_path, act) if interpreted else forked(words(tmp_path, act), ENVIRONMENT, tmp_path)
    assert done.returncode == 1, done.stderr
    assert "accuracy ↑" in done.stdout
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    records = [json.loads(path.read_text()) for path in (tmp_path / "results" / "trials").glob("*.json")]
    assert sorted(record["status"] for record in records) == ["failed", "ok"]
    assert not list(Path("/").glob("results/trials")), "nothing may be written where a plugin went"


def test_a_thread_that_a_hook_leaves_does_not_put_off_the_end(tmp_path):
    done = in_an_interpreter(
        tmp_path,
        "threading.Thread(target=threading.Event().wait, name='left').start()",
        code="import harness.cli.leaving; harness.cli.leaving.PATIENCE_SECONDS = 0.1; ",
    )
    assert done.returncode == 1, done.stderr
    assert "accuracy ↑" in done.stdout
    assert "harness: a plugin's thread still runs and is left behind: left" in done.stderr


def test_a_listing_without_end_is_a_problem(install, monkeypatch):
    install("endless", more="@hookimpl\ndef harness_suites():\n    while True: yield Suite('s', 'p', '')\n")
    monkeypatch.setattr("harness.catalog.descriptors.MOST", 100)
    catalog = load_catalog(Settings(only=("more",)))
    assert catalog.suites.values() == []
    assert "harness_suites offers more than 100" in str(catalog.problems[0])


def test_what_a_plugin_changes_as_it_is_listed_is_put_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    class Rude:
        @hookimpl
        def harness_suites(self):
            os.chdir("/")
            os.umask(0o777)
            sys.stdout = None
            return []

    before = os.umask(0o022), sys.stdout
    try:
        assert Catalog.of(Rude()).suites.values() == []
        assert Path.cwd() == tmp_path
        assert sys.stdout is before[1]
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before[0])
