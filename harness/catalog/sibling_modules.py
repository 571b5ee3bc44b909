"""Modules beside a plugin's file: it can import them, as beside a script, and nothing else is shadowed.

The file's folder comes last on sys.path: the standard library, installed distributions and what PYTHONPATH names keep
their names. A sibling that something else of its name would hide is refused when the file is loaded.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

from harness.catalog.imports import find_imports
from harness.errors import PluginError

_admitted: list[Path] = []  # in this process, by whichever catalogue


def admit_folder(file: Path, others: Collection[str]) -> None:
    """Make the folder of a plugin's file importable. others: the files that the same catalogue has loaded.

    Raises PluginError that names both where a sibling that the file imports has the name of another module.
    """
    folder, loaded = file.parent, {Path(other).parent for other in others}
    for stale in [known for known in _admitted if known != folder and known not in loaded]:
        _forget_folder(stale)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
        _admitted.append(folder)
    importlib.invalidate_caches()
    for name, sibling in find_siblings(file).items():
        found = _locate_module(name)
        if found is not None and found != sibling.resolve():
            raise PluginError(
                f"it imports {name}, which lies beside it ({sibling}), but that name is taken by {found}: "
                "rename one of the two, or run them apart"
            )


def find_siblings(file: Path) -> dict[str, Path]:
    """The modules and packages beside a file that it imports, and those that they import, by name."""
    found: dict[str, Path] = {}
    waiting = [file]
    while waiting:
        source = waiting.pop()
        for name in sorted({name.partition(".")[0] for name in _read_imported_names(source)}):
            sibling = find_sibling(file.parent, name)
            if sibling is not None and name not in found and sibling != file:
                found[name] = sibling
                waiting += sibling.parent.rglob("*.py") if sibling.name == "__init__.py" else [sibling]
    return found


def find_sibling(folder: Path, name: str) -> Path | None:
    """The file of a module or package of that name in the folder, unless Python or the harness has that name."""
    if name in sys.stdlib_module_names or name == "harness":
        return None
    places = (folder / name / "__init__.py", folder / f"{name}.py")
    return next((place for place in places if place.is_file()), None)


def _read_imported_names(source: Path) -> Iterator[str]:
    try:
        yield from find_imports(source.read_bytes()).modules
    except OSError:  # the import says it better
        return


def _locate_module(name: str) -> Path | None:
    """Where an import of that name would come from."""
    module = sys.modules.get(name)
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    origin = spec.origin if spec is not None else getattr(module, "__file__", None)
    return Path(origin).resolve() if origin else None


def _forget_folder(folder: Path) -> None:
    """Take back what was admitted for a file of a catalogue that this process no longer works with."""
    _admitted.remove(folder)
    if str(folder) in sys.path:
        sys.path.remove(str(folder))
    for name, module in list(sys.modules.items()):
        sibling = find_sibling(folder, name.partition(".")[0])
        if sibling is not None and Path(getattr(module, "__file__", None) or "").is_relative_to(folder):
            del sys.modules[name]
