"""Data sets of many files in a folder, and files that depend on options: planned, listed, fetched, verified."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import os
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import example_records
import pytest

from harness import DataOptions, Dataset, File, Folder, HarnessError, Method, UsageError, hookimpl, option
from harness.cli import main
from harness.data import files as datafiles
from harness.data.downloads import fetch_files
from harness.planning.plan import plan_trials
from harness.results.picking import select_records
from harness.suites.suite import Request
from harness.types import Choice, Record

FILES = {"0/a.bin": b"a", "0/b.bin": b"bb", "1/c.bin": b"ccc"}


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """No test sees the data or the cache of whoever runs it."""
    monkeypatch.delenv("HARNESS_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def zipped(content: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return stream.getvalue()


def tarred(content: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def entry(archive: bytes = b"", url: str = "http://nowhere.example/archive", **changes) -> Folder:
    """A folder with the checksum of that archive, unless told otherwise."""
    known = {"md5": hashlib.md5(archive, usedforsecurity=False).hexdigest()} | changes
    return Folder("set/Train", (url,), "*/*.bin", **{"count": 3} | known)


@pytest.fixture
def served(tmp_path: Path, monkeypatch) -> Iterator[Callable[..., Folder]]:
    """served(archive) -> the folder whose archive a server on the loopback device has."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "site").mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path / "site"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def serve(archive: bytes, **changes: str) -> Folder:
        (tmp_path / "site/archive").write_bytes(archive)
        return entry(archive, f"http://127.0.0.1:{server.server_port}/archive", **changes)

    yield serve
    server.shutdown()
    thread.join()
    server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *values):
        pass


def unpacked(folder: Path, names: Mapping[str, bytes] = FILES) -> None:
    for name, data in names.items():
        path = folder / "set/Train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def quiet(url: str, done: int, total: int) -> None:
    pass


# --- what is there ------------------------------------------------------------------------------------------------


def test_a_folder_is_complete_with_all_its_files_and_no_more(tmp_path):
    whole = entry()
    (problem,) = datafiles.check_files([whole], tmp_path)
    assert (problem.kind, problem.found) == ("missing", "missing")
    (tmp_path / "set/Train").mkdir(parents=True)
    assert datafiles.check_sizes([whole], tmp_path)[0].found == "no files"
    unpacked(tmp_path, {"0/a.bin": b"a", "0/readme.txt": b"not one of them"})
    (problem,) = datafiles.check_files([whole], tmp_path)
    assert str(problem) == (
        f"{tmp_path}/set/Train: 1 file, expected 3 files */*.bin; "
        f"official: unpacked from {whole.urls[0]} (md5 {whole.md5})"
    )
    unpacked(tmp_path)
    assert datafiles.check_files([whole], tmp_path) == datafiles.check_sizes([whole], tmp_path) == []
    assert [path.name for path in datafiles.members(whole, tmp_path)] == ["a.bin", "b.bin", "c.bin"]
    unpacked(tmp_path, {"2/d.bin": b"d"})
    (problem,) = datafiles.check_files([whole], tmp_path)
    assert (problem.kind, problem.found) == ("surplus", "4 files, 1 too many")
    assert datafiles.check_files([entry(partial=True)], tmp_path) == []


def test_taking_a_folder_as_it_is_is_advised_only_where_that_helps(tmp_path):
    hinted, other = entry(hint="or take it"), Folder("set/Test", (), "*.bin", 1, md5="0" * 32, hint="or take it")

    def advice(*wanted: Folder) -> list[str]:
        with pytest.raises(UsageError) as caught:
            datafiles.require_files("many", wanted, tmp_path)
        return str(caught.value).splitlines()[2:]

    assert advice(hinted) == []
    unpacked(tmp_path, {"0/a.bin": b"a"})
    assert advice(hinted) == ["or take it"]
    assert advice(hinted, other) == []
    unpacked(tmp_path, {f"0/{name}.bin": b"" for name in "bcde"})
    assert advice(hinted) == ["or take it"]


def test_a_part_of_a_folder_is_enough_where_that_is_declared_and_is_known_by_what_is_in_it(tmp_path):
    part = entry(partial=True)
    assert datafiles.check_files([part], tmp_path)[0].kind == "missing"
    unpacked(tmp_path, {"0/a.bin": b"a"})
    assert datafiles.check_files([part], tmp_path) == []
    first = datafiles.identify_files([part], tmp_path)
    unpacked(tmp_path, {"0/b.bin": b"bb"})
    second = datafiles.identify_files([part], tmp_path)
    assert first.keys() == second.keys() == {"set/Train"}
    assert first != second
    # The same content is the same, whether or not it is declared to be all.
    assert datafiles.identify_files([entry(count=2)], tmp_path) == second


# --- what is in it ------------------------------------------------------------------------------------------------


def problem_of(folder: Folder, data: Path, look=datafiles.check_files) -> str:
    (problem,) = look([folder], data)
    return str(problem)


@pytest.mark.parametrize("partial", [True, False])
def test_empty_files_and_broken_records_are_no_files_of_a_folder(tmp_path, partial):
    folder = entry(partial=partial)
    unpacked(tmp_path, dict.fromkeys(FILES, b""))
    assert "3 of 3 files empty, the first 0/a.bin (0 bytes)" in problem_of(folder, tmp_path)
    unpacked(tmp_path, FILES | {"0/b.bin": b""})
    for look in (datafiles.check_files, datafiles.check_sizes, datafiles.verify_files):
        assert "1 of 3 files empty, the first 0/b.bin (0 bytes)" in problem_of(folder, tmp_path, look)
    assert datafiles.check_sizes([entry(partial=partial, record=0)], tmp_path) == []
    unpacked(tmp_path)
    said = "2 of 3 files of a size that is no multiple of 2 bytes, the first 0/a.bin (1 bytes)"
    assert said in problem_of(entry(partial=partial, record=2), tmp_path)
    assert datafiles.check_files([folder], tmp_path) == []


@pytest.mark.parametrize("thing", ["folder", "fifo", "dangling"])
def test_what_is_no_file_is_named(tmp_path, thing):
    unpacked(tmp_path)
    path = tmp_path / "set/Train/1/c.bin"
    path.unlink()
    {"folder": path.mkdir, "fifo": lambda: os.mkfifo(path), "dangling": lambda: path.symlink_to("nowhere")}[thing]()
    assert "1/c.bin " in problem_of(entry(), tmp_path)


def flip(path: Path, content: bytes = b"!") -> None:
    """Change a byte, and leave size and time of modification as they were."""
    before = path.stat()
    path.write_bytes(content + path.read_bytes()[len(content) :])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_changed_byte_is_seen_with_the_file_that_has_it(tmp_path):
    unpacked(tmp_path)
    whole, part = entry(), entry(partial=True)
    assert datafiles.check_files([whole], tmp_path) == []
    before = datafiles.identify_files([whole], tmp_path)
    assert datafiles.identify_files([part], tmp_path) == before
    flip(tmp_path / "set/Train/1/c.bin")
    for look in (datafiles.check_files, datafiles.verify_files):
        said = problem_of(whole, tmp_path, look)
        assert "1 of 3 files changed or gone since they were first read on " in said
        assert f"the first 1/c.bin; if that is meant, remove {tmp_path}/set/.Train.digests" in said
    # A part is taken as it is, as something else; to verify it tells.
    assert datafiles.check_files([part], tmp_path) == []
    assert datafiles.identify_files([part], tmp_path) != before
    assert "1 of 3 files changed" in problem_of(part, tmp_path, datafiles.verify_files)
    (tmp_path / "set/.Train.digests").unlink()
    assert datafiles.check_files([whole], tmp_path) == datafiles.verify_files([whole], tmp_path) == []
    assert datafiles.identify_files([whole], tmp_path) == datafiles.identify_files([part], tmp_path) != before


def test_a_file_under_another_name_is_a_change(tmp_path):
    unpacked(tmp_path)
    assert datafiles.check_files([entry()], tmp_path) == []
    (tmp_path / "set/Train/1/c.bin").rename(tmp_path / "set/Train/1/d.bin")
    assert "1 of 3 files changed or gone" in problem_of(entry(), tmp_path)


def test_an_unchanged_folder_is_read_once_and_a_copy_of_it_is_the_same(tmp_path, monkeypatch):
    read = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda stream, name: read.append(stream.name) or digest(stream, name))
    unpacked(tmp_path)
    for _ in range(2):
        assert datafiles.check_files([entry()], tmp_path) == []
    first = datafiles.identify_files([entry()], tmp_path)
    assert len(read) == 3
    shutil.copytree(tmp_path / "set", tmp_path / "copied/set", copy_function=shutil.copyfile)
    for _ in range(2):
        assert datafiles.check_files([entry()], tmp_path / "copied") == []
        assert datafiles.identify_files([entry()], tmp_path / "copied") == first
    assert len(read) == 6
    flip(tmp_path / "copied/set/Train/0/a.bin")
    assert "the first 0/a.bin" in problem_of(entry(), tmp_path / "copied")
    datafiles.verify_files([entry()], tmp_path)
    assert len(read) == 6 + 1 + 3


@pytest.mark.parametrize("by", ["mode", "system"])
def test_where_nothing_may_be_written_digests_go_into_the_cache(tmp_path, monkeypatch, by):
    unpacked(tmp_path)
    replace = Path.replace

    def refusing(self, target):
        if "cache" not in str(target):
            raise PermissionError(13, "Permission denied")
        return replace(self, target)

    if by == "system":
        monkeypatch.setattr(Path, "replace", refusing)
    else:
        (tmp_path / "set").chmod(0o555)  # for root too, whom no system would stop
    assert datafiles.check_files([entry()], tmp_path) == []
    (tmp_path / "set").chmod(0o755)
    assert not (tmp_path / "set/.Train.digests").exists()
    assert len(list((tmp_path / "cache/harness/digests").iterdir())) == 1
    flip(tmp_path / "set/Train/0/b.bin")
    assert "the first 0/b.bin" in problem_of(entry(), tmp_path)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"# harness digests 1 read\nx\n", b"\xff\xfe"])
def test_a_list_of_digests_that_is_none_of_ours_is_made_anew(tmp_path, content):
    unpacked(tmp_path)
    kept = tmp_path / "set/.Train.digests"
    kept.write_bytes(content)
    assert datafiles.check_files([entry()], tmp_path) == []
    assert kept.read_text().startswith("# harness digests 1 read ")
    assert hashlib.sha256(b"ccc").hexdigest() in kept.read_text()


def test_a_fetched_folder_is_known_as_published(tmp_path, served):
    whole = served(zipped(FILES))
    fetch_files([whole], tmp_path / "data", quiet)
    flip(tmp_path / "data/set/Train/0/a.bin")
    assert "1 of 3 files changed or gone since they were fetched on " in problem_of(whole, tmp_path / "data")
    assert fetch_files([whole], tmp_path / "data", quiet) == [tmp_path / "data/set/Train"]
    assert datafiles.verify_files([whole], tmp_path / "data") == []


def test_a_file_that_changed_between_planning_and_reading_is_refused(tmp_path):
    unpacked(tmp_path)
    datafiles.check_files([entry()], tmp_path)
    parts = datafiles.members(entry(), tmp_path)
    assert [part.read() for part in parts] == list(FILES.values())
    flip(tmp_path / "set/Train/0/b.bin")
    with pytest.raises(HarnessError, match="changed since it was verified"):
        parts[1].read()


# --- the same in other places -------------------------------------------------------------------------------------


def test_a_folder_that_is_as_good_is_taken_and_is_the_same(tmp_path):
    one = entry(instead=(Folder("OTHER/Train", (), "*/*.bin", 3),))
    unpacked(tmp_path / "a")
    (tmp_path / "b/OTHER").mkdir(parents=True)
    (tmp_path / "a/set/Train").rename(tmp_path / "b/OTHER/Train")
    unpacked(tmp_path / "a")
    assert datafiles.check_files([one], tmp_path / "a") == datafiles.check_files([one], tmp_path / "b") == []
    assert datafiles.identify_files([one], tmp_path / "a") == datafiles.identify_files([one], tmp_path / "b")
    assert [part.read() for part in datafiles.members(one, tmp_path / "b")] == list(FILES.values())
    # The one that is complete goes before the one that is not.
    unpacked(tmp_path / "b", {"0/a.bin": b"a"})
    assert datafiles.check_files([one], tmp_path / "b") == []
    assert len(datafiles.members(one, tmp_path / "b")) == 3
    (tmp_path / "b/OTHER/Train/1/c.bin").unlink()
    assert f"{tmp_path}/b/set/Train: 1 file, expected 3" in problem_of(one, tmp_path / "b")
    assert f"{tmp_path}/c/set/Train: missing" in problem_of(one, tmp_path / "c")


def test_files_within_zip_files_are_the_same_as_unpacked_ones(tmp_path):
    one = entry(instead=(Folder("ZIPS", (), "*/*.bin", 3, zipped="*.zip"),))
    unpacked(tmp_path / "a")
    (tmp_path / "b/ZIPS").mkdir(parents=True)
    for label in "01":
        content = {f"top/{name}": data for name, data in FILES.items() if name[0] == label}
        (tmp_path / f"b/ZIPS/{label}.zip").write_bytes(zipped(content | {"top/readme.txt": b"x"}))
    assert datafiles.check_files([one], tmp_path / "b") == []
    assert datafiles.identify_files([one], tmp_path / "a") == datafiles.identify_files([one], tmp_path / "b")
    parts = datafiles.members(one, tmp_path / "b")
    assert [(part.below, part.read()) for part in parts] == list(FILES.items())
    assert str(parts[0]) == f"{tmp_path}/b/ZIPS/0.zip: top/0/a.bin"
    (tmp_path / "b/ZIPS/1.zip").write_bytes(b"no zip file")
    assert "1.zip is no zip file, or damaged" in problem_of(one, tmp_path / "b")
    (tmp_path / "b/ZIPS/1.zip").write_bytes(zipped({"top/1/c.bin": b"cc!"}))
    assert "the first 1/c.bin" in problem_of(one, tmp_path / "b")


# --- fetching -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("top", ["", "Train/", "some/where/Train/"])
def test_an_archive_is_unpacked_into_its_folder_whatever_its_own_top_is_called(tmp_path, served, pack, top):
    content = {f"{top}{name}": data for name, data in FILES.items()}
    noise = {"__MACOSX/0/._a.bin": b"x", f"{top}readme.txt": b"y", "../0/readme.md": b"z"}
    whole = served(pack({**content, **noise}))
    data = tmp_path / "data"
    assert fetch_files([whole], data, quiet) == [data / "set/Train"]
    found = {path.relative_to(data / "set/Train").as_posix(): path.read_bytes() for path in data.rglob("*.bin")}
    assert found == FILES
    assert {path.name for path in data.rglob("*") if path.is_file() and path.suffix != ".bin"} == {".Train.digests"}
    assert fetch_files([whole], data, quiet) == []


def test_zip_files_inside_the_archive_are_unpacked_too(tmp_path, served):
    inner = {f"{label}.zip": zipped({name: data for name, data in FILES.items() if name[0] == label}) for label in "01"}
    fetch_files([served(zipped(inner))], tmp_path / "data", quiet)
    assert len(list((tmp_path / "data/set/Train").glob("*/*.bin"))) == 3


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        (FILES, {"md5": "0" * 32}, "the archive: md5 is"),
        ({"0/a.bin": b"a"}, {}, "1 file, expected 3"),
        ({"a.bin": b"a"}, {}, "no files, expected 3"),
    ],
)
def test_what_is_not_the_declared_archive_is_named_and_leaves_nothing(tmp_path, served, content, changes, message):
    with pytest.raises(HarnessError, match=message):
        fetch_files([served(zipped(content), **changes)], tmp_path / "data", quiet)
    assert not list((tmp_path / "data").rglob("*.bin"))


# --- files that depend on options ---------------------------------------------------------------------------------


PARTS = tuple(File(f"set/{n}", (), sha256=hashlib.sha256(bytes([n])).hexdigest()) for n in (1, 2, 3))


@dataclass(frozen=True)
class Parts(DataOptions):
    parts: tuple[int, ...] = option((1, 2, 3), "which files", low=1, high=3)


def parts(config: Parts) -> tuple[File, ...]:
    return tuple(PARTS[n - 1] for n in config.parts)


def never(*values):
    raise AssertionError("planning must build no learner and load no data")


class Plugin:
    @hookimpl
    def harness_methods(self):
        yield Method("fit", "one", never, ("classification",))

    @hookimpl
    def harness_datasets(self):
        yield Dataset(
            "set",
            "a set",
            "classification",
            never,
            Parts,
            files=lambda config: tuple(PARTS[n - 1] for n in config.parts),
        )


def test_a_run_needs_the_files_that_its_options_ask_for(catalog_of, tmp_path):
    (tmp_path / "set").mkdir()
    for n in (1, 2):
        (tmp_path / f"set/{n}").write_bytes(bytes([n]))

    def planned(dataset: str):
        return plan_trials(catalog_of(Plugin()), Request(methods="fit", datasets=dataset, seeds="1", data=tmp_path))

    (both,), (first,) = planned("set[parts=[1,2]]"), planned("set[parts=1]")
    assert both.dataset.label == "set[parts=(1,2)]"
    assert both.parts["dataset"]["files"] == {f"set/{n}": PARTS[n - 1].sha256 for n in (1, 2)}
    assert first.parts["dataset"]["files"] == {"set/1": PARTS[0].sha256}
    assert first.key != both.key
    for all_of_them in ("set", "set[parts=[1,2,3]]"):
        with pytest.raises(UsageError, match=f"set: {tmp_path}/set/3: missing.*\n.*harness data fetch set"):
            planned(all_of_them)
    # A mistake in the options comes first: which files are needed follows from them.
    with pytest.raises(UsageError, match=r"parts must be >= 1, <= 3, not \(3,4\)"):
        planned("set[parts=[3,4]]")
    with pytest.raises(UsageError, match=r"parts must be \(int,...\), not the tuple \(all\)\n"):
        planned("set[parts=all]")


STRANGE = """
import hashlib
from dataclasses import dataclass
from harness import DataOptions, Dataset, File, Folder, hookimpl, option

def load(config, seed, folder):
    raise AssertionError("the data command must not load data")

@dataclass(frozen=True)
class Options(DataOptions):
    parts: tuple[int, ...] = option((1, 2, 3), "which files", low=1, high=3)

def files(config):
    return tuple(File(f"set/{n}", (), 1, sha256=hashlib.sha256(bytes([n])).hexdigest()) for n in config.parts)

@hookimpl
def harness_datasets():
    yield Dataset("set", "a set", "classification", load, Options, files=files)
    yield Dataset("many", "a folder", "classification", load, files=(FOLDER,))
"""


def test_the_data_command_counts_folders_and_takes_options(tmp_path, served, capsys, monkeypatch):
    whole = served(zipped(FILES))
    (tmp_path / "strange.py").write_text(STRANGE.replace("FOLDER", repr(whole)))
    data = tmp_path / "data"
    (data / "set").mkdir(parents=True)
    (data / "set/1").write_bytes(b"\x01")
    unpacked(data, {"0/a.bin": b"a"})

    def harness(*arguments: str) -> tuple[int, str]:
        code = main(["-p", str(tmp_path / "strange.py"), "data", *arguments, "--data-dir", str(data)])
        return code, capsys.readouterr().out

    listed = {line.split()[0]: line for line in harness("list")[1].splitlines() if line.split()}
    assert "2 of 3 missing" in listed["set"]
    assert "1 of 1 incomplete" in listed["many"]
    assert harness("verify", "set[parts=[1]]") == (0, f"set[parts=(1)]: 1 file in {data}, as published\n")
    assert harness("verify", "set[parts=[1,2]]")[0] == 1
    code, out = harness("verify", "many")
    assert code == 1
    assert "1 file, expected 3" in out
    assert harness("fetch", "many") == (0, f"many: 1 folder in {data}, 1 fetched now\n")
    assert harness("verify", "many") == (0, f"many: 1 folder in {data}, complete\n")
    assert main(["-p", str(tmp_path / "strange.py"), "list", "set"]) == 0
    assert "set/1, set/2, set/3" in capsys.readouterr().out


def test_a_plugin_that_cannot_say_which_files_it_needs_is_named_and_hides_no_other(tmp_path, capsys):
    outside = STRANGE.replace('"set/{n}"', '"../{n}"').replace("FOLDER", repr(entry(b"x")))
    (tmp_path / "strange.py").write_text(outside)

    def harness(*arguments: str) -> tuple[int, str, str]:
        code = main(["-p", str(tmp_path / "strange.py"), "data", *arguments, "--data-dir", str(tmp_path)])
        return (code, *capsys.readouterr())

    code, out, _ = harness("list")
    assert code == 0
    assert "data file '../1': it holds '..'" in out
    assert "1 of 1 missing" in out
    code, _, err = harness("fetch", "set")
    assert code == 1
    assert "data set set: its plugin cannot say which files it needs: data file '../1': it holds '..'" in err
    assert not (tmp_path.parent / "1").exists()


def test_records_are_picked_by_a_list_that_an_option_took_whole():
    def record(parts: list[int], rate: float | None = None) -> Record:
        dataset = Choice("set", {}, {"parts": parts, "rate": rate}, f"set{parts}{rate}")
        made = example_records.record("fit", key=dataset.label)
        return dataclasses.replace(made, trial=dataclasses.replace(made.trial, dataset=dataset))

    records = [record([1, 2]), record([1]), record([3], 0.5)]

    def picked(text: str) -> list[int]:
        return [records.index(each) for each in select_records(records, text, "--datasets")]

    assert picked("set[parts=[1,2]]") == picked("set[parts=(1,2)]") == [0]
    assert picked("set[parts=[1]]") == picked("set[parts=1]") == [1]
    assert picked("set[parts=[(1,2),(3)]]") == [0, 2]
    assert picked("set[(parts,rate)=[((3),0.5),((1),0.5)]]") == [2]
    with pytest.raises(UsageError, match="no record"):
        picked("set[parts=[2,1]]")
    with pytest.raises(UsageError, match="no record"):
        picked("set[(rate,parts)=[(0.1,(1))]]")
