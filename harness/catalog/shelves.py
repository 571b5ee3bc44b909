"""Shelves: the offers of one kind, by name."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from harness.catalog.descriptors import OWN_METRICS
from harness.catalog.loading import Plugin, normalise_name
from harness.errors import UsageError
from harness.words import list_names, suggest

T = TypeVar("T")

# No selection qualifies these, so one name is one thing.
ONCE = ("harness_metrics", "harness_instruments", "harness_formulas")


@dataclass(frozen=True)
class Offer(Generic[T]):
    """One thing that a plugin offers. also: further plugins that are the same module."""

    value: T
    plugin: Plugin
    also: tuple[Plugin, ...] = ()

    @property
    def providers(self) -> tuple[tuple[str, ...], ...]:
        """The words that may stand before the colon in `provider:name`: distributions, then plugins, then modules."""
        plugins = (self.plugin, *self.also)
        names = tuple(name for each in plugins for name in (each.name, each.folder_name) if name)
        return tuple(normalise_name(each.provider) for each in plugins), names, tuple(each.module for each in plugins)


class Shelf(Generic[T]):
    """The offers of one kind, in the order in which their plugins were loaded.

    noun: what one of them is called. hint: added to the error for an unknown name.
    """

    def __init__(self, noun: str, offers: Sequence[Offer[T]], hint: str = "") -> None:
        self.noun = noun
        self._offers = tuple(offers)
        self._hint = hint
        self._by_name: dict[str, list[Offer[T]]] = {}
        for offer in offers:
            self._by_name.setdefault(_read_offer_name(offer), []).append(offer)

    def names(self) -> list[str]:
        return list(self._by_name)

    def offers(self) -> list[Offer[T]]:
        return list(self._offers)

    def values(self) -> list[T]:
        return [offer.value for offer in self._offers]

    def get(self, name: str, provider: str | None = None) -> T:
        """The thing of that name; `provider:name`, or the argument, says whose where several plugins offer it.

        Raises UsageError for a name that nobody offers, and for one that several do.
        """
        return self.offer(name, provider).value

    def offer(self, name: str, provider: str | None = None) -> Offer[T]:
        """Like `get`, together with the plugin that offers it."""
        if provider is None and name not in self._by_name and ":" in name:
            provider, _, name = name.rpartition(":")
        found = self._by_name.get(name)
        if not found:
            raise UsageError(self._explain_unknown(name))
        matching = found if provider is None else select_provided(found, provider)
        if not matching:
            providers = list_names({offer.plugin.provider for offer in found})
            raise UsageError(f"{self.noun} {name!r} is not offered by {provider!r} but by {providers}")
        if len(matching) > 1:
            raise UsageError(self._explain_ambiguous(name, matching))
        return matching[0]

    def qualify(self, offer: Offer[T]) -> str:
        """The name of an offer, with `provider:` before it where others have the same."""
        name = _read_offer_name(offer)
        found = self._by_name[name]
        return f"{_find_qualifier(offer, found)}:{name}" if len(found) > 1 else name

    def qualify_home(self, name: str, home: str | None) -> str | None:
        """Qualify a name that several plugins offer, to mean the one of the distribution `home`; None where it has none
        or several, or where the name says enough.
        """
        found = self._by_name.get(name, [])
        own = [offer for offer in found if home and normalise_name(home) in offer.providers[0]]
        return _find_qualifier(own[0], found) if len(found) > 1 and len(own) == 1 else None

    def _explain_unknown(self, name: str) -> str:
        close = suggest(name, self._by_name)
        known = f"{'Known' if close else '; known'} {self.noun}s: {list_names(self._by_name)}"
        return f"unknown {self.noun} {name!r}{close}{' ' if close else ''}{known}{self._hint}"

    def _explain_ambiguous(self, name: str, offers: Sequence[Offer[T]]) -> str:
        owners = " and ".join(str(offer.plugin) for offer in offers)
        choices = " or ".join(f"{_find_qualifier(offer, self._by_name[name])}:{name}" for offer in offers)
        off = " or ".join(f"--disable-plugin {shlex.quote(offer.plugin.full_name)}" for offer in offers)
        return f"{self.noun} {name!r} is offered by {owners}: write {choices}, or switch one off with {off}"


def select_provided(offers: Sequence[Offer[T]], provider: str) -> list[Offer[T]]:
    """Select the offers of `provider:name`: by distribution, where none is of that one by plugin, else by module."""
    words = (normalise_name(provider), provider, provider)
    ranks = ([offer for offer in offers if word in offer.providers[rank]] for rank, word in enumerate(words))
    return next(filter(None, ranks), [])


def _find_qualifier(offer: Offer[Any], offers: Sequence[Offer[Any]]) -> str:
    """The most telling word by which this offer is found and no other of its name."""
    plugin = offer.plugin
    words = (plugin.provider, plugin.name, plugin.folder_name, plugin.module)
    return next((word for word in words if word and select_provided(offers, word) == [offer]), plugin.module)


def _read_offer_name(offer: Offer[Any]) -> str:
    name: str = offer.value.name
    return name


def map_first_owners(offers: Sequence[Offer[Any]]) -> dict[str, Plugin]:
    """Owner of each name, where several offer it: the harness's own metrics go first, then the plugin loaded first."""
    owners: dict[str, Plugin] = {}
    for offer in sort_own_first(offers):
        owners.setdefault(_read_offer_name(offer), offer.plugin)
    return owners


def sort_own_first(offers: Sequence[Offer[T]]) -> list[Offer[T]]:
    """The harness's own metrics before those of others: the first of several headlines decides."""
    return sorted(offers, key=lambda each: each.plugin.module != OWN_METRICS)
