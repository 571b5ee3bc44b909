"""Every operator that torch dispatches, with its phase: handed to a sink, counted in a tally.

Everything that runs is counted, whether it records a gradient or not. Kernels that are launched without torch's
dispatcher (a bare Triton kernel, another library) are not seen at all.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
import torch.backends.mha
from torch.utils._python_dispatch import TorchDispatchMode

from harness_torch import phases
from harness_torch.costs.formulas import costs_nothing
from harness_torch.costs.memory_traffic import count_moved_bytes
from harness_torch.costs.operator_calls import Call, Work, bind_call
from harness_torch.costs.plugin_formulas import Formulas
from harness_torch.marks import counting
from harness_torch.phases import Phase
from harness_torch.tracking import departures
from harness_torch.tracking.departures import Departures
from harness_torch.tracking.host_tensors import HostTensors
from harness_torch.tracking.synchronisations import synchronises


@dataclass
class Count:
    """Calls of one operator in one phase, and their work in total. covered: a formula knows it."""

    calls: int = 0
    macs: float = 0
    elementwise: float = 0
    bytes: int = 0
    launches: int = 0
    syncs: int = 0
    covered: bool = True


class Tally:
    """Counts by phase and operator. host: knows the tensors that nobody waits for."""

    def __init__(self, host: HostTensors | None = None, formulas: Formulas | None = None) -> None:
        self.counts: dict[tuple[Phase, str], Count] = defaultdict(Count)
        self._host = host
        self._formulas = formulas or Formulas()

    def add(self, phase: Phase, call: Call) -> None:
        done = self._formulas.count_work(call)
        count = self.counts[phase, call.name]
        count.calls += 1
        count.covered = done is not None
        macs, elementwise = done or Work()
        count.macs += macs
        count.elementwise += elementwise
        count.bytes += count_moved_bytes(call)
        count.launches += not costs_nothing(call)
        count.syncs += synchronises(call, self._host)

    def total(
        self, field: Literal["macs", "elementwise", "bytes", "launches", "syncs"], phase: Phase | None = None
    ) -> int:
        """Add up a field over all phases or one, rounded once: less than one operation in all is still not none."""
        total = sum(getattr(count, field) for (where, _), count in self.counts.items() if phase in (None, where))
        return round(total) or math.ceil(total)

    def uncovered(self) -> dict[str, dict[str, float]]:
        """List operators without a formula: calls, bytes moved, share of the bytes moved by all operators."""
        found: dict[str, dict[str, float]] = {}
        everything = max(1, self.total("bytes"))
        for (_, name), count in self.counts.items():
            if not count.covered:
                row = found.setdefault(name, {"count": 0, "bytes": 0, "share": 0.0})
                row["count"] += count.calls
                row["bytes"] += count.bytes
                row["share"] = row["bytes"] / everything
        return found


class Sink(Protocol):
    """A receiver of every operator that a `Counter` sees."""

    def add(self, phase: Phase, call: Call) -> None:
        """An operator has run in this phase."""
        ...


class Counter(TorchDispatchMode):
    """Hands every operator that is dispatched inside to a tally, with its phase. left: hears of them, too."""

    supports_higher_order_operators = True

    def __init__(self, tally: Sink, left: Departures | None = None) -> None:
        super().__init__()
        self._tally = tally
        self._left = left

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        if _is_composite(func):
            # In inference mode operators made of others arrive whole; this is how torch itself takes them apart.
            with self:
                return func._op_dk(torch._C.DispatchKey.CompositeImplicitAutograd, *args, **kwargs)
        if self._left is not None:
            self._left.note_operator(func, args, kwargs)
        with departures.ignore():  # an operator's own calls are in its formula
            result = func(*args, **kwargs)
            self._tally.add(phases.current(), bind_call(func, args, kwargs, result))
        return result


@contextmanager
def use_plain_layers() -> Iterator[None]:
    """Keep nn.TransformerEncoderLayer from its fused inference path, an operator that would hide its products, and
    methods that ask from kernels of their own.
    """
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with counting():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


def _is_composite(func: Any) -> bool:
    """Whether torch implements an operator by calling others. Decompositions written in Python are left alone."""
    kernels = torch._C._dispatch_has_kernel_for_dispatch_key
    return isinstance(func, torch._ops.OpOverload) and kernels(func.name(), "CompositeImplicitAutograd")
