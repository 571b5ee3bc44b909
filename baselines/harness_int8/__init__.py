"""Weights of eight bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness import Method, hookimpl
from harness_recurrent.config import NetworkOptions, TuningOptions
from harness_recurrent.offers import offer_compression

harness_interface = 2

CITATION = """
@inproceedings{jacob2018quantization,
  author = {Jacob, Benoit and Kligys, Skirmantas and Chen, Bo and Zhu, Menglong and Tang, Matthew and Howard, Andrew
    and Adam, Hartwig and Kalenichenko, Dmitry},
  title = {Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2018},
  eprint = {1712.05877},
  archiveprefix = {arXiv},
}
"""


@dataclass(frozen=True)
class Int8Options(NetworkOptions, TuningOptions):
    """The network that is quantised; its size is that of the base, and eight bits are all that there is to choose."""

    def __post_init__(self) -> None:
        NetworkOptions.__post_init__(self)
        TuningOptions.__post_init__(self)


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield offer_compression(
        "int8",
        "stores the weights of cells and readout in eight bits, with a scale for each of their rows",
        factory="harness_int8.learner:build",
        config=Int8Options,
        paper="Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only "
        "Inference, 2018, arXiv 1712.05877",
        citation=CITATION,
    )
