"""The gauges of instruments, their optional parts, and the formulas of plugins that some of them count by."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from harness.catalog import Catalog, resolve
from harness.errors import HarnessError
from harness.types import Formula, Gauge, Instrument, Trained

OPTIONAL = ("measure", "deployed", "pause", "settle", "use_formulas")


@dataclass(frozen=True)
class Fitted:
    """A gauge whose optional parts were looked up once. Each can be called; one that it lacks does nothing.

    offered: those that it has.
    """

    gauge: Gauge
    offered: frozenset[str]
    deployed: Callable[[Trained], None]
    pause: Callable[[], AbstractContextManager[None]]
    settle: Callable[[], None]
    use_formulas: Callable[[list[Formula]], None]


def make_gauge(catalog: Catalog, instrument: Instrument) -> Fitted:
    """A fresh gauge; one that counts operations is given the plugins' formulas."""
    gauge: Any = resolve(instrument.factory)()
    offered = frozenset(name for name in OPTIONAL if hasattr(gauge, name))

    def take_part(name: str, default: Callable[..., Any]) -> Callable[..., Any]:
        return getattr(gauge, name) if name in offered else default

    fitted = Fitted(
        gauge,
        offered,
        deployed=take_part("deployed", _do_nothing),
        pause=take_part("pause", nullcontext),
        settle=take_part("settle", _do_nothing),
        use_formulas=take_part("use_formulas", _do_nothing),
    )
    fitted.use_formulas([_resolve_formula(formula) for formula in catalog.formulas.values()])
    return fitted


def _do_nothing(*given: object) -> None:
    del given


def _resolve_formula(formula: Formula) -> Formula:
    elementwise = formula.elementwise and _resolve_function(formula.elementwise, formula.name)
    return replace(formula, macs=_resolve_function(formula.macs, formula.name), elementwise=elementwise or None)


def _resolve_function(reference: str | Callable[..., int], operator: str) -> Callable[..., int]:
    """The function of a formula; one that raises where it cannot be imported, since other operators can be counted."""
    try:
        return resolve(reference, f"formula {operator}")
    except HarnessError as error:
        reason = error

    def absent() -> int:
        raise reason

    return absent
