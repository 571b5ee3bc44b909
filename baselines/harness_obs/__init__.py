"""Weights removed by optimal brain surgeon."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness import Method, UsageError, hookimpl, option
from harness_recurrent.config import WeightOptions
from harness_recurrent.offers import offer_compression

harness_interface = 2

CITATION = """
@inproceedings{hassibi1993obs,
  author = {Hassibi, Babak and Stork, David G.},
  title = {Second Order Derivatives for Network Pruning: {Optimal Brain Surgeon}},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {1993},
}
@inproceedings{frantar2022obc,
  author = {Frantar, Elias and Alistarh, Dan},
  title = {Optimal Brain Compression: A Framework for Accurate Post-Training Quantization and Pruning},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2022},
  eprint = {2208.11580},
  archiveprefix = {arXiv},
}
@inproceedings{frantar2023sparsegpt,
  author = {Frantar, Elias and Alistarh, Dan},
  title = {{SparseGPT}: Massive Language Models Can Be Accurately Pruned in One-Shot},
  booktitle = {International Conference on Machine Learning},
  year = {2023},
  eprint = {2301.00774},
  archiveprefix = {arXiv},
}
"""


@dataclass(frozen=True)
class ObsOptions(WeightOptions):
    """Options of optimal brain surgeon: the search for weights to remove, and the damping of the Hessian."""

    search: Literal["exact", "blocks"] = option(
        "exact",
        "one weight after the other, the best of each row (cubic in the inputs for each row: up to some hundred); or "
        "SparseGPT's single pass over columns",
    )
    damp: float = option(0.01, "added to the Hessian's diagonal, as a share of its mean", above=0)
    block: int = option(
        32,
        "of search=blocks: columns whose weights compete with each other; 128 in layers of thousands",
        low=1,
        needs={"search": "blocks"},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.search == "blocks" and self.scope != "layer":
            raise UsageError(
                f"scope={self.scope}: search=blocks removes the same share of each block; use search=exact"
            )


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield offer_compression(
        "obs-pruning",
        "removes the single weights whose loss the others can best make up for, and lets them",
        factory="harness_obs.learner:build",
        config=ObsOptions,
        paper="Hassibi and Stork, 1993; Frantar and Alistarh, 2022, arXiv 2208.11580, and 2023, arXiv 2301.00774",
        citation=CITATION,
    )
