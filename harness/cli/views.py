"""The shelves of the catalogue in a listing: their facts, in order, as text or as plain values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

from harness.catalog import Offer, explain_missing_modules
from harness.catalog.descriptors import HOOKS
from harness.citations import describe_citation
from harness.conversion import show
from harness.data import files
from harness.errors import UsageError
from harness.suites import suite
from harness.suites.suite import Comparison
from harness.types import Budget, Recipe

Fact = Callable[[Offer[Any]], Any]

LISTED = 12  # so many files of a data set are named to a person; a program gets all


class Bibtex(str):
    """A citation, which a person reads as one line and a program as it is."""

    __slots__ = ()


class Lines(tuple[str, ...]):
    """A fact that is too long for one line of a paragraph."""


@dataclass(frozen=True)
class View:
    """The facts of a shelf. brief: columns of a table. full: lines of a paragraph besides the usual ones.

    detail: further lines where one offer is listed alone.
    """

    hook: str
    brief: Mapping[str, Fact]
    full: Mapping[str, Fact]
    has_options: bool = False
    detail: Mapping[str, Fact] = field(default_factory=dict)

    @property
    def noun(self) -> str:
        return HOOKS[self.hook][1]


def _make_view(hook: str, brief: Sequence[str], full: Sequence[str], has_options: bool = False) -> View:
    value: dict[str, Fact] = {name: attrgetter(f"value.{name}") for name in ("name", *brief, *full)}
    value["files"], value["folds"], value["starts_from"] = _list_files, _count_folds, _describe_base
    value["citation"] = _read_citation
    columns: dict[str, Fact] = {name: value[name] for name in ("name", *brief)}
    columns["from"] = attrgetter("plugin.provider")
    columns["summary"] = _summarise_offer
    return View(hook, columns, {name: value[name] for name in full}, has_options)


def _summarise_offer(offer: Offer[Any]) -> str:
    """Summarise an offer; the reason why it is not available comes first."""
    return ": ".join(filter(None, [explain_missing_modules(offer), getattr(offer.value, "summary", "")]))


def _list_files(offer: Offer[Any]) -> Any:
    """List the files of a data set with its default options."""
    return files.list_declared(offer.value)


def _describe_base(offer: Offer[Any]) -> str | None:
    """Describe the base of a method, which its options may decide."""
    stated = offer.value.starts_from
    return stated if stated is None or isinstance(stated, str) else "what its options say"


def _read_citation(offer: Offer[Any]) -> Bibtex:
    return Bibtex(offer.value.citation)


def _count_folds(offer: Offer[Any]) -> int | None:
    return offer.value.folds or None


def _read_comparison(offer: Offer[Any]) -> Comparison | UsageError:
    """Read a suite's file, or the error in it: one bad file must not hide the others."""
    try:
        return suite.read_suite(offer.value.path)
    except UsageError as error:
        return error


def _from_request(name: str) -> Fact:
    """A value of the suite's request."""

    def fact(offer: Offer[Any]) -> Any:
        read = _read_comparison(offer)
        found = getattr(read.request, name) if isinstance(read, Comparison) else None
        return str(found) if isinstance(found, Budget) else found

    return fact


def _read_problem(offer: Offer[Any]) -> str | None:
    read = _read_comparison(offer)
    return str(read) if isinstance(read, UsageError) else None


def _describe_claims(offer: Offer[Any]) -> Lines:
    """Each claim in words, then as it is judged."""
    read = _read_comparison(offer)
    claims = read.claims if isinstance(read, Comparison) else ()
    return Lines(f"{claim.text} ({claim.expression}: {claim.bounds})" for claim in claims)


def _describe_published(offer: Offer[Any]) -> Lines:
    read = _read_comparison(offer)
    values = read.published if isinstance(read, Comparison) else ()
    return Lines(f"{each.method} on {each.dataset}: {each.metric} {each.value:g} ({each.origin})" for each in values)


_SUITE = {name: _from_request(name) for name in ("methods", "datasets", "seeds", "budget", "metrics")}


SHELVES: Mapping[str, View] = {
    "methods": _make_view(
        "harness_methods",
        ("role", "kinds"),
        (
            "role",
            "kinds",
            "family",
            "paper",
            "citation",
            "precisions",
            "starts_from",
            "epochs_option",
            "row_options",
            "batched_options",
            "recipes",
            "requires",
        ),
        has_options=True,
    ),
    "datasets": _make_view(
        "harness_datasets",
        ("kind", "default"),
        ("kind", "default", "recipe", "rows", "folds", "fixed_test", "licence", "citation", "files", "requires"),
        has_options=True,
    ),
    "metrics": _make_view(
        "harness_metrics",
        ("unit", "per", "better", "kinds"),
        (
            "measures",
            "unit",
            "per",
            "better",
            "kinds",
            "headline",
            "exact",
            "bounded_by",
            "curve",
            "shifted",
            "mixture",
            "requires",
        ),
    ),
    "instruments": _make_view("harness_instruments", ("intrusive",), ("intrusive", "repeats")),
    "formulas": _make_view("harness_formulas", (), ()),
    "exports": _make_view(
        "harness_exports", ("families", "methods"), ("families", "methods", "tolerance", "strays", "requires")
    ),
    "suites": View(
        "harness_suites",
        {
            "name": attrgetter("value.name"),
            "from": attrgetter("plugin.provider"),
            "problem": _read_problem,
            "summary": attrgetter("value.summary"),
        },
        {**_SUITE, "path": attrgetter("value.path"), "problem": _read_problem},
        detail={"published": _describe_published, "claims": _describe_claims},
    ),
    "checks": _make_view("harness_checks", ("of",), ("of",)),
    "executors": _make_view("harness_executors", (), ()),
    "backends": _make_view("harness_backends", (), ("preload", "requires")),
}


def format_fact(value: object) -> str:
    """A fact for a person; empty where there is none."""
    if isinstance(value, Bibtex):
        return describe_citation(value)
    if value is None or isinstance(value, (str, Path)):
        return str(value or "")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Recipe):
        return "; ".join([f"{value.budget}, batch size {value.batch_size}", *_describe_recipe(value)])
    if isinstance(value, Mapping):
        words = [_describe_item(name, item) for name, item in value.items()]
        return ("; " if any(isinstance(item, Mapping) for item in value.values()) else ", ").join(words)
    if isinstance(value, Lines):
        return "".join(f"\n    {line}" for line in value)
    if isinstance(value, (tuple, list)):
        more = f" and {len(value) - LISTED} more" if len(value) > LISTED else ""
        return ", ".join(str(getattr(item, "path", item)) for item in value[:LISTED]) + more
    return str(value)


def _describe_recipe(recipe: Recipe) -> list[str]:
    headline = [f"best by {recipe.headline}"] if recipe.headline else []
    return [*headline, *(_describe_item(family, words) for family, words in recipe.families.items())]


def _describe_item(name: str, item: object) -> str:
    """`myfamily: steps=4, dropout=0.1`, or `1000 train`."""
    if not isinstance(item, Mapping):
        return f"{item} {name}"
    return f"{name}: {', '.join(f'{key}={show(value)}' for key, value in item.items())}"


def as_json(value: Any) -> Any:
    """A fact as JSON takes it."""
    if dataclasses.is_dataclass(value):
        return {item.name: as_json(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): as_json(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [as_json(item) for item in value]
    return str(value) if isinstance(value, Path) else value
