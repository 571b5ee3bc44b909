"""What instruments measure with, and the formulas of plugins that some of them count by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from harness.catalog import Catalog, resolve
from harness.errors import HarnessError
from harness.types import Formula, Gauge, Instrument


def gauge_of(catalog: Catalog, instrument: Instrument) -> Gauge:
    """A fresh gauge; one that counts operations is given the plugins' formulas."""
    gauge: Gauge = resolve(instrument.factory)()
    if hasattr(gauge, "use_formulas"):
        gauge.use_formulas([_resolved(formula) for formula in catalog.formulas.values()])
    return gauge


def _resolved(formula: Formula) -> Formula:
    elementwise = formula.elementwise and _function(formula.elementwise, formula.name)
    return replace(formula, macs=_function(formula.macs, formula.name), elementwise=elementwise or None)


def _function(reference: str | Callable[..., int], operator: str) -> Callable[..., int]:
    """The function of a formula; one that raises where it cannot be imported, since other operators can be counted."""
    try:
        return resolve(reference, f"formula {operator}")
    except HarnessError as error:
        reason = error

    def absent() -> int:
        raise reason

    return absent
