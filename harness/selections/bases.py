"""Bases that methods start from: each one method, with one value for each option, as the descriptor names it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness import options
from harness.catalog import Catalog, Offer
from harness.errors import UsageError
from harness.selections import catalog_items, selection
from harness.selections.catalog_items import Item
from harness.types import Method
from harness.words import clean_line

EXPECTED = "one method with one value for each option was expected"


def find_base(catalog: Catalog, offer: Offer[Method], given: Mapping[str, Any]) -> Item[Method] | None:
    """The base that a method with these options starts from; None where it starts from nothing.

    Of a name that several distributions offer that of its own is meant. Raises UsageError where the two do not fit, and
    for a `starts_from` that is at fault, which is said.
    """
    starts_from = offer.value.starts_from
    if starts_from is None:
        return None
    text = _call_starts_from(offer, starts_from, given) if callable(starts_from) else starts_from
    if not text and callable(starts_from):
        return None
    owner = f"{offer.value.name} ({offer.plugin}) starts from {text!r}"
    try:
        items = selection.parse(text, f"starts_from of {offer.value.name}")
    except UsageError as error:
        raise UsageError(
            f"{owner}, which is no selection: the method is at fault, not what was asked\n{error}"
        ) from error
    if len(items) != 1 or items[0].file is not None:
        raise UsageError(f"{owner}: {EXPECTED}; the method is at fault, not what was asked")
    return _require_single(owner, catalog, items[0], offer.plugin.provider)


def _require_single(owner: str, catalog: Catalog, selected: selection.Selected, home: str) -> Item[Method]:
    try:
        item = catalog_items.look_up_item(catalog.methods, selected, home)
        if item.count_choices() == 1 and len(item.make_choices()) == 1:
            return item
    except UsageError as error:
        raise UsageError(f"{owner}: {error}") from error
    raise UsageError(f"{owner}: {EXPECTED}; the method is at fault, not what was asked")


def _call_starts_from(offer: Offer[Method], starts_from: Callable[[Any], object], given: Mapping[str, Any]) -> str:
    """Call a method's `starts_from` with its resolved options."""
    name = offer.value.name
    config = options.build(offer.value.config, given, name)
    try:
        text = starts_from(config)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error
    except Exception as error:  # a plugin's code may fail in any way
        why = clean_line(f"{type(error).__name__}: {error}")
        raise UsageError(f"{name} ({offer.plugin}): its starts_from raised {why}; the method is at fault") from error
    if not isinstance(text, str) or text.isspace():
        came = clean_line(repr(text))
        raise UsageError(
            f"{name} ({offer.plugin}): its starts_from returned {came}, expected a selection such as 'dense', or '' "
            "for none; the method is at fault"
        )
    return text
