"""The files that a folder is made of, on disk or within zip files, and the digests that they had when first read.

The digests are kept beside the folder (`.NAME.digests`), or in the user's cache where nothing may be written there. One
is believed as long as size and times of its file stay the same, so that only the first look reads a whole folder.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import glob
import hashlib
import os
import stat
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from harness.data.file_digests import stamp_file
from harness.errors import HarnessError
from harness.types import Folder

HEAD = "# harness digests 1"
WRITABLE = 0o222


class Part(NamedTuple):
    """One file of a folder.

    below: its path below the folder. size: in bytes. root: the folder, or the zip file that holds it.
    stamp: what changes whenever it may have changed. member: its name in the zip file. sha256: what it has to have.
    """

    below: str
    size: int
    root: Path
    stamp: str = ""
    member: str = ""
    sha256: str = ""

    def read(self) -> bytes:
        """Its bytes. Raises HarnessError where they are not those that were verified."""
        zipped = _open_zip(self.root, stamp_file(self.root)) if self.member else None
        content = self.path.read_bytes() if zipped is None else zipped.read(self.member)
        if self.sha256 and hashlib.sha256(content).hexdigest() != self.sha256:
            raise HarnessError("changed since it was verified; harness data verify says more")
        return content

    @property
    def path(self) -> Path:
        """Where it lies; within a zip file, that one."""
        return self.root if self.member else self.root / self.below

    @property
    def name(self) -> str:
        """The last part of its path, as of a path."""
        return PurePosixPath(self.below).name

    def __str__(self) -> str:
        """Where it lies, for a message."""
        return f"{self.path}: {self.member}" if self.member else str(self.path)


@dataclass(frozen=True)
class Digests:
    """The sha256 of each file of a folder by its name, and the stamp that the file had then.

    path: where they are kept. since: when the folder was first read. fetched: as it was published.
    """

    path: Path | None = None
    since: str = ""
    fetched: bool = False
    known: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def list_changed(self, now: Mapping[str, str]) -> list[str]:
        """The names whose digest is another one now."""
        return sorted(name for name, found in now.items() if name in self.known and self.known[name][0] != found)

    def list_gone(self, now: Mapping[str, str]) -> list[str]:
        """The names that are not there now."""
        return sorted(self.known.keys() - now.keys())


@functools.lru_cache(maxsize=2)
def _open_zip(path: Path, mark: str) -> zipfile.ZipFile:
    """Left open: to read the list of its members for each of thousands would take minutes."""
    del mark
    return zipfile.ZipFile(path)


def list_files(entry: Folder, place: Path) -> list[Part]:
    """The files of a folder that lies at `place`, in the order of their names.

    Raises HarnessError for one that is no file or cannot be looked at.
    """
    found = _list_zipped(entry, place) if entry.zipped else _list_plain(entry, place)
    return sorted(found, key=attrgetter("below"))


def _list_plain(entry: Folder, place: Path) -> Iterator[Part]:
    # A folder has tens of thousands of files: as texts they take a third of the time that paths do.
    for name in glob.iglob(entry.pattern, root_dir=place, recursive=True):  # noqa: PTH207
        try:
            now = os.stat(f"{place}{os.sep}{name}")  # noqa: PTH116
        except OSError as error:
            raise HarnessError(f"{name} cannot be read ({error.strerror})") from error
        if not stat.S_ISREG(now.st_mode):
            raise HarnessError(f"{name} is not a file")
        mark = f"{now.st_size}-{now.st_mtime_ns}-{now.st_ctime_ns}"
        yield Part(name.replace(os.sep, "/"), now.st_size, place, mark)


def _list_zipped(entry: Folder, place: Path) -> Iterator[Part]:
    depth = len(PurePosixPath(entry.pattern).parts)
    for path in sorted(place.glob(entry.zipped)):
        mark = stamp_file(path)
        try:
            with zipfile.ZipFile(path) as zipped:
                members = zipped.infolist()
        except (zipfile.BadZipFile, OSError) as error:
            raise HarnessError(f"{path.name} is no zip file, or damaged: {error}") from error
        for info in members:
            names = PurePosixPath(info.filename).parts
            # A zip file of one class may leave out the folder that has its name.
            last = PurePosixPath(*(names if len(names) >= depth else (path.stem, *names))[-depth:])
            if not info.is_dir() and last.match(entry.pattern) and not last.name.startswith("."):
                yield Part(str(last), info.file_size, path, f"{mark}-{info.CRC}", info.filename)


# --- digests ------------------------------------------------------------------------------------------------------


def hash_files(found: Iterable[Part]) -> dict[str, str]:
    """The sha256 of each file by its name, read now. Raises HarnessError that names a file that cannot be read."""
    return {part.below: _hash_file(part) for part in found}


def _hash_file(part: Part) -> str:
    try:
        if part.member:
            return hashlib.sha256(part.read()).hexdigest()
        with part.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, zipfile.BadZipFile) as error:
        raise HarnessError(f"{part} cannot be read ({error})") from error


def find_digests(found: Sequence[Part], kept: Digests) -> dict[str, str]:
    """The sha256 of each file by its name: what was kept of those that have their stamp still, the others read now."""
    fresh = [part for part in found if kept.known.get(part.below, ("", ""))[1] != part.stamp]
    now = hash_files(fresh)
    return {part.below: now.get(part.below) or kept.known[part.below][0] for part in found}


def write_digests(
    place: Path, found: Sequence[Part], digests: Mapping[str, str], since: str = "", fetched: bool = False
) -> None:
    """Write the digests of a folder beside it, or else into the cache; where neither can be, nothing is kept."""
    since = since or datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    lines = [f"{HEAD} {'fetched' if fetched else 'read'} {since}"]
    lines += [f"{digests[part.below]} {part.stamp} {part.below}" for part in found]
    for path in (_path_beside(place), _path_in_cache(place)):
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.parent.stat().st_mode & WRITABLE:
                continue  # nobody is to write there: root could
            temporary = path.with_name(f"{path.name}.{os.getpid()}")
            try:
                temporary.write_text("\n".join(lines) + "\n", "utf-8")
                temporary.replace(path)
                return
            finally:
                temporary.unlink(missing_ok=True)


def read_digests(place: Path) -> Digests:
    """The digests that were kept of a folder; none where there are none, or what is there is nothing of ours."""
    for path in (_path_beside(place), _path_in_cache(place)):
        with contextlib.suppress(OSError, ValueError):
            return _parse_digests(path)
    return Digests()


def _parse_digests(path: Path) -> Digests:
    head, *lines = path.read_text("utf-8").split("\n")[:-1]
    if not head.startswith(f"{HEAD} "):
        raise ValueError("not a list of digests")
    origin, since = head.removeprefix(f"{HEAD} ").split(" ", 1)
    rows = (line.split(" ", 2) for line in lines)
    return Digests(path, since, origin == "fetched", {name: (sha256, mark) for sha256, mark, name in rows})


def _path_beside(place: Path) -> Path:
    """Where the digests of a folder are kept, if that may be written."""
    return place.parent / f".{place.name}.digests"


def _path_in_cache(place: Path) -> Path:
    name = hashlib.sha256(str(place.resolve()).encode(errors="surrogateescape")).hexdigest()[:16]
    return cache_folder() / "digests" / name


def cache_folder() -> Path:
    """The harness's folder in the user's cache, the one that `pooch.os_cache("harness")` names."""
    try:
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "harness"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "harness"
    except RuntimeError:  # a user without a home, as in many containers
        return Path(os.environ.get("TMPDIR") or "/tmp") / f"harness-{os.getuid()}"  # noqa: S108
