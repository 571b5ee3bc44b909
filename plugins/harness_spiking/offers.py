"""The offer that all spiking methods share, so that a package states its own part alone. Plain Python, no torch."""

from __future__ import annotations

from typing import Literal

from harness import Method
from harness_spiking.config import FAMILY


def offer_method(
    name: str,
    summary: str,
    learner: str,
    config: type,
    paper: str,
    citation: str,
    role: Literal["proposed", "baseline"] = "baseline",
) -> Method:
    """Offer a spiking method whose module `learner` has `build`."""
    return Method(
        name,
        summary,
        factory=f"{learner}:build",
        kinds=("classification",),
        config=config,
        paper=paper,
        citation=citation,
        role=role,
        precisions=("fp32", "tf32", "bf16"),
        family=FAMILY,
    )
