"""The two sides of `harness agree`: the parts of a method that are compared, and methods that cannot be.

Of any family: a state has `parameters` (name -> tensor) and an `optimiser` of torch. A learner may have

`reference(state, batch)`: the update, the optimiser's steps included, as the method's paper writes it. It is
given a state in float64, and raises Unsupported for options that it does not cover.
`reference_prepare(state, fit)`: likewise `prepare`, of a learner that starts from another method's arrays.
`agreement`: a `Column`, for a quantity that its family compares beside gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from harness import Batch, Method, Rehearsal, UsageError, resolve

Noted = Mapping[str, Any]  # by layer
Update = Callable[[Any, Batch], tuple[Any, Mapping[str, Any]]]


class Column(Protocol):
    """A quantity that a family compares beside gradients, as one more column of the table."""

    @property
    def head(self) -> str:
        """Head of the column."""
        ...

    @property
    def key(self) -> str:
        """Name of the column in JSON. Two methods are compared in it if the keys of their columns are the same."""
        ...

    @property
    def legend(self) -> str:
        """Meaning of the column's numbers, a sentence that follows those on the other columns."""
        ...

    @property
    def remarks(self) -> Sequence[str]:
        """Paragraphs below the table on the use of float32 in this family."""
        ...

    @property
    def moving(self) -> str:
        """First sentences on an update with several optimiser steps, of which frozen weights leave some out."""
        ...

    def facts(self, learner: Any, state: Any) -> Mapping[str, Any]:
        """Facts that have to be the same for two gradients to be of one function, named as the options are."""
        ...

    def noting(self, state: Any) -> AbstractContextManager[Callable[[], Noted]]:
        """Note, while inside, the quantity that an update of this state computes; yields a function that gives it."""
        ...

    def difference(self, found: Noted, expected: Noted, layer: str | None) -> float | None:
        """Difference in a layer, or in all where it is None; None where there is nothing to compare."""
        ...


class Side(NamedTuple):
    """One of the two that are compared: a method, or, if `plain`, its reference."""

    rehearsal: Rehearsal
    plain: bool = False

    @property
    def name(self) -> str:
        """Name of the side in the table."""
        return "its reference" if self.plain else self.rehearsal.trial.method.label

    @property
    def update(self) -> Update:
        """The function that is compared."""
        learner: Any = self.rehearsal.learner
        return learner.reference if self.plain else learner.update


def find_shared_column(method: Side, reference: Side) -> Column | None:
    """Find the column that both sides have."""
    mine, other = (_get_column(side) for side in (method, reference))
    return mine if mine is not None and other is not None and mine.key == other.key else None


def _get_column(side: Side) -> Column | None:
    return getattr(side.rehearsal.learner, "agreement", None)


def refuse_incomparable(method: Side, reference: Side) -> None:
    """Raises UsageError for methods whose states have no gradients to look at or whose networks differ."""
    for side in (method, reference):
        _refuse_without_gradients(side.rehearsal)
    if not reference.plain:
        _refuse_bases(method, reference)
        _refuse_other_networks(method, reference)


def find_reference(rehearsal: Rehearsal, methods: Iterable[Method]) -> Side:
    """Find a method's reference. Raises UsageError where it has none, naming the `methods` that have one."""
    if missing := _find_missing(rehearsal.learner, rehearsal.base is not None):
        known = ", ".join(sorted(method.name for method in methods if _has_reference(method))) or "none"
        raise UsageError(
            f"{rehearsal.trial.method.label}: no reference: its learner has no {missing} as its paper writes it; "
            f"methods that have one: {known}"
        )
    return Side(rehearsal, plain=True)


def _find_missing(learner: Any, based: bool) -> str:
    """Name the part of a reference that a learner lacks, if any. based: it starts from another method's arrays."""
    if not hasattr(learner, "reference"):
        return "reference(state, batch), the update"
    if based and hasattr(learner, "prepare") and not hasattr(learner, "reference_prepare"):
        return "reference_prepare(state, fit), what it makes of the arrays that it starts from,"
    return ""


def _has_reference(method: Method) -> bool:
    """Whether a method's learner with default options has a reference; no if it cannot be built here."""
    try:
        config = method.config()
        base = method.starts_from(config) if callable(method.starts_from) else method.starts_from
        return not _find_missing(resolve(method.factory)(config), bool(base))
    except Exception:  # of a plugin, whatever it is: this is a hint beside another mistake
        return False


def _refuse_without_gradients(rehearsal: Rehearsal) -> None:
    state, label = rehearsal.state, rehearsal.trial.method.label
    optimiser = getattr(state, "optimiser", None)
    if not hasattr(state, "parameters") or not hasattr(optimiser, "register_step_pre_hook"):
        raise UsageError(
            f"{label}: tells no gradients: expected a state with `parameters` (name -> tensor) and an `optimiser` of "
            "torch"
        )


def _refuse_bases(*sides: Side) -> None:
    for side in sides:
        if side.rehearsal.base is not None:
            raise UsageError(
                f"{side.name}: starts from another method's weights; agreement is of methods that start alike, or of "
                "one with its --reference"
            )


def _refuse_other_networks(method: Side, reference: Side) -> None:
    """Raises UsageError for different networks, whose gradients have nothing to agree on."""
    facts, others = _list_facts(method, reference), _list_facts(reference, method)
    for what, mine in facts.items():
        if mine != others[what]:
            raise UsageError(
                f"{method.name} and {reference.name} train different networks: "
                f"{what} {mine} and {others[what]}; give both the same"
            )


def _list_facts(side: Side, other: Side) -> dict[str, Any]:
    """List the facts that have to be the same, first the family's, which are named as options are."""
    state, column = side.rehearsal.state, find_shared_column(side, other)
    shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in state.parameters.items())
    own = {} if column is None else column.facts(side.rehearsal.learner, state)
    return {**own, "parameters": shapes}
