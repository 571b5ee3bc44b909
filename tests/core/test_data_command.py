"""`harness data`: list, fetch and verify, for the data sets of any plugin."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.cli import main

LETTERS = b"abc" * 700
PLUGIN = """
from harness import Dataset, File, hookimpl

def load(config, seed, folder):
    raise AssertionError("the data command must not load data")

@hookimpl
def harness_datasets():
    yield Dataset("letters", "three letters", "language", load, licence="CC0", files=({files},))
    yield Dataset("made-up", "numbers", "regression", load)
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *values):
        pass


@pytest.fixture
def address(tmp_path: Path, monkeypatch) -> Iterator[str]:
    """A server on the loopback device, of the files in tmp_path/site."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "site").mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path / "site"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def harness(tmp_path: Path, address: str, monkeypatch, capsys):
    """harness("data", ...) -> (exit code, lines on stdout, stderr), with a stranger's data sets and no other data."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HARNESS_DATA_DIR", raising=False)
    (tmp_path / "site" / "letters.txt").write_bytes(LETTERS)
    files = ", ".join(
        f"File('letters/{name}', ('{address}/gone', '{address}/letters.txt'), {len(LETTERS)}, "
        f"sha256='{hashlib.sha256(LETTERS).hexdigest()}')"
        for name in ("one.txt", "two.txt")
    )
    plugin = tmp_path / "strange.py"
    plugin.write_text(PLUGIN.format(files=files))

    def run(*arguments: object) -> tuple[int, list[str], str]:
        code = main(["-p", str(plugin), "--strict-plugins", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err

    return run


def row(lines: list[str], name: str) -> str:
    (line,) = (line for line in lines if line.split()[:1] == [name])
    return " ".join(line.split())


def test_list_tells_what_is_there_for_everyones_data_sets(harness, tmp_path):
    code, lines, _ = harness("data", "list")
    assert code == 0
    assert row(lines, "letters") == "letters language 2 of 2 missing 4.2 kB CC0 three letters"
    assert row(lines, "made-up") == "made-up regression none needed numbers"
    assert row(lines, "mnist").startswith("mnist classification 4 of 4 missing 11.6 MB")
    assert row(lines, "digits").startswith("digits classification none needed")
    assert lines[-1] == f"data folder: {tmp_path}/cache/harness"
    # Names, kinds and the rest stand below one another.
    head = next(line for line in lines if line.split()[:2] == ["name", "kind"])
    assert lines[1].index("classification") == head.index("kind")


def test_list_looks_at_the_folder_that_was_named(harness, tmp_path, monkeypatch):
    (tmp_path / "data" / "letters").mkdir(parents=True)
    (tmp_path / "data" / "letters" / "one.txt").write_bytes(LETTERS)
    (tmp_path / "data" / "letters" / "two.txt").write_bytes(b"ab")
    _, lines, _ = harness("data", "list", "--data-dir", tmp_path / "data")
    assert "1 of 2 of wrong size" in row(lines, "letters")
    (tmp_path / "data" / "letters" / "two.txt").write_bytes(LETTERS)
    monkeypatch.setenv("HARNESS_DATA_DIR", str(tmp_path / "data"))
    _, lines, _ = harness("data", "list")
    assert "2 present" in row(lines, "letters")
    assert lines[-1] == f"data folder: {tmp_path}/data"


def test_fetch_then_verify_then_nothing_is_left_to_fetch(harness, tmp_path):
    data = tmp_path / "data"
    code, lines, err = harness("data", "fetch", "letters", "made-up", "--data-dir", data)
    assert code == 0
    assert lines == [f"letters: 2 files in {data}, 2 fetched now", "made-up: needs no files"]
    assert err.count("letters.txt") == 1
    assert (data / "letters" / "one.txt").read_bytes() == LETTERS
    assert harness("data", "verify", "letters", "--data-dir", data)[:2] == (
        0,
        [f"letters: 2 files in {data}, as published"],
    )
    assert harness("data", "fetch", "letters", "--data-dir", data)[1] == [f"letters: 2 files in {data}, 0 fetched now"]


def test_fetch_goes_into_the_cache_where_nothing_else_is_said(harness, tmp_path):
    assert harness("data", "fetch", "letters")[0] == 0
    assert (tmp_path / "cache" / "harness" / "letters" / "two.txt").read_bytes() == LETTERS


def test_what_verify_finds_fetch_mends(harness, tmp_path):
    data = tmp_path / "data"
    harness("data", "fetch", "letters", "--data-dir", data)
    tampered = LETTERS.replace(b"a", b"A", 1)
    (data / "letters" / "one.txt").write_bytes(tampered)
    (data / "letters" / "two.txt").unlink()
    code, lines, _ = harness("data", "verify", "letters", "made-up", "--data-dir", data)
    assert code == 1
    assert f"{data}/letters/one.txt: sha256 is {hashlib.sha256(tampered).hexdigest()}" in lines[0]
    assert f"expected {len(LETTERS)} bytes, sha256 {hashlib.sha256(LETTERS).hexdigest()}" in lines[0]
    assert f"{data}/letters/two.txt: missing" in lines[1]
    command = lines[2].removeprefix("letters: run: harness ").partition(";")[0]
    assert lines[3] == "made-up: needs no files"
    assert harness(*command.split())[0] == 0
    assert harness("data", "verify", "letters", "--data-dir", data)[0] == 0


def test_verify_without_a_name_takes_what_is_there_in_part(harness, tmp_path):
    data = tmp_path / "data"
    code, lines, _ = harness("data", "verify", "--data-dir", data)
    assert (code, lines) == (0, [f"no data set has files in {data}"])
    harness("data", "fetch", "letters", "--data-dir", data)
    code, lines, _ = harness("data", "verify", "--data-dir", data)
    assert (code, lines) == (0, [f"letters: 2 files in {data}, as published"])
    (data / "letters" / "one.txt").unlink()
    assert harness("data", "verify", "--data-dir", data)[0] == 1
    (data / "letters" / "one.txt").write_bytes(b"a")
    (data / "letters" / "two.txt").write_bytes(b"b")
    assert harness("data", "verify", "--data-dir", data)[0] == 1


@pytest.mark.parametrize("command", ["fetch", "verify"])
def test_an_unknown_name_is_a_usage_error_before_anything_is_fetched(harness, tmp_path, command):
    code, lines, err = harness("data", command, "letters", "leters", "--data-dir", tmp_path / "data")
    assert (code, lines) == (2, [])
    assert "'leters'; did you mean 'letters'?" in err
    assert not (tmp_path / "data").exists()


def test_fetch_without_a_name_is_a_usage_error(harness):
    code, _, err = harness("data", "fetch")
    assert code == 2
    assert "NAME" in err


def test_fetch_that_fails_says_why(harness, tmp_path, address):
    (tmp_path / "site" / "letters.txt").write_bytes(b"moved")
    code, lines, err = harness("data", "fetch", "letters", "--data-dir", tmp_path / "data")
    assert (code, lines) == (1, [])
    assert "letters/one.txt: could not be fetched" in err
    assert "404" in err
    assert f"{address}/letters.txt: letters/one.txt: truncated, 5 bytes" in err
    assert "Traceback" not in err


def test_a_run_says_how_to_get_the_files_and_fetches_nothing(harness, tmp_path):
    data = tmp_path / "data"
    code, lines, err = harness("run", "--methods", "saf", "--datasets", "letters", "--data-dir", data)
    assert (code, lines) == (2, [])
    assert f"letters: {data}/letters/one.txt: missing" in err
    assert f"harness data fetch letters --data-dir {data}" in err
    assert not data.exists()
