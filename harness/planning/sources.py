"""Fingerprints of the source code that decides a result, so that a changed helper module is never called cached."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from harness.catalog import Catalog

# What a plugin uses of its family arrives through packages named harness_*; other libraries count by their version.
_IMPORT = re.compile(r"^\s*(?:from|import)\s+(harness_\w+)", re.MULTILINE)
_CORE = (
    "trials/trial.py",
    "trials/bench.py",
    "trials/loop.py",
    "trials/profiling.py",
    "trials/scoring.py",
    "metrics/*.py",
    "data/subset.py",
    "seeds.py",
    "types/*.py",
)


def fingerprint(references: Iterable[str | Callable[..., Any]]) -> str:
    """A digest of the packages that hold the references ("module:attribute" or callables) and of the harness_*
    packages that these import, at any depth.
    """
    waiting = {_package(reference) for reference in references}
    digests: dict[str, str] = {}
    while waiting:
        package = waiting.pop()
        digests[package], imported = _package_digest(package)
        waiting |= imported - digests.keys()
    return _digest(f"{name}={digest}" for name, digest in sorted(digests.items()))


def measuring(catalog: Catalog) -> dict[str, str]:
    """A digest for each plugin that offers metrics or instruments. These are in no trial's key: a further metric would
    make every trial run again. The core's own metrics are in all of them.
    """
    references: dict[str, list[str | Callable[..., Any]]] = {}
    for metric in catalog.metrics.offers():
        if metric.value.compute is not None and _package(metric.value.compute) != "harness":
            references.setdefault(metric.plugin.name, []).append(metric.value.compute)
    for instrument in catalog.instruments.offers():
        references.setdefault(instrument.plugin.name, []).append(instrument.value.factory)
    return {plugin: fingerprint(found) for plugin, found in references.items()}


@cache
def core() -> str:
    """A digest of those files of the core that decide a result."""
    folder = Path(__file__).parent.parent
    paths = (path for pattern in _CORE for path in sorted(folder.glob(pattern)))
    return _digest(path.read_text(encoding="utf-8") for path in paths)


def _package(reference: str | Callable[..., Any]) -> str:
    module = reference.partition(":")[0] if isinstance(reference, str) else reference.__module__
    return module.partition(".")[0]


@cache
def _package_digest(package: str) -> tuple[str, frozenset[str]]:
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in _files(package)]
    imported = frozenset(name for text in texts for name in _IMPORT.findall(text))
    return _digest(texts), imported


def _files(package: str) -> list[Path]:
    """The Python files of an importable package or module; none where it has no source, such as a test's own."""
    module = sys.modules.get(package)
    spec = getattr(module, "__spec__", None) or importlib.util.find_spec(package)
    if spec is None:
        return []
    if spec.submodule_search_locations:
        return sorted(path for root in spec.submodule_search_locations for path in Path(root).rglob("*.py"))
    return [Path(spec.origin)] if spec.origin and spec.origin.endswith(".py") else []


def _digest(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(hashlib.sha256(text.encode()).digest())
    return digest.hexdigest()[:16]
