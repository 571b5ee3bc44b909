"""What all spiking methods have in common, as options. Plain Python, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness import option
from harness_spiking.architectures import tokens

DEFAULT_STEPS = 6  # the papers' choice for static images


@dataclass(frozen=True)
class SpikingOptions:
    """Options of every spiking method. Raises UsageError for an architecture that cannot be read.

    convention: how the first layer, the biases and the readout take part in a gradient that is local in time.
    "official" as in the published OTTT code: the first layer sees the plain input, biases count once, the readout sees
    traces. "theory" as follows from the LIF equations: input trace, accumulated bias, and the readout sees spikes.
    """

    steps: int | None = option(None, "time steps of one example; the data set's recipe, else 6, by default", low=1)
    leak: float = option(0.5, "factor by which a potential decays in a step", low=0, high=1)
    threshold: float = option(1.0, "potential at which a neuron fires", above=0)
    surrogate_scale: float = option(4.0, "steepness of the sigmoid surrogate's derivative", above=0)
    loss_lambda: float = option(
        0.05, "share of the squared error in the loss; cross-entropy has the rest", low=0, high=1
    )
    learning_rate: float = option(0.1, "initial learning rate of SGD, cosine to zero", above=0)
    momentum: float = option(0.9, "momentum of SGD", low=0, below=1)
    weight_decay: float = option(0.0, "weight decay of SGD", low=0)
    architecture: str | None = option(None, "layers such as 32C3-AP2-64C3-GAP-FC; by the input's shape by default")
    convention: Literal["official", "theory"] = option("official", "first layer, biases and readout in local gradients")

    def __post_init__(self) -> None:
        if self.architecture is not None:
            tokens(self.architecture)
