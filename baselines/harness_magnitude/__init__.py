"""Weights that are small are removed, at once or gradually."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness import Method, UsageError, hookimpl, option
from harness_recurrent.config import WeightOptions
from harness_recurrent.offers import offer_compression

harness_interface = 2

CITATION = """
@inproceedings{han2015weights,
  author = {Han, Song and Pool, Jeff and Tran, John and Dally, William J.},
  title = {Learning both Weights and Connections for Efficient Neural Networks},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2015},
  eprint = {1506.02626},
  archiveprefix = {arXiv},
}
@inproceedings{sun2024wanda,
  author = {Sun, Mingjie and Liu, Zhuang and Bair, Anna and Kolter, J. Zico},
  title = {A Simple and Effective Pruning Approach for Large Language Models},
  booktitle = {International Conference on Learning Representations},
  year = {2024},
  eprint = {2306.11695},
  archiveprefix = {arXiv},
}
"""


@dataclass(frozen=True)
class MagnitudeOptions(WeightOptions):
    """Options of magnitude pruning: the score of a weight, and when weights are removed."""

    score: Literal["magnitude", "wanda"] = option(
        "magnitude", "what is small: |W|, or |W| times the root mean square of what the weight reads"
    )
    gradual: bool = option(
        False, "remove them over fine-tuning, first many, then few (Zhu and Gupta, arXiv 1710.01878), not at once"
    )
    ramp: float = option(
        0.5,
        "of gradual: share of the updates after which the last has gone",
        above=0,
        high=1,
        needs={"gradual": True},
    )
    interval: int = option(10, "of gradual: updates from one removal to the next", low=1, needs={"gradual": True})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gradual and not self.finetune:
            raise UsageError("gradual=yes removes weights while the network is trained on: give finetune=1 or more")
        if self.gradual and self.score != "magnitude":
            raise UsageError(
                f"gradual=yes: score={self.score} is of what the base has read, and the weights move; leave one out"
            )


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield offer_compression(
        "magnitude-pruning",
        "removes single weights, the smallest first: masks, or sparse rows",
        factory="harness_magnitude.learner:build",
        config=MagnitudeOptions,
        paper="Han et al., Learning both Weights and Connections for Efficient Neural Networks, 2015, arXiv 1506.02626",
        citation=CITATION,
    )
