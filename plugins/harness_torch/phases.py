"""The phase of an update that runs: forward, backward or the optimiser's step, told apart without the method's help.

Backward is recognised by autograd's graph task, the optimiser by the step hooks of torch.optim; everything else is
forward. A hand-written backward or step, invisible to both, marks itself: `with harness_torch.phase("backward"): ...`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Literal, NamedTuple, TypeAlias, get_args

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

Phase: TypeAlias = Literal["forward", "backward", "optimizer"]
PHASES: tuple[Phase, ...] = get_args(Phase)

NO_GRAPH_TASK = -1


class _Mark(NamedTuple):
    """A phase that was declared, and the graph task that was running at that moment."""

    name: Phase
    graph_task: int


_mark: ContextVar[_Mark | None] = ContextVar("harness_torch.phase", default=None)


@contextmanager
def phase(name: Phase) -> Iterator[None]:
    """Declare that the code inside is part of this phase, whatever it looks like from outside.

    For a method with a hand-written backward or optimiser step; it costs two assignments when nothing is measured.
    Raises ValueError for a name other than forward, backward, optimizer.
    """
    token = _enter_phase(name)
    try:
        yield
    finally:
        _mark.reset(token)


def current() -> Phase:
    """The phase of the operator that is being dispatched.

    The innermost cause wins: a backward that starts inside a marked region is backward, and a mark set inside a
    backward (a recomputed forward, say) holds there.
    """
    graph_task = torch._C._current_graph_task_id()
    mark = _mark.get()
    if mark is not None and graph_task in (NO_GRAPH_TASK, mark.graph_task):
        return mark.name
    return "forward" if graph_task == NO_GRAPH_TASK else "backward"


@contextmanager
def optimizer_steps() -> Iterator[None]:
    """Put, while inside, operators in the `step` of any torch.optim optimiser in the phase "optimizer".

    Its closure, if it has one, belongs to the step, except for the backward in it.
    """
    running: list[Token[_Mark | None]] = []
    try:
        with optimizer_hooks(lambda _: running.append(_enter_phase("optimizer")), lambda _: _mark.reset(running.pop())):
            yield
    finally:
        # A step that raised has left its mark behind.
        for token in reversed(running):
            _mark.reset(token)


@contextmanager
def optimizer_hooks(before: Callable[[Optimizer], None], after: Callable[[Optimizer], None]) -> Iterator[None]:
    """Call functions, while inside, with any torch.optim optimiser before and after each of its steps."""
    handles = (
        register_optimizer_step_pre_hook(lambda optimizer, *_: before(optimizer)),
        register_optimizer_step_post_hook(lambda optimizer, *_: after(optimizer)),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _enter_phase(name: Phase) -> Token[_Mark | None]:
    if name not in PHASES:
        raise ValueError(f"unknown phase {name!r}: expected one of {', '.join(PHASES)}")
    return _mark.set(_Mark(name, torch._C._current_graph_task_id()))
