"""Fingerprints of the source code that decides a result, so that a changed helper module is never called cached."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.catalog import Catalog, Offer, Plugin
from harness.catalog.imports import NOTHING, Imports, find_imports
from harness.planning import module_places
from harness.planning.module_places import Place, Source

CORE = (
    "names.py",
    "trials/*.py",
    "metrics/*.py",
    "data/subset.py",
    "seeds.py",
    "types/*.py",
)
LARGEST_FILE = 2**26

Reference = str | Callable[..., Any] | type


@dataclass(frozen=True)
class Followed:
    """The sources behind a reference. digest: of all of them, wherever they lie. libraries: other distributions that
    they import, with their versions. gaps: what could not be followed. files: a digest of each source, by its name.
    """

    digest: str
    libraries: Mapping[str, str] = field(default_factory=dict)
    gaps: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Read:
    """A file that was read. content: its digest. files: those that it names, and what each is called."""

    content: str
    readable: bool
    found: Imports = NOTHING
    files: tuple[tuple[Path, str], ...] = ()


Known = dict[tuple[Source, Path | None], Read]  # by file and the folder of the plugin's file


def follow_offer(offer: Offer[Any], known: Known | None = None) -> Followed:
    """The sources of what a plugin offers: factory (load, refit, compute), config and cohort, and the plugin."""
    value = offer.value
    names = ("factory", "load", "refit", "compute", "config", "cohort")
    references = [given for name in names if (given := getattr(value, name, None)) is not None]
    return follow_references([*references, offer.plugin.module], offer.plugin, known)


def follow_references(references: Iterable[Reference], plugin: Plugin, known: Known | None = None) -> Followed:
    """The packages and modules that hold the references ("module:attribute", or callables), and all that these import.

    Libraries of other distributions count by their version, whatever else is imported by its source: packages named
    harness_*, the plugin's own distribution, and what belongs to none, such as the modules beside a plugin's file.
    known: files that were read before, and are not read again; those that are read now are added.
    """
    walk = _Walk(plugin, {} if known is None else known)
    for name in sorted({_module_of_reference(reference) for reference in references}):
        walk.add_root(name)
    return walk.make_followed()


class Fingerprints:
    """The sources behind the offers of a catalogue, as they are at one moment: each file is read once."""

    def __init__(self) -> None:
        self._followed: dict[int, tuple[Offer[Any], Followed]] = {}
        self._known: Known = {}

    def follow_once(self, offer: Offer[Any]) -> Followed:
        if id(offer) not in self._followed:
            self._followed[id(offer)] = (offer, follow_offer(offer, self._known))
        return self._followed[id(offer)][1]

    def digest_measures(self, catalog: Catalog) -> dict[str, str]:
        """A digest for each plugin that offers metrics, instruments or formulas. These are in no trial's key: a further
        metric would make every trial run again. The core's own metrics are in all of them.
        """
        offers: dict[str, list[Reference]] = {}
        plugins: dict[str, Plugin] = {}
        for offer, reference in _measuring_references(catalog):
            offers.setdefault(offer.plugin.name, []).append(reference)
            plugins[offer.plugin.name] = offer.plugin
        return {
            name: follow_references(references, plugins[name], self._known).digest
            for name, references in offers.items()
        }


def _measuring_references(catalog: Catalog) -> Iterable[tuple[Offer[Any], Reference]]:
    for metric in catalog.metrics.offers():
        if metric.value.compute is not None and not module_places.is_pythons(
            _module_of_reference(metric.value.compute)
        ):
            yield metric, metric.value.compute
    for instrument in catalog.instruments.offers():
        yield instrument, instrument.value.factory
    for formula in catalog.formulas.offers():
        yield from ((formula, each) for each in (formula.value.macs, formula.value.elementwise) if each is not None)


@functools.cache
def digest_core() -> str:
    """A digest of those files of the core that decide a result."""
    folder = Path(__file__).parent.parent
    paths = (path for pattern in CORE for path in sorted(folder.glob(pattern)))
    return _digest_named((path.relative_to(folder).as_posix(), _read_content(path)) for path in paths)


class _Walk:
    """From module to module along what they import, none twice."""

    def __init__(self, plugin: Plugin, known: Known) -> None:
        self._plugin = plugin
        self._known = known
        self._beside = Path(plugin.file).parent if plugin.file else None
        self._places: dict[str, Place] = {}
        self._digests: dict[str, str] = {}
        self._libraries: dict[str, str] = {}
        self._gaps: dict[str, None] = {}

    def add_root(self, name: str) -> None:
        """Take in a module that the plugin refers to; where it has no source, that is a gap."""
        if not self._take_module(name) and not module_places.is_pythons(name):
            self._gaps[f"{name}: it has no source file"] = None

    def make_followed(self) -> Followed:
        digest = _digest_named((name, content) for name, content in sorted(self._digests.items()))
        own = Path(self._plugin.file).name if self._plugin.file else ""
        files = {name or own: content[:16] for name, content in sorted(self._digests.items())}
        return Followed(digest, dict(sorted(self._libraries.items())), tuple(self._gaps), files)

    def _take_module(self, name: str) -> bool:
        """Take in a module, if that is the name of one, and what it imports; whether its source is followed."""
        waiting, found = {name}, False
        while waiting:
            name = waiting.pop()
            if name.partition(".")[0] in self._places or name in self._places:
                found = found or bool(self._find_place(name).sources)
                continue
            place = self._find_place(name)
            self._libraries |= place.library
            found = found or bool(place.sources)
            waiting.update(each for source in place.sources for each in self._take_source(source))
        return found

    def _find_place(self, name: str) -> Place:
        """A package is taken as a whole, whichever of its modules is named; a namespace is not."""
        top = name.partition(".")[0]
        for known in (top, name):
            if known in self._places:
                return self._places[known]
        place = module_places.find_module(name, self._plugin, self._beside)
        self._places[top if place.whole else name] = place
        return place

    def _take_source(self, source: Source) -> Iterable[str]:
        """Take in one file, with the files that it names; returns what it imports."""
        if source.name in self._digests:
            return ()
        read = self._read_once(source)
        for path, name in read.files:
            if name not in self._digests:
                self._take_named_file(path, name, source)
        self._note_unknown(read.found, source)
        return read.found.modules | read.found.candidates

    def _take_named_file(self, path: Path, name: str, source: Source) -> None:
        """A file beside a source: one that is Python itself, run from its path, is followed as well."""
        if path.suffix != ".py":
            self._read_once(Source(path, name))
            return
        for imported in self._take_source(Source(path, name, source.package)):
            self._take_module(imported)

    def _read_once(self, source: Source) -> Read:
        key = (source, self._beside)
        if key not in self._known:
            self._known[key] = _read_source(source, self._beside)
        read = self._known[key]
        if not read.readable:
            name = source.name or source.path.name
            self._gaps[f"{name}: it cannot be read, or is too large, and counts by its size"] = None
        self._digests[source.name] = read.content
        return read

    def _note_unknown(self, found: Imports, source: Source) -> None:
        """Say what is imported by a name that only the running program knows, unless the source tells which."""
        own, root = source.path, self._beside or module_places.import_root(source)
        places = (
            module_places.find_module(name, self._plugin, self._beside) for name in found.candidates if found.unknown
        )
        candidates = (each.path for place in places for each in place.sources if each.path.is_relative_to(root))
        if found.unknown and all(path == own for path in candidates):
            for unknown in found.unknown:
                self._gaps[f"{source.name or source.path.name}: {unknown}"] = None


def _module_of_reference(reference: Reference) -> str:
    if isinstance(reference, functools.partial):
        return _module_of_reference(reference.func)
    return reference.partition(":")[0] if isinstance(reference, str) else reference.__module__


def _read_source(source: Source, beside: Path | None) -> Read:
    content = _read_content(source.path)
    if content is None:
        return Read(hashlib.sha256(str(_size_or_minus_one(source.path)).encode()).hexdigest(), readable=False)
    digest = hashlib.sha256(content).hexdigest()
    if source.path.suffix != ".py":
        return Read(digest, readable=True)
    found = find_imports(content, source.package)
    return Read(digest, True, found, tuple(module_places.named_files(found, source, beside)))


def _read_content(path: Path) -> bytes | None:
    """Bytes of a file; line ends of another system are the same source. None where it is too large or unreadable."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            return None
        content = path.read_bytes()
    except OSError:
        return None
    return content.replace(b"\r\n", b"\n") if path.suffix == ".py" else content


def _size_or_minus_one(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _digest_named(named: Iterable[tuple[str, str | bytes | None]]) -> str:
    digest = hashlib.sha256()
    for name, content in named:
        encoded = content.encode() if isinstance(content, str) else content or b""
        digest.update(hashlib.sha256(name.encode()).digest() + hashlib.sha256(encoded).digest())
    return digest.hexdigest()[:16]
