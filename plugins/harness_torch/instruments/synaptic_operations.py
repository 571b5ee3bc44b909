"""Synaptic operations of a prediction of the trained network, and its firing rate.

Counted are the products that really run, with the zeros that they really see (see `count_pairs`): a current that is
computed once for all time steps counts once. A product with declared spikes (`harness_torch.spikes`) accumulates; every
other multiplies and accumulates, whatever its values happen to be. NeuroBench decides this by looking at the values,
which takes an all-zero or one-hot input of an ordinary network for spikes.

Three counters agree: with nothing zero, `synaptic_dense_ops` is the number of MACs that follows from the architecture,
and `inference_macs` that number with the zeros that convolutions pad with, which are multiplied but are no inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from harness import Formula, Trained, Unsupported
from harness_torch.costs.formulas import COPIES
from harness_torch.costs.nonzero_pairs import count_pairs
from harness_torch.costs.operator_calls import Call, find_tensors, find_written
from harness_torch.costs.plugin_formulas import Formulas
from harness_torch.instruments.operation_counts import ROWS, bound_readings, explain_unseen
from harness_torch.marks import listening
from harness_torch.phases import Phase
from harness_torch.tracking.departures import Departures
from harness_torch.tracking.operator_counter import Counter, Tally, use_plain_layers
from harness_torch.tracking.storages import TensorSet

COUNTS = ("synaptic_ops", "synaptic_acs", "synaptic_macs", "synaptic_dense_ops")


class SynapticOperations:
    """synaptic_ops, synaptic_acs, synaptic_macs, synaptic_dense_ops per example, of a stream per token; firing_rate
    where spikes are declared.

    Counted online, operator by operator; no input is kept. `synaptic_uncovered` lists operators of which nobody knows
    whether there are products in them. Raises Unsupported in `readings` for a product inside an
    operator that cannot be looked into (a recurrent kernel, fused attention), rather than leave it out.
    """

    def __init__(self) -> None:
        self._readings: dict[str, Any] = {}
        self._hidden: tuple[str, ...] = ()
        self._formulas = Formulas()

    def use_formulas(self, formulas: Iterable[Formula]) -> None:
        """Take the formulas of plugins, which say whether there are products in operators of their own."""
        self._formulas = Formulas(formulas)

    def deployed(self, trained: Trained) -> None:
        """Count what runs in a prediction of 32 rows."""
        inputs, predict = trained.rows(ROWS), trained.eager()
        synapses, left = _Synapses(self._formulas), Departures()
        with use_plain_layers(), listening(synapses.fired), left, Counter(synapses, left):
            predict(inputs)
        self._hidden = tuple(synapses.hidden)
        read = synapses.readings(trained.examples(inputs))
        self._readings = bound_readings(read, COUNTS, explain_unseen(synapses.tally, left, self._formulas))

    def readings(self) -> Mapping[str, Any]:
        """Return counts per example; the firing rate per neuron and time step."""
        if self._hidden:
            names = ", ".join(self._hidden)
            raise Unsupported(f"{names}: a product inside one operator, whose zeros cannot be seen")
        return dict(self._readings)


class _Synapses:
    """Counts of one prediction, and the storages that hold spikes."""

    def __init__(self, formulas: Formulas) -> None:
        self.hidden: dict[str, None] = {}
        self.tally = Tally(formulas=formulas)
        self._formulas = formulas
        self._accumulates = self._multiplies = self._dense = 0
        self._spikes = self._chances = 0
        self._declared = TensorSet()

    def fired(self, spikes: Tensor) -> None:
        """Count the spikes that a population has declared."""
        self._spikes += int(spikes.count_nonzero())
        self._chances += spikes.numel()
        self._declared.add(spikes)

    def add(self, phase: Phase, call: Call) -> None:
        """Count an operator if it is a product, and follow spikes through views and copies."""
        self.tally.add(phase, call)
        found = count_pairs(call)
        if found is not None:
            accumulates = any(factor in self._declared for factor in found.factors)
            self._accumulates += found.effective if accumulates else 0
            self._multiplies += 0 if accumulates else found.effective
            self._dense += found.dense
        elif (done := self._formulas.count_work(call)) is not None and done.macs:
            self.hidden[call.name] = None
        self._follow_spikes(call)

    def readings(self, examples: int) -> dict[str, Any]:
        uncovered = self.tally.uncovered()
        counted = {
            "synaptic_ops": (self._accumulates + self._multiplies) / examples,
            "synaptic_acs": self._accumulates / examples,
            "synaptic_macs": self._multiplies / examples,
            "synaptic_dense_ops": self._dense / examples,
            "synaptic_uncovered": uncovered,
            "synaptic_uncovered_share": sum(row["share"] for row in uncovered.values()),
        }
        return counted | ({"firing_rate": self._spikes / self._chances} if self._chances else {})

    def _follow_spikes(self, call: Call) -> None:
        if call.key in COPIES and self._moves_spikes(call):
            for result in find_tensors(call.result):
                self._declared.add(result)
            return
        for tensor in find_written(call.func, (), call.arguments):
            self._declared.discard(tensor)

    def _moves_spikes(self, call: Call) -> bool:
        """Whether all numbers that the result is made of are spikes, those that it overwrites left out."""
        overwritten = {id(tensor) for tensor in find_written(call.func, (), call.arguments)}
        sources = [each for each in find_tensors(list(call.arguments.values())) if id(each) not in overwritten]
        numbers = [each for each in sources if each.is_floating_point()]
        return bool(numbers) and all(each in self._declared for each in numbers)
