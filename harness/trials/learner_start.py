"""The one way to start a learner, and its optional parts, looked up once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

from harness.trials import answers
from harness.types import Array, Fit, Learner, Prediction, Problem, Training

OPTIONAL = ("prepare", "finish", "views", "describe", "save", "glance")

Phase: TypeAlias = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class Parts:
    """The optional parts of a learner. Each can be called; one that the learner lacks does nothing, and a glance is a
    prediction.

    offered: those that it has. One that cannot even be looked up is among them, and fails when it is called.
    """

    offered: frozenset[str]
    prepare: Callable[[Any, Fit], Any]
    finish: Callable[[Any, Fit], Any]
    views: Callable[[], list[tuple[str, answers.View, str]]]
    describe: Callable[[Any], Mapping[Any, Any]]
    save: Callable[[Any], Mapping[str, Array]]
    glance: Callable[[Any, Array], Prediction]


def look_up_parts(learner: Any) -> Parts:
    """The optional parts of a learner; what they answer is not checked here, but for the views."""
    offered = frozenset(name for name in OPTIONAL if answers.has_part(learner, name))

    def find_part(name: str, default: Callable[..., Any]) -> Callable[..., Any]:
        return (lambda *given: getattr(learner, name)(*given)) if name in offered else default

    return Parts(
        offered,
        prepare=find_part("prepare", _keep_state),
        finish=find_part("finish", _keep_state),
        views=lambda: answers.list_views(learner),
        describe=find_part("describe", _answer_nothing),
        save=find_part("save", _answer_nothing),
        glance=find_part("glance", lambda state, inputs: learner.predict(state, inputs)),
    )


@dataclass(frozen=True)
class Started:
    """A learner that stands ready for its first update, with its state."""

    learner: Learner[Any]
    parts: Parts
    state: Any


def start_learner(
    build: Callable[[], Learner[Any]],
    problem: Problem,
    training: Training,
    base: Mapping[str, Array] | None,
    fit: Fit | None,
    phase: Phase = lambda _: nullcontext(),
) -> Started:
    """Build a learner, let it make its state and, where it is given rows to fit, prepare.

    phase: a context around each of `init` and `prepare`, as far as there is one.
    """
    with phase("init"):
        learner = build()
        state = learner.init(problem, training, base)
    parts = look_up_parts(learner)
    if fit is not None and "prepare" in parts.offered:
        with phase("prepare"):
            state = parts.prepare(state, fit)
    return Started(learner, parts, state)


def _keep_state(state: Any, fit: Fit) -> Any:
    del fit
    return state


def _answer_nothing(state: Any) -> Mapping[str, Any]:
    del state
    return {}
