"""BPTT: backpropagation through time with surrogate gradients (Neftci et al. 2019; Wu et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import ClassVar, Literal

from harness import Method, UsageError, hookimpl, option
from harness_spiking.config import SurrogateOptions
from harness_spiking.offers import offer_method

harness_interface = 2

CITATION = """
@article{neftci2019surrogate,
  author = {Neftci, Emre O. and Mostafa, Hesham and Zenke, Friedemann},
  title = {Surrogate Gradient Learning in Spiking Neural Networks},
  journal = {IEEE Signal Processing Magazine},
  volume = {36},
  number = {6},
  year = {2019},
  eprint = {1901.09948},
  archiveprefix = {arXiv},
}
"""


@dataclass(frozen=True, kw_only=True)
class BPTTOptions(SurrogateOptions):
    """The exact surrogate gradient, which has no `convention`."""

    absent_options: ClassVar = {
        "convention": "bptt follows the equations through time, which leave nothing to a convention"
    }

    detach_reset: bool = option(True, "whether the reset is a constant to the gradient")
    saved: Literal["exact", "packed"] = option(
        "exact", "what is kept of the past: all of it, or spikes as bits and the surrogate in 8 bits, an approximation"
    )
    recompute: int | Literal["auto"] | None = option(
        None,
        "keep the state of every so many steps alone and compute what lies between again: less memory, a second "
        "forward pass; auto: sqrt(T); none by default: keep all",
        low=1,
    )
    chunk: int | None = option(
        None, "time steps that go through a layer together; by default all, or all between two kept states", low=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.saved == "packed" and (self.feedback or self.reset == "hard"):
            raise UsageError("saved=packed goes layer by layer, without feedback and with reset=soft")
        if self.saved == "packed" and (self.recompute is not None or self.chunk is not None):
            raise UsageError("saved=packed packs all steps together; recompute and chunk need saved=exact")
        self.refuse_chunk(self.chunk or 1)
        if self.reset == "hard" and (self.chunk or 1) > 1:
            raise UsageError(f"chunk={self.chunk}: a hard reset goes step by step; use chunk=1 or leave chunk out")
        if isinstance(self.recompute, int) and self.recompute % (self.chunk or 1):
            raise UsageError(
                f"recompute={self.recompute}: expected a multiple of chunk={self.chunk}, so that states are kept "
                "between chunks"
            )

    @property
    def fusible(self) -> bool:
        return self.saved == "exact" and self.reset == "soft" and not self.feedback

    @property
    def in_parts(self) -> bool:
        """Whether time is cut at all."""
        return self.recompute is not None or self.chunk is not None

    def kept_every(self, steps: int) -> int:
        """Steps from one kept state to the next; all of them where nothing is computed again."""
        if self.recompute == "auto":
            chunk = self.chunk or 1
            return max(chunk, round(sqrt(steps) / chunk) * chunk)
        return steps if self.recompute is None else min(self.recompute, steps)

    def steps_together(self, steps: int) -> int:
        """`chunk`, resolved: one step where time is the outer loop."""
        if self.feedback or self.reset == "hard":
            return 1
        return min(self.chunk or self.kept_every(steps), steps)

    @property
    def _hard_reset_allowed(self) -> bool:
        return True


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield offer_method(
        "bptt",
        "backpropagation through time with a surrogate derivative, layer by layer over all steps",
        learner="harness_bptt.learner",
        config=BPTTOptions,
        paper="Neftci et al., Surrogate Gradient Learning in Spiking Neural Networks, 2019",
        citation=CITATION,
    )
