"""Spectral pruning of recurrent networks (arXiv 2105.10832): keep the nodes that best reconstruct the hidden state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness import Method, Suite, hookimpl, option
from harness_recurrent.config import NodeOptions
from harness_recurrent.offers import offer_compression

harness_interface = 2

CITATION = """
@inproceedings{furuya2022spectral,
  author = {Furuya, Takashi and Suetake, Kazuma and Taniguchi, Koichi and Kusumoto, Hiroyuki and Saiin, Ryuji and
    Daimon, Tomohiro},
  title = {Spectral Pruning for Recurrent Neural Networks},
  booktitle = {International Conference on Artificial Intelligence and Statistics},
  pages = {3458--3482},
  year = {2022},
  eprint = {2105.10832},
  archiveprefix = {arXiv},
}
"""


@dataclass(frozen=True)
class SpectralOptions(NodeOptions):
    """Options of spectral pruning: the weighted loss, and the search for nodes."""

    theta: float = option(
        0.5,
        "weight of the input information loss (how well the state itself is rebuilt) beside the output information "
        "loss (how well what reads it is)",
        low=0,
        high=1,
    )
    search: Literal["greedy", "backward"] = option(
        "greedy",
        "add the node that lowers the loss most, from none; or take away that which raises it least, from all, which "
        "is structured optimal brain surgeon with that loss",
    )

    @property
    def reconstruction_options(self) -> tuple[str, ...]:
        """None: the loss by which nodes are chosen is that of their reconstruction."""
        return ()


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield offer_compression(
        "spectral-pruning",
        "keeps the hidden nodes that best reconstruct the hidden state, and rebuilds the weights around them",
        factory="harness_spectral.learner:build",
        config=SpectralOptions,
        paper="Spectral Pruning for Recurrent Neural Networks, AISTATS 2022, arXiv 2105.10832",
        citation=CITATION,
        role="proposed",
    )


@hookimpl
def harness_suites() -> Iterator[Suite]:
    yield from Suite.from_folder(Path(__file__).with_name("suites"))
