"""Fetching from a server of our own on the loopback device, through the downloader that users have."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import re
import shutil
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import Dataset, File, Folder, HarnessError, PluginError, hookimpl
from harness.data import archives
from harness.data.downloads import PACE, fetch_files
from harness.data.files import check_files
from harness.data.transfers import Pace

CONTENT = b"the official bytes" * 1000


@dataclass
class Site:
    """A server's files, by path, and the requests it got."""

    address: str = ""
    pages: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    answers: dict[str, tuple[dict[str, str], tuple[bytes, ...]]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    dripping: dict[str, bool] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    closing: threading.Event = field(default_factory=threading.Event)

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
            if page in site.answers:
                self.answer(page, *site.answers[page])
                return
            if page in site.dripping:
                self.drip(in_the_head=site.dripping[page])
                return
            if page in site.redirects:
                self.send_response(302)
                self.send_header("Location", f"/{site.redirects[page]}")
                self.end_headers()
                return
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

        def answer(self, page, headers, pieces):
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                for number, piece in enumerate(pieces, 1):
                    self.wfile.write(piece)
                    site.sent[page] = number

        def drip(self, in_the_head):
            self.wfile.write(b"HTTP/1.0 200 OK\r\n" + (b"X: " if in_the_head else b"\r\n"))
            with contextlib.suppress(OSError):
                while not site.closing.wait(0.05):
                    self.wfile.write(b"x")

        def log_message(self, *values):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    site.closing.set()
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
    assert fetch_files(files, data, silent) == [data / "set/a.bin", data / "set/deep/b.bin"]
    assert (data / "set/a.bin").read_bytes() == CONTENT
    assert check_files(files, data) == []
    assert everything(data) == ["set/a.bin", "set/deep/b.bin"]


def test_only_what_is_missing_or_wrong_is_fetched(site, tmp_path):
    site.pages = {"a": CONTENT, "b": b"bb", "c": b"cc"}
    files = [file_of(name, site.pages[name], site.url(name)) for name in "abc"]
    (tmp_path / "a").write_bytes(CONTENT)
    (tmp_path / "b").write_bytes(b"b!")
    (tmp_path / "mine").write_bytes(b"kept")
    assert fetch_files(files, tmp_path, silent) == [tmp_path / "b", tmp_path / "c"]
    assert site.asked == ["b", "c"]
    assert everything(tmp_path) == ["a", "b", "c", "mine"]
    assert fetch_files(files, tmp_path, silent) == []
    assert site.asked == ["b", "c"]


def test_the_next_address_is_tried_until_one_has_the_right_file(site, tmp_path):
    site.pages = {"tampered": CONTENT[::-1], "page": b"<html>moved</html>", "good": CONTENT, "unused": CONTENT}
    urls = [closed_port(), *map(site.url, ("gone", "tampered", "page", "good", "unused"))]
    (path,) = fetch_files([file_of("a", CONTENT, *urls)], tmp_path, silent)
    assert path.read_bytes() == CONTENT
    assert site.asked == ["gone", "tampered", "page", "good"]


def test_where_no_address_works_each_is_told_and_nothing_changes(site, tmp_path):
    site.pages = {"tampered": CONTENT[::-1], "short": CONTENT[:5]}
    wanted = file_of("a", CONTENT, *map(site.url, ("gone", "tampered", "short")))
    (tmp_path / "a").write_bytes(b"what was there")
    with pytest.raises(HarnessError) as caught:
        fetch_files([wanted], tmp_path, silent)
    lines = str(caught.value).splitlines()
    assert lines[0] == "a: could not be fetched"
    assert lines[1].strip() == f"{site.url('gone')}: the server answered 404 Not Found"
    assert hashlib.sha256(CONTENT[::-1]).hexdigest() in lines[2]
    assert wanted.sha256 in lines[2]
    assert "truncated, 5 bytes" in lines[3]
    assert all(site.url(name) in line for name, line in zip(("gone", "tampered", "short"), lines[1:4], strict=True))
    assert lines[4].strip() == f"get it another way and put it at {tmp_path / 'a'}"
    assert (tmp_path / "a").read_bytes() == b"what was there"
    assert everything(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("a closed port", "no connection: Failed to establish a new connection"),
        ("example.org/a", "this is no address: one begins with https://, http://, ftp://, sftp:// or doi:"),
        ("file:///etc/hosts", "this is no address"),
    ],
)
def test_an_address_that_cannot_be_reached_is_told_with_the_reason_alone(tmp_path, url, reason):
    url = closed_port() if url == "a closed port" else url
    with pytest.raises(HarnessError) as caught:
        fetch_files([file_of("a", CONTENT, url)], tmp_path, silent)
    line = str(caught.value).splitlines()[1].strip()
    assert line.startswith(f"{url}: {reason}")
    assert "Pool(" not in line


@pytest.mark.parametrize("at", [-8, -4])
def test_a_tar_whose_checksum_or_length_behind_its_end_is_wrong_is_damaged(tmp_path, at):
    packed = bytearray(tarred({"in/one.bin": b"1"}))
    packed[at] ^= 1
    archive = tmp_path / "all.tar.gz"
    archive.write_bytes(packed)
    with pytest.raises(HarnessError, match="it is no tar or zip archive, or damaged"):
        archives.unpack_folder(Folder("set", (), "*.bin", 1, md5="0" * 32), archive, tmp_path / "into")


def test_a_file_without_an_address_cannot_be_fetched(tmp_path):
    with pytest.raises(HarnessError, match="no address is declared"):
        fetch_files([file_of("a", CONTENT)], tmp_path, silent)


def test_compressed_files_arrive_as_they_were_published(site, tmp_path):
    compressed = gzip.compress(CONTENT, mtime=0)
    site.pages = {"a.gz": compressed}
    (path,) = fetch_files([file_of("a.gz", compressed, site.url("a.gz"))], tmp_path, silent)
    assert path.read_bytes() == compressed


def test_a_fetched_file_is_as_readable_as_its_folder(site, tmp_path):
    site.pages = {"a": CONTENT}
    tmp_path.chmod(0o750)
    (path,) = fetch_files([file_of("a", CONTENT, site.url("a"))], tmp_path, silent)
    assert path.stat().st_mode & 0o777 == 0o640


def test_what_a_killed_fetch_left_is_removed_when_nobody_can_be_at_it(site, tmp_path):
    site.pages = {"a": CONTENT}
    for name in (".fetch-old", ".fetch-new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "download").write_bytes(b"half")
    os.utime(tmp_path / ".fetch-old", (0, 0))
    fetch_files([file_of("a", CONTENT, site.url("a"))], tmp_path, silent)
    assert everything(tmp_path) == [".fetch-new/download", "a"]


def test_progress_is_reported_to_the_end(site, tmp_path):
    site.pages = {"a": CONTENT}
    reports = []
    fetch_files([file_of("a", CONTENT, site.url("a"))], tmp_path, lambda *values: reports.append(values))
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
    assert sorted(fetch_files(files, tmp_path, silent)) == [tmp_path / "set/1", tmp_path / "set/2"]
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
        fetch_files([file_of("1", b"1", site.url("bad"), member="in/one")], tmp_path, silent)
    assert everything(tmp_path) == []
    fetch_files([file_of("1", b"1", site.url("bad"), site.url("good"), member="in/one")], tmp_path, silent)
    assert everything(tmp_path) == ["1"]


# --- no more than was declared ------------------------------------------------------------------------------------


def answer(site: Site, page: str, *pieces: bytes, **headers: str) -> str:
    """Let the server answer a page with exactly these headers and pieces; its URL."""
    site.answers[page] = (headers, pieces)
    return site.url(page)


def refused(tmp_path: Path, wanted: File | Folder, pace: Pace = PACE) -> str:
    """Why a file could not be fetched, from its only address; nothing of it is left in the data folder."""
    with pytest.raises(HarnessError) as caught:
        fetch_files([wanted], tmp_path / "data", silent, pace)
    assert everything(tmp_path / "data") == []
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("could not be fetched")
    assert lines[-1].strip().startswith("get it another way and put it at")
    (reason,) = lines[1:-1]
    assert wanted.urls[0] in reason
    return reason


def test_a_download_that_announces_more_than_is_declared_is_not_begun(site, tmp_path):
    url = answer(site, "a", b"x" * 1000, **{"Content-Length": "400000000"})
    assert "400,000,000 bytes or more were announced, 18,000 are declared" in refused(
        tmp_path, file_of("a", CONTENT, url)
    )


def test_a_download_ends_as_soon_as_more_comes_than_is_declared(site, tmp_path):
    url = answer(site, "a", *[CONTENT] * 1000)  # no length is told
    reason = refused(tmp_path, file_of("a", CONTENT, url))
    assert "bytes or more were sent, 18,000 are declared" in reason
    assert site.sent["a"] < 1000  # pieces: the client hung up


def test_a_folder_s_archive_is_taken_up_to_its_declared_size(site, tmp_path):
    url = answer(site, "a", *[CONTENT] * 1000)
    wanted = Folder("set", (url,), "*.bin", 1, bytes=1000, md5="0" * 32)
    assert "1,000 are declared" in refused(tmp_path, wanted)


def test_an_answer_that_ends_early_is_named(site, tmp_path):
    url = answer(site, "a", CONTENT[:100], **{"Content-Length": str(len(CONTENT))})
    assert "the answer ended after 100 of 18,000 bytes" in refused(tmp_path, file_of("a", CONTENT, url))


def test_an_answer_that_announces_less_than_comes_is_no_whole_file(site, tmp_path):
    url = answer(site, "a", CONTENT, **{"Content-Length": "100"})
    assert "truncated, 100 bytes, expected 18000 bytes" in refused(tmp_path, file_of("a", CONTENT, url))


def test_a_web_page_in_the_place_of_a_file_is_said_to_be_one(site, tmp_path):
    site.pages = {"a": b"\n<!DOCTYPE html><title>Moved</title>"}
    for wanted in (file_of("a", CONTENT, site.url("a")), file_of("1", b"1", site.url("a"), member="in/one")):
        assert "a web page came instead of the file" in refused(tmp_path, wanted)


def test_redirections_in_a_circle_end(site, tmp_path):
    site.redirects["a"] = "b"
    site.redirects["b"] = "a"
    assert "redirects" in refused(tmp_path, file_of("a", CONTENT, site.url("a")))


@pytest.mark.parametrize("head", [True, False])
def test_a_server_that_drips_is_given_up(site, tmp_path, head):
    site.dripping["a"] = head
    reason = refused(tmp_path, file_of("a", CONTENT, site.url("a")), Pace(grace=0.2, rate=1e6))
    assert "given up, as 0.2 seconds and then 1,000,000 bytes a second are expected" in reason


def test_the_time_that_a_download_may_take_follows_from_its_size():
    assert Pace().allow_seconds(0) == 30
    assert Pace().allow_seconds(170_498_071) == pytest.approx(30 + 8525, abs=1)


def test_what_the_disk_does_not_hold_is_not_begun(site, tmp_path, monkeypatch):
    site.pages = {"a": CONTENT}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    with pytest.raises(HarnessError, match="18,000 bytes do not fit: 100 are free"):
        fetch_files([file_of("a", CONTENT, site.url("a"))], tmp_path, silent)
    assert site.asked == []
    unsized = File("a", (site.url("a"),), sha256=hashlib.sha256(CONTENT).hexdigest())
    assert "18,000 bytes were announced, 100 are free" in refused(tmp_path, unsized)


# --- hostile archives ---------------------------------------------------------------------------------------------


def test_a_member_longer_than_declared_is_not_unpacked(site, tmp_path):
    for pack in (tarred, zipped):
        site.pages = {"all": pack({"in/one": b"x" * 300_000})}
        reason = refused(tmp_path, file_of("1", b"1", site.url("all"), member="in/one"))
        assert "'in/one' has 300,000 bytes, expected 1" in reason


def bomb(size: int) -> bytes:
    """A tar of as many zeros, which compress a thousandfold."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info = tarfile.TarInfo("in/first")
        info.size = size
        tar.addfile(info, io.BytesIO(bytes(size)))
    return packed.getvalue()


def test_an_archive_that_unpacks_to_far_more_than_it_has_is_given_up(site, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "SPARE", 1 << 16)
    large = bomb(3_000_000)
    site.pages = {"skipped": large, "zip": zipped({"in/first": bytes(3_000_000)})}
    for page, member in (("skipped", "in/other"), ("skipped", "in/first"), ("zip", "in/first")):
        unsized = File("1", (site.url(page),), md5="0" * 32, member=member)
        assert "unpacks to more than" in refused(tmp_path, unsized)


def test_a_tar_whose_head_is_a_bomb_is_given_up(site, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST_READ", 1 << 16)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("in/one")
        info.pax_headers = {"comment": "x" * 1_000_000}
        tar.addfile(info, io.BytesIO())
    site.pages = {"all": packed.getvalue()}
    assert "a member whose head has" in refused(tmp_path, file_of("1", b"1", site.url("all"), member="in/one"))


def linked(kind: bytes, target: str = "../../secret") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in ("x.bin", "0/x.bin"):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
    return packed.getvalue()


def zip_link() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        info = zipfile.ZipInfo("0/x.bin")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return packed.getvalue()


HOSTILE_NAMES = [
    ("/x.bin", "is absolute"),
    ("/0/x.bin", "is absolute"),
    ("//0/x.bin", "is absolute"),
    ("\\0\\x.bin", "is absolute"),
    ("../0/x.bin", "holds '..'"),
    ("0/../../x.bin", "holds '..'"),
    ("..\\0\\x.bin", "holds a backslash"),
    ("0\\x.bin", "holds a backslash"),
    ("C:/0/x.bin", "names a drive"),
    ("C:\\0\\x.bin", "names a drive"),
    ("c:x.bin", "names a drive"),
    ("0/a\nx.bin", "holds a control character"),
    ("0/\x1b[31mx.bin", "holds a control character"),
    ("0/" + "x" * 300 + ".bin", "has a part of more than 255 bytes"),
]


@pytest.mark.parametrize("pattern", ["*/*.bin", "*/*/*.bin", "*.bin"])
@pytest.mark.parametrize("name, why", HOSTILE_NAMES)
@pytest.mark.parametrize("pack", [tarred, zipped])
@pytest.mark.parametrize("inner", [None, tarred, zipped])
def test_an_archive_with_a_name_that_is_no_path_below_is_refused_whole(tmp_path, pack, inner, name, why, pattern):
    content = {"0/1/good.bin": b"good", name: b"bad"}
    packed = pack(content) if inner is None else pack({f"in.{'zip' if inner is zipped else 'tar.gz'}": inner(content)})
    (tmp_path / "archive").write_bytes(packed)
    entry = Folder("set", (), pattern, 9, md5="0" * 32)
    (tmp_path / "into").mkdir()
    with pytest.raises(HarnessError, match=f"the archive's member .* {re.escape(why)}"):
        archives.unpack_folder(entry, tmp_path / "archive", tmp_path / "into")
    assert not [path for path in everything(tmp_path) if not path.startswith(("archive", "into/"))]
    assert b"bad" not in [path.read_bytes() for path in tmp_path.rglob("*.bin")]


def test_an_absolute_member_writes_nothing_anywhere(site, tmp_path):
    outside = tmp_path / "outside/0/x.bin"
    site.pages = {"all": zipped({str(outside): b"bad"})}
    wanted = Folder("set", (site.url("all"),), "*/*/*.bin", 1, md5=hashlib.md5(site.pages["all"]).hexdigest())
    assert "is absolute" in refused(tmp_path, wanted)
    assert not outside.parent.exists()


@pytest.mark.parametrize(
    "packed, why",
    [
        *[(linked(kind), "a link or a device") for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE)],
        (linked(tarfile.FIFOTYPE), "a link or a device"),
        (zip_link(), "a link or a device"),
        (zipped({"0/a.bin": b"1", "0/A.bin": b"2"}), "would be one file"),
        (zipped({"Train/0/a.bin": b"1", "Test/0/a.bin": b"2"}), "would be one file"),
        (zipped({"0/\u00e9.bin": b"1", "0/e\u0301.bin": b"2"}), "would be one file"),
        (zipped({f"0/{n}.bin": b"1" for n in range(5)}), "more than the 3 files"),
        (zipped({"in.zip": b"no archive"}), "in.zip is no tar or zip archive, or damaged"),
        (b"no archive at all", "is no tar or zip archive, or damaged"),
    ],
)
def test_what_else_is_wrong_with_an_archive_is_named(site, tmp_path, packed, why):
    site.pages = {"all": packed}
    wanted = Folder("set", (site.url("all"),), "*/*.bin", 3, md5=hashlib.md5(packed).hexdigest())
    assert why in refused(tmp_path, wanted)


def test_a_link_is_no_member(site, tmp_path):
    site.pages = {"all": linked(tarfile.SYMTYPE)}
    assert "is a link" in refused(tmp_path, file_of("1", b"1", site.url("all"), member="0/x.bin"))


# --- the folder ---------------------------------------------------------------------------------------------------


def test_a_data_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "data").write_bytes(b"")
    with pytest.raises(HarnessError, match=f"data folder {tmp_path}/data: .*--data-dir"):
        fetch_files([file_of("a", CONTENT, "http://127.0.0.1/a")], tmp_path / "data", silent)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_data_folder_that_may_not_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(HarnessError, match=f"data folder {tmp_path}: Permission denied"):
        fetch_files([file_of("a", CONTENT, "http://127.0.0.1/a")], tmp_path, silent)


def test_nothing_is_written_through_a_link_that_leads_outside(site, tmp_path):
    site.pages = {"a": CONTENT, "all": zipped({"0/x.bin": b"1"})}
    data, outside = tmp_path / "data", tmp_path / "outside"
    outside.mkdir()
    (data / "many").mkdir(parents=True)
    (data / "set").symlink_to(outside)
    (data / "many/0").symlink_to(outside)
    many = Folder("many", (site.url("all"),), "*/*.bin", 1, md5=hashlib.md5(site.pages["all"]).hexdigest())
    for wanted in (file_of("set/a", CONTENT, site.url("a")), many):
        with pytest.raises(HarnessError, match=f"a link leads to {outside}, outside of the data folder {data}"):
            fetch_files([wanted], data, silent)
    assert everything(outside) == []
    # What a user put there is read.
    (outside / "a").write_bytes(CONTENT)
    assert check_files([file_of("set/a", CONTENT, site.url("a"))], data) == []


def test_a_link_in_the_place_of_a_file_is_replaced_and_what_it_leads_to_stays(site, tmp_path):
    site.pages = {"a": CONTENT}
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a").symlink_to(tmp_path / "mine")
    fetch_files([file_of("a", CONTENT, site.url("a"))], tmp_path / "data", silent)
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert (tmp_path / "data/a").read_bytes() == CONTENT


def test_a_file_where_a_folder_is_needed_and_the_reverse_are_named(site, tmp_path):
    site.pages = {"a": CONTENT}
    (tmp_path / "set").write_bytes(b"")
    (tmp_path / "b").mkdir()
    for path, place in (("set/a", "set"), ("b", "b")):
        with pytest.raises(HarnessError, match=f"data folder {tmp_path}: .*{tmp_path}/{place}"):
            fetch_files([file_of(path, CONTENT, site.url("a"))], tmp_path, silent)


def test_a_folder_with_files_that_are_not_of_the_archive_is_named(site, tmp_path):
    site.pages = {"all": zipped({"0/x.bin": b"1"})}
    (tmp_path / "set/0").mkdir(parents=True)
    (tmp_path / "set/0/mine.bin").write_bytes(b"mine")
    (tmp_path / "set/0/too.bin").write_bytes(b"mine")
    wanted = Folder("set", (site.url("all"),), "*/*.bin", 1, md5=hashlib.md5(site.pages["all"]).hexdigest())
    with pytest.raises(HarnessError, match="set: 3 files, 2 too many"):
        fetch_files([wanted], tmp_path, silent)


@pytest.mark.parametrize("name", [*(name for name, _ in HOSTILE_NAMES), ""])
@pytest.mark.parametrize(
    "declare",
    [
        lambda name: File(name, (), md5="0" * 32),
        lambda name: File("a", (), md5="0" * 32, member=name),
        lambda name: Folder(name, (), "*.bin", 1),
        lambda name: Folder("set", (), name, 1),
    ],
)
def test_a_plugin_that_declares_a_path_outside_is_refused_by_name(name, declare, catalog_of):
    @hookimpl
    def harness_datasets():
        yield Dataset("letters", "", "classification", load=lambda *_: None, files=(declare(name),))

    catalog = catalog_of(SimpleNamespace(__name__="careless", harness_datasets=harness_datasets))
    with pytest.raises(
        PluginError, match=r"plugin careless failed .* a plugin must declare a path below the data folder"
    ):
        catalog.datasets.names()
