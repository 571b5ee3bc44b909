"""The files of data sets: which of them are in the data folder, and whether they are the official ones.

Nothing is ever fetched here (that is `harness data fetch`): a run only looks, and says what to do.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shlex
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, TypeAlias

from harness import options
from harness.errors import HarnessError, UsageError
from harness.types import Dataset, File, Folder

VARIABLE = "HARNESS_DATA_DIR"

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
        """What was found, what was expected, and where the official file is."""
        return f"{self.path}: {self.found}, expected {expected(self.file)}; official: {source(self.file)}"


def declared(dataset: Dataset, given: Mapping[str, object] | None = None) -> tuple[Entry, ...]:
    """The files that a data set needs with these options.

    Raises UsageError for options that it refuses, and HarnessError where its plugin cannot say which.
    """
    if not callable(dataset.files):
        return dataset.files
    config = options.build(dataset.config, given or {}, dataset.name)
    try:
        needed = tuple(dataset.files(config))
    except UsageError:
        raise
    except Exception as error:  # a plugin's code may fail in any way
        raise HarnessError(f"data set {dataset.name}: its plugin cannot say which files it needs: {error}") from error
    if wrong := [each for each in needed if not isinstance(each, File | Folder)]:
        raise HarnessError(f"data set {dataset.name}: its files hold {wrong[0]!r}, expected a File or a Folder")
    return needed


def identity(files: Sequence[Entry], folder: Path) -> dict[str, str | None]:
    """What tells these files from others of the same names: their checksums, of a partial folder what is in it."""
    return {each.path: _listing(each, folder) if _partial(each) else each.sha256 or each.md5 for each in files}


def members(entry: Folder, folder: Path) -> list[Path]:
    """The files of a folder, in the order of their names."""
    return sorted(target(entry, folder).glob(entry.pattern))


def folder(given: Path | None = None) -> Path:
    """The data folder: what was given (--data-dir), else HARNESS_DATA_DIR, else the user's cache. It may not exist.

    Raises UsageError for the home of a user who is unknown.
    """
    named = given or os.environ.get(VARIABLE)
    try:
        return Path(named).expanduser() if named else cache()
    except RuntimeError as error:
        raise UsageError(
            f"data folder {named}: there is no such user; name another with --data-dir DIR or {VARIABLE}"
        ) from error


def cache() -> Path:
    """The harness's folder in the user's cache, the one that `pooch.os_cache("harness")` names."""
    try:
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "harness"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "harness"
    except RuntimeError:  # a user without a home, as in many containers
        return Path(os.environ.get("TMPDIR") or "/tmp") / f"harness-{os.getuid()}"  # noqa: S108


def check(files: Sequence[Entry], folder: Path) -> list[FileProblem]:
    """What is wrong with these files below the folder: missing, of another size, of another checksum.

    A file is hashed once per process as long as its size and time of modification stay the same; of a folder the files
    are counted. Raises HarnessError for a declaration that cannot be checked.
    """
    return [problem for file in files if (problem := differs(file, target(file, folder)))]


def glance(files: Sequence[Entry], folder: Path) -> list[FileProblem]:
    """Like `check`, but by the size alone: quick for files of any size."""
    return [problem for file in files if (problem := _differs_at_a_glance(file, target(file, folder)))]


def require(dataset: str, files: Sequence[Entry], data: Path | None) -> None:
    """Raise UsageError unless all files of the data set are in the data folder (by default `folder()`).

    The message tells of the first one what was found and expected, its URL and where it belongs, how many others there
    are, and what to do.
    """
    where = folder(data)
    problems = check(files, where)
    if problems:
        more = f"; {len(problems) - 1} more of its files are missing or wrong" if problems[1:] else ""
        hints = "".join(f"\n{hint}" for hint in dict.fromkeys(_hints(problems)))
        raise UsageError(f"{dataset}: {problems[0]}{more}\n{remedy(dataset, where)}{hints}")


def _hints(problems: Sequence[FileProblem]) -> Iterator[str]:
    """What else can be done, where it helps: an empty folder is no part of one that is incomplete."""
    empty = any(isinstance(problem.file, Folder) and problem.kind == "missing" for problem in problems)
    for problem in problems:
        if problem.file.hint and not (empty and isinstance(problem.file, Folder)):
            yield problem.file.hint


def remedy(dataset: str, where: Path) -> str:
    """What to do about files that are not in the data folder as they should be."""
    absent = "" if where.is_dir() or where == cache() else f"there is no folder {where}; "
    if where != folder():
        return f"{absent}run: harness data fetch {dataset} --data-dir {shlex.quote(str(where))}; or put the files there"
    elsewhere = "" if os.environ.get(VARIABLE) else f"; or say with --data-dir DIR or {VARIABLE} where you have them"
    return f"{absent}run: harness data fetch {dataset}{elsewhere}"


def source(file: Entry) -> str:
    """Where the official file is to be had."""
    url = file.urls[0] if file.urls else "no address is declared"
    if isinstance(file, Folder):
        return f"unpacked from {url} ({' '.join(digest(file))})"
    return f"{file.member} in {url}" if file.member else url


def target(file: Entry, folder: Path) -> Path:
    """Where a file belongs: below the folder, as every declared path is."""
    return folder / PurePosixPath(file.path)


def differs(file: Entry, path: Path) -> FileProblem | None:
    """How what lies at `path` differs from the declared file or folder; None where it is the same.

    Raises HarnessError for one that is declared without a checksum.
    """
    algorithm, wanted = digest(file)
    problem = _differs_at_a_glance(file, path)
    if problem is not None or isinstance(file, Folder):
        return problem
    try:
        now = path.stat()
        found = _hashed(path, now.st_ino, now.st_size, now.st_mtime_ns, algorithm)
    except OSError as error:
        return FileProblem(file, path, "unreadable", f"cannot be read ({error.strerror})")
    return None if found == wanted else FileProblem(file, path, "checksum", f"{algorithm} is {found}")


def _differs_at_a_glance(file: Entry, path: Path) -> FileProblem | None:
    return _differs_in_number(file, path) if isinstance(file, Folder) else _differs_in_size(file, path)


def _differs_in_number(folder: Folder, path: Path) -> FileProblem | None:
    count = sum(1 for _ in path.glob(folder.pattern))
    if count == folder.count or (folder.partial and count):
        return None
    if not count:
        return FileProblem(folder, path, "missing", "no files" if path.is_dir() else "missing")
    found = f"{count} file{'' if count == 1 else 's'}"
    if count < folder.count:
        return FileProblem(folder, path, "incomplete", found)
    return FileProblem(folder, path, "surplus", f"{found}, {count - folder.count} too many")


def _differs_in_size(file: File, path: Path) -> FileProblem | None:
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


def _partial(entry: Entry) -> bool:
    return isinstance(entry, Folder) and entry.partial


def _listing(entry: Entry, folder: Path) -> str:
    """A digest of the names and sizes of the files in a folder."""
    assert isinstance(entry, Folder)
    lines = (f"{path.relative_to(folder).as_posix()} {path.stat().st_size}" for path in members(entry, folder))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


# The key holds everything that tells one version of a file from another, so an entry never goes stale.
@functools.lru_cache(maxsize=4096)
def _hashed(path: Path, inode: int, size: int, modified: int, algorithm: str) -> str:
    del inode, size, modified
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def digest(file: Entry) -> tuple[str, str]:
    """The strongest declared checksum, after its algorithm; of a folder that of its archive."""
    if file.sha256:
        return "sha256", file.sha256.lower()
    if file.md5:
        return "md5", file.md5.lower()
    raise HarnessError(f"data file {file.path!r}: its plugin must declare a sha256 or md5")


def expected(file: Entry) -> str:
    """What a file or folder should be, as text: size and checksum, or number of files."""
    if isinstance(file, Folder):
        return f"{'some of ' if file.partial else ''}{file.count} files {file.pattern}"
    algorithm, wanted = digest(file)
    size = "" if file.bytes is None else f"{file.bytes} bytes, "
    return f"{size}{algorithm} {wanted}"
