"""Errors of plugins in a line: what was raised, and where in the plugin's own code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.catalog import Catalog, Offer
from harness.errors import Diverged, HarnessError, Unsupported
from harness.types import Trial
from harness.words import LONGEST, clean_line

Code = tuple[Path, ...]


LONGEST_PLACE = 120
_REFERENCES = ("factory", "load", "compute", "function", "write")


def one_line(error: BaseException, code: Code = ()) -> str:
    """An error in a line: its type, unless the message stands for itself, the first line of what it says, its place.

    code: the files and folders of the plugins concerned; the deepest line in them that the error came through is named.
    """
    first = _first_line(error)
    if isinstance(error, (HarnessError, Unsupported, Diverged)):
        return clean_line(first)
    place = _place(error, code)
    said = f"{type(error).__name__}: {first}" if first else type(error).__name__
    if isinstance(error, SystemExit):
        said = f"called sys.exit({error.code!r})"
    return clean_line(said, LONGEST - len(place)) + place


def code_of(*offers: Offer[Any]) -> Code:
    """Where the plugins that offer these have their code: the folder of a package, a module's file, the file of `-p`
    and those beside it.
    """
    return tuple(dict.fromkeys(path for offer in offers for path in _paths(offer)))


def code_of_trial(catalog: Catalog, trial: Trial) -> Code:
    """Where the code of its method and of its data set is."""
    method, dataset = trial.method, trial.dataset
    return code_of(
        catalog.methods.offer(method.name, method.provider), catalog.datasets.offer(dataset.name, dataset.provider)
    )


def _first_line(error: BaseException) -> str:
    try:
        first = str(error).strip().partition("\n")[0]
        return "; ".join([*([first] if first else []), *getattr(error, "__notes__", ())])
    except Exception as broken:  # an error may fail at saying what it is
        return f"(its message raised {type(broken).__name__})"


def _paths(offer: Offer[Any]) -> Iterator[Path]:
    if offer.plugin.file:
        yield Path(offer.plugin.file).parent
    reference = next((getattr(offer.value, name) for name in _REFERENCES if hasattr(offer.value, name)), None)
    for module in (offer.plugin.module, _module(reference)):
        loaded = sys.modules.get(module.partition(".")[0])
        if loaded is None or module.startswith("harness."):
            continue
        yield from map(Path, getattr(loaded, "__path__", ()))
        if getattr(loaded, "__file__", None) and not hasattr(loaded, "__path__"):
            yield Path(str(loaded.__file__))


def _module(reference: str | Callable[..., Any] | None) -> str:
    if isinstance(reference, str):
        return reference.partition(":")[0]
    return getattr(reference, "__module__", None) or ""


def _place(error: BaseException, code: Code) -> str:
    """` (my_method.py line 31, in update)`; empty where the error came through none of the code."""
    seen: BaseException | None = error
    while seen is not None:
        for file, line, function in reversed(list(_frames(seen.__traceback__))):
            if shown := _relative(Path(file), code):
                return f" ({clean_line(shown, LONGEST_PLACE)} line {line}, in {function})"
        seen = seen.__cause__
    return ""


def _frames(at: TracebackType | None) -> Iterator[tuple[str, int, str]]:
    for frame, line in traceback.walk_tb(at):
        yield frame.f_code.co_filename, line, frame.f_code.co_name


def _relative(file: Path, code: Code) -> str:
    for root in code:
        if file == root or (file.parent == root and not (root / "__init__.py").exists()):
            return file.name
        if file.is_relative_to(root) and (root / "__init__.py").exists():
            return str(file.relative_to(root.parent))
    return ""
