"""`harness check` whatever a plugin does to its process: that costs the check it was done in, and no other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from commands import forked

TINY = Path(__file__).parents[1] / "core" / "tiny.py"
PLUGIN = """
    import ctypes, os, signal, sys, threading
    from harness import *

    def close_all(descriptors):
        for number in descriptors:
            try:
                os.close(number)
            except OSError:
                pass

    def write_all(descriptors):
        for number in descriptors:
            try:
                os.write(number, b'["ok", "", "", ""] [nonsense')
            except OSError:
                pass

    def lose_streams():
        sys.stdout = sys.stderr = None
        close_all((1, 2))

    def fork():
        if os.fork():
            os.wait()

    def interrupt():
        raise KeyboardInterrupt

    def read():
        raise ValueError(f"read {sys.stdin.read()!r}")

    def hang():
        with open(os.environ["MARK"], "w"):
            pass
        threading.Event().wait()

    ACTS = {
        "hangs": hang,
        "exits-at-once": lambda: os._exit(0),
        "segfaults": lambda: ctypes.string_at(0),
        "kills-itself": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "kills-the-server": lambda: (os.kill(os.getppid(), signal.SIGKILL), threading.Event().wait()),
        "closes-all": lambda: close_all(range(3, 100)),
        "exits": lambda: sys.exit(3),
        "interrupts": interrupt,
        "reads": read,
        "loses-streams": lose_streams,
        "writes-everywhere": lambda: write_all(range(1, 100)),
        "prints": lambda: print("a word" * 30_000, file=sys.stderr),
        "forks": fork,
    }

    @hookimpl
    def harness_metrics():
        for name in ACTS:
            yield Metric(name, "half", "", "higher", ("classification",), lambda outcome: 0.5)

    @hookimpl
    def harness_checks():
        yield Check("before", "passes", "metric", lambda subject: None)
        yield Check("at-hand", "does as the metric is called", "metric", lambda subject: ACTS[subject.metric.name]())
        yield Check("after", "passes", "metric", lambda subject: None)
    """
REASONS = {
    "exits-at-once": "its process exited with code 0 before the check was over",
    "segfaults": "its process was killed by SIGSEGV (Segmentation fault)",
    "kills-itself": "its process was killed by SIGKILL (Killed)",
    "kills-the-server": "the process that checks are forked from died, and the check with it",
    "closes-all": "closed the socket over which results are told; close no descriptor that you have not opened",
    "exits": "called sys.exit(3)",
    "interrupts": "raised KeyboardInterrupt",
    "reads": "raised ValueError: read ''",
}
HARMLESS = ("loses-streams", "writes-everywhere", "prints", "forks")


@pytest.fixture(scope="module")
def plugin(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("plugin") / "acts.py"
    path.write_text(textwrap.dedent(PLUGIN))
    return path


def words(plugin: Path, *arguments: str) -> list[str]:
    return ["check", *arguments, "-p", str(TINY), "-p", str(plugin)]


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"HARNESS_PLUGINS": "", **more}


@pytest.fixture(scope="module")
def told(plugin) -> tuple[subprocess.CompletedProcess[str], dict[str, list[str]]]:
    """The command's lines on each of the metrics that do as they are called, in one call."""
    names = [*REASONS, *HARMLESS]
    done = forked(words(plugin, *names, names[0]), environment())
    parts = [part.splitlines() for part in done.stdout.split("\n\n")]
    return done, {head: [" ".join(line.split()) for line in lines] for head, *lines in parts}


@pytest.mark.parametrize("act", REASONS)
def test_a_check_that_ends_its_process_is_broken_for_that_reason_and_the_others_go_on(told, act):
    before, at_hand, after = told[1][f"metric {act}"]
    assert (before, after) == ("before ok", "after ok")
    assert at_hand.startswith(f"at-hand broken: {REASONS[act]}")


@pytest.mark.parametrize("act", HARMLESS)
def test_what_a_check_does_to_its_streams_spoils_nothing(told, act):
    assert told[1][f"metric {act}"] == ["before ok", "at-hand ok", "after ok"]


def test_all_that_is_asked_for_is_checked_once_and_the_exit_code_says_that_something_is_broken(told):
    done, found = told
    assert (done.returncode, done.stderr) == (1, "")
    assert list(found) == [f"metric {name}" for name in (*REASONS, *HARMLESS)]


def test_json_says_of_a_check_that_died_what_lines_say_and_where_it_was(plugin):
    done = forked(words(plugin, "segfaults", "prints", "--format", "json"), environment())
    rows = json.loads(done.stdout)["results"]
    assert (done.returncode, done.stderr, len(rows)) == (1, "", 6)
    (died,) = [row for row in rows if row["status"] == "broken"]
    assert (died["name"], died["check"], died["reason"]) == ("segfaults", "at-hand", REASONS["segfaults"])
    assert "acts.py" in died["traceback"]
    (printed,) = [row["printed"] for row in rows if row["printed"]]
    assert "a word" in printed


def test_what_a_check_prints_is_shown_under_debug(plugin):
    done = forked(words(plugin, "prints", "--debug"), environment())
    assert "a word" in done.stderr
    assert "a word" not in done.stdout


@pytest.mark.parametrize("style", ["text", "json"])
def test_ctrl_c_ends_a_check_that_hangs_and_what_is_known_by_then_is_told(plugin, tmp_path, style):
    mark = tmp_path / "hangs"
    os.mkfifo(mark)
    command = [sys.executable, "-m", "harness", *words(plugin, "hangs", "--format", style)]
    with subprocess.Popen(
        command, env=environment(MARK=str(mark)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        with mark.open():  # until the check opens it
            process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, err) == (130, "harness: interrupted\n")
    if style == "text":
        *known, last = [" ".join(line.split()) for line in out.splitlines()]
        # What the first check has told may not have been heard when the signal comes.
        assert [*known, last] in (
            ["metric hangs", "before interrupted"],
            ["metric hangs", "before ok", "at-hand interrupted"],
        )
    else:
        said = json.loads(out)
        known = [(row["check"], row["status"]) for row in said["results"]]
        assert (said["interrupted"]["check"], known) in (("before", []), ("at-hand", [("before", "ok")]))
