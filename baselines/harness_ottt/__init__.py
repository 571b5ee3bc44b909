"""OTTT: online training of spiking networks through time (Xiao et al., NeurIPS 2022, arXiv 2210.04195)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness import Method, UsageError, hookimpl, option
from harness_spiking.config import TraceOptions
from harness_spiking.offers import offer_method

harness_interface = 2

CITATION = """
@inproceedings{xiao2022ottt,
  author = {Xiao, Mingqing and Meng, Qingyan and Zhang, Zongpeng and He, Di and Lin, Zhouchen},
  title = {Online Training Through Time for Spiking Neural Networks},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2022},
  eprint = {2210.04195},
  archiveprefix = {arXiv},
}
@inproceedings{meng2023sltt,
  author = {Meng, Qingyan and Xiao, Mingqing and Yan, Shen and Wang, Yisen and Lin, Zhouchen and Luo, Zhi-Quan},
  title = {Towards Memory- and Time-Efficient Backpropagation for Training Spiking Neural Networks},
  booktitle = {IEEE/CVF International Conference on Computer Vision},
  year = {2023},
  eprint = {2302.14311},
  archiveprefix = {arXiv},
}
"""


@dataclass(frozen=True, kw_only=True)
class OTTTOptions(TraceOptions):
    """OTTT_A in its published form by default.

    forward: "official" runs two linear operations per layer and step, one on spikes for the value and one on traces for
    the gradient; "fused" runs the first and keeps the trace for the second's gradient, which is the same.
    presynaptic: with "spike" instead of its trace, the gradient is that of SLTT, spatial learning through time (Meng et
    al., ICCV 2023): of each step as if there were no other. Value and gradient then come from the same spikes, and one
    operation is enough for both. Nothing else of SLTT is here: not SLTT-K, which goes
    backward at K steps drawn at random, nor its networks and settings.
    """

    update: Literal["accumulated", "online"] = option(
        "accumulated", "one optimiser step per batch (OTTT_A), or per time step (OTTT_O)"
    )
    forward: Literal["official", "fused"] = option(
        "official",
        "linear operations per layer and step: two as published, or one; with presynaptic=spike it is one in any case",
        needs={"presynaptic": "trace"},
    )
    presynaptic: Literal["trace", "spike"] = option(
        "trace",
        "what the error of a step is multiplied with for a weight's gradient; spike is SLTT's rule, of SLTT only that",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.presynaptic == "spike" and self.convention is not None:
            raise UsageError(
                f"convention={self.convention}: conventions are about traces, and with presynaptic=spike no gradient "
                "sees a trace; leave convention out"
            )


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield offer_method(
        "ottt",
        "online training through time: gradients local in time, from presynaptic traces",
        learner="harness_ottt.learner",
        config=OTTTOptions,
        paper="Xiao et al., Online Training Through Time for Spiking Neural Networks, NeurIPS 2022",
        citation=CITATION,
    )
