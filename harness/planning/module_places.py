"""Where an imported module lies: in Python itself, in an installed distribution, or in files that may change."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import posixpath
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from pathlib import Path
from typing import NamedTuple

from harness.catalog import Plugin
from harness.catalog.imports import Imports
from harness.catalog.loading import normalise_name
from harness.catalog.sibling_modules import find_sibling

FILES_OF_A_PATTERN = 1000
SITES = ("site-packages", "dist-packages")
# What programs write beside themselves while they run; every other file may decide what they do.
_WRITTEN = ".log .lock .lck .tmp .temp .pid .out .err .sock .pyc .pyo .swp .swo .bak .part .partial .prof .tfevents"
WRITTEN = frozenset(_WRITTEN.split())


class Source(NamedTuple):
    """A file that decides a result. name: what it is called wherever it lies; empty for a plugin given as a file.

    package: what its relative imports start from.
    """

    path: Path
    name: str
    package: str = ""


@dataclass(frozen=True)
class Place:
    """Where a module lies: its sources where they are followed, or the version of the distribution that it is of.

    whole: all that goes by the first part of its name is there.
    """

    sources: tuple[Source, ...] = ()
    library: dict[str, str] = field(default_factory=dict)
    whole: bool = True


def is_pythons(name: str) -> bool:
    """Whether a module is of Python itself, or of the core, whose source is in every key."""
    top = name.partition(".")[0]
    return top in sys.stdlib_module_names or top == "harness"


def find_module(name: str, plugin: Plugin, folder: Path | None = None) -> Place:
    """Where a module lies that a plugin imports. folder: of the plugin's file, whose siblings it finds there.

    Of a package all modules are its sources, of a namespace the one that is named.
    """
    top = name.partition(".")[0]
    if is_pythons(name):
        return Place()
    sibling = find_sibling(folder, top) if folder else None
    if sibling is not None:
        return Place((Source(sibling, ""),) if str(sibling) == plugin.file else tuple(_sources_of_file(sibling, top)))
    spec = _find_spec(top)
    if spec is None:
        return Place()
    if spec.origin is None or not spec.has_location:
        return Place(tuple(_sources_in_namespace(name, map(Path, spec.submodule_search_locations or ()))), whole=False)
    return _place_of_spec(top, spec, plugin)


def import_root(source: Source) -> Path:
    """The folder from which a source is imported: that of a module, or the one that holds its package."""
    parts = source.package.split(".") if source.package else []
    return source.path.parents[len(parts)]


def _place_of_spec(top: str, spec: ModuleSpec, plugin: Plugin) -> Place:
    path = _path_on_disk(Path(spec.origin or ""))
    if plugin.file and path == Path(plugin.file):
        return Place((Source(path, ""),))
    entry = path.parent.parent if path.stem == "__init__" else path.parent
    owner = _find_owner(top, entry)
    if owner is None or top.startswith("harness_") or normalise_name(owner[0]) == normalise_name(plugin.distribution):
        return Place(tuple(_sources_of_file(path, top)))
    return Place(library=dict([owner]))


def _find_spec(top: str) -> ModuleSpec | None:
    """How a top-level module was found, or would be; one that was made otherwise is known by its file alone."""
    module = sys.modules.get(top)
    spec: ModuleSpec | None = getattr(module, "__spec__", None)
    if spec is None and module is not None and (file := getattr(module, "__file__", None)):
        return importlib.util.spec_from_file_location(top, file)
    try:
        return spec or importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None


def _path_on_disk(origin: Path) -> Path:
    """The file itself, or the archive that it lies in."""
    return next((path for path in (origin, *origin.parents) if path.is_file()), origin)


def _sources_of_file(path: Path, top: str) -> Iterator[Source]:
    """A module is one file, a package all that are below its folder."""
    if path.name != "__init__.py":
        yield Source(path, path.name)
        return
    for each in sorted(path.parent.rglob("*")):
        within = each.relative_to(path.parent)
        if each.name.endswith((".py", *EXTENSION_SUFFIXES)) and not _is_hidden(within):
            yield Source(each, f"{top}/{within.as_posix()}", ".".join([top, *within.parent.parts]))


def _is_hidden(within: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in within.parts)


def _sources_in_namespace(name: str, folders: Iterable[Path]) -> Iterator[Source]:
    """The module or package that a dotted name means in folders without __init__.py."""
    top, *parts = name.split(".")
    for folder in folders:
        if not any(part in SITES for part in folder.parts):
            yield from _sources_below(folder, parts, top)


def _sources_below(folder: Path, parts: list[str], package: str) -> Iterator[Source]:
    if not parts:
        return
    path, name = folder / parts[0], package.replace(".", "/")
    if (path / "__init__.py").is_file():
        for source in _sources_of_file(path / "__init__.py", parts[0]):
            yield Source(source.path, f"{name}/{source.name}", f"{package}.{source.package}")
    elif path.with_suffix(".py").is_file():
        yield Source(path.with_suffix(".py"), f"{name}/{parts[0]}.py", package)
    elif path.is_dir():
        yield from _sources_below(path, parts[1:], f"{package}.{parts[0]}")


# --- distributions ------------------------------------------------------------------------------------------------


@cache
def _find_owner(top: str, entry: Path) -> tuple[str, str] | None:
    """Name and version of the distribution that put a module into a folder of sys.path; None where none did.

    An editable install only points to its files: what they are may change without its version.
    """
    for distribution in _installed_in(entry):
        record = _read_record(distribution)
        if f"\n{top}/" in record or re.search(rf"\n{top}(\.[\w-]+)*\.(py|so|pyd),", record):
            return _name_and_version(distribution)
    if entry.name not in SITES:
        return None
    named = (
        each for each in _installed_in(entry) if normalise_name(top) == normalise_name(each.metadata["Name"] or "")
    )
    return next((_name_and_version(each) for each in named), None)


@cache
def _installed_in(entry: Path) -> tuple[importlib.metadata.Distribution, ...]:
    return tuple(importlib.metadata.distributions(path=[str(entry)]))


@cache
def _read_record(distribution: importlib.metadata.Distribution) -> str:
    try:
        return f"\n{distribution.read_text('RECORD') or ''}"
    except (OSError, UnicodeDecodeError):
        return ""


@cache
def _name_and_version(distribution: importlib.metadata.Distribution) -> tuple[str, str]:
    return str(distribution.metadata["Name"]), str(distribution.metadata["Version"])


# --- files that sources name --------------------------------------------------------------------------------------


def named_files(found: Imports, source: Source, beside: Path | None) -> Iterator[tuple[Path, str]]:
    """The files that a source names, with names or patterns of files or folders, and what each is called.

    They lie beside it or in a folder above, up to the top of its package; beside: up to that of the plugin's file.
    """
    base = source.path.parents[source.name.count("/")]
    top = base if base == beside or "/" not in source.name else base / source.name.partition("/")[0]
    if not source.path.is_relative_to(top):
        return
    names = {posixpath.normpath(name) for name in found.files} | _with_suffixes(found.files, source)
    for folder in [each for each in source.path.parents if each.is_relative_to(top)]:
        below = folder.relative_to(top).as_posix()
        here = {posixpath.normpath(posixpath.join(below, name)) for name in names if not name.startswith(("/", "~"))}
        for path in sorted({*_files_by_pattern(top, here), *_files_by_text(folder, found.texts)}):
            yield path, path.relative_to(base).as_posix()


def _with_suffixes(names: Iterable[str], source: Source) -> set[str]:
    """`Path(__file__).with_suffix(".txt")`."""
    return {source.path.stem + name for name in names if re.fullmatch(r"\.\w+", name)}


def _files_by_text(folder: Path, texts: Iterable[str]) -> Iterator[Path]:
    """The files of a folder that have a text as their name."""
    present = _list_folder(folder)
    for text in texts:
        if text in present and _is_decisive(path := folder / text):
            yield path


def _files_by_pattern(top: Path, names: Iterable[str]) -> Iterator[Path]:
    present = _list_folder(top)
    for name in names:
        first = name.partition("/")[0]
        if first != ".." and name.strip("*./") and "\0" not in name and ("*" in first or first in present):
            yield from _glob_below(top, name)


def _glob_below(folder: Path, name: str) -> Iterator[Path]:
    try:
        path = folder / name
        inside = path.is_dir() and not (path / "__init__.py").is_file()
        found = folder.glob(name) if "*" in name else path.glob("*") if inside else [path]
        yield from [each for each in sorted(found)[:FILES_OF_A_PATTERN] if _is_decisive(each)]
    except (OSError, ValueError):
        return


def _is_decisive(path: Path) -> bool:
    """An empty file without a suffix is a mark that is set and taken away: there is nothing to read in it."""
    if (path.suffix or path.name).lower() in WRITTEN or not path.is_file():
        return False
    return bool(path.suffix) or path.stat().st_size > 0


def _list_folder(folder: Path) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:  # quicker than iterdir, and this is asked for every source
            return frozenset(each.name for each in entries)
    except OSError:
        return frozenset()
