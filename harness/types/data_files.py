"""Files of data sets, as plugins declare them: where they lie, where to get them, how to know them."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import HarnessError
from harness.paths import find_fault


@dataclass(frozen=True)
class File:
    """One file of a data set: `path` below the data folder, where to get it, how to know it.

    Digests are lowercase hex; give at least one. `member`: the file's path inside the archive at `urls`, if any.
    `hint`: what else a user can do where it is missing or wrong. `also`: further paths at which the same file is taken.
    `content_md5`: of what a gzip file holds; a file that holds the same is taken too, compressed in any way or not.
    """

    path: str
    urls: tuple[str, ...]
    bytes: int | None = None
    md5: str | None = None
    sha256: str | None = None
    member: str | None = None
    hint: str = ""
    also: tuple[str, ...] = ()
    content_md5: str | None = None

    def __post_init__(self) -> None:
        """Raise HarnessError for a path that would leave the data folder."""
        for path in (self.path, *self.also):
            _require_below_folder("file", self.path, path)
        if self.member is not None:
            _require_below_folder("file", self.path, self.member)


@dataclass(frozen=True)
class Folder:
    """A folder of many files, such as one for each example, that come in an archive and are read unpacked.

    path: below the data folder. pattern: what the files are called below it, as in `*/*.bin`; `count` of them are
    complete. urls, bytes, md5, sha256: of the archive (tar or zip, which may hold further zip files), as for a File.
    partial: any number of files will do, but none. hint: what else a user can do about a folder with another number.
    record: each file holds a whole number of records of so many bytes, and one at least; 0 where it may be empty.
    zipped: what zip files in the folder are called that hold the files, as in `*.zip`, instead of the folder itself.
    instead: folders that are as good, of which none has addresses of its own.
    """

    path: str
    urls: tuple[str, ...]
    pattern: str
    count: int
    bytes: int | None = None
    md5: str | None = None
    sha256: str | None = None
    partial: bool = False
    hint: str = ""
    record: int = 1
    zipped: str = ""
    instead: tuple[Folder, ...] = ()

    def __post_init__(self) -> None:
        """Raise HarnessError for a path or a pattern that would leave the data folder."""
        for path in (self.path, self.pattern, *([self.zipped] if self.zipped else [])):
            _require_below_folder("folder", self.path, path)


def _require_below_folder(noun: str, owner: str, name: str) -> None:
    if why := find_fault(name):
        what = "it" if name == owner else repr(name)
        raise HarnessError(f"data {noun} {owner!r}: {what} {why}; a plugin must declare a path below the data folder")
