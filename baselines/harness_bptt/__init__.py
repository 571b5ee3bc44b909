"""BPTT: backpropagation through time with surrogate gradients (Neftci et al. 2019; Wu et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness import Method, UsageError, hookimpl, option
from harness_spiking.config import SpikingOptions, refuse_without_effect


@dataclass(frozen=True)
class OwnOptions:
    """What only BPTT has. A dataclass takes the fields of its last base first, so it stands before the shared ones."""

    detach_reset: bool = option(True, "whether the reset is a constant to the gradient")
    saved: Literal["exact", "packed"] = option(
        "exact", "what is kept of the past: all of it, or spikes as bits and the surrogate in 8 bits, an approximation"
    )


@dataclass(frozen=True)
class BPTTOptions(SpikingOptions, OwnOptions):
    """The exact surrogate gradient, which has no `convention`."""

    convention: Literal["official", "theory"] | None = option(None, "of gradients local in time", listed=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_without_effect(
            self, ["convention"], "bptt follows the equations through time, which leave nothing to a convention"
        )
        if self.saved == "packed" and (self.feedback or self.reset == "hard"):
            raise UsageError("saved=packed goes layer by layer, without feedback and with reset=soft")

    @property
    def _hard_reset_allowed(self) -> bool:
        return True


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield Method(
        "bptt",
        "backpropagation through time with a surrogate derivative, layer by layer over all steps",
        factory="harness_bptt.learner:build",
        kinds=("classification",),
        config=BPTTOptions,
        paper="Neftci et al., Surrogate Gradient Learning in Spiking Neural Networks, 2019",
        role="baseline",
        precisions=("fp32", "tf32", "bf16"),
    )
