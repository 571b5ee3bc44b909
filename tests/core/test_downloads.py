"""Fetching from a server of our own on the loopback device, through the downloader that users have."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness import File, HarnessError
from harness.data.downloads import fetch
from harness.data.files import check

CONTENT = b"the official bytes" * 1000


@dataclass
class Site:
    """What the server offers, by path, and what was asked of it."""

    address: str = ""
    pages: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def url(self, page: str) -> str:
        return f"{self.address}/{page}"


@pytest.fixture
def site(monkeypatch) -> Iterator[Site]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            page = self.path.removeprefix("/")
            site.asked.append(page)
            if page not in site.pages:
                self.send_error(404)
                return
            content = site.pages[page]
            self.send_response(200)
            if page.endswith(".gz") and "gzip" in self.headers.get("Accept-Encoding", ""):
                # As some mirrors do: the client would then undo the compression that belongs to the file.
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *values):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


def closed_port() -> str:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}/x"


def file_of(path: str, content: bytes, *urls: str, member: str | None = None) -> File:
    return File(path, urls, len(content), sha256=hashlib.sha256(content).hexdigest(), member=member)


def silent(url: str, done: int, total: int) -> None:
    pass


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_files_are_fetched_into_folders_that_are_made(site, tmp_path):
    site.pages = {"a": CONTENT, "b": b"b"}
    data = tmp_path / "new" / "data"
    files = [file_of("set/a.bin", CONTENT, site.url("a")), file_of("set/deep/b.bin", b"b", site.url("b"))]
    assert fetch(files, data, silent) == [data / "set/a.bin", data / "set/deep/b.bin"]
    assert (data / "set/a.bin").read_bytes() == CONTENT
    assert check(files, data) == []
    assert everything(data) == ["set/a.bin", "set/deep/b.bin"]


def test_only_what_is_missing_or_wrong_is_fetched(site, tmp_path):
    site.pages = {"a": CONTENT, "b": b"bb", "c": b"cc"}
    files = [file_of(name, site.pages[name], site.url(name)) for name in "abc"]
    (tmp_path / "a").write_bytes(CONTENT)
    (tmp_path / "b").write_bytes(b"b!")
    (tmp_path / "mine").write_bytes(b"kept")
    assert fetch(files, tmp_path, silent) == [tmp_path / "b", tmp_path / "c"]
    assert site.asked == ["b", "c"]
    assert everything(tmp_path) == ["a", "b", "c", "mine"]
    assert fetch(files, tmp_path, silent) == []
    assert site.asked == ["b", "c"]


def test_the_next_address_is_tried_until_one_has_the_right_file(site, tmp_path):
    site.pages = {"tampered": CONTENT[::-1], "page": b"<html>moved</html>", "good": CONTENT, "unused": CONTENT}
    urls = [closed_port(), *map(site.url, ("gone", "tampered", "page", "good", "unused"))]
    (path,) = fetch([file_of("a", CONTENT, *urls)], tmp_path, silent)
    assert path.read_bytes() == CONTENT
    assert site.asked == ["gone", "tampered", "page", "good"]


def test_where_no_address_works_each_is_told_and_nothing_changes(site, tmp_path):
    site.pages = {"tampered": CONTENT[::-1], "short": CONTENT[:5]}
    wanted = file_of("a", CONTENT, *map(site.url, ("gone", "tampered", "short")))
    (tmp_path / "a").write_bytes(b"what was there")
    with pytest.raises(HarnessError) as caught:
        fetch([wanted], tmp_path, silent)
    lines = str(caught.value).splitlines()
    assert lines[0] == "a: could not be fetched"
    assert "404" in lines[1]
    assert hashlib.sha256(CONTENT[::-1]).hexdigest() in lines[2]
    assert wanted.sha256 in lines[2]
    assert "truncated, 5 bytes" in lines[3]
    assert all(site.url(name) in line for name, line in zip(("gone", "tampered", "short"), lines[1:4], strict=True))
    assert lines[4].strip() == f"get it another way and put it at {tmp_path / 'a'}"
    assert (tmp_path / "a").read_bytes() == b"what was there"
    assert everything(tmp_path) == ["a"]


def test_a_file_without_an_address_cannot_be_fetched(tmp_path):
    with pytest.raises(HarnessError, match="no address is declared"):
        fetch([file_of("a", CONTENT)], tmp_path, silent)


def test_compressed_files_arrive_as_they_were_published(site, tmp_path):
    compressed = gzip.compress(CONTENT, mtime=0)
    site.pages = {"a.gz": compressed}
    (path,) = fetch([file_of("a.gz", compressed, site.url("a.gz"))], tmp_path, silent)
    assert path.read_bytes() == compressed


def test_a_fetched_file_is_as_readable_as_its_folder(site, tmp_path):
    site.pages = {"a": CONTENT}
    tmp_path.chmod(0o750)
    (path,) = fetch([file_of("a", CONTENT, site.url("a"))], tmp_path, silent)
    assert path.stat().st_mode & 0o777 == 0o640


def test_progress_is_reported_to_the_end(site, tmp_path):
    site.pages = {"a": CONTENT}
    reports = []
    fetch([file_of("a", CONTENT, site.url("a"))], tmp_path, lambda *values: reports.append(values))
    assert reports[-1] == (site.url("a"), len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in reports] == sorted(done for _, done, _ in reports)


# --- archives -----------------------------------------------------------------------------------------------------


def tarred(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


@pytest.mark.parametrize("pack", [tarred, zipped])
def test_members_come_from_one_download_of_their_archive(site, tmp_path, pack):
    site.pages = {"all": pack({"./in/one": b"1", "in/two": CONTENT, "../evil": b"no", "in/other": b"o"})}
    url = site.url("all")
    files = [file_of("set/2", CONTENT, url, member="in/two"), file_of("set/1", b"1", url, member="in/one")]
    assert sorted(fetch(files, tmp_path, silent)) == [tmp_path / "set/1", tmp_path / "set/2"]
    assert (tmp_path / "set/2").read_bytes() == CONTENT
    assert (tmp_path / "set/1").read_bytes() == b"1"
    assert site.asked == ["all"]
    assert everything(tmp_path) == ["set/1", "set/2"]


@pytest.mark.parametrize(
    "archive, word",
    [
        (tarred({"in/other": b"1"}), "no in/one"),
        (tarred({"in/one": b"2"}), "sha256 is"),
        (tarred({"in/one": os.urandom(9999)})[:5000], ""),
        (zipped({"in/one": b"2"}), "sha256 is"),
        (b"<html>moved</html>", ""),
    ],
)
def test_an_archive_that_lacks_the_right_member_is_refused(site, tmp_path, archive, word):
    site.pages = {"bad": archive, "good": tarred({"in/one": b"1"})}
    with pytest.raises(HarnessError, match=f"{site.url('bad')}.*{word}"):
        fetch([file_of("1", b"1", site.url("bad"), member="in/one")], tmp_path, silent)
    assert everything(tmp_path) == []
    fetch([file_of("1", b"1", site.url("bad"), site.url("good"), member="in/one")], tmp_path, silent)
    assert everything(tmp_path) == ["1"]


# --- the folder ---------------------------------------------------------------------------------------------------


def test_a_data_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "data").write_bytes(b"")
    with pytest.raises(HarnessError, match=f"data folder {tmp_path}/data: .*--data-dir"):
        fetch([file_of("a", CONTENT, "http://127.0.0.1/a")], tmp_path / "data", silent)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_data_folder_that_may_not_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(HarnessError, match=f"data folder {tmp_path}: Permission denied"):
        fetch([file_of("a", CONTENT, "http://127.0.0.1/a")], tmp_path, silent)
