"""Default data sets: where a run names none, a method is run on the one of its kind, which is one at most."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.catalog import Catalog, Offer
from harness.errors import UsageError
from harness.types import Dataset, Method

Say = Callable[[str], None]


def choose_datasets(catalog: Catalog, methods: Sequence[Method], say: Say) -> list[Offer[Dataset]]:
    """A data set for each method: the default of the first kind that all of them take, else each one's own first.

    say: is told which, where they differ. Raises UsageError for kinds without a default, and for two of one kind.
    """
    shared = [kind for kind in methods[0].kinds if all(kind in method.kinds for method in methods)]
    common = _first_default(catalog, shared)
    if common is not None:
        return [common] * len(methods)
    own = [_own_default(catalog, method) for method in methods]
    say(f"--datasets: no kind is common to all methods: {', '.join(_describe_pairs(methods, own))}")
    return own


def _own_default(catalog: Catalog, method: Method) -> Offer[Dataset]:
    found = _first_default(catalog, method.kinds)
    if found is None:
        known = ", ".join(catalog.datasets.names())
        raise UsageError(f"--datasets: say which; {method.name} takes {_describe_kinds(method.kinds)}; known: {known}")
    return found


def _describe_kinds(kinds: Sequence[str]) -> str:
    return f"{' or '.join(kinds)}, of which no data set is the default"


def _first_default(catalog: Catalog, kinds: Sequence[str]) -> Offer[Dataset] | None:
    """The default of the first of these kinds that has one."""
    return next((found for kind in kinds if (found := _default_of_kind(catalog, kind))), None)


def _default_of_kind(catalog: Catalog, kind: str) -> Offer[Dataset] | None:
    found = [offer for offer in catalog.datasets.offers() if offer.value.default and offer.value.kind == kind]
    if len(found) > 1:
        named = " and ".join(f"{offer.value.name} ({offer.plugin})" for offer in found)
        raise UsageError(f"--datasets: say which; {named} are both the default for {kind}")
    return found[0] if found else None


def _describe_pairs(methods: Sequence[Method], own: Sequence[Offer[Dataset]]) -> list[str]:
    """`saf on digits`, each once."""
    said = (f"{method.name} on {offer.value.name}" for method, offer in zip(methods, own, strict=True))
    return list(dict.fromkeys(said))
