"""Intrinsic sparse structures: training itself makes whole nodes small, before they are cut (arXiv 1709.05027)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from harness import Method, UsageError, hookimpl, option
from harness_recurrent.config import NodeOptions
from harness_recurrent.offers import offer_compression

harness_interface = 2

CITATION = """
@inproceedings{wen2018iss,
  author = {Wen, Wei and He, Yuxiong and Rajbhandari, Samyam and Zhang, Minjia and Wang, Wenhan and Liu, Fang and Hu,
    Bin and Chen, Yiran and Li, Hai},
  title = {Learning Intrinsic Sparse Structures within Long Short-Term Memory},
  booktitle = {International Conference on Learning Representations},
  year = {2018},
  eprint = {1709.05027},
  archiveprefix = {arXiv},
}
"""


@dataclass(frozen=True)
class IssOptions(NodeOptions):
    """How long and how strongly nodes are made small; all of it is part of fine-tuning."""

    cuts_the_base: ClassVar[bool] = False

    finetune: int = option(10, "epochs of training: the first share `sparse` of them before nodes are cut", low=0)
    sparse: float = option(
        0.5,
        "share of those updates that nodes are made small in; the others train the network that is left",
        above=0,
        high=1,
    )
    penalty: float = option(
        0.2,
        "weight of the group lasso, as the share of the mean node's norm that it takes away over those updates, were "
        "nothing to hold against it: the same for long and for short training",
        low=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.finetune:
            raise UsageError(
                "finetune=0: nodes are made small by training; give it epochs, or take node-pruning, which needs none"
            )


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield offer_compression(
        "iss",
        "trains on with a penalty on whole hidden nodes, cuts all but the largest, and trains what is left",
        factory="harness_iss.learner:build",
        config=IssOptions,
        paper="Wen et al., Learning Intrinsic Sparse Structures within Long Short-Term Memory, ICLR 2018, "
        "arXiv 1709.05027",
        citation=CITATION,
    )
