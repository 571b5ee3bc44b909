"""References of a suite's entries: methods, data sets and metrics, checked against the catalogue."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from harness.catalog import Catalog
from harness.errors import UsageError
from harness.selections import catalog_items, expansion, selection
from harness.spelling import read_path
from harness.suites.entries import Claim, Published, Quantity
from harness.suites.suite import Comparison, Request, read_suite
from harness.types import Choice, Record
from harness.words import suggest

T = TypeVar("T", Published, Claim)


def find_suite(catalog: Catalog, name: str) -> Comparison:
    """The suite of that name, or in that file, with what it refers to checked against the catalogue.

    Of a name that several distributions offer it means that of its own. Methods are then named as the trials of the
    suite are. Raises UsageError for a metric that nobody offers, and for a
    method or data set that is not among the suite's.
    """
    if name.rstrip("'\"").endswith(".toml") or "/" in name:
        return _check_references(catalog, read_suite(_find_file(name)))
    offer = catalog.suites.offer(name)
    comparison = read_suite(offer.value.path)
    request = dataclasses.replace(comparison.request, home=offer.plugin.provider)
    return _check_references(catalog, dataclasses.replace(comparison, request=request))


def _find_file(name: str) -> Path:
    try:
        return read_path(name)
    except (ValueError, OSError, RuntimeError) as error:
        raise UsageError(f"suite {name}: {getattr(error, 'strerror', None) or error}") from error


def expand_methods(catalog: Catalog, request: Request) -> list[Choice]:
    """The methods that a request names, in its order."""
    if not request.methods:
        return []
    items = catalog_items.look_up_methods(catalog, request.methods, "methods", request.home, request.folder)
    return [choice for item in items for choice in item.make_choices()]


def parse_metrics(request: Request) -> list[str] | None:
    """The columns that a request names, in its order; None where it names none. Raises UsageError for an empty list."""
    return None if request.metrics is None else selection.parse_names(request.metrics, "metrics")


def keep_requested(catalog: Catalog, request: Request, records: Sequence[Record]) -> list[Record]:
    """The records of a request's methods, in its order, on its data sets; all where it does not say which."""
    order = {choice.label: place for place, choice in enumerate(expand_methods(catalog, request))}
    places = {choice.label for choice in expand_datasets(catalog, request)}
    kept = [record for record in records if not places or record.trial.dataset.label in places]
    if not order:
        return kept
    kept = [record for record in kept if record.trial.method.label in order]
    return sorted(kept, key=lambda record: order[record.trial.method.label])


def expand_datasets(catalog: Catalog, request: Request) -> list[Choice]:
    """The data sets that a request names."""
    if not request.datasets:
        return []
    items = catalog_items.look_up_datasets(catalog, request.datasets, "datasets", request.home)
    return [choice for item in items for choice in item.make_choices()]


def _check_references(catalog: Catalog, comparison: Comparison) -> Comparison:
    where = f"suite {comparison.path}"
    with _locate_mistakes(where):
        chosen = expand_methods(catalog, comparison.request)
        places = [choice.label for choice in expand_datasets(catalog, comparison.request)]
        for name in parse_metrics(comparison.request) or ():
            catalog.metrics.get(name.partition("@")[0])
    names = _Names(catalog, chosen, places, comparison.request.home, comparison.request.select is not None)
    published = _check_entries(f"{where}: published", comparison.published, names.check_published)
    claims = _check_entries(f"{where}: claims", comparison.claims, names.check_claim)
    return dataclasses.replace(comparison, published=published, claims=claims)


def _check_entries(where: str, values: Sequence[T], check: Callable[[T], T]) -> tuple[T, ...]:
    checked: list[T] = []
    for number, value in enumerate(values, 1):
        with _locate_mistakes(f"{where} entry {number}"):
            checked.append(check(value))
    return tuple(checked)


@contextmanager
def _locate_mistakes(where: str) -> Iterator[None]:
    """Say where in which file a mistake was made."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


@dataclass(frozen=True)
class _Names:
    """The names that the entries of one suite may refer to. chooses: whether one configuration of each sweep is chosen,
    so that a whole sweep is a row.
    """

    catalog: Catalog
    chosen: Sequence[Choice]
    places: Sequence[str]
    home: str | None = None
    chooses: bool = False

    def check_published(self, value: Published) -> Published:
        """Check a published value; a data set that the suite does not run only leaves it without a measured one."""
        self._require_metric(value.metric)
        return dataclasses.replace(value, method=self._resolve_method(value.method))

    def check_claim(self, claim: Claim) -> Claim:
        if claim.dataset is not None and self.places and claim.dataset not in self.places:
            raise UsageError(f"dataset = {claim.dataset!r} is not among the suite's: {', '.join(self.places)}")
        over, minus = (side and self._resolve_quantity(side) for side in (claim.over, claim.minus))
        return dataclasses.replace(claim, left=self._resolve_quantity(claim.left), over=over, minus=minus)

    def _resolve_quantity(self, quantity: Quantity) -> Quantity:
        self._require_metric(quantity.metric)
        return Quantity(self._resolve_method(quantity.method), quantity.metric)

    def _require_metric(self, text: str) -> None:
        name = text.partition("@")[0]
        self.catalog.metrics.get(name, self.catalog.metrics.qualify_home(name, self.home))

    def _resolve_method(self, text: str) -> str:
        """The label of the suite's method with the same options, however those are written."""
        found = [choice for selected in selection.parse(text, "method") for choice in self._find_alike(selected)]
        if len(found) == 1:
            return found[0].label
        if self.chooses and (whole := self._find_whole(found)):
            return whole
        known = list(dict.fromkeys(choice.label for choice in self.chosen))
        several = f"names {len(found)} of the suite's methods, expected one" if found else "is not among the suite's"
        close = suggest(text, [*known, *(choice.name for choice in self.chosen)])
        raise UsageError(f"method {text!r} {several}{close} (methods: {', '.join(known) or 'none'})")

    def _find_whole(self, found: Sequence[Choice]) -> str:
        """The normal form of the item that these are all the choices of; empty if they are of none."""
        items = {expansion.format_item(choice) for choice in found}
        own = [choice for choice in self.chosen if expansion.format_item(choice) in items]
        return items.pop() if len(items) == 1 and len(own) == len(found) else ""

    def _find_alike(self, selected: selection.Selected) -> list[Choice]:
        own = [choice for choice in self.chosen if choice.name == selected.name]
        if not own:
            return []
        item = catalog_items.look_up_item(self.catalog.methods, dataclasses.replace(selected, owner=own[0].provider))
        own = [choice for choice in own if selected.provider is None or item.selected.source == choice.provider]
        return [choice for each in item.make_choices() for choice in own if choice.options == each.options]
