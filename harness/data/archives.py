"""Archives: the declared files are taken from them, no more bytes than they have, and nowhere but below.

Tar and zip, and those that lie within them, one level deep. Nothing else is unpacked; links, devices and encrypted
members are refused where they have the name of a file that is wanted, and so is every name that is no path below a
folder (`harness.paths`).
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import shutil
import stat
import tarfile
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from harness.data.transfers import require_room, shorten_error
from harness.errors import HarnessError
from harness.paths import find_fault
from harness.types import File, Folder

BLOCK = 1 << 20
RATIO = 100  # an archive may unpack to so many times its size
SPARE = 1 << 26  # and this many bytes more
LARGEST_READ = 1 << 24  # bytes that the head of a tar's member may have
INNER = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
OPENERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}


DAMAGES = (zipfile.BadZipFile, tarfile.TarError, EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error, ValueError)


class Member(NamedTuple):
    """One entry of an archive. lacks: why it is not a file like any other, if it is not."""

    name: str
    size: int
    lacks: str
    open: Callable[[], IO[bytes]]


class Allowance:
    """How many bytes an archive may still unpack to."""

    def __init__(self, archive: Path) -> None:
        self._most = RATIO * archive.stat().st_size + SPARE
        self._left = min(self._most, shutil.disk_usage(archive.parent).free)
        self._roomy = self._left == self._most

    def copy_member(self, member: Member, path: Path, most: int | None) -> None:
        """Write a member to the path. Raises HarnessError for one that is longer than `most`, and for too many."""
        if most is not None and member.size > most:
            raise HarnessError(f"{member.name!r} has {member.size:,} bytes, expected {most:,}")
        with member.open() as stream, path.open("wb") as copy:
            while block := stream.read(BLOCK):
                self._spend(len(block))
                copy.write(block)
                if most is not None and copy.tell() > most:
                    raise HarnessError(f"{member.name!r} has more than the {most:,} bytes that are expected")

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            why = f"unpacks to more than {self._most:,} bytes" if self._roomy else "unpacks to more than the disk holds"
            raise HarnessError(f"the archive {why}: given up")


def unpack_files(wanted: Sequence[File], archive: Path, scratch: Path) -> dict[File, Path]:
    """The members that the files name, under names of our own. Raises HarnessError where one is not there."""
    require_room(scratch, sum(file.bytes or 0 for file in wanted))
    named = {PurePosixPath(file.member or ""): file for file in wanted}
    allowance = Allowance(archive)
    found: dict[File, Path] = {}
    for member in iterate_members(archive):
        file = named.get(PurePosixPath(member.name))
        if file is None or file in found:
            continue
        _require_plain(member)
        path = scratch / f"member-{len(found)}"
        allowance.copy_member(member, path, file.bytes)
        found[file] = path
        if len(found) == len(named):
            break
    if lacking := [str(name) for name, file in named.items() if file not in found]:
        raise HarnessError(f"the archive has no {', '.join(lacking)}")
    return found


def unpack_folder(entry: Folder, archive: Path, into: Path) -> Path:
    """The files of an archive that a folder is made of.

    A file goes by as many of its last names as the pattern has: what the archive's own top folder is called is nothing
    to rely on. Raises HarnessError for a name that is no path below a folder, for two that some file system would take
    for one, and for more files than are declared.
    """
    allowance = Allowance(archive)
    seen: dict[str, str] = {}
    for member in _iterate_nested(archive, into, entry.pattern, allowance):
        place = _place_member(member.name, entry.pattern)
        if place is None:
            continue
        _require_plain(member)
        _require_new(seen, place, member)
        if len(seen) > entry.count:
            raise HarnessError(f"the archive has more than the {entry.count:,} files {entry.pattern} that are declared")
        (into / place).parent.mkdir(parents=True, exist_ok=True)
        allowance.copy_member(member, into / place, None)
    return into


def _place_member(name: str, pattern: str) -> PurePosixPath | None:
    """Where a member belongs below the folder; None for one that is none of its files."""
    last = re.split(r"[/\\]", name)[-1]
    wanted = PurePosixPath(pattern).parts
    if not fnmatchcase(last, wanted[-1]):
        return None
    _require_safe_name(name)
    place = PurePosixPath(*PurePosixPath(name).parts[-len(wanted) :])
    # Some systems pack files of their own beside each, whose names begin with a dot.
    return place if place.match(pattern) and not any(part.startswith(".") for part in place.parts) else None


def _require_safe_name(name: str) -> None:
    if why := find_fault(name):
        raise HarnessError(f"the archive's member {name!r:.200} {why}: nothing was unpacked; it is no official archive")


def _require_plain(member: Member) -> None:
    if member.lacks:
        raise HarnessError(f"the archive's member {member.name!r} is {member.lacks}, expected a file")


def _require_new(seen: dict[str, str], place: PurePosixPath, member: Member) -> None:
    key = unicodedata.normalize("NFC", str(place)).casefold()
    if key in seen:
        raise HarnessError(f"the archive's members {seen[key]!r} and {member.name!r} would be one file, {place}")
    seen[key] = member.name


# --- entries ------------------------------------------------------------------------------------------------------


def _iterate_nested(archive: Path, scratch: Path, pattern: str, allowance: Allowance) -> Iterator[Member]:
    """All entries of an archive, and of the archives that it holds."""
    for member in iterate_members(archive):
        if not member.name.lower().endswith(INNER) or _matches_pattern(member.name, pattern):
            yield member
            continue
        _require_plain(member)
        with tempfile.NamedTemporaryFile(dir=scratch, prefix=".inner-") as inner:
            allowance.copy_member(member, Path(inner.name), None)
            yield from iterate_members(Path(inner.name), member.name)


def _matches_pattern(name: str, pattern: str) -> bool:
    return fnmatchcase(PurePosixPath(name).name, PurePosixPath(pattern).name)


def iterate_members(archive: Path, name: str = "it") -> Iterator[Member]:
    """The entries of a tar or zip archive, each to be read before the next. Raises HarnessError for anything else."""
    try:
        yield from _iterate_zip(archive) if zipfile.is_zipfile(archive) else _iterate_tar(archive)
    except DAMAGES as error:
        raise HarnessError(f"{name} is no tar or zip archive, or damaged: {shorten_error(error)}") from error


def _iterate_zip(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as zipped:
        for info in zipped.infolist():
            if not info.is_dir():
                yield Member(info.orig_filename, info.file_size, _explain_unusable(info), partial(zipped.open, info))


def _explain_unusable(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.flag_bits & 1:
        return "encrypted"
    return "" if kind in (0, stat.S_IFREG) else "a link or a device"


def _iterate_tar(archive: Path) -> Iterator[Member]:
    with _open_decompressed(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        for info in tar:
            if not info.isdir():
                kind = "" if info.isreg() else "a link or a device"
                yield Member(info.name, info.size, kind, partial(_open_member, tar, info))
        stream.read_to_end()


def _open_member(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    # Python's own rule beside ours, where this Python has it.
    safe = getattr(tarfile, "data_filter", lambda info, _: info)(info, ".")
    stream = tar.extractfile(safe)
    assert stream is not None
    return stream


@contextmanager
def _open_decompressed(archive: Path) -> Iterator[Any]:
    with archive.open("rb") as file:
        start = file.read(6)
    open_ = next((each for magic, each in OPENERS.items() if start.startswith(magic)), open)
    with open_(archive, "rb") as stream:
        yield _Guarded(stream, RATIO * archive.stat().st_size + SPARE)


class _Guarded:
    """A stream that gives up beyond so many bytes: what a small archive unpacks to does not show in its size."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream, self._most = stream, most

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LARGEST_READ:
            raise HarnessError(f"the archive has a member whose head has {size:,} bytes: given up")
        return self._stream.read(size)

    def seek(self, place: int, whence: int = 0) -> int:
        if place > self._most:
            raise HarnessError(f"the archive unpacks to more than {self._most:,} bytes: given up")
        return self._stream.seek(place, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def read_to_end(self) -> None:
        """Read on to the end, behind which a checksum may stand. Raises what opened the stream does for a wrong one."""
        while self._stream.read(LARGEST_READ):
            if self._stream.tell() > self._most:
                raise HarnessError(f"the archive unpacks to more than {self._most:,} bytes: given up")
