"""The files of data sets: what is there, what is wrong with it, and what a user is told."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import os
from pathlib import Path

import pooch
import pytest

from harness import Dataset, File, HarnessError, Method, UsageError, hookimpl
from harness.data.files import (
    check_files,
    check_sizes,
    identify_files,
    located,
    require_files,
    resolve_folder,
    verify_files,
)
from harness.planning.plan import plan_trials
from harness.suites.suite import Request

CONTENT = b"the official bytes"
SHA256, MD5 = hashlib.sha256(CONTENT).hexdigest(), hashlib.md5(CONTENT).hexdigest()
URLS = ("https://first.example/a.gz", "https://second.example/a.gz")
FILE = File("set/a.gz", URLS, len(CONTENT), sha256=SHA256)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test sees the data or the cache of whoever runs it."""
    monkeypatch.delenv("HARNESS_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data" / "set").mkdir(parents=True)
    return tmp_path / "data"


def write(data: Path, content: bytes = CONTENT) -> Path:
    path = data / "set" / "a.gz"
    path.write_bytes(content)
    return path


# --- what is wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "file",
    [
        FILE,
        File("set/a.gz", URLS, md5=MD5),
        File("set/a.gz", URLS, sha256=SHA256.upper()),
        # The stronger checksum decides.
        File("set/a.gz", URLS, md5="0" * 32, sha256=SHA256),
    ],
)
def test_the_official_file_has_no_problem(data, file):
    write(data)
    assert check_files([file], data) == check_sizes([file], data) == []


def test_a_missing_file(data):
    (problem,) = check_files([FILE], data)
    assert problem.kind == "missing"
    assert check_sizes([FILE], data) == [problem]
    for word in (str(data / "set/a.gz"), "missing", f"{len(CONTENT)} bytes", SHA256, URLS[0]):
        assert word in str(problem)


@pytest.mark.parametrize(
    "content, word", [(CONTENT[:-4], "truncated, 14 bytes"), (CONTENT + b"!", "too long, 19 bytes")]
)
def test_a_file_of_another_size(data, content, word):
    path = write(data, content)
    (problem,) = check_files([FILE], data)
    assert problem.kind == "size"
    assert check_sizes([FILE], data) == [problem]
    for said in (str(path), word, "expected 18 bytes", URLS[0]):
        assert said in str(problem)


@pytest.mark.parametrize("file", [FILE, File("set/a.gz", URLS, md5=MD5)])
def test_a_tampered_file_of_the_right_size(data, file):
    tampered = CONTENT.replace(b"o", b"0", 1)
    path = write(data, tampered)
    (problem,) = check_files([file], data)
    assert problem.kind == "checksum"
    found = hashlib.new("sha256" if file.sha256 else "md5", tampered).hexdigest()
    for word in (str(path), found, file.sha256 or file.md5, URLS[0]):
        assert word in str(problem)
    # A glance looks at sizes only.
    assert check_sizes([file], data) == []


def test_a_folder_in_the_place_of_a_file(data):
    (data / "set" / "a.gz").mkdir()
    assert [problem.kind for problem in check_files([FILE], data)] == ["unreadable"]


def test_a_file_in_the_place_of_a_folder(data):
    write(data)
    assert [problem.kind for problem in check_files([File("set/a.gz/b", URLS, md5=MD5)], data)] == ["missing"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read(data):
    write(data).chmod(0)
    assert [problem.kind for problem in check_files([FILE], data)] == ["unreadable"]


def test_an_unchanged_file_is_hashed_once_and_a_changed_one_again(data, monkeypatch):
    hashed = []
    digest = hashlib.file_digest

    def counting(stream, algorithm):
        hashed.append(stream.name)
        return digest(stream, algorithm)

    monkeypatch.setattr(hashlib, "file_digest", counting)
    path = write(data)
    assert check_files([FILE], data) == check_files([FILE], data) == []
    assert len(hashed) == 1
    # Same size, same inode: only the time of modification tells.
    path.write_bytes(CONTENT.replace(b"o", b"0", 1))
    os.utime(path, ns=(1, 1))
    assert [problem.kind for problem in check_files([FILE], data)] == ["checksum"]
    assert len(hashed) == 2


@pytest.mark.parametrize("path", ["../a.gz", "/etc/passwd", "set/../../a.gz", ""])
def test_a_declared_path_outside_the_data_folder_is_refused(data, path):
    with pytest.raises(HarnessError, match="below the data folder"):
        check_files([File(path, URLS, md5=MD5)], data)


def test_a_file_declared_without_a_checksum_is_refused(data):
    write(data)
    with pytest.raises(HarnessError, match=r"'set/a.gz'.*sha256 or md5"):
        check_files([File("set/a.gz", URLS, 18)], data)


# --- the same in other clothes ------------------------------------------------------------------------------------

COMPRESSED = gzip.compress(CONTENT, compresslevel=1)
CLOTHED = File(
    "set/a.gz",
    URLS,
    len(COMPRESSED),
    sha256=hashlib.sha256(COMPRESSED).hexdigest(),
    also=("set/a", "OTHER/raw/a.gz", "OTHER/raw/a"),
    content_md5=MD5,
)
OTHERWISE = gzip.compress(CONTENT, compresslevel=9, mtime=12345) + gzip.compress(b"")


@pytest.mark.parametrize("path", [CLOTHED.path, *CLOTHED.also])
@pytest.mark.parametrize("content", [COMPRESSED, CONTENT, OTHERWISE])
def test_a_file_is_taken_by_its_content_wherever_it_lies(data, path, content):
    (data / path).parent.mkdir(parents=True, exist_ok=True)
    (data / path).write_bytes(content)
    assert check_files([CLOTHED], data) == check_sizes([CLOTHED], data) == verify_files([CLOTHED], data) == []
    assert located(CLOTHED, data) == data / path
    assert identify_files([CLOTHED], data) == {"set/a.gz": CLOTHED.sha256}


@pytest.mark.parametrize(
    "content",
    [
        CONTENT[:-1],
        CONTENT.replace(b"o", b"0", 1),
        gzip.compress(CONTENT[:-1]),
        OTHERWISE[:-30],
        OTHERWISE + b"rubbish",
        gzip.compress(COMPRESSED),
        gzip.compress(bytes(3_000_000)),
        b"",
    ],
)
@pytest.mark.parametrize("path", [CLOTHED.path, "OTHER/raw/a"])
def test_another_content_is_refused_wherever_it_lies(data, path, content):
    (data / path).parent.mkdir(parents=True, exist_ok=True)
    (data / path).write_bytes(content)
    (problem,) = check_files([CLOTHED], data)
    assert problem.path == data / path
    assert problem.kind in ("size", "checksum")


def test_the_right_one_of_several_is_taken(data):
    write(data, COMPRESSED[::-1])
    (data / "OTHER/raw").mkdir(parents=True)
    (data / "OTHER/raw/a").write_bytes(CONTENT)
    assert check_files([CLOTHED], data) == []
    assert located(CLOTHED, data) == data / "OTHER/raw/a"
    (data / "OTHER/raw/a").unlink()
    assert located(CLOTHED, data) == data / CLOTHED.path
    (data / CLOTHED.path).unlink()
    assert located(CLOTHED, data) == data / CLOTHED.path


def test_a_missing_file_is_told_with_the_other_places(data):
    with pytest.raises(UsageError) as caught:
        require_files("letters", [CLOTHED], data)
    assert str(caught.value).splitlines()[1] == (
        "it is also looked for as set/a, OTHER/raw/a.gz, OTHER/raw/a; "
        "what counts is its content, compressed in any way or not"
    )
    many = dataclasses.replace(CLOTHED, also=tuple("abcdefgh"), content_md5=None)
    with pytest.raises(
        UsageError, match=r"\nit is also looked for as a, b, c, d, e, f and 2 more\nrun: harness data fetch"
    ):
        require_files("letters", [many], data)


def test_another_place_is_below_the_data_folder_too():
    with pytest.raises(HarnessError, match=r"'../a' holds '..'; a plugin must declare a path below the data folder"):
        dataclasses.replace(CLOTHED, also=("../a",))


# --- the data folder ----------------------------------------------------------------------------------------------


def test_the_option_goes_before_the_variable_and_that_before_the_cache(tmp_path, monkeypatch):
    assert resolve_folder() == tmp_path / "cache" / "harness"
    monkeypatch.setenv("HARNESS_DATA_DIR", str(tmp_path / "variable"))
    assert resolve_folder() == tmp_path / "variable"
    assert resolve_folder(tmp_path / "option") == tmp_path / "option"
    monkeypatch.setenv("HARNESS_DATA_DIR", "")
    assert resolve_folder() == tmp_path / "cache" / "harness"


@pytest.mark.parametrize("variable", [True, False])
def test_the_cache_is_the_one_that_pooch_names(variable, monkeypatch):
    if not variable:
        monkeypatch.delenv("XDG_CACHE_HOME")
    assert resolve_folder() == pooch.os_cache("harness")


def test_a_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_DATA_DIR", "~/data")
    assert resolve_folder() == tmp_path / "home" / "data"


# --- what a run says ----------------------------------------------------------------------------------------------


def test_nothing_is_required_of_a_data_set_without_files():
    require_files("free", (), None)


def test_missing_files_are_told_in_two_lines(data):
    others = [File(f"set/{name}", URLS, md5=MD5) for name in "bc"]
    with pytest.raises(UsageError) as caught:
        require_files("letters", [FILE, *others], data)
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"letters: {data / 'set/a.gz'}: missing")
    assert first.endswith("2 more of its files are missing or wrong")
    assert second == f"run: harness data fetch letters --data-dir {data}; or put the files there"


def test_what_else_can_be_done_about_a_file_is_told_once(data):
    hinted = [File(f"set/{name}", URLS, md5=MD5, hint="or do without") for name in "bc"]
    with pytest.raises(UsageError) as caught:
        require_files("letters", [FILE, *hinted], data)
    assert str(caught.value).splitlines()[2:] == ["or do without"]


def test_without_a_folder_the_ways_to_name_one_are_told(tmp_path):
    with pytest.raises(UsageError) as caught:
        require_files("letters", [FILE], None)
    first, second = str(caught.value).splitlines()
    assert str(tmp_path / "cache/harness/set/a.gz") in first
    assert second.startswith("run: harness data fetch letters;")
    assert "--data-dir DIR" in second
    assert "HARNESS_DATA_DIR" in second


def test_a_folder_that_is_not_there_is_named(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=f"there is no folder {tmp_path}/nowhere"):
        require_files("letters", [FILE], tmp_path / "nowhere")
    monkeypatch.setenv("HARNESS_DATA_DIR", str(tmp_path / "typo"))
    with pytest.raises(UsageError, match=f"there is no folder {tmp_path}/typo; run: harness data fetch letters$"):
        require_files("letters", [FILE], None)


def test_what_was_fetched_into_the_cache_is_found_without_an_option(tmp_path):
    cached = tmp_path / "cache" / "harness"
    (cached / "set").mkdir(parents=True)
    write(cached)
    require_files("letters", [FILE], None)


class Plugin:
    @hookimpl
    def harness_methods(self):
        yield Method("thing", "a method", factory=lambda config: None, kinds=("classification",))

    @hookimpl
    def harness_datasets(self):
        yield Dataset("letters", "", "classification", load=lambda config, seed, folder: None, files=(FILE,))


@pytest.mark.parametrize("content", [None, CONTENT[:3], CONTENT[::-1]])
def test_planning_refuses_a_data_set_whose_files_are_not_right(catalog_of, data, content):
    request = Request(methods="thing", datasets="letters", device="cpu", data=data)
    catalog = catalog_of(Plugin())
    if content is not None:
        write(data, content)
    with pytest.raises(UsageError, match=r"letters: .*a\.gz"):
        plan_trials(catalog, request)
    write(data)
    assert len(plan_trials(catalog, request)) == 3
