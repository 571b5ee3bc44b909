"""Getting the official files of data sets into the data folder: only on request, and only with the right checksum."""

from __future__ import annotations

import dataclasses
import errno
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.data import archives, files, folder_files
from harness.data.differences import Entry, FileProblem, compare_entry, describe_expected
from harness.data.transfers import Pace, Report, download_file, require_room, shorten_error
from harness.errors import HarnessError
from harness.types import File, Folder

FULL = (errno.ENOSPC, errno.EDQUOT)
PACE = Pace()
SCRATCH = ".fetch-"
LONGEST_FETCH = 14 * 24 * 3600  # seconds


def fetch_files(wanted: Sequence[Entry], folder: Path, report: Report, pace: Pace = PACE) -> list[Path]:
    """Fetch those files that are missing or not the official ones, and return their paths.

    The URLs of a file are tried in turn. A file appears in the folder only when it is whole and its checksum is right,
    and replaces what was there. An archive is fetched once for all of its members; that of a folder is unpacked there.
    Raises HarnessError where no URL gave the right file, or the folder cannot be written.
    """
    missing = [file for file in wanted if files.check_files([file], folder)]
    placed: list[Path] = []
    with _explain_write_errors(folder):
        _remove_leftovers(folder)
        for group in _group_by_download(missing):
            for file in group:
                _require_inside(files.target_path(file, folder), folder)
            with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=_make_folder(folder)) as scratch:
                found = _try_addresses(group, Path(scratch), folder, report, pace)
                placed += [_place_entry(path, file, folder) for file, path in found.items()]
    return placed


def _group_by_download(wanted: Sequence[Entry]) -> list[list[Entry]]:
    """Members of one archive together, every other file alone."""
    groups: dict[object, list[Entry]] = {}
    for file in wanted:
        groups.setdefault(file.urls if isinstance(file, File) and file.member else file.path, []).append(file)
    return list(groups.values())


def _try_addresses(
    group: Sequence[Entry], scratch: Path, folder: Path, report: Report, pace: Pace
) -> Mapping[Entry, Path]:
    """The files of one download, from the first URL that has all of them right."""
    urls = group[0].urls
    reasons = [] if urls else ["no address is declared"]
    require_room(scratch, sum(file.bytes or 0 for file in group))
    for number, url in enumerate(urls):
        try:
            return _fetch_group(url, group, _make_folder(scratch / str(number)), report, pace)
        except Exception as error:  # whatever is wrong with one address, the next may do
            shutil.rmtree(scratch / str(number), ignore_errors=True)
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            reasons.append(f"{url}: {shorten_error(error)}")
    names = ", ".join(file.path for file in group)
    remedy = f"get it another way and put it at {', '.join(str(files.target_path(file, folder)) for file in group)}"
    raise HarnessError("\n  ".join([f"{names}: could not be fetched", *reasons, remedy]))


def _fetch_group(url: str, group: Sequence[Entry], scratch: Path, report: Report, pace: Pace) -> Mapping[Entry, Path]:
    """The files of one download, checked, in the scratch folder. Raises where one is not the declared one."""
    first, path = group[0], scratch / "download"
    archived = isinstance(first, File) and first.member is not None
    download_file(url, path, None if archived else first.bytes, report, pace)
    found: dict[Entry, Path] = {first: path}
    try:
        if isinstance(first, Folder):
            found = {first: _unpack_folder(first, path, _make_folder(scratch / "folder"))}
        elif archived:
            members = [file for file in group if isinstance(file, File)]
            found = dict(archives.unpack_files(members, path, scratch).items())
        for file, each in found.items():
            _require_same(file, compare_entry(file, each))
    except HarnessError as error:
        raise HarnessError(f"{_describe_page(path)}{error}") from error
    return found


def _unpack_folder(entry: Folder, archive: Path, into: Path) -> Path:
    """The files of an archive that a folder is made of. Raises HarnessError for another archive than the declared."""
    whole = File("the archive", entry.urls, entry.bytes, entry.md5, entry.sha256)
    _require_same(whole, compare_entry(whole, archive))
    return archives.unpack_folder(entry, archive, into)


def _require_same(file: Entry, problem: FileProblem | None) -> None:
    if problem is not None:
        raise HarnessError(f"{file.path}: {problem.found}, expected {describe_expected(file)}")


def _describe_page(path: Path) -> str:
    """Words for a web page, which some servers send for an error, or before a download."""
    with path.open("rb") as file:
        start = file.read(1024).lstrip().lower()
    return "a web page came instead of the file; " if start.startswith((b"<!doctype html", b"<html")) else ""


# --- the folder ---------------------------------------------------------------------------------------------------


@contextmanager
def _explain_write_errors(folder: Path) -> Iterator[None]:
    """Report a folder that cannot be written, or a full disk, in a line."""
    try:
        yield
    except OSError as error:
        why = error.strerror or shorten_error(error)
        place = error.filename2 or error.filename
        where = f" ({place})" if place and str(place) != str(folder) else ""
        raise HarnessError(f"data folder {folder}: {why}{where}; another is chosen with --data-dir DIR") from error


def _remove_leftovers(folder: Path) -> None:
    """Remove the leftovers of a fetch that was killed, once none can be at it still."""
    for left in folder.glob(f"{SCRATCH}*"):
        if time.time() - left.stat().st_mtime > LONGEST_FETCH:
            shutil.rmtree(left, ignore_errors=True)


def _make_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _require_inside(target: Path, folder: Path) -> None:
    """Raise HarnessError where a link within the data folder would have files written outside of it."""
    real = target.parent.resolve()
    if not real.is_relative_to(folder.resolve()):
        raise HarnessError(
            f"{target}: a link leads to {real}, outside of the data folder {folder}, where nothing is written; "
            "remove the link, or put the files there yourself: they are read through it"
        )


def _place_entry(found: Path, entry: Entry, folder: Path) -> Path:
    """A file, or all files of a folder one by one, in the place of those that were there."""
    target = files.target_path(entry, folder)
    if not isinstance(entry, Folder):
        return _move_file(found, target, folder)
    for path in sorted(found.rglob("*")):
        if path.is_file():
            _move_file(path, target / path.relative_to(found), folder)
    whole = dataclasses.replace(entry, partial=False)
    _require_same(whole, next(iter(files.check_sizes([whole], folder)), None))
    placed = folder_files.list_files(entry, target)
    folder_files.write_digests(target, placed, folder_files.hash_files(placed), fetched=True)
    return target


def _move_file(path: Path, target: Path, folder: Path) -> Path:
    """Move a finished file to where it belongs, on the same file system and so at once, as readable as its folder."""
    _require_inside(target, folder)
    _make_folder(target.parent)
    path.chmod(target.parent.stat().st_mode & 0o666)
    return path.replace(target)
