"""Discovery of the plugins to load, and of their places.

Which plugins are loaded, in this order:

1. entry points of the group `harness`. The environment variable HARNESS_PLUGINS narrows them: unset, all; a comma
   list of names, only these; empty, none (not even the metrics and executors that come with the harness);
2. what `-p` names: an entry point that HARNESS_PLUGINS left out, an importable module, or a path to a .py file;
3. less what `--disable-plugin NAME` (or `-p no:NAME`) switches off.

A NAME here is that of an entry point, a distribution, a module, the stem of a file, or its path; what means one plugin
alone, whatever the others are called, is `distribution:entry-point`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness.catalog.loading import VARIABLE, Plugin, Settings, as_word, normalise_name
from harness.errors import UsageError
from harness.spelling import is_path, read_path
from harness.words import list_names, suggest

GROUP = "harness"


@dataclass(frozen=True)
class Candidate:
    """A plugin that has been found but not yet imported."""

    plugin: Plugin
    load: Callable[[], Any]


def select_candidates(settings: Settings) -> tuple[list[Candidate], list[Plugin]]:
    """The plugins to import, in order, and those that are installed but switched off.

    Raises UsageError for a name that HARNESS_PLUGINS, -p or --disable-plugin gives and nothing answers to.
    """
    found = list_installed()
    asked = [find_requested(reference, found) for reference in settings.requested]
    plugins = [candidate.plugin for candidate in [*found, *asked]]
    blocked = {str(resolve_file(name)) if is_file(name) else name for name in settings.blocked}
    _require_known(VARIABLE, settings.only or (), plugins)
    _require_known("--disable-plugin", blocked, plugins)
    only = settings.only
    chosen = {each.plugin: each for each in found if only is None or each.plugin.answers_to(only)}
    chosen |= {each.plugin: each for each in asked}
    kept = [candidate for plugin, candidate in chosen.items() if not plugin.answers_to(blocked)]
    loaded = {candidate.plugin for candidate in kept}
    return kept, [plugin for plugin in dict.fromkeys(plugins) if plugin not in loaded]


def _require_known(owner: str, names: Collection[str], plugins: Sequence[Plugin]) -> None:
    for name in sorted(names):
        if not any(plugin.answers_to([name]) for plugin in plugins):
            known = sorted({plugin.full_name if ":" in name else plugin.name for plugin in plugins})
            raise UsageError(f"{owner}: no plugin {name!r}{suggest(name, known)}; known: {list_names(known)}")


# --- installed plugins --------------------------------------------------------------------------------------------


def list_installed() -> list[Candidate]:
    """The entry points of every installed distribution, by distribution; the first of two on sys.path counts."""
    found: dict[str, list[Candidate]] = {}
    for distribution in importlib.metadata.distributions():
        text = _read_entry_points(distribution)
        # Reading the metadata of every distribution would cost more than all else that `harness list` does.
        if f"[{GROUP}]" in text:
            metadata = distribution.metadata
            name, version = str(metadata["Name"] or "unknown"), str(metadata["Version"] or "")
            found.setdefault(normalise_name(name), _parse_entry_points(text, name, version))
    return [candidate for _, candidates in sorted(found.items()) for candidate in candidates]


def _read_entry_points(distribution: importlib.metadata.Distribution) -> str:
    try:
        return distribution.read_text("entry_points.txt") or ""
    except (OSError, UnicodeDecodeError):
        return ""


def _parse_entry_points(text: str, distribution: str, version: str) -> list[Candidate]:
    """The entry points of our group. A line without `name = module` is kept, so that loading it says what is wrong."""
    candidates = []
    section = ""
    for line in (line.strip() for line in text.splitlines()):
        if line.startswith("["):
            section = line.strip("[]")
        elif line and section == GROUP and not line.startswith(("#", ";")):
            name, _, value = (part.strip() for part in line.partition("="))
            entry_point = importlib.metadata.EntryPoint(name, value, GROUP)
            plugin = Plugin(name, distribution, version, value.partition("[")[0].strip())
            candidates.append(Candidate(plugin, entry_point.load))
    return candidates


# --- plugins named by -p ------------------------------------------------------------------------------------------


def find_requested(reference: str, found: Sequence[Candidate]) -> Candidate:
    """The plugin that `-p reference` means. Raises UsageError where there is no such entry point, module or file."""
    if is_file(reference):
        return from_file(reference)
    # An entry point wins over a module: `-p torch` means the plugin of that name, not the library.
    meant = [candidate for candidate in found if candidate.plugin.is_called(reference)]
    if len({candidate.plugin.module for candidate in meant}) > 1:
        choices = " or ".join(candidate.plugin.full_name for candidate in meant)
        raise UsageError(f"-p {reference}: several plugins are called that; write {choices}")
    if meant:
        return meant[0]
    if not is_importable(reference.partition(".")[0]):
        raise UsageError(f"-p {reference}: {_explain_unfound(reference, found)}")
    return Candidate(Plugin(reference, module=reference), partial(importlib.import_module, reference))


def _explain_unfound(reference: str, found: Sequence[Candidate]) -> str:
    if Path(f"{reference}.py").is_file():
        return f"no module of this name; for the file write -p ./{reference}.py"
    names = [candidate.plugin.name for candidate in found]
    return f"no plugin, module or .py file of this name{suggest(reference, names)}"


def is_importable(module: str) -> bool:
    """Whether a top-level module can be found, without importing it."""
    if module in sys.modules:
        return True
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def find_extra(modules: Collection[str], distribution: str) -> str | None:
    """The extra of a distribution that brings packages of all these names, with the fewest others, or None where it
    declares none.
    """
    try:
        requirements = importlib.metadata.requires(distribution) if distribution else None
    except importlib.metadata.PackageNotFoundError:
        return None
    sought = {normalise_name(module.partition(".")[0]) for module in modules}
    packages: dict[str, set[str]] = {}
    for requirement in requirements or ():
        if found := re.match(r"([\w.-]+).*;.*extra\s*==\s*['\"]([^'\"]+)", requirement):
            packages.setdefault(found[2], set()).add(normalise_name(found[1]))
    return min(
        (extra for extra in packages if sought <= packages[extra]), key=lambda each: len(packages[each]), default=None
    )


def is_file(reference: str) -> bool:
    """Whether a plugin or method is given as a file rather than by name, in quotes perhaps."""
    return is_path(reference.rstrip("'\"")) or os.sep in reference


def resolve_file(reference: str | Path) -> Path:
    """The path that was written, absolute. Raises UsageError for a path that can be none here."""
    try:
        return read_path(str(reference)).resolve()
    except (ValueError, OSError, RuntimeError) as error:  # a backslash or null byte; what no disk has; ~nobody
        raise UsageError(f"plugin {reference}: {getattr(error, 'strerror', None) or error}") from error


def make_absolute(reference: str) -> str:
    """The argument of `-p`, made to mean the same from another working directory."""
    if reference.startswith("no:") or not is_file(reference):
        return reference
    return str(Path(reference).expanduser().absolute())


def from_file(reference: str | Path) -> Candidate:
    """A plugin in one .py file, which need not be importable. The same file is one module, however it is spelt."""
    path = resolve_file(reference)
    if not path.is_file() or path.suffix != ".py":
        found = "a folder" if path.is_dir() else "a file of another type" if path.exists() else "no such file"
        raise UsageError(f"plugin {reference}: expected a .py file, found {found}")
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    module = f"harness_file_{re.sub(r'[^0-9A-Za-z]', '_', path.stem)}_{digest}"
    return Candidate(Plugin(as_word(path.stem), module=module, file=str(path)), partial(_import_file, path, module))


def _import_file(path: Path, name: str) -> Any:
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
