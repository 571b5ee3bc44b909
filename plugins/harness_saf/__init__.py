"""SAF: spike accumulation forwarding for training spiking networks (Saiin et al., TMLR 2024, arXiv 2310.02772)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness import Method, Suite, UsageError, hookimpl, option
from harness_spiking.config import NO_EQUILIBRIUM, SurrogateName, TraceOptions
from harness_spiking.offers import offer_method

harness_interface = 2

CITATION = """
@article{saiin2024saf,
  author = {Saiin, Ryuji and Shirakawa, Tomoya and Yoshihara, Sota and Sawada, Yoshihide and Kusumoto, Hiroyuki},
  title = {Spike Accumulation Forwarding for Effective Training of Spiking Neural Networks},
  journal = {Transactions on Machine Learning Research},
  year = {2024},
  eprint = {2310.02772},
  archiveprefix = {arXiv},
}
"""

OFFICIAL_NEEDS_EVERY_STEP = (
    "variant=final has one loss, at the last step, so that no other step makes up for what the official form leaves "
    "out: biases would get a fraction 1 / L_T of its derivative (0.508 at T = 6 and leak 0.5), and of frames the first "
    "layer would see the last one alone; leave convention out, for theory, or use variant=every"
)


@dataclass(frozen=True, kw_only=True)
class SAFOptions(TraceOptions):
    """SAF-E by default, with one optimiser step per mini-batch.

    surrogate "clamp", for variant final: the derivative of the firing rate as a function of the weighted input, with
    which SAF-F's gradient is that of Spike Representation at any threshold: without a steepness or feedback.
    """

    variant: Literal["every", "final"] = option("every", "loss at every step (SAF-E), or at the final one only (SAF-F)")
    update: Literal["accumulated", "online"] = option(
        "accumulated",
        "optimiser steps: one per mini-batch, or one per step, which is another training than OTTT_O's: traces count "
        "past spikes by the weights of now",
    )
    convention: Literal["official", "theory"] | None = option(
        None,
        "first layer, biases and readout in gradients that are local in time; official by default, theory where "
        "variant=final, which has no other",
    )
    surrogate: SurrogateName | Literal["clamp"] = option(  # type: ignore[assignment]
        "sigmoid", "shape of the surrogate derivative of a spike; clamp makes variant=final Spike Representation"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variant == "final" and self.online:
            raise UsageError("variant=final has one loss per mini-batch; update=online needs variant=every")
        if self.variant == "final" and self.convention == "official":
            raise UsageError(f"convention=official: {OFFICIAL_NEEDS_EVERY_STEP}")
        if self.surrogate == "clamp" and self.variant == "every":
            raise UsageError("surrogate=clamp is the derivative of the rates at the end; it needs variant=final")
        if self.surrogate == "clamp":
            self._refuse_beside_clamp()

    @property
    def resolved_convention(self) -> Literal["official", "theory"]:
        return "theory" if self.variant == "final" else super().resolved_convention

    def _refuse_beside_clamp(self) -> None:
        if self.surrogate_scale is not None:
            raise UsageError(
                f"surrogate_scale={self.surrogate_scale}: surrogate=clamp is a clamped rate's slope, with no "
                "steepness; leave surrogate_scale out"
            )
        if self.feedback:
            raise UsageError(
                f"feedback=yes: surrogate=clamp makes variant=final Spike Representation, and {NO_EQUILIBRIUM}; "
                "use feedback=no, or another surrogate"
            )


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield offer_method(
        "saf",
        "spike accumulation forwarding: the trace is the only state and the only input of each layer",
        learner="harness_saf.learner",
        config=SAFOptions,
        paper="Saiin et al., Spike Accumulation Forwarding for Effective Training of Spiking Neural Networks, "
        "TMLR 2024",
        role="proposed",
        citation=CITATION,
    )


@hookimpl
def harness_suites() -> Iterator[Suite]:
    yield from Suite.from_folder(Path(__file__).with_name("suites"))
