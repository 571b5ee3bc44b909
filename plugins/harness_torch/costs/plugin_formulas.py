"""Formulas that plugins offer for operators of their own (`harness_formulas`), beside those of torch's."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from harness import Formula, HarnessError
from harness_torch.costs import formulas
from harness_torch.costs.operator_calls import Call, Work


class Formulas:
    """Torch's operators and those of plugins, by name. broken: formulas that cannot be used, with the reason."""

    def __init__(self, offered: Iterable[Formula] = ()) -> None:
        self.broken: dict[str, str] = {}
        self._own = {formula.name: formula for formula in offered}

    def count_work(self, call: Call) -> Work | None:
        """Count the work of a call; None where no formula covers its operator, or a broken one does."""
        formula = self._own.get(call.name)
        if formula is None:
            return formulas.count_work(call)
        try:
            return Work(*(_compute_amount(part, function, call) for part, function in _list_parts(formula)))
        except Exception as error:
            self.broken.setdefault(call.name, _describe_error(error))
            return None


def _list_parts(formula: Formula) -> tuple[tuple[str, Any], ...]:
    return ("macs", formula.macs), ("elementwise", formula.elementwise)


def _compute_amount(part: str, function: Any, call: Call) -> float:
    """Compute the operations of a call, not rounded: parts of an operation add up over calls.

    Raises ValueError for a value that is no number of operations.
    """
    if function is None:
        return 0
    amount = function(**_select_arguments(function, {**call.arguments, "result": call.result}))
    if isinstance(amount, bool) or not isinstance(amount, numbers.Real) or not math.isfinite(amount) or amount < 0:
        raise ValueError(f"{part} is {amount!r}; expected a number of operations, 0 or more")
    whole: Any = math.floor(amount)
    return whole if whole == amount else float(amount)


def _select_arguments(function: Callable[..., Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Select the known arguments that a function takes. Raises TypeError for another that it needs."""
    parameters = inspect.signature(function).parameters.values()
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
        return dict(known)
    needed = [each.name for each in parameters if each.default is each.empty and each.name not in known]
    if needed:
        raise TypeError(f"it takes {', '.join(needed)}; the operator has {', '.join(known)}")
    return {each.name: known[each.name] for each in parameters if each.name in known}


def _describe_error(error: Exception) -> str:
    first, _, _ = str(error).strip().partition("\n")
    return first if isinstance(error, (HarnessError, ValueError)) and first else f"{type(error).__name__}: {first}"
