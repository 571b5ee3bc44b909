"""How files and folders in the data folder differ from what was declared: number, size, checksum, digests of before."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from harness.data import file_digests, folder_files
from harness.data.folder_files import Part
from harness.errors import HarnessError
from harness.types import File, Folder

Entry: TypeAlias = File | Folder


@dataclass(frozen=True)
class FileProblem:
    """One file or folder that is not in the data folder as it should be.

    path: where it belongs. found: what is there.
    """

    file: Entry
    path: Path
    kind: Literal["missing", "incomplete", "surplus", "size", "checksum", "unreadable"]
    found: str

    def __str__(self) -> str:
        """Say how it is, how it should be, and where the official file is."""
        expected, source = describe_expected(self.file), describe_source(self.file)
        return f"{self.path}: {self.found}, expected {expected}; official: {source}"


def compare_entry(file: Entry, path: Path, thoroughly: bool = False) -> FileProblem | None:
    """How what lies at `path` differs from the declared file or folder; None where it is the same.

    thoroughly: whether each file of a folder is read, whatever was kept. Raises HarnessError for one that is declared
    without a checksum.
    """
    declared_digest(file)
    if isinstance(file, Folder):
        return _compare_folder(file, path, thoroughly)
    problem = _compare_size(file, path)
    if problem is not None and (problem.kind != "size" or not file.content_md5):
        return problem
    try:
        return _compare_content(file, path, problem)
    except OSError as error:
        return FileProblem(file, path, "unreadable", f"cannot be read ({error.strerror})")


def _compare_content(file: File, path: Path, size: FileProblem | None) -> FileProblem | None:
    """size: what is wrong with its size, which does not matter where it holds the same, compressed otherwise."""
    algorithm, wanted = declared_digest(file)
    found = "" if size else file_digests.digest_file(path, algorithm)
    if found == wanted or (file.content_md5 and file_digests.digest_unpacked(path) == file.content_md5.lower()):
        return None
    return size or FileProblem(file, path, "checksum", f"{algorithm} is {found}")


def compare_by_size(file: Entry, path: Path) -> FileProblem | None:
    if isinstance(file, Folder):
        return _compare_folder_sizes(file, path, _list_parts(file, path))
    problem = _compare_size(file, path)
    # Another size may be another way to compress the same: only a look inside tells.
    return compare_entry(file, path) if problem is not None and problem.kind == "size" and file.content_md5 else problem


def _list_parts(folder: Folder, path: Path) -> list[Part] | FileProblem:
    try:
        return folder_files.list_files(folder, path)
    except HarnessError as error:
        return FileProblem(folder, path, "unreadable", str(error))


def _compare_folder(folder: Folder, path: Path, thoroughly: bool) -> FileProblem | None:
    found = _list_parts(folder, path)
    problem = _compare_folder_sizes(folder, path, found)
    if isinstance(found, FileProblem) or problem is not None:
        return problem
    try:
        return _compare_digests(folder, path, found, thoroughly)
    except HarnessError as error:
        return FileProblem(folder, path, "unreadable", str(error))


def _compare_folder_sizes(folder: Folder, path: Path, found: list[Part] | FileProblem) -> FileProblem | None:
    if isinstance(found, FileProblem):
        return found
    count = len(found)
    if not count:
        return FileProblem(folder, path, "missing", "no files" if path.is_dir() else "missing")
    files = f"{count} file{'' if count == 1 else 's'}"
    if count < folder.count and not folder.partial:
        return FileProblem(folder, path, "incomplete", files)
    if count > folder.count and not folder.partial:
        return FileProblem(folder, path, "surplus", f"{files}, {count - folder.count} too many")
    return _compare_record_sizes(folder, path, found)


def _compare_record_sizes(folder: Folder, path: Path, found: Sequence[Part]) -> FileProblem | None:
    """Files that are empty, or no whole number of records."""
    if not folder.record:
        return None
    empty = [part for part in found if not part.size]
    broken = [part for part in found if part.size % folder.record]
    if not empty and not broken:
        return None
    first = (empty or broken)[0]
    of = f"{len(empty or broken):,} of {len(found):,} files"
    what = "empty" if empty else f"of a size that is no multiple of {folder.record} bytes"
    return FileProblem(folder, path, "size", f"{of} {what}, the first {first.below} ({first.size:,} bytes)")


def _compare_digests(folder: Folder, path: Path, found: Sequence[Part], thoroughly: bool) -> FileProblem | None:
    """Files that are not what they were; the digests of those that are new are kept."""
    kept = folder_files.read_digests(path)
    now = folder_files.hash_files(found) if thoroughly else folder_files.find_digests(found, kept)
    changed = kept.list_changed(now) or ([] if folder.partial else kept.list_gone(now))
    if not changed:
        if {part.below: part.stamp for part in found} != {name: mark for name, (_, mark) in kept.known.items()}:
            folder_files.write_digests(path, found, now, kept.since, kept.fetched)
        return None
    if folder.partial and not thoroughly:
        return None
    since = f"since they were {'fetched' if kept.fetched else 'first read'} on {kept.since}"
    remedy = f"if that is meant, remove {kept.path}"
    what = f"{len(changed):,} of {len(kept.known):,} files changed or gone {since}, the first {changed[0]}; {remedy}"
    return FileProblem(folder, path, "checksum", what)


def _compare_size(file: File, path: Path) -> FileProblem | None:
    try:
        now = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return FileProblem(file, path, "missing", "missing")
    except OSError as error:
        return FileProblem(file, path, "unreadable", f"cannot be read ({error.strerror})")
    if not stat.S_ISREG(now.st_mode):
        return FileProblem(file, path, "unreadable", "is not a file")
    if file.bytes is None or now.st_size == file.bytes:
        return None
    return FileProblem(
        file, path, "size", f"{'truncated' if now.st_size < file.bytes else 'too long'}, {now.st_size} bytes"
    )


def declared_digest(file: Entry) -> tuple[str, str]:
    """The strongest declared checksum, after its algorithm; of a folder that of its archive."""
    if file.sha256:
        return "sha256", file.sha256.lower()
    if file.md5:
        return "md5", file.md5.lower()
    raise HarnessError(f"data file {file.path!r}: its plugin must declare a sha256 or md5")


def describe_expected(file: Entry) -> str:
    """Describe a file or folder as it should be: size and checksum, or number of files."""
    if isinstance(file, Folder):
        return f"{'some of ' if file.partial else ''}{file.count} files {file.pattern}"
    algorithm, wanted = declared_digest(file)
    size = "" if file.bytes is None else f"{file.bytes} bytes, "
    return f"{size}{algorithm} {wanted}"


def describe_source(file: Entry) -> str:
    """Where the official file is to be had."""
    url = file.urls[0] if file.urls else "no address is declared"
    if isinstance(file, Folder):
        return f"unpacked from {url} ({' '.join(declared_digest(file))})"
    return f"{file.member} in {url}" if file.member else url
