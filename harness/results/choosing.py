"""How one configuration of a sweep is chosen by validation, from --select and its like."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from harness.catalog import Catalog
from harness.errors import HarnessError, UsageError
from harness.types import Choice

if TYPE_CHECKING:
    from harness.report.rows.selecting import Choosing


def parse_choosing(
    catalog: Catalog,
    select: str | None,
    jointly: bool | None,
    refit: bool | None,
    items: Iterable[str],
    datasets: Iterable[Choice],
) -> Choosing:
    """Parse the options of choosing. items: selections of one item each; datasets: of records present or to come.

    Raises UsageError for a score that cannot choose, and for a choice that would have looked at test rows.
    """
    from harness.report.rows.selecting import Choosing, parse_criterion

    if select is None:
        for flag in [flag for flag, given in (("--refit", refit), ("--select-jointly", jointly)) if given]:
            raise UsageError(f"{flag}: say which validation score chooses, as in --select nll@valid")
        return Choosing(items=tuple(items))
    by = parse_criterion(select, catalog.metrics.values(), jointly=bool(jointly))
    if jointly:
        _require_fixed_test(catalog, datasets)
    apart = {offer.value.name: offer.value.row_options for offer in catalog.methods.offers()}
    return Choosing(by, tuple(items), apart)


def _require_fixed_test(catalog: Catalog, datasets: Iterable[Choice]) -> None:
    for name, provider in dict.fromkeys((choice.name, choice.provider) for choice in datasets):
        try:
            fixed = catalog.datasets.get(name, provider).fixed_test
        except HarnessError:
            fixed = False
        if not fixed:
            raise UsageError(
                f"--select-jointly: {name} does not say that its test rows are the same for every seed (fixed_test), "
                "so rows that one seed validates with may be rows that another is tested on; leave --select-jointly "
                "out: each seed then chooses for itself"
            )
