"""How the shelves of the catalogue look in a listing: which facts, in which order, as text or as plain values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

from harness.catalog import Offer, lacking
from harness.catalog.descriptors import NOUNS
from harness.conversion import show
from harness.data import files
from harness.errors import UsageError
from harness.suites import suite
from harness.suites.suite import Comparison
from harness.types import Budget, Recipe

Fact = Callable[[Offer[Any]], Any]

LISTED = 12  # so many files of a data set are named to a person; a program gets all


class Lines(tuple[str, ...]):
    """A fact that is too long for one line of a paragraph."""


@dataclass(frozen=True)
class View:
    """brief: the columns of a table. full: what a paragraph tells besides name, summary, availability and plugin.

    detail: what it tells besides that where one offer is listed alone.
    """

    hook: str
    brief: Mapping[str, Fact]
    full: Mapping[str, Fact]
    has_options: bool = False
    detail: Mapping[str, Fact] = field(default_factory=dict)

    @property
    def noun(self) -> str:
        return NOUNS[self.hook]


def _view(hook: str, brief: Sequence[str], full: Sequence[str], has_options: bool = False) -> View:
    value: dict[str, Fact] = {name: attrgetter(f"value.{name}") for name in ("name", *brief, *full)}
    value["files"], value["folds"], value["starts_from"] = _files, _folds, _starts_from
    columns: dict[str, Fact] = {name: value[name] for name in ("name", *brief)}
    columns["from"] = attrgetter("plugin.provider")
    columns["summary"] = _summary
    return View(hook, columns, {name: value[name] for name in full}, has_options)


def _summary(offer: Offer[Any]) -> str:
    """Why it is not available first: what there is to say comes last."""
    return ": ".join(filter(None, [lacking(offer), getattr(offer.value, "summary", "")]))


def _files(offer: Offer[Any]) -> Any:
    """Of a data set, as it is by default."""
    return files.declared(offer.value)


def _starts_from(offer: Offer[Any]) -> str | None:
    """Of a method, which may say so by its options."""
    stated = offer.value.starts_from
    return stated if stated is None or isinstance(stated, str) else "what its options say"


def _folds(offer: Offer[Any]) -> int | None:
    return offer.value.folds or None


def _comparison(offer: Offer[Any]) -> Comparison | UsageError:
    """What a suite's file says, or what is wrong with it: one bad file must not hide the others."""
    try:
        return suite.read(offer.value.path)
    except UsageError as error:
        return error


def _said(name: str) -> Fact:
    """A value of the suite's request."""

    def fact(offer: Offer[Any]) -> Any:
        read = _comparison(offer)
        found = getattr(read.request, name) if isinstance(read, Comparison) else None
        return str(found) if isinstance(found, Budget) else found

    return fact


def _problem(offer: Offer[Any]) -> str | None:
    read = _comparison(offer)
    return str(read) if isinstance(read, UsageError) else None


def _claims(offer: Offer[Any]) -> Lines:
    """Each claim in words, then as it is judged."""
    read = _comparison(offer)
    claims = read.claims if isinstance(read, Comparison) else ()
    return Lines(f"{claim.text} ({claim.expression}: {claim.bounds})" for claim in claims)


def _published(offer: Offer[Any]) -> Lines:
    read = _comparison(offer)
    values = read.published if isinstance(read, Comparison) else ()
    return Lines(f"{each.method} on {each.dataset}: {each.metric} {each.value:g} ({each.note})" for each in values)


_SUITE: Mapping[str, Fact] = {name: _said(name) for name in ("methods", "datasets", "seeds", "budget", "metrics")}


SHELVES: Mapping[str, View] = {
    "methods": _view(
        "harness_methods",
        ("role", "kinds"),
        (
            "role",
            "kinds",
            "family",
            "paper",
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
    "datasets": _view(
        "harness_datasets",
        ("kind", "default"),
        ("kind", "default", "recipe", "rows", "folds", "fixed_test", "licence", "citation", "files", "requires"),
        has_options=True,
    ),
    "metrics": _view(
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
    "instruments": _view("harness_instruments", ("intrusive",), ("intrusive", "repeats")),
    "formulas": _view("harness_formulas", (), ()),
    "exports": _view(
        "harness_exports", ("families", "methods"), ("families", "methods", "tolerance", "strays", "requires")
    ),
    "suites": View(
        "harness_suites",
        {
            "name": attrgetter("value.name"),
            "from": attrgetter("plugin.provider"),
            "problem": _problem,
            "summary": attrgetter("value.summary"),
        },
        {**_SUITE, "path": attrgetter("value.path"), "problem": _problem},
        detail={"published": _published, "claims": _claims},
    ),
    "checks": _view("harness_checks", ("of",), ("of",)),
    "executors": _view("harness_executors", (), ()),
    "backends": _view("harness_backends", (), ("preload", "requires")),
}


def text(value: object) -> str:
    """A fact for a person; empty where there is none."""
    if value is None or isinstance(value, (str, Path)):
        return str(value or "")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Recipe):
        return "; ".join([f"{value.budget}, batch size {value.batch_size}", *_said_of(value)])
    if isinstance(value, Mapping):
        words = [_words(name, item) if isinstance(item, Mapping) else f"{item} {name}" for name, item in value.items()]
        return ("; " if any(isinstance(item, Mapping) for item in value.values()) else ", ").join(words)
    if isinstance(value, Lines):
        return "".join(f"\n    {line}" for line in value)
    if isinstance(value, (tuple, list)):
        more = f" and {len(value) - LISTED} more" if len(value) > LISTED else ""
        return ", ".join(str(getattr(item, "path", item)) for item in value[:LISTED]) + more
    return str(value)


def _said_of(recipe: Recipe) -> list[str]:
    headline = [f"best by {recipe.headline}"] if recipe.headline else []
    return [*headline, *(_words(family, words) for family, words in recipe.families.items())]


def _words(whose: str, words: Mapping[str, Any]) -> str:
    """`myfamily: steps=4, dropout=0.1`."""
    return f"{whose}: {', '.join(f'{name}={show(value)}' for name, value in words.items())}"


def plain(value: Any) -> Any:
    """A fact as JSON takes it."""
    if dataclasses.is_dataclass(value):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
