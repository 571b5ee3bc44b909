"""Options that all spiking methods have in common. Plain Python, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness import UsageError, option
from harness_spiking.architectures import check
from harness_torch.training.architectures import NAMED
from harness_torch.training.options import OptimiserOptions

FAMILY = "spiking"  # whose recipes the methods follow

SurrogateName = Literal["sigmoid", "rectangle", "triangle", "arctan"]
SCALES: dict[str, float] = {"sigmoid": 4.0, "rectangle": 1.0, "triangle": 1.0, "arctan": 2.0, "clamp": 1.0}

DEFAULT_STEPS = 6  # the papers' choice for static images
DEFAULT_LOSS_LAMBDA = 0.05

SOFT_RESET_ONLY = (
    "a hard reset is not linear in the spikes, so that the trace of spikes no longer stands for the potential and the "
    "method's identity is lost; use reset=soft, which subtracts the threshold, or bptt, which has both"
)

NO_EQUILIBRIUM = (
    "with feedback, rates are the solution of an equation in themselves, and their gradient needs an equilibrium solve"
)


@dataclass(frozen=True)
class NeuronOptions:
    """The neurons, and the loss of the readout."""

    steps: int | None = option(None, "time steps of one example; the data set's recipe, else 6, by default", low=1)
    leak: float = option(0.5, "factor by which a potential decays in a step", low=0, high=1)
    threshold: float = option(1.0, "potential at which a neuron fires", above=0)
    reset: Literal["soft", "hard"] = option(
        "soft", "at a spike the threshold is subtracted, or the potential is zeroed (hard: bptt alone)"
    )
    loss_lambda: float | None = option(
        None,
        "share of the squared error in the loss beside cross-entropy; the data set's recipe, else 0.05, by default",
        low=0,
        high=1,
    )


@dataclass(frozen=True)
class SpikingOptions(OptimiserOptions, NeuronOptions):
    """Options of every spiking method. Raises UsageError for what cannot be read or does not go together."""

    dropout: float | None = option(
        None,
        "share of neurons whose spikes are dropped, the same ones at every step; the recipe's, else none, by default",
        low=0,
        below=1,
    )
    architecture: str | None = option(
        None, f"layers such as 32C3-AP2-64C3-GAP-FC, or {', '.join(NAMED)}; by the input's shape by default"
    )
    micro_batch: int | None = option(
        None,
        "rows of a mini-batch taken at a time: same gradients, less memory; all by default; not with update=online",
        low=1,
    )
    kernels: Literal["auto", "eager"] = option("auto", "fused neurons where there is a GPU, or plain operations")
    graph: bool = option(True, "on a GPU with kernels=auto, replay a whole update as one CUDA graph")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.architecture is not None:
            check(self.architecture, self.feeds_back)
        if self.reset == "hard" and not self._hard_reset_allowed:
            raise UsageError(f"reset=hard: {SOFT_RESET_ONLY}")

    @property
    def _hard_reset_allowed(self) -> bool:
        return False

    @property
    def fusible(self) -> bool:
        """Whether fused kernels are there for all that these neurons are asked to do."""
        return True

    @property
    def shared_loss(self) -> float:
        """`loss_lambda`, resolved."""
        return DEFAULT_LOSS_LAMBDA if self.loss_lambda is None else self.loss_lambda

    @property
    def feeds_back(self) -> bool:
        """Whether spikes of the last layer return to the first one."""
        return False

    @property
    def spike_derivative(self) -> SurrogateName:
        """Name of the derivative that a spike has in backward passes; any will do where none reaches it."""
        return "sigmoid"

    @property
    def scale(self) -> float:
        """Unit of the potentials: without a surrogate, their own."""
        return 1.0


@dataclass(frozen=True, kw_only=True)
class SurrogateOptions(SpikingOptions):
    """Options of methods that differentiate spikes, by a surrogate, and so can follow what returns to the first layer.

    Raises UsageError for what does not go together.
    """

    surrogate: SurrogateName = option("sigmoid", "shape of the surrogate derivative of a spike")
    surrogate_scale: float | None = option(
        None, "its steepness; 4 for sigmoid, 2 for arctan, 1 for rectangle and triangle by default", above=0
    )
    feedback: bool = option(
        False, "spikes of the last layer return to the first one a step later, through a convolution"
    )

    @property
    def feeds_back(self) -> bool:
        return self.feedback

    @property
    def spike_derivative(self) -> SurrogateName:
        return self.surrogate

    @property
    def scale(self) -> float:
        """`surrogate_scale`, resolved."""
        return SCALES[self.surrogate] if self.surrogate_scale is None else self.surrogate_scale

    def refuse_chunk(self, chunk: int) -> None:
        """Raises UsageError where several time steps cannot go through a layer together, with the reason."""
        if chunk > 1 and self.feedback:
            raise UsageError(
                f"chunk={chunk}: with feedback the first layer waits for the last one's step before; use chunk=1"
            )


@dataclass(frozen=True, kw_only=True)
class TraceOptions(SurrogateOptions):
    """Options of methods whose gradients are local in time, from traces.

    convention: how the first layer, the biases and the readout take part in such a gradient.
    "official" as in the published OTTT code: the first layer sees the plain input, biases count once, the readout sees
    traces. "theory" as follows from the LIF equations: input trace, accumulated bias, and the readout sees spikes.
    The official form belongs to a sum of losses over the steps: what it leaves out at one, the others make up for.
    Raises UsageError for what does not go together.
    """

    update: Literal["accumulated", "online"] = option(
        "accumulated", "optimiser steps: one per mini-batch, or one per time step"
    )
    chunk: int = option(1, "time steps that go through a layer together: same gradients, more memory", low=1)
    convention: Literal["official", "theory"] | None = option(
        None, "first layer, biases and readout in gradients that are local in time, from traces; official by default"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_chunk(self.chunk)
        if self.chunk > 1 and self.online:
            raise UsageError(
                f"chunk={self.chunk}: with update=online the weights change at every step; use update=accumulated"
            )
        if self.micro_batch is not None and self.online:
            raise UsageError(
                f"micro_batch={self.micro_batch}: with update=online each step's weights need the whole mini-batch's "
                "gradient; use update=accumulated"
            )

    @property
    def online(self) -> bool:
        """Whether weights change at every time step."""
        return self.update == "online"

    @property
    def resolved_convention(self) -> Literal["official", "theory"]:
        """`convention`, resolved."""
        return self.convention or "official"
