"""Spike Representation: gradients from firing rates (OTTT's section 3, after Wu et al. 2021 and Xiao et al. 2021; DSR,
Meng et al., CVPR 2022, arXiv 2205.00459).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp
from typing import ClassVar, Literal, NamedTuple

from harness import Method, hookimpl, option
from harness_spiking.config import NO_EQUILIBRIUM, SpikingOptions
from harness_spiking.offers import offer_method

harness_interface = 2

CITATION = """
@inproceedings{meng2022dsr,
  author = {Meng, Qingyan and Xiao, Mingqing and Yan, Shen and Wang, Yisen and Lin, Zhouchen and Luo, Zhi-Quan},
  title = {Training High-Performance Low-Latency Spiking Neural Networks by Differentiation on Spike Representation},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2022},
  eprint = {2205.00459},
  archiveprefix = {arXiv},
}
@inproceedings{xiao2022ottt,
  author = {Xiao, Mingqing and Meng, Qingyan and Zhang, Zongpeng and He, Di and Lin, Zhouchen},
  title = {Online Training Through Time for Spiking Neural Networks},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2022},
  eprint = {2210.04195},
  archiveprefix = {arXiv},
}
"""

OF_LIF = {"form": "dsr", "neuron": (None, "lif")}  # what options of DSR's leaky neuron need

LONG = 10  # steps up to which the published values for 5 steps hold, those for 20 beyond


@dataclass(frozen=True, kw_only=True)
class SpikeRepresentationOptions(SpikingOptions):
    """The clamp form by default.

    No spike is differentiated, so there is no surrogate, and no `convention`: there is one backward pass, on means over
    time, and in a mean a bias counts once. With form=dsr, `leak` follows from the time constant.
    """

    absent_options: ClassVar = {
        "surrogate": "no spike is differentiated",
        "surrogate_scale": "no spike is differentiated",
        "feedback": f"{NO_EQUILIBRIUM}, unlike that of saf, ottt and bptt, which follow time",
        "convention": "there is one gradient, of means over time, and it is the same in both",
    }

    form: Literal["clamp", "dsr"] = option(
        "clamp", "LIF neurons whose weighted rate is a clamped map, or DSR with neurons and thresholds of its own"
    )
    neuron: Literal["lif", "if"] | None = option(
        None, "dsr's neuron, leaky or not; lif by default", needs={"form": "dsr"}
    )
    chunk: int = option(1, "time steps that go through a layer together: same gradients, more memory", low=1)
    fire_at: float | None = option(
        None,
        "dsr: share of the threshold at which a neuron fires; lif 0.5 (0.3 beyond 10 steps), if 0.5",
        above=0,
        needs={"form": "dsr"},
    )
    time_constant: float | None = option(
        None, "dsr's lif: time constant of the potential; 1 by default", above=0, needs=OF_LIF
    )
    time_step: float | None = option(
        None,
        "dsr's lif: length of a step in the same unit; 0.1 (0.05 beyond 10 steps) by default",
        above=0,
        needs=OF_LIF,
    )
    threshold_bound: float | None = option(
        None,
        "dsr: the least threshold that training may reach; lif 0.001 (0.0005 beyond 10 steps), if 0.01",
        above=0,
        needs={"form": "dsr"},
    )

    leak: float = option(
        0.5,
        "factor by which a potential decays in a step; of dsr it is exp(-time_step / time_constant)",
        low=0,
        high=1,
        needs={"form": "clamp"},
    )
    threshold: float | None = option(  # type: ignore[assignment]
        None,
        "potential subtracted at a spike, 1 by default; dsr trains it from lif 0.6 (0.3 beyond 10 steps), if 6",
        above=0,
    )
    loss_lambda: float | None = option(
        None, "share of the squared error in the loss, cross-entropy has the rest; 0.05, for dsr 0", low=0, high=1
    )

    @property
    def fusible(self) -> bool:
        return self.form == "clamp"

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
    yield offer_method(
        "spike-representation",
        "one backward pass on firing rates, as a function of mean input currents; DSR with form=dsr",
        learner="harness_spike_representation.learner",
        config=SpikeRepresentationOptions,
        paper="Meng et al., Training High-Performance Low-Latency Spiking Neural Networks by Differentiation on Spike "
        "Representation, CVPR 2022; Xiao et al., NeurIPS 2022, section 3",
        citation=CITATION,
    )
