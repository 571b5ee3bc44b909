"""BPTT: backpropagation through time with surrogate gradients (Neftci et al. 2019; Wu et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness import Method, hookimpl, option
from harness_spiking.config import SpikingOptions


@dataclass(frozen=True)
class OwnOptions:
    """What only BPTT has. A dataclass takes the fields of its last base first, so it stands before the shared ones."""

    detach_reset: bool = option(True, "whether the reset is a constant to the gradient")


@dataclass(frozen=True)
class BPTTOptions(SpikingOptions, OwnOptions):
    """The exact surrogate gradient, to which `convention` makes no difference."""


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
    )
