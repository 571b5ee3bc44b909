"""What a learner may answer, checked: an error says what was returned and what was expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, get_args

from harness import names
from harness.types import Array, Prediction

PREDICTIONS: tuple[type[Prediction], ...] = get_args(Prediction)
MOST_SCALARS = 1000

View: TypeAlias = Callable[[Any, Array], Any]


def a_step(returned: Any) -> tuple[Any, Mapping[Any, Any]]:
    """State and scalars, if that is what an update returned. Raises TypeError."""
    if not (isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], Mapping)):
        raise TypeError(f"update returned {_kind(returned)}, expected (state, {{name: scalar}})")
    for name, value in returned[1].items():
        if not _is_scalar(value):
            raise TypeError(f"update returned {_kind(value)} as the scalar {names.shown(name)}, expected one number")
    return returned


def a_prediction(value: Any) -> Prediction:
    """Raises TypeError for what is no prediction of any kind."""
    if not isinstance(value, PREDICTIONS):
        expected = ", ".join(kind.__name__ for kind in PREDICTIONS)
        raise TypeError(f"predict returned {_kind(value)}, expected one of {expected}")
    return value


def views(learner: Any) -> Iterator[tuple[str, View, str]]:
    """Name, function, and what is wrong with it, if anything is, of each further view. Raises TypeError."""
    found = getattr(learner, "views", {})
    if not isinstance(found, Mapping):
        raise TypeError(f"views is {_kind(found)}, expected {{name: function}}")
    for name, predict in found.items():
        yield names.shown(name), predict, _flaw_of_view(name, predict)


def facts(learner: Any, state: Any) -> Mapping[Any, Any]:
    """What `describe` returns. Raises TypeError."""
    described = learner.describe(state)
    if not isinstance(described, Mapping):
        raise TypeError(f"describe returned {_kind(described)}, expected {{name: value}}")
    return described


def arrays(learner: Any, state: Any) -> Mapping[str, Array]:
    """What `save` returns. Raises TypeError."""
    saved = learner.save(state)
    if not isinstance(saved, Mapping):
        raise TypeError(f"save returned {_kind(saved)}, expected {{name: array}}")
    for name, array in saved.items():
        if not isinstance(name, str) or not hasattr(array, "shape"):
            found = f"{_kind(array)} under {names.shown(name)}"
            raise TypeError(f"save returned {found}, expected {{name: array}}, flat and named")
    return saved


def _flaw_of_view(name: object, predict: object) -> str:
    if flaw := names.flaw(name):
        return f"the name {flaw}"
    if name in names.VIEWS:
        return f"the name is taken: the harness calls scores of its own @{name}"
    return "" if callable(predict) else f"is {_kind(predict)}, expected a function of (state, inputs)"


def _is_scalar(value: Any) -> bool:
    return hasattr(value, "__float__") and math.prod(getattr(value, "shape", ())) == 1


def _kind(value: object) -> str:
    shape = getattr(value, "shape", None)
    return f"{type(value).__name__} of shape {tuple(shape)}" if isinstance(shape, tuple) else type(value).__name__
