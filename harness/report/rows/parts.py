"""Parts of costs: operations by phase and kind, memory by what holds it, estimated energy. Parts that are
stacked add up to a whole: nothing is counted twice.

Energies are of arithmetic in 32-bit floating point and of memory at 45 nm, as in Horowitz, "Computing's energy problem
(and what we can do about it)", ISSCC 2014, figure 1.1.9. Element-wise operations are not in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from harness.report.rows.table import Row
from harness.report.rows.values import read_measured
from harness.statistics import estimate_mean

MAC_JOULES = 4.6e-12  # a multiplication, 3.7 pJ, and an addition, 0.9 pJ
AC_JOULES = 0.9e-12
SRAM_JOULES = 100e-12 / 8  # a byte of the 64 bits that a cache of 1 MB gives for 100 pJ
DRAM_JOULES = 1.3e-9 / 8  # a byte of the 64 bits that DRAM gives for 1.3 nJ, the least of the range stated
SOURCE = "Horowitz, ISSCC 2014, 45 nm"

MACS, ACS, ELEMENTWISE = "multiply-accumulates", "accumulates", "element-wise operations"
PHASES = {"forward": "forward", "backward": "backward", "optimizer": "optimiser"}


class Part(NamedTuple):
    """A part of a whole: what it is of, what it is, how much."""

    of: str
    what: str
    amount: float


class Energy(NamedTuple):
    """Estimated joules of a prediction of one example: of all multiply-accumulates executed; of those alone whose
    weight and input are not zero, where a spike only accumulates; of the bytes moved, from a cache or from DRAM. None:
    not known. metered: joules of a whole training, measured on its device; no part of the others.
    """

    executed: float | None
    effective: float | None
    cache: float | None
    dram: float | None
    metered: float | None = None


def split_update(row: Row) -> tuple[Part, ...]:
    """Split the operations of a training update by phase, and there by kind."""
    return tuple(
        Part(phase, kind, amount)
        for name, phase in PHASES.items()
        for kind, suffix in ((MACS, "macs"), (ELEMENTWISE, "elementwise_ops"))
        if (amount := read_mean(row, f"{name}_{suffix}")) is not None
    )


def split_prediction(row: Row) -> tuple[Part, ...]:
    """Split the operations of a prediction of one example as executed: every multiply-accumulate, be it of zeros."""
    return tuple(_known_parts(row, "executed", ((MACS, "inference_macs"), (ELEMENTWISE, "inference_elementwise_ops"))))


def split_effective(row: Row) -> tuple[Part, ...]:
    """Split the pairs of nonzero weight and nonzero input in a prediction of one example: a spike only accumulates."""
    return tuple(_known_parts(row, "nonzero", ((MACS, "synaptic_macs"), (ACS, "synaptic_acs"))))


def split_training_memory(row: Row) -> tuple[Part, ...]:
    """Split the peak of a training update's tensors: carried from step to step, other activations, and all else.

    All else: weights, gradients, the optimiser's state, operators' own temporaries.
    """
    state, active, peak = (read_mean(row, name) for name in ("state_bytes", "activation_bytes", "tensor_peak_bytes"))
    if active is None:
        return ()
    own = [("activations", active)]
    if state is not None and state <= active:
        own = [("carried from step to step", state), ("other activations", active - state)]
    rest = (
        [("weights, gradients, optimiser, temporaries", peak - active)] if peak is not None and peak >= active else []
    )
    return tuple(Part("update", what, amount) for what, amount in (*own, *rest))


def split_prediction_memory(row: Row) -> tuple[Part, ...]:
    """Split the memory of a prediction of 32 rows: the network as it is stored, and activations."""
    wanted = (("network as stored", "stored_bytes"), ("activations", "inference_activation_bytes"))
    return tuple(_known_parts(row, "prediction", wanted))


def estimate_energy(row: Row) -> Energy:
    """Estimate the energy of a prediction of one example."""
    macs, moved = read_mean(row, "inference_macs"), read_mean(row, "inference_bytes_moved")
    pairs = {part.what: part.amount for part in split_effective(row)}
    return Energy(
        executed=None if macs is None else macs * MAC_JOULES,
        effective=pairs[MACS] * MAC_JOULES + pairs[ACS] * AC_JOULES if {MACS, ACS} <= pairs.keys() else None,
        cache=None if moved is None else moved * SRAM_JOULES,
        dram=None if moved is None else moved * DRAM_JOULES,
        metered=read_mean(row, "energy_joules"),
    )


def read_mean(row: Row, name: str) -> float | None:
    """Read the mean of what was measured in the trials of a row that ended ok; None where nothing was."""
    good = (record for record in row.records if record.status == "ok")
    return estimate_mean([number for record in good if (number := read_measured(record, name)) is not None]).mean


def _known_parts(row: Row, of: str, wanted: Iterable[tuple[str, str]]) -> Iterator[Part]:
    for what, name in wanted:
        if (amount := read_mean(row, name)) is not None:
            yield Part(of, what, amount)
