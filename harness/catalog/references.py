"""References of offers: the function that a text names, and the modules without which an offer cannot be used."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from harness.catalog import discovery
from harness.catalog.shelves import Offer
from harness.errors import HarnessError


def resolve(reference: str | Callable[..., Any], owner: str = "") -> Callable[..., Any]:
    """The function that a "module:attribute" names; a callable is returned as it is.

    Raises HarnessError that names the owner where the module cannot be imported or has no such callable.
    """
    if not isinstance(reference, str):
        return reference
    of = f"{owner}: " if owner else ""
    module, _, attribute = reference.partition(":")
    try:
        value: Any = importlib.import_module(module)
    except Exception as error:
        raise HarnessError(f"{of}{reference!r} cannot be imported: {type(error).__name__}: {error}") from error
    try:
        for name in attribute.split("."):
            value = getattr(value, name)
    except AttributeError as error:
        raise HarnessError(f"{of}{reference!r}: the module {module} has no attribute {attribute!r}") from error
    if not callable(value):
        raise HarnessError(f"{of}{reference!r} is not callable: {value!r}")
    resolved: Callable[..., Any] = value
    return resolved


def explain_unavailable(offer: Offer[Any]) -> str | None:
    """Why an offer cannot be used here, and what to install where that is known; None if it can be used."""
    missing = _list_missing_modules(offer)
    extra = discovery.find_extra(missing, offer.plugin.distribution) if missing else None
    remedy = f': pip install "{offer.plugin.distribution}[{extra}]"' if extra else ""
    return f"{explain_missing_modules(offer)}{remedy}" if missing else None


def explain_missing_modules(offer: Offer[Any]) -> str | None:
    """Name the modules that an offer requires and that are not installed, or None. Nothing is imported."""
    missing = _list_missing_modules(offer)
    return f"needs {' and '.join(missing)}, not installed" if missing else None


def _list_missing_modules(offer: Offer[Any]) -> list[str]:
    requires: tuple[str, ...] = getattr(offer.value, "requires", ())
    return [module for module in requires if not discovery.is_importable(module.partition(".")[0])]
