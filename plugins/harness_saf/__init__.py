"""SAF: spike accumulation forwarding for training spiking networks (Saiin et al., TMLR 2024, arXiv 2310.02772)."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness import Method, Suite, UsageError, hookimpl, option
from harness_spiking.config import SpikingOptions


@dataclass(frozen=True)
class OwnOptions:
    """What only SAF has. A dataclass takes the fields of its last base first, so these stand before the shared ones."""

    variant: Literal["every", "final"] = option("every", "loss at every step (SAF-E), or at the final one only (SAF-F)")
    update: Literal["accumulated", "online"] = option(
        "accumulated", "optimiser steps: one per mini-batch, or one per step"
    )


@dataclass(frozen=True)
class SAFOptions(SpikingOptions, OwnOptions):
    """SAF-E by default, with one optimiser step per mini-batch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variant == "final" and self.update == "online":
            raise UsageError("saf: variant=final has one loss per mini-batch; update=online needs variant=every")


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield Method(
        "saf",
        "spike accumulation forwarding: the trace is the only state and the only input of each layer",
        factory="harness_saf.learner:build",
        kinds=("classification",),
        config=SAFOptions,
        paper="Saiin et al., Spike Accumulation Forwarding for Effective Training of Spiking Neural Networks, "
        "TMLR 2024",
    )


@hookimpl
def harness_suites() -> Iterator[Suite]:
    for path in sorted(Path(__file__).with_name("suites").glob("*.toml"), key=lambda path: path.stem):
        yield Suite(path.stem, tomllib.loads(path.read_text(encoding="utf-8"))["summary"], path)
