"""Formats of trained networks: the one that a user names, and whether it is for the network's method."""

from __future__ import annotations

from harness.catalog import Catalog, Offer, Shelf, explain_unavailable
from harness.errors import UsageError
from harness.types import Export, Method


def find_format(catalog: Catalog, name: str, method: Method) -> Offer[Export]:
    """The format of that name that is for the method; several plugins may offer one each, for methods of their own.

    Raises UsageError for a format that is unknown, for other methods, or in need of what is not installed.
    """
    fitting = [offer for offer in catalog.exports.offers() if offer.value.fits(method)]
    plain = name.rpartition(":")[2]
    if not any(offer.value.name == plain for offer in fitting):
        _refuse_format(catalog, name, method, fitting)
    offer = Shelf(catalog.exports.noun, fitting, catalog.hint).offer(name)
    if reason := explain_unavailable(offer):
        raise UsageError(f"format {name}: {reason}")
    return offer


def _refuse_format(catalog: Catalog, name: str, method: Method, fitting: list[Offer[Export]]) -> None:
    """Raises UsageError: there is no such format, or it is for others."""
    names = list(dict.fromkeys(offer.value.name for offer in fitting))
    others = [offer.value for offer in catalog.exports.offers() if offer.value.name == name.rpartition(":")[2]]
    if not others:
        catalog.exports.offer(name)
    whose = f" of the family {method.family}" if method.family else ""
    fit = f"formats that fit it: {', '.join(names)}" if names else "no installed format fits it"
    raise UsageError(f"format {name}: it is for {_describe_audience(others)}, not for {method.name}{whose}; {fit}")


def _describe_audience(formats: list[Export]) -> str:
    """Whom formats of one name are for."""
    families = dict.fromkeys(family for each in formats for family in each.families)
    methods = dict.fromkeys(method for each in formats for method in each.methods)
    said = [f"methods of the family {family}" for family in families]
    return " and ".join([*said, *([f"the methods {', '.join(methods)}"] if methods else [])])
