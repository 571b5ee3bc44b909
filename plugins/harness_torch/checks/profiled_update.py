"""Check that the profiled update is the update that is timed: counts of one that does less are worth nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import Broken, Gauge, Unsupported
from harness.testing import Arrays, Run, Subject
from harness_torch.instruments.activation_memory import ActivationMemory
from harness_torch.instruments.allocator_peaks import TensorPeak
from harness_torch.instruments.operation_counts import Operations
from harness_torch.instruments.saved_tensors import SavedMemory
from harness_torch.tracking.random_draws import Draws

UPDATES = 3  # as many as the profiled pass takes; the last one is measured
GAUGES: tuple[Callable[[], Gauge], ...] = (Operations, ActivationMemory, SavedMemory, TensorPeak)

# The largest difference of a change, as a share: a compiled update rounds otherwise, and Adam's step adds to that;
# on a GPU a fused neuron within rounding of its threshold fires or not.
TOLERANCE, TOLERANCE_ELSEWHERE = 0.1, 0.4
ALIKE = 2.0  # how many times larger a change may be that draws other random numbers


def profiled_as_timed(subject: Subject) -> None:
    """Check that an eager update changes the same arrays as a timed one, alone and under each instrument."""
    start, timed = _collect_results(subject.start()), _collect_results(_train_timed(subject))
    if not any(_measure_norm(change) for change in _list_changes(start, timed).values()):
        raise Unsupported(f"{UPDATES} updates change nothing that can be seen of it")
    eager = _collect_results(_train_profiled(subject, None))
    difference = _find_difference(start, timed, eager, subject.exact)
    # A compiled update may draw other numbers than an eager one.
    if difference and not (
        _draws_numbers(subject) and not _find_difference(start, timed, eager, subject.exact, by_size=True)
    ):
        raise Broken(f"eager updates, which are counted, do not do what timed ones do: {difference}")
    for gauge in GAUGES:
        if difference := _find_difference(
            start, eager, _collect_results(_train_profiled(subject, gauge())), subject.exact
        ):
            raise Broken(f"eager updates do not do the same where {gauge.__name__} measures the last: {difference}")


def _train_timed(subject: Subject) -> Run:
    run = subject.start()
    run.updates(UPDATES)
    return run


def _draws_numbers(subject: Subject) -> bool:
    """Whether an update draws random numbers."""
    run = subject.start(subject.training(eager=True))
    batches = list(islice(subject.batches(), UPDATES))  # their order is drawn, too
    with Draws() as draws:
        for batch in batches:
            run.update(batch)
    return bool(draws.operators)


def _train_profiled(subject: Subject, gauge: Gauge | None) -> Run:
    """Run eager updates, the last of them measured."""
    with ExitStack() as watched:
        if gauge is not None:
            watched.enter_context(gauge.session())
        run = subject.start(subject.training(eager=True))
        batches = subject.batches()
        for _ in range(UPDATES - 1):
            run.update(next(batches))
        with gauge.measure("update", 1) if gauge is not None else ExitStack():
            scalars = run.step(next(batches))
        del scalars
    if gauge is not None:
        _refuse_threads(gauge.readings())
    return run


def _refuse_threads(readings: Mapping[str, Any]) -> None:
    """Raises Broken for work in another thread, which no instrument sees and no clock waits for."""
    said = str(getattr(readings.get("total_macs"), "at_least", ""))
    if "thread " in said or "Thread.start" in said:
        raise Broken(f"an update works in a thread of its own, where nothing is counted: {said}")


def _find_difference(start: Arrays, one: Arrays, other: Arrays, exact: bool, by_size: bool = False) -> str:
    """Find the first array that two trainings from one start have changed differently; empty where there is none."""
    expected, changed = _list_changes(start, one), _list_changes(start, other)
    if missing := set(expected) ^ set(changed):
        return f"the {min(missing)} is of one of them alone"
    for name, change in expected.items():
        if not (_are_comparable if by_size else _are_close)(change, changed[name], exact):
            return f"the {name} changes by {_measure_norm(change):.3g} and {_measure_norm(changed[name]):.3g}"
    return ""


def _are_close(change: NDArray[Any], other: NDArray[Any], exact: bool) -> bool:
    tolerance = TOLERANCE if exact else TOLERANCE_ELSEWHERE
    if change.shape != other.shape:
        return False
    return _measure_norm(change - other) <= tolerance * _measure_norm(change) + _estimate_rounding(change)


def _are_comparable(change: NDArray[Any], other: NDArray[Any], exact: bool) -> bool:
    del exact
    one, two = _measure_norm(change), _measure_norm(other)
    return max(one, two) <= ALIKE * min(one, two) + _estimate_rounding(change)


def _estimate_rounding(change: NDArray[Any]) -> float:
    return 1e-5 * float(np.sqrt(max(1, change.size)))


def _measure_norm(change: NDArray[Any]) -> float:
    return float(np.linalg.norm(np.nan_to_num(change)))


def _list_changes(start: Arrays, end: Arrays) -> dict[str, NDArray[Any]]:
    """List the changes by training, array by array; an array of another shape than before is new."""
    return dict(_subtract_start(start, end))


def _subtract_start(start: Arrays, end: Arrays) -> Iterator[tuple[str, NDArray[Any]]]:
    for name, array in end.items():
        before = start.get(name)
        yield name, array - before if before is not None and before.shape == array.shape else array


def _collect_results(run: Run) -> Arrays:
    """Collect saved arrays and predictions; probabilities instead of their logarithms, which may be infinite."""
    seen = {name: array for name, array in run.seen().items() if not name.startswith("scalar ")}
    return {name: np.exp(array) if name.startswith("log_") else array for name, array in seen.items()}
