"""Spike Representation: gradients from firing rates (OTTT's section 3, after Wu et al. 2021 and Xiao et al. 2021; DSR,
Meng et al., CVPR 2022, arXiv 2205.00459).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp
from typing import Literal, NamedTuple

from harness import Method, UsageError, hookimpl, option
from harness_spiking.config import FAMILY, NO_EQUILIBRIUM, SpikingOptions, SurrogateName
from harness_torch.training.options import refuse_without_effect

harness_interface = 2

LONG = 10  # steps up to which the published values for 5 steps hold, those for 20 beyond


@dataclass(frozen=True, kw_only=True)
class SpikeRepresentationOptions(SpikingOptions):
    """The clamp form by default.

    No spike is differentiated, so there is no surrogate, and no `convention`: there is one backward pass, on means over
    time, and in a mean a bias counts once. With form=dsr, `leak` follows from the time constant.
    """

    form: Literal["clamp", "dsr"] = option(
        "clamp", "LIF neurons whose weighted rate is a clamped map, or DSR with neurons and thresholds of its own"
    )
    neuron: Literal["lif", "if"] | None = option(None, "dsr's neuron, leaky or not; lif by default")
    chunk: int = option(1, "time steps that go through a layer together: same gradients, more memory", low=1)
    fire_at: float | None = option(
        None, "dsr: share of the threshold at which a neuron fires; lif 0.5 (0.3 beyond 10 steps), if 0.5", above=0
    )
    time_constant: float | None = option(None, "dsr's lif: time constant of the potential; 1 by default", above=0)
    time_step: float | None = option(
        None, "dsr's lif: length of a step in the same unit; 0.1 (0.05 beyond 10 steps) by default", above=0
    )
    threshold_bound: float | None = option(
        None, "dsr: the least threshold that training may reach; lif 0.001 (0.0005 beyond 10 steps), if 0.01", above=0
    )

    threshold: float | None = option(  # type: ignore[assignment]
        None,
        "potential subtracted at a spike, 1 by default; dsr trains it from lif 0.6 (0.3 beyond 10 steps), if 6",
        above=0,
    )
    loss_lambda: float | None = option(
        None, "share of the squared error in the loss, cross-entropy has the rest; 0.05, for dsr 0", low=0, high=1
    )
    surrogate: SurrogateName = option("sigmoid", "of no spike", listed=False)
    surrogate_scale: float | None = option(None, "of no surrogate", listed=False)
    feedback: bool = option(False, "needs an equilibrium solve", listed=False)
    convention: Literal["official", "theory"] | None = option(None, "of gradients local in time", listed=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_without_effect(self, ["surrogate", "surrogate_scale"], "no spike is differentiated")
        refuse_without_effect(
            self, ["convention"], "there is one gradient, of means over time, and it is the same in both"
        )
        if self.feedback:
            raise UsageError(f"{NO_EQUILIBRIUM}; use feedback=no, or saf, ottt, bptt, which follow time")
        refused = self._foreign()
        if refused:
            raise UsageError(refused)

    def _foreign(self) -> str:
        """Why an option that was given does not belong to this form and neuron; empty where all do."""
        own = {name: getattr(self, name) for name in ("fire_at", "time_constant", "time_step", "threshold_bound")}
        given = [name for name, value in {"neuron": self.neuron, **own}.items() if value is not None]
        if self.form == "clamp" and given:
            return f"{given[0]} belongs to form=dsr; form=clamp has leak and threshold"
        if self.form == "dsr" and self.leak != SpikingOptions.leak:
            return "leak belongs to form=clamp; that of form=dsr is exp(-time_step / time_constant)"
        timed = [name for name in given if name in ("time_constant", "time_step")]
        if self.neuron == "if" and timed:
            return f"{timed[0]} belongs to neuron=lif; neuron=if does not leak"
        return ""

    @property
    def fusible(self) -> bool:
        return self.form == "clamp"

    @property
    def scale(self) -> float:
        """Without a surrogate, potentials are in their own units."""
        return 1.0

    @property
    def shared_loss(self) -> float:
        """`loss_lambda`, resolved: DSR is published with cross-entropy alone."""
        return 0.0 if self.form == "dsr" and self.loss_lambda is None else super().shared_loss


class Neuron(NamedTuple):
    """A neuron of DSR, with I its current and V its threshold, the latter trained from `threshold`, above `bound`.

        m[t] = decay m[t-1] + gain I[t],    fired = H(m - fire_at V),    m -= V fired,    out[t] = V fired / step

    lif: decay = exp(-step / constant), gain = 1 - decay. if: decay = gain = step = constant = 1.
    """

    leaky: bool
    threshold: float
    fire_at: float
    bound: float
    constant: float = 1.0
    step: float = 1.0

    @property
    def decay(self) -> float:
        return exp(-self.step / self.constant) if self.leaky else 1.0

    @property
    def gain(self) -> float:
        return 1 - self.decay if self.leaky else 1.0

    @property
    def ceiling(self) -> float:
        """The mean current, in thresholds, at which the neuron fires at every step."""
        return self.constant / self.step


# Published for CIFAR: lif with 20 and with 5 steps; if.
LIF_LONG = Neuron(True, threshold=0.3, fire_at=0.3, bound=5e-4, step=0.05)
LIF_SHORT = Neuron(True, threshold=0.6, fire_at=0.5, bound=1e-3, step=0.1)
IF = Neuron(False, threshold=6.0, fire_at=0.5, bound=0.01)


def neuron(options: SpikeRepresentationOptions, steps: int) -> Neuron:
    """DSR's neuron: what was given, else the published values for this neuron and about so many steps."""
    published = IF if options.neuron == "if" else LIF_LONG if steps > LONG else LIF_SHORT
    return Neuron(
        published.leaky,
        options.threshold or published.threshold,
        options.fire_at or published.fire_at,
        options.threshold_bound or published.bound,
        options.time_constant or published.constant,
        options.time_step or published.step,
    )


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield Method(
        "spike-representation",
        "one backward pass on firing rates, as a function of mean input currents; DSR with form=dsr",
        factory="harness_spike_representation.learner:build",
        kinds=("classification",),
        config=SpikeRepresentationOptions,
        paper="Meng et al., Training High-Performance Low-Latency Spiking Neural Networks by Differentiation on Spike "
        "Representation, CVPR 2022; Xiao et al., NeurIPS 2022, section 3",
        role="baseline",
        precisions=("fp32", "tf32", "bf16"),
        family=FAMILY,
    )
