"""Marks by which a method tells the instruments of events that cannot be seen from outside. They cost a look-up when
nothing is measured.

`for t in time_steps(T)`: the loop over time. Tensors that live at the end of a step are carried into the next.
`spikes(s)`: a population of neurons fired s. A method that declares nothing is taken at its arithmetic: every unit is
real-valued.
`counted()`: operators are being counted, so that a prediction of the trained network, whose state was not made for it
(`Training.eager`), is to take no kernels that hide theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

from torch import Tensor

T = TypeVar("T")


class StepWatcher(Protocol):
    """Hears of the loops over time in an update."""

    def begin(self) -> None:
        """A loop over time begins."""
        ...

    def end_of_step(self) -> None:
        """The body of the loop has run once."""
        ...


_steps: ContextVar[StepWatcher | None] = ContextVar("harness_torch.time_steps", default=None)
_spikes: ContextVar[Callable[[Tensor], None] | None] = ContextVar("harness_torch.spikes", default=None)
_counted: ContextVar[bool] = ContextVar("harness_torch.counted", default=False)


def time_steps(count: int) -> Iterable[int]:
    """`range(count)` for a loop over time steps, at the end of each of which `state_bytes` is looked at.

    Names of the loop's body that are still bound then count as carried: let them go, in a function of their own.
    """
    watcher = _steps.get()
    return range(count) if watcher is None else _watch_steps(count, watcher)


def _watch_steps(count: int, watcher: StepWatcher) -> Iterator[int]:
    watcher.begin()
    for step in range(count):
        yield step
        watcher.end_of_step()


def spikes(fired: Tensor) -> None:
    """Declare that these are spikes, one element per neuron and time step, zero where a neuron was silent.

    They count in `firing_rate`; a product with them, or with a view or a copy of them, accumulates without multiplying.
    Spikes that were averaged (pooled) are graded values, and no longer spikes.
    """
    listener = _spikes.get()
    if listener is not None:
        listener(fired)


def listened() -> bool:
    """Whether anyone is told of spikes: a kernel that would not leave any in memory then does."""
    return _spikes.get() is not None


def counted() -> bool:
    """Whether operators are being counted, which a kernel of one's own, or a captured graph, would hide."""
    return _counted.get()


def counting() -> AbstractContextManager[None]:
    """While inside, operators are being counted."""
    return set_while_inside(_counted, True)


def watching(watcher: StepWatcher) -> AbstractContextManager[None]:
    """While inside, this watcher hears of every loop over time."""
    return set_while_inside(_steps, watcher)


def listening(listener: Callable[[Tensor], None]) -> AbstractContextManager[None]:
    """While inside, this listener is given everything that is declared to be spikes."""
    return set_while_inside(_spikes, listener)


@contextmanager
def set_while_inside(variable: ContextVar[T], value: T) -> Iterator[None]:
    """Set a variable while inside, and give it its value back at the end."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
