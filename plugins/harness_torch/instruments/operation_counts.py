"""Operations of an update and of a prediction, counted operator by operator as torch dispatches them.

An operator without a formula is not passed over in silence: `uncovered` lists it, with its share of the bytes moved by
all operators.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from harness import Formula, Reading, Trained
from harness_torch.costs.plugin_formulas import Formulas
from harness_torch.phases import PHASES
from harness_torch.tracking.departures import Departures
from harness_torch.tracking.host_tensors import follow_host_tensors
from harness_torch.tracking.operator_counter import Counter, Tally, use_plain_layers
from harness_torch.tracking.shared_arrays import SharedArrays

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
