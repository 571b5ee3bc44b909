"""Streams that are closed, full or of few characters, places that are not there, and signals that end the program."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from commands import forked

from harness.cli import main

TINY = Path(__file__).with_name("tiny.py")
RUN = ("run", "--methods", "counts,breaks", "--seeds", "1")
HANG = ("run", "--methods", "counts,waits", "--seeds", "1")


def environment(**more: str) -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    return known | {"HARNESS_PLUGINS": "metrics,executors", "COLUMNS": "100", "TERM": "xterm"} | more


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "harness", *arguments, "-p", str(TINY)]


@pytest.fixture
def shell(tmp_path):
    """Runs the program under a shell, with redirections."""

    def call(redirections: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[bytes]:
        line = ["sh", "-c", f'"$@" {redirections}', "sh", *command(*arguments)]
        return subprocess.run(line, env=environment(**more), cwd=tmp_path, capture_output=True, timeout=120)

    return call


@pytest.fixture
def harness(tmp_path):
    """The same program with streams as they should be."""

    def call(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return forked([*arguments, "-p", str(TINY)], environment(**more), tmp_path)

    return call


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Path:
    """A folder with records."""
    folder = tmp_path_factory.mktemp("ran")
    done = forked([*RUN, "-p", str(TINY)], environment(), folder)
    assert done.returncode == 1, done.stderr
    return folder / "results"


def statuses(folder: Path) -> list[str]:
    return sorted(json.loads(path.read_text())["status"] for path in (folder / "results" / "trials").glob("*.json"))


# --- streams --------------------------------------------------------------------------------------------------------

processes = pytest.mark.xdist_group("processes")
full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")


@pytest.mark.parametrize(
    "redirections",
    [
        ">&-",
        "2>&-",
        "<&- >&- 2>&-",
        pytest.param("2>/dev/full", marks=full),
        pytest.param(">/dev/full", marks=full),
    ],
)
def test_a_run_that_cannot_say_anything_ends_as_its_trials_do(shell, harness, tmp_path, redirections):
    done = shell(redirections, *RUN)
    assert done.returncode == 1
    assert statuses(tmp_path) == ["failed", "ok"]
    assert b"internal error" not in done.stderr
    assert b"Traceback" not in done.stderr
    assert (b"accuracy" in done.stdout) == redirections.startswith("2>")
    assert harness("run", "--methods", "counts", "--seeds", "1").returncode == 0


@full
@pytest.mark.parametrize("arguments", [["report"], ["list"], ["show", "counts/coins/0"]])
def test_a_command_whose_output_cannot_be_written_says_so(shell, ran, arguments):
    results = [] if arguments == ["list"] else ["--results", str(ran)]
    done = shell(">/dev/full", *arguments, *results)
    assert (done.returncode, done.stderr) == (1, b"harness: output: No space left on device\n")
    assert shell(">/dev/full 2>/dev/full", *arguments, *results).returncode == 1


@full
def test_a_file_that_cannot_be_written_is_named(harness, ran):
    done = harness("report", "--results", str(ran), "--output", "/dev/full")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--output /dev/full: not written (No space left on device)" in done.stderr


def test_a_file_that_cannot_be_written_keeps_what_it_held(ran, tmp_path, monkeypatch, capsys):
    def refuse(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,executors")
    monkeypatch.setattr(os, "fsync", refuse)
    table = tmp_path / "table.txt"
    table.write_text("the table of yesterday")
    assert main(["report", "-p", str(TINY), "--results", str(ran), "--output", str(table)]) == 2
    assert "table.txt: not written (No space left on device)" in capsys.readouterr().err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["the table of yesterday"]


@pytest.mark.parametrize("coding", ["latin-1", "ascii", "cp1252", "utf-8"])
def test_signs_that_an_encoding_lacks_are_spelt_out(shell, harness, ran, coding):
    for arguments in (["report"], ["show", "counts/coins/0"], ["show", "breaks/coins/0", "--format", "json"]):
        done = harness(*arguments, "--results", str(ran), PYTHONIOENCODING=coding)
        assert (done.returncode, done.stderr) == (0, "")
    report = shell("", "report", "--results", str(ran), PYTHONIOENCODING=coding).stdout
    if coding in ("latin-1", "cp1252"):
        assert b"accuracy ^" in report
        assert b"\\u" not in report


def test_a_run_in_another_encoding_ends_as_its_trials_do(shell):
    done = shell("", "run", "--methods", "counts", "--seeds", "2", PYTHONIOENCODING="latin-1:strict")
    assert done.returncode == 0, done.stderr


# --- places ---------------------------------------------------------------------------------------------------------


def test_a_link_to_nothing_is_no_internal_error(harness, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone" / "deep")
    done = harness("run", "--methods", "counts", "--seeds", "1", "--results", "link")
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("harness: results folder link: ")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("link", "loop"):
        assert harness("report", "--results", name).returncode == 2
    for more in (["--data-dir", "link"], []):
        assert harness("run", "--methods", "counts", "--seeds", "1", *more, HARNESS_DATA_DIR="link").returncode == 0


@pytest.mark.parametrize("arguments", [["run", "--methods", "counts"], ["data", "list"]])
def test_the_home_of_an_unknown_user_is_a_mistake_in_a_line(harness, arguments):
    folder = "~no-such-user-here/data"
    for done in (harness(*arguments, "--data-dir", folder), harness(*arguments, HARNESS_DATA_DIR=folder)):
        assert done.returncode == 2
        assert done.stderr.startswith(f"harness: data folder {folder}: there is no such user; ")
        assert done.stderr.count("\n") == 1


HOMELESS = """
import os, pwd, sys
def unknown(uid): raise KeyError(uid)
pwd.getpwuid = unknown
os.environ.pop("HOME", None)
os.environ.pop("XDG_CACHE_HOME", None)
from harness.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_user_without_a_home_can_run(tmp_path):
    for arguments in (["data", "list"], ["run", "--methods", "counts", "--seeds", "1"]):
        line = [sys.executable, "-c", HOMELESS, *arguments, "-p", str(TINY)]
        done = subprocess.run(line, env=environment(), cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_a_working_directory_that_has_vanished_is_no_internal_error(shell, tmp_path):
    vanish = f'; cd "{tmp_path}" && mkdir gone && cd gone && rmdir ../gone && '
    python = f'"{sys.executable}" -m harness'
    for arguments, code in (
        (f"run --methods counts --seeds 1 -p {TINY} --results {tmp_path}/results", 0),
        (f"report -p {TINY} --results {tmp_path}/results", 0),
        (f"list -p {TINY}", 0),
        (f"run --methods counts --seeds 1 -p {TINY}", 1),
    ):
        path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        line = ["sh", "-c", f"true {vanish}{python} {arguments}"]
        done = subprocess.run(line, env=environment(**path), capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        assert "internal error" not in done.stderr
        assert "Traceback" not in done.stderr


# --- signals --------------------------------------------------------------------------------------------------------


class Terminal:
    """A program under a pseudo-terminal."""

    def __init__(self, arguments: list[str], folder: Path, **more: str) -> None:
        self.seen = b""
        self.pid, self._end = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve(arguments[0], arguments, environment(**more))

    def read_until(self, pattern: bytes) -> None:
        while not re.search(pattern, self.seen):
            assert self._read(), f"{pattern!r} never came: {self.seen!r}"

    def press(self, keys: bytes) -> None:
        os.write(self._end, keys)

    def wait(self) -> int:
        while self._read():
            pass
        os.close(self._end)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self) -> bytes:
        assert select.select([self._end], [], [], 60)[0], f"silence after {self.seen!r}"
        try:
            data = os.read(self._end, 2**16)
        except OSError:  # what Linux says of a terminal that nobody holds any more
            data = b""
        self.seen += data
        return data


@pytest.fixture
def hanging(tmp_path):
    """A run on a terminal whose second trial is on its way and will not end."""
    (tmp_path / "wait").touch()
    terminal = Terminal(command(*HANG), tmp_path, TINY_WAIT=str(tmp_path / "wait"))
    terminal.read_until(rb"waits[^\n]*33%")
    return terminal


ENDS = [
    (signal.SIGINT, 130, b"harness: interrupted: "),
    (signal.SIGTERM, 143, b"harness: ended by SIGTERM: "),
    (signal.SIGHUP, 129, b"harness: ended by SIGHUP: "),
]


@processes
@pytest.mark.parametrize(("number", "code", "words"), ENDS)
def test_a_signal_ends_a_run_with_the_terminal_as_it_was(hanging, tmp_path, number, code, words):
    os.kill(hanging.pid, number)
    assert hanging.wait() == code
    assert hanging.seen.count(b"\x1b[?25h") == hanging.seen.count(b"\x1b[?25l") > 0, "the cursor must be back"
    assert hanging.seen.count(words) == hanging.seen.count(words.strip(b": ")) == 1
    assert words + b"1 of 2 trials ended and are kept in results; the same command goes on" in hanging.seen
    assert b"Traceback" not in hanging.seen
    assert statuses(tmp_path) == ["ok"]


@processes
def test_pressing_ctrl_c_again_and_again_changes_nothing(hanging, tmp_path):
    hanging.press(b"\x03")
    hanging.press(b"\x03\x03")
    assert hanging.wait() == 130
    assert hanging.seen.count(b"interrupted") == 1
    assert hanging.seen.count(b"\x1b[?25h") == hanging.seen.count(b"\x1b[?25l")
    assert b"Traceback" not in hanging.seen
    assert statuses(tmp_path) == ["ok"]


@processes
def test_what_was_told_to_ignore_a_hang_up_still_does(tmp_path):
    (tmp_path / "wait").touch()
    script = 'trap "" HUP; exec "$@"'
    line = ["/bin/sh", "-c", script, "sh", *command(*HANG)]
    terminal = Terminal(line, tmp_path, TINY_WAIT=str(tmp_path / "wait"))
    terminal.read_until(rb"waits[^\n]*33%")
    os.kill(terminal.pid, signal.SIGHUP)
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.wait() == 143


WAIT = """
import select, sys
sys.stderr.write("here\\n")
while True:
    select.poll().poll(10)
"""
LISTS = f"from harness import hookimpl\n@hookimpl\ndef harness_methods():\n{textwrap.indent(WAIT, '    ')}"


@processes
@pytest.mark.parametrize(("file", "source"), [("click.py", WAIT), ("plugin.py", WAIT), ("plugin.py", LISTS)])
def test_ctrl_c_while_it_starts_is_a_word_and_no_traceback(tmp_path, file, source):
    (tmp_path / file).write_text(source)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    arguments = [sys.executable, "-m", "harness", "list", *(["-p", file] if file != "click.py" else [])]
    terminal = Terminal(arguments, tmp_path, PYTHONPATH=path)
    terminal.read_until(b"here\r\n")
    terminal.press(b"\x03")
    assert terminal.wait() == 130
    assert terminal.seen.replace(b"^C", b"") == b"here\r\nharness: interrupted\r\n"


@pytest.mark.parametrize("stream", ["None", "open(os.devnull, 'w')", "object()"])
def test_a_command_of_a_plugin_that_puts_other_streams_in_place_spoils_nothing(tmp_path, capfd, stream):
    path = tmp_path / "loses.py"
    text = f"""
        import os, sys
        from harness import hookimpl

        @hookimpl
        def harness_commands(cli):
            @cli.command("lose")
            def lose():
                print("said")
                sys.stdout = sys.stderr = {stream}
                return 4
        """
    path.write_text(textwrap.dedent(text))
    assert main(["-p", str(path), "lose"]) == 4
    assert capfd.readouterr() == ("said\n", "")
