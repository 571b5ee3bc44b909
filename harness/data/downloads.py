"""Getting the official files of data sets into the data folder: only on request, and only with the right checksum."""

from __future__ import annotations

import posixpath
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from harness.data import files
from harness.data.files import Entry
from harness.errors import HarnessError
from harness.types import File, Folder

BLOCK = 1 << 20
LONGEST_REASON = 200

# Called with a URL, the bytes that have come from it, and their total: 0 where the server does not tell.
Report = Callable[[str, int, int], None]


def fetch(wanted: Sequence[Entry], folder: Path, report: Report) -> list[Path]:
    """Fetch those files that are missing or not the official ones, and return their paths.

    The URLs of a file are tried in turn. A file appears in the folder only when it is whole and its checksum is right,
    and replaces what was there. An archive is fetched once for all of its members; that of a folder is unpacked there.
    Raises HarnessError where no URL gave the right file, or the folder cannot be written.
    """
    missing = [problem.file for problem in files.check(wanted, folder)]
    placed: list[Path] = []
    with _writing(folder):
        for group in _by_download(missing):
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=_made(folder)) as scratch:
                found = _from_any(group, Path(scratch), folder, report)
                placed += [_put(path, files.target(file, folder)) for file, path in found.items()]
    return placed


def _by_download(wanted: Sequence[Entry]) -> list[list[Entry]]:
    """Members of one archive together, every other file alone."""
    groups: dict[object, list[Entry]] = {}
    for file in wanted:
        groups.setdefault(file.urls if isinstance(file, File) and file.member else file.path, []).append(file)
    return list(groups.values())


def _from_any(group: Sequence[Entry], scratch: Path, folder: Path, report: Report) -> Mapping[Entry, Path]:
    """The files of one download, from the first URL that has all of them right."""
    urls = group[0].urls
    reasons = [] if urls else ["no address is declared"]
    for number, url in enumerate(urls):
        try:
            return _from(url, group, _made(scratch / str(number)), report)
        except Exception as error:  # whatever is wrong with one address, the next may do
            reasons.append(f"{url}: {_short(error)}")
    names = ", ".join(file.path for file in group)
    remedy = f"get it another way and put it at {', '.join(str(files.target(file, folder)) for file in group)}"
    raise HarnessError("\n  ".join([f"{names}: could not be fetched", *reasons, remedy]))


def _from(url: str, group: Sequence[Entry], scratch: Path, report: Report) -> Mapping[Entry, Path]:
    """The files of one download, checked, in the scratch folder. Raises where one is not the declared one."""
    downloaded = _download(url, scratch, report)
    found: dict[Entry, Path] = {group[0]: downloaded}
    if isinstance(group[0], Folder):
        found = {group[0]: _unpacked_folder(group[0], downloaded, _made(scratch / "folder"))}
    elif group[0].member:
        found = dict(_unpacked([file for file in group if isinstance(file, File)], downloaded, scratch).items())
    for file, path in found.items():
        problem = files.differs(file, path)
        if problem is not None:
            raise HarnessError(f"{file.path}: {problem.found}, expected {files.expected(file)}")
    return found


def _download(url: str, scratch: Path, report: Report) -> Path:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    downloader = None
    if url.startswith(("http://", "https://")):
        # A server that compresses on the way would deliver other bytes than those that were hashed.
        plain = {"Accept-Encoding": "identity"}
        downloader = pooch.HTTPDownloader(progressbar=_Bar(url, report), chunk_size=BLOCK, headers=plain)
    return Path(pooch.retrieve(url, known_hash=None, fname="download", path=scratch, downloader=downloader))


class _Bar:
    """What pooch takes for a progress bar."""

    def __init__(self, url: str, report: Report) -> None:
        self.total = 0
        self._url = url
        self._report = report
        self._done = 0

    def update(self, count: int) -> None:
        # pooch counts the last block as a full one.
        self._done = min(self._done + count, self.total) if self.total else self._done + count
        self._report(self._url, self._done, self.total)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        self._report(self._url, self.total or self._done, self.total)


# --- archives -----------------------------------------------------------------------------------------------------


def _unpacked(group: Sequence[File], archive: Path, scratch: Path) -> dict[File, Path]:
    """The members of a tar or zip archive that the files name, under names of our own. Nothing else is unpacked."""
    wanted = {posixpath.normpath(file.member or ""): file for file in group}
    found: dict[File, Path] = {}
    for name, stream in _members(archive, wanted):
        path = scratch / f"member-{len(found)}"
        with stream, path.open("wb") as copy:
            shutil.copyfileobj(stream, copy, BLOCK)
        found[wanted[name]] = path
    lacking = [name for name, file in wanted.items() if file not in found]
    if lacking:
        raise HarnessError(f"the archive has no {', '.join(lacking)}")
    return found


def _members(archive: Path, wanted: Mapping[str, File]) -> Iterator[tuple[str, IO[bytes]]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            names = {posixpath.normpath(name): name for name in zipped.namelist()}
            yield from ((name, zipped.open(names[name])) for name in wanted if name in names)
        return
    # In the archive's own order: going back in a compressed tar means unpacking it from the start.
    with tarfile.open(archive) as tar:
        for info in tar:
            stream = tar.extractfile(info) if posixpath.normpath(info.name) in wanted else None
            if stream is not None:
                yield posixpath.normpath(info.name), stream


def _unpacked_folder(entry: Folder, archive: Path, into: Path) -> Path:
    """The files of an archive that a folder is made of. Raises HarnessError for another archive than the declared one.

    A file goes by as many of its last names as the pattern has: what the archive's own top folder is called is nothing
    to rely on.
    """
    whole = File(entry.path, entry.urls, entry.bytes, entry.md5, entry.sha256)
    problem = files.differs(whole, archive)
    if problem is not None:
        raise HarnessError(f"the archive: {problem.found}, expected {files.expected(whole)}")
    depth = len(PurePosixPath(entry.pattern).parts)
    for name, stream in _every_member(archive, into):
        last = PurePosixPath(*PurePosixPath(name).parts[-depth:])
        with stream:
            # Some systems pack files of their own beside each, whose names begin with a dot.
            if last.match(entry.pattern) and not any(part.startswith(".") for part in last.parts):
                with (_made((into / last).parent) / last.name).open("wb") as copy:
                    shutil.copyfileobj(stream, copy, BLOCK)
    return into


def _every_member(archive: Path, scratch: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """All files in a tar or zip archive, and in the zip files that it holds."""
    for name, stream in _all(archive):
        if not name.endswith(".zip"):
            yield name, stream
            continue
        with stream, tempfile.NamedTemporaryFile(dir=scratch, prefix=".inner-") as inner:
            shutil.copyfileobj(stream, inner, BLOCK)
            inner.flush()
            yield from _all(Path(inner.name))


def _all(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            yield from ((info.filename, zipped.open(info)) for info in zipped.infolist() if not info.is_dir())
        return
    with tarfile.open(archive) as tar:
        yield from ((info.name, stream) for info in tar if (stream := tar.extractfile(info)) is not None)


# --- the folder ---------------------------------------------------------------------------------------------------


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """What the system says of a folder that cannot be written or of a full disk, in a line."""
    try:
        yield
    except OSError as error:
        why = error.strerror or _short(error)
        raise HarnessError(f"data folder {folder}: {why}; another is chosen with --data-dir DIR") from error


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _put(found: Path, target: Path) -> Path:
    """A file, or all files of a folder one by one, in the place of those that were there."""
    if not found.is_dir():
        return _place(found, target)
    for path in sorted(found.rglob("*")):
        if path.is_file():
            _place(path, target / path.relative_to(found))
    return target


def _place(path: Path, target: Path) -> Path:
    """Move a finished file to where it belongs, on the same file system and so at once, as readable as its folder."""
    _made(target.parent)
    path.chmod(target.parent.stat().st_mode & 0o666)
    return path.replace(target)


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."
