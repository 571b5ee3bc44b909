"""Answers of a learner, checked: an error says what was returned and what was expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, get_args

from harness import names
from harness.errors import is_interrupt
from harness.types import Array, Prediction

PREDICTIONS: tuple[type[Prediction], ...] = get_args(Prediction)
MOST_SCALARS = 1000

View: TypeAlias = Callable[[Any, Array], Any]


def check_step(returned: Any) -> tuple[Any, Mapping[Any, Any]]:
    """State and scalars, if that is what an update returned. Raises TypeError."""
    if not (isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], Mapping)):
        raise TypeError(f"update returned {_type_of(returned)}, expected (state, {{name: scalar}})")
    for name, value in returned[1].items():
        if not _is_scalar(value):
            raise TypeError(
                f"update returned {_type_of(value)} as the scalar {names.show_name(name)}, expected one number"
            )
    return returned


def check_lane_step(returned: Any, lanes: int) -> tuple[Any, Mapping[Any, Any]]:
    """State and scalars, if that is what an update of so many lanes returned. Raises TypeError."""
    if not (isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], Mapping)):
        raise TypeError(f"update returned {_type_of(returned)}, expected (state, {{name: scalars}})")
    for name, value in returned[1].items():
        if getattr(value, "shape", None) != (lanes,):
            expected = f"one number for each of {lanes} lanes, of shape ({lanes},)"
            raise TypeError(
                f"update returned {_type_of(value)} as the scalar {names.show_name(name)}, expected {expected}"
            )
    return returned


def ask_learner(function: Callable[[Any, Any], Any], state: Any, what: Any) -> Any:
    """Call an update or a predict; an error says if there was no state to answer from."""
    try:
        return function(state, what)
    except Exception as error:
        note_state(error, state)
        raise


def note_state(error: BaseException, state: Any) -> None:
    """Add to an error of a learner that it was given no state, which is why as a rule."""
    if state is None:
        error.add_note("the state is None: did init, or the update before, return none?")


def has_part(learner: Any, part: str) -> bool:
    """Whether a learner has an optional part; one that cannot even be looked up is there, and fails when it is used."""
    try:
        return hasattr(learner, part)
    except BaseException as error:
        if is_interrupt(error):
            raise
        return True


def check_prediction(value: Any) -> Prediction:
    """Raises TypeError for what is no prediction of any kind."""
    if not isinstance(value, PREDICTIONS):
        expected = ", ".join(kind.__name__ for kind in PREDICTIONS)
        raise TypeError(f"predict returned {_type_of(value)}, expected one of {expected}")
    return value


def list_views(learner: Any) -> list[tuple[str, View, str]]:
    """Name, function, and what is wrong with it, if anything is, of each further view. Raises TypeError."""
    found = getattr(learner, "views", {})
    if not isinstance(found, Mapping):
        raise TypeError(f"views is {_type_of(found)}, expected {{name: function}}")
    return [(names.show_name(name), predict, _find_view_flaw(name, predict)) for name, predict in found.items()]


def check_facts(described: Any) -> Mapping[Any, Any]:
    """Check the answer of `describe`. Raises TypeError for what is no mapping."""
    if not isinstance(described, Mapping):
        raise TypeError(f"describe returned {_type_of(described)}, expected {{name: value}}")
    return described


def check_arrays(saved: Any) -> Mapping[str, Array]:
    """Check the answer of `save`. Raises TypeError for what is no flat mapping of arrays."""
    if not isinstance(saved, Mapping):
        raise TypeError(f"save returned {_type_of(saved)}, expected {{name: array}}")
    for name, array in saved.items():
        if not isinstance(name, str) or not hasattr(array, "shape"):
            found = f"{names.show_name(name)} is {_type_of(array)}"
            raise TypeError(f"save(state) must be flat, {{name: array}}, with texts for names; {found}")
    return saved


def _find_view_flaw(name: object, predict: object) -> str:
    if flaw := names.find_view_flaw(name):
        return f"the name {flaw}"
    return "" if callable(predict) else f"is {_type_of(predict)}, expected a function of (state, inputs)"


def _is_scalar(value: Any) -> bool:
    return hasattr(value, "__float__") and math.prod(getattr(value, "shape", ())) == 1


def _type_of(value: object) -> str:
    shape = getattr(value, "shape", None)
    return f"{type(value).__name__} of shape {tuple(shape)}" if isinstance(shape, tuple) else type(value).__name__
