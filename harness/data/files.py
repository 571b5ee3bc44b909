"""The files of data sets: which of them are in the data folder, and whether they are the official ones.

Nothing is ever fetched here (that is `harness data fetch`): a run only looks, and says what to do.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from harness import options
from harness.data import folder_files
from harness.data.differences import Entry, FileProblem, compare_by_size, compare_entry
from harness.data.folder_files import Part, cache_folder
from harness.errors import HarnessError, UsageError
from harness.types import Dataset, File, Folder

VARIABLE = "HARNESS_DATA_DIR"
BEYOND_HELP = ("missing", "size", "unreadable")
PLACES = 6  # so many are named in a message

Differing: TypeAlias = Callable[[Entry, Path], FileProblem | None]


def list_declared(dataset: Dataset, given: Mapping[str, object] | None = None) -> tuple[Entry, ...]:
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


def identify_files(files: Sequence[Entry], folder: Path) -> dict[str, str | None]:
    """Identify these files among others of the same names, wherever they lie: by declared checksums, a folder by the
    digest of what is in it.
    """
    return {
        each.path: _digest_folder(each, folder) if isinstance(each, Folder) else each.sha256 or each.md5
        for each in files
    }


def located(file: File, folder: Path) -> Path:
    """Where a file is taken from: its own path, or one of those that are as good, if the right one is there."""
    return _locate_entry(file, folder)[1]


def members(entry: Folder, folder: Path) -> list[Part]:
    """The files of a folder, in the order of their names. They refuse to be read where they changed since they were
    verified, unless any part of the folder will do.
    """
    form, place = _locate_entry(entry, folder)
    assert isinstance(form, Folder)
    kept = {} if form.partial else folder_files.read_digests(place).known
    return [part._replace(sha256=kept.get(part.below, ("",))[0]) for part in folder_files.list_files(form, place)]


def resolve_folder(given: Path | None = None) -> Path:
    """The data folder: what was given (--data-dir), else HARNESS_DATA_DIR, else the user's cache. It may not exist.

    Raises UsageError for the home of a user who is unknown.
    """
    named = given or os.environ.get(VARIABLE)
    try:
        return Path(named).expanduser() if named else cache_folder()
    except RuntimeError as error:
        raise UsageError(
            f"data folder {named}: there is no such user; name another with --data-dir DIR or {VARIABLE}"
        ) from error


def check_files(files: Sequence[Entry], folder: Path) -> list[FileProblem]:
    """Find the faults of these files below the folder: missing, of another size, of another checksum.

    A file is hashed once per process as long as its size and times stay the same, those of a folder once for all, see
    `folder_files`. Raises HarnessError for a declaration that cannot be checked.
    """
    return _find_problems(files, folder, compare_entry)


def check_sizes(files: Sequence[Entry], folder: Path) -> list[FileProblem]:
    """Like `check_files`, but by sizes alone: quick for files of any size."""
    return _find_problems(files, folder, compare_by_size)


def verify_files(files: Sequence[Entry], folder: Path) -> list[FileProblem]:
    """Like `check_files`, but every file of a folder is read, in one of which any part will do too."""
    return _find_problems(files, folder, lambda file, path: compare_entry(file, path, thoroughly=True))


def _find_problems(files: Sequence[Entry], folder: Path, differing: Differing) -> list[FileProblem]:
    return [problem for file in files if (problem := _find_problem(file, folder, differing))]


def _find_problem(file: Entry, folder: Path, differing: Differing) -> FileProblem | None:
    """Nothing where one of its places has what was declared; else what is wrong with the first that has anything."""
    problems: list[FileProblem] = []
    for form, path in _iterate_forms(file, folder):
        problem = differing(form, path)
        if problem is None:
            return None
        problems.append(problem)
    return next((problem for problem in problems if problem.kind != "missing"), problems[0])


def _iterate_forms(file: Entry, folder: Path) -> Iterator[tuple[Entry, Path]]:
    """The places in which a file or folder is looked for, and as what."""
    yield file, target_path(file, folder)
    if isinstance(file, File):
        yield from ((file, folder / PurePosixPath(path)) for path in file.also)
    else:
        for each in file.instead:
            yield _substitute_folder(file, each), target_path(each, folder)


def _substitute_folder(file: Folder, other: Folder) -> Folder:
    """The other folder, with what is to be done about the declared one where it is not right."""
    return dataclasses.replace(
        other, urls=file.urls, md5=file.md5, sha256=file.sha256, partial=file.partial, hint=file.hint
    )


def _locate_entry(file: Entry, folder: Path) -> tuple[Entry, Path]:
    forms = list(_iterate_forms(file, folder))
    there = [(form, path) for form, path in forms if path.exists()]
    if len(there) > 1:
        there = [each for each in there if (found := compare_by_size(*each)) is None or found.kind != "missing"]
    if len(there) > 1:
        there = [each for each in there if compare_entry(*each) is None] or there
    return (there or forms)[0]


def require_files(dataset: str, files: Sequence[Entry], data: Path | None) -> None:
    """Raise UsageError unless all files of the data set are in the data folder (by default `folder()`).

    The message tells of the first one what was found and expected, its URL and where it belongs, how many others there
    are, and what to do.
    """
    where = resolve_folder(data)
    problems = check_files(files, where)
    if problems:
        more = f"; {len(problems) - 1} more of its files are missing or wrong" if problems[1:] else ""
        hints = "".join(f"\n{hint}" for hint in dict.fromkeys(_iterate_hints(problems)))
        places = _describe_places(problems[0].file) if problems[0].kind == "missing" else ""
        raise UsageError(f"{dataset}: {problems[0]}{more}\n{places}{describe_remedy(dataset, where)}{hints}")


def _iterate_hints(problems: Sequence[FileProblem]) -> Iterator[str]:
    """Hints at other remedies, where they help: no folder is taken as it is that is empty, or holds what is no file."""
    beyond_help = any(isinstance(each.file, Folder) and each.kind in BEYOND_HELP for each in problems)
    for problem in problems:
        if problem.file.hint and not (beyond_help and isinstance(problem.file, Folder)):
            yield problem.file.hint


def _describe_places(file: Entry) -> str:
    """Where else a file or folder is looked for, as a line."""
    if isinstance(file, File):
        places = list(file.also)
    else:
        places = list(dict.fromkeys(f"{each.path}/{each.zipped or each.pattern}" for each in file.instead))
    if not places:
        return ""
    more = f" and {len(places) - PLACES} more" if len(places) > PLACES else ""
    content = "; what counts is its content, compressed in any way or not" if getattr(file, "content_md5", None) else ""
    return f"it is also looked for as {', '.join(places[:PLACES])}{more}{content}\n"


def describe_remedy(dataset: str, where: Path) -> str:
    """A remedy for files that are not in the data folder as they should be."""
    absent = "" if where.is_dir() or where == cache_folder() else f"there is no folder {where}; "
    if where != resolve_folder():
        return f"{absent}run: harness data fetch {dataset} --data-dir {shlex.quote(str(where))}; or put the files there"
    elsewhere = "" if os.environ.get(VARIABLE) else f"; or say with --data-dir DIR or {VARIABLE} where you have them"
    return f"{absent}run: harness data fetch {dataset}{elsewhere}"


def target_path(file: Entry, folder: Path) -> Path:
    """Where a file belongs: below the folder, as every declared path is."""
    return folder / PurePosixPath(file.path)


def _digest_folder(entry: Folder, folder: Path) -> str:
    """A digest of the names and the contents of the files in a folder."""
    form, place = _locate_entry(entry, folder)
    assert isinstance(form, Folder)
    found = folder_files.list_files(form, place)
    now = folder_files.find_digests(found, folder_files.read_digests(place))
    return hashlib.sha256("".join(f"{name} {now[name]}\n" for name in sorted(now)).encode()).hexdigest()
