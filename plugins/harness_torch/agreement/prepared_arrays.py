"""Arrays and facts that `prepare` makes of another method's arrays, by a method and by its reference."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from harness import Batch, Fit, HarnessError, Reading
from harness_torch.agreement.sides import Side

ROUNDING = {"fp64": 1e-6, "fp32": 1e-2}  # of facts that are numbers, relative: square roots of the type's last digit


class PreparedArrays(NamedTuple):
    """Results of one side's `prepare`. arrays: as it saves them; facts: as it describes them."""

    state: Any
    arrays: Mapping[str, Tensor]
    facts: Mapping[str, Any]


def makes_arrays(side: Side) -> bool:
    """Whether a side makes arrays of another method's before its first update."""
    return side.rehearsal.base is not None and hasattr(side.rehearsal.learner, "prepare")


def prepare_arrays(side: Side, state: Any, cast: Callable[[Batch], Batch]) -> PreparedArrays:
    """Run a side's `prepare`, or its reference's. cast: rows to the precision of the state."""
    learner: Any = side.rehearsal.learner
    data = side.rehearsal.data
    prepare = learner.reference_prepare if side.plain else learner.prepare
    state = prepare(state, Fit(cast(data.train), cast(data.valid)))
    facts = learner.describe(state) if hasattr(learner, "describe") else {}
    return PreparedArrays(state, learner.save(state), {name: _unwrap_reading(fact) for name, fact in facts.items()})


def refuse_unlike(method: Side, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raises HarnessError where the two leave arrays of different names or shapes, which cannot be compared."""
    mine, others = ({name: tuple(each.shape) for name, each in arrays.items()} for arrays in (found, expected))
    for name in sorted(mine.keys() | others.keys()):
        if mine.get(name) != others.get(name):
            sides = (f"{shapes[name]}" if name in shapes else "none" for shapes in (mine, others))
            one, other = sides
            raise HarnessError(f"{method.name}: prepare leaves {name} {one}, and its reference {other}")


def find_differing_facts(
    found: Mapping[str, Any], expected: Mapping[str, Any], precision: str
) -> dict[str, tuple[Any, Any]]:
    """Find the reference's facts that the method states differently: texts and whole numbers exactly, others up to
    rounding.
    """
    both = {name: (found.get(name), expected[name]) for name in expected}
    return {name: pair for name, pair in both.items() if not _are_equal(*pair, ROUNDING[precision])}


def _are_equal(mine: Any, other: Any, rounding: float) -> bool:
    if isinstance(mine, list | tuple) and isinstance(other, list | tuple):
        return len(mine) == len(other) and all(_are_equal(*pair, rounding) for pair in zip(mine, other, strict=True))
    if isinstance(mine, float) and isinstance(other, float):
        return math.isclose(mine, other, rel_tol=rounding, abs_tol=rounding)
    return bool(mine == other)


def _unwrap_reading(fact: Any) -> Any:
    return fact.value if isinstance(fact, Reading) else fact
