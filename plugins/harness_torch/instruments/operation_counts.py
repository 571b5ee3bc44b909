"""Operations of an update and of a prediction, counted operator by operator as torch dispatches them.

Everything that runs is counted, whether it records a gradient or not. An operator without a formula is not passed over
in silence: `uncovered` lists it, with its share of the bytes moved by all operators. Kernels that are launched without
torch's dispatcher (a bare Triton kernel, another library) are not seen at all.
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
import torch.backends.mha
from torch.utils._python_dispatch import TorchDispatchMode

from harness import Formula, Reading, Trained
from harness_torch import phases
from harness_torch.costs.formulas import costs_nothing
from harness_torch.costs.memory_traffic import count_moved_bytes
from harness_torch.costs.operator_calls import Call, Work, bind_call
from harness_torch.costs.plugin_formulas import Formulas
from harness_torch.marks import counting
from harness_torch.phases import PHASES, Phase
from harness_torch.tracking import departures
from harness_torch.tracking.departures import Departures
from harness_torch.tracking.host_tensors import HostTensors, follow_host_tensors
from harness_torch.tracking.shared_arrays import SharedArrays
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


# Of an update and of a prediction, the readings that are too low where more was done than was seen.
OF_AN_UPDATE = (
    *(f"{phase}_{kind}" for phase in PHASES for kind in ("macs", "elementwise_ops")),
    *("total_macs", "elementwise_ops", "bytes_moved", "launches"),
)
OF_A_PREDICTION = ("inference_macs", "inference_elementwise_ops", "inference_bytes_moved", "inference_launches")
ROWS = 32  # of a prediction that is measured


class Operations:
    """Operations of one steady update by phase.

    Readings besides the totals: `uncovered` by operator, `host_sync_operators`, element-wise operations by phase; and
    the reason why they, and the memory of the same update, are more than was seen, where it works outside torch as
    well.
    """

    def __init__(self) -> None:
        self._readings: dict[str, Any] = {}
        self._formulas = Formulas()

    def use_formulas(self, formulas: Iterable[Formula]) -> None:
        """Take the formulas of plugins, for operators of their own."""
        self._formulas = Formulas(formulas)

    @contextmanager
    def session(self) -> Iterator[None]:
        """Follow, from the birth of the state, the learner's counters on the host, its threads and shared memory."""
        self._threads = threading.enumerate()
        with follow_host_tensors() as self._host, SharedArrays() as self._exported:
            yield

    @contextmanager
    def measure(self, stage: Literal["update"], examples: int) -> Iterator[None]:
        """Count what runs in an update."""
        del stage, examples
        tally, left = Tally(self._host, self._formulas), Departures(self._host, self._threads, self._exported)
        with use_plain_layers(), left, Counter(tally, left):
            yield
        self._readings = bound_readings(_read_update(tally), OF_AN_UPDATE, explain_unseen(tally, left, self._formulas))

    def readings(self) -> Mapping[str, Any]:
        """Return counts per update; `uncovered` by operator."""
        return dict(self._readings)


class Inference:
    """inference_macs, inference_elementwise_ops and inference_bytes_moved of a prediction of 32 rows by the trained
    network, per example (of a stream per token); its inference_launches; `inference_uncovered` by operator.

    Of the trained and finished network, since weights that training has pruned, or an exit that it has learnt to take
    early, save work, and a network that `finish` has changed may need more.
    """

    def __init__(self) -> None:
        self._readings: dict[str, Any] = {}
        self._formulas = Formulas()

    def use_formulas(self, formulas: Iterable[Formula]) -> None:
        """Take the formulas of plugins, for operators of their own."""
        self._formulas = Formulas(formulas)

    def deployed(self, trained: Trained) -> None:
        """Count what runs in a prediction."""
        inputs, predict = trained.rows(ROWS), trained.eager()
        tally, left = Tally(formulas=self._formulas), Departures()
        with use_plain_layers(), left, Counter(tally, left):
            predict(inputs)
        reason = explain_unseen(tally, left, self._formulas)
        self._readings = bound_readings(_read_prediction(tally, trained.examples(inputs)), OF_A_PREDICTION, reason)

    def readings(self) -> Mapping[str, Any]:
        """Return counts per example."""
        return dict(self._readings)


def explain_unseen(tally: Tally, left: Departures, formulas: Formulas) -> str:
    """Explain why more may have been done than was counted; empty where all was seen."""
    broken = [f"the formula of {name}: {reason}" for name, reason in formulas.broken.items()]
    nothing = [] if tally.total("launches") else ["no operator of torch ran: what is done elsewhere is not counted"]
    return "; ".join([*filter(None, [left.reason()]), *(nothing if not left.reason() else []), *broken])


def bound_readings(readings: Mapping[str, Any], names: Iterable[str], reason: str) -> dict[str, Any]:
    """Mark the named readings as lower bounds, with the reason; without one, leave them."""
    bounded = {name: Reading(readings[name], at_least=reason) for name in names} if reason else {}
    return {**readings, **bounded}


def _read_update(tally: Tally) -> dict[str, Any]:
    uncovered = tally.uncovered()
    return {
        **{f"{phase}_macs": tally.total("macs", phase) for phase in PHASES},
        "total_macs": tally.total("macs"),
        "elementwise_ops": tally.total("elementwise"),
        **{f"{phase}_elementwise_ops": tally.total("elementwise", phase) for phase in PHASES},
        "bytes_moved": tally.total("bytes"),
        "launches": tally.total("launches"),
        "host_syncs": tally.total("syncs"),
        "host_sync_operators": {name: count.syncs for (_, name), count in tally.counts.items() if count.syncs},
        "uncovered": uncovered,
        "uncovered_share": sum(row["share"] for row in uncovered.values()),
    }


def _read_prediction(tally: Tally, examples: int) -> dict[str, Any]:
    uncovered = tally.uncovered()
    return {
        "inference_macs": tally.total("macs") / examples,
        "inference_elementwise_ops": tally.total("elementwise") / examples,
        "inference_bytes_moved": tally.total("bytes") / examples,
        "inference_launches": tally.total("launches"),
        "inference_uncovered": uncovered,
        "inference_uncovered_share": sum(row["share"] for row in uncovered.values()),
    }
