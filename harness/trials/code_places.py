"""Where plugins have their code: an error that came through it is told with its place there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.catalog import Catalog, Offer
from harness.types import Trial
from harness.words import Code

_REFERENCES = ("factory", "load", "compute", "function", "write")


def plugin_code(*offers: Offer[Any]) -> Code:
    """Where the plugins that offer these have their code: the folder of a package, a module's file, the file of `-p`
    and those beside it.
    """
    return tuple(dict.fromkeys(path for offer in offers for path in _code_paths(offer)))


def trial_code(catalog: Catalog, trial: Trial) -> Code:
    """Where the code of its method and of its data set is."""
    method, dataset = trial.method, trial.dataset
    return plugin_code(
        catalog.methods.offer(method.name, method.provider), catalog.datasets.offer(dataset.name, dataset.provider)
    )


def _code_paths(offer: Offer[Any]) -> Iterator[Path]:
    if offer.plugin.file:
        yield Path(offer.plugin.file).parent
    reference = next((getattr(offer.value, name) for name in _REFERENCES if hasattr(offer.value, name)), None)
    for module in (offer.plugin.module, _module_name(reference)):
        loaded = sys.modules.get(module.partition(".")[0])
        if loaded is None or module.startswith("harness."):
            continue
        yield from map(Path, getattr(loaded, "__path__", ()))
        if getattr(loaded, "__file__", None) and not hasattr(loaded, "__path__"):
            yield Path(str(loaded.__file__))


def _module_name(reference: str | Callable[..., Any] | None) -> str:
    if isinstance(reference, str):
        return reference.partition(":")[0]
    return getattr(reference, "__module__", None) or ""
