"""How the shelves of the catalogue look in a listing: which facts, in which order, as text or as plain values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from harness.catalog import Offer, available
from harness.conversion import show
from harness.shelves import NOUNS
from harness.types import Recipe

Fact = Callable[[Offer[Any]], Any]


@dataclass(frozen=True)
class View:
    """brief: the columns of a table. full: what a paragraph tells besides name, summary, availability and plugin."""

    hook: str
    brief: Mapping[str, Fact]
    full: Mapping[str, Fact]
    has_options: bool = False

    @property
    def noun(self) -> str:
        return NOUNS[self.hook]


def _view(hook: str, brief: Sequence[str], full: Sequence[str], has_options: bool = False) -> View:
    value = {name: attrgetter(f"value.{name}") for name in ("name", *brief, *full)}
    columns: dict[str, Fact] = {name: value[name] for name in ("name", *brief)}
    columns["from"] = attrgetter("plugin.provider")
    columns["unavailable"] = available
    columns["summary"] = lambda offer: getattr(offer.value, "summary", "")
    return View(hook, columns, {name: value[name] for name in full}, has_options)


SHELVES: Mapping[str, View] = {
    "methods": _view(
        "harness_methods",
        ("role", "kinds"),
        ("role", "kinds", "paper", "precisions", "starts_from", "requires"),
        has_options=True,
    ),
    "datasets": _view(
        "harness_datasets",
        ("kind", "default"),
        ("kind", "default", "recipe", "licence", "citation", "files", "requires"),
        has_options=True,
    ),
    "metrics": _view(
        "harness_metrics", ("unit", "per", "better", "kinds"), ("unit", "per", "better", "kinds", "headline")
    ),
    "instruments": _view("harness_instruments", ("intrusive",), ("intrusive",)),
    "suites": _view("harness_suites", (), ("path",)),
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
        return ", ".join(
            [f"{value.budget.amount:g} {value.budget.unit}", f"batch size {value.batch_size}", *_pairs(value)]
        )
    if isinstance(value, (tuple, list)):
        return ", ".join(str(getattr(item, "path", item)) for item in value)
    return str(value)


def _pairs(recipe: Recipe) -> list[str]:
    return [f"{name}={show(value)}" for name, value in recipe.options.items()]


def plain(value: Any) -> Any:
    """A fact as JSON takes it."""
    if dataclasses.is_dataclass(value):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns below a heading; a column in which no row says anything is left out."""
    if not rows:
        return "  (none)"
    columns = [column for column in zip(heading, *rows, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    lines = (zip(line, widths, strict=True) for line in zip(*columns, strict=True))
    return "\n".join(f"  {'  '.join(cell.ljust(width) for cell, width in line)}".rstrip() for line in lines)
