"""MC-dropout: dropout as variational inference, drawn in predictions as well (Gal and Ghahramani, ICML 2016)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness import Method, hookimpl, option
from harness_bayes.config import PredictionOptions, TrainingOptions, refuse_level
from harness_bayes.offers import offer_method

harness_interface = 2

CITATION = """
@inproceedings{gal2016dropout,
  author = {Gal, Yarin and Ghahramani, Zoubin},
  title = {Dropout as a {Bayesian} Approximation: Representing Model Uncertainty in Deep Learning},
  booktitle = {International Conference on Machine Learning},
  year = {2016},
  eprint = {1506.02142},
  archiveprefix = {arXiv},
}
"""

LEARNING_RATE = 1e-3


@dataclass(frozen=True, kw_only=True)
class DropoutOptions(TrainingOptions, PredictionOptions):
    """Options of MC-dropout: Adam at a constant learning rate, as published.

    Inputs are dropped as well as hidden units, as in the published code. Units are dropped one by one, those of a
    convolution after its activation and before pooling. Weights, not biases, decay by
    lengthscale^2 (1 - rate) / (2 N tau): with tau in the targets' own units although the loss is of standardised
    targets, as published. Classes have no noise of their own: there tau is 1.
    """

    rate: float = option(0.05, "probability that an input or a hidden unit is dropped", low=0, below=1)
    tau: float | None = option(
        None,
        "precision of the targets' noise, in their own units ^-2; the middle one of precisions, else that of a noise "
        "of half their standard deviation, by default",
        above=0,
    )
    level: int | None = option(
        None, "instead of tau: which of precisions it is, counted from 0, so that runs can choose among them", low=0
    )
    precisions: tuple[float, ...] | None = option(
        None,
        "tau of each level; those of the published runs, by the data set's recipe, by default",
        above=0,
    )
    lengthscale: float = option(1e-2, "prior length-scale: weights decay with its square", low=0)

    schedule: Literal["cosine", "constant", "one-cycle", "stairs"] = option(
        "constant",
        "the learning rate over the budget: constant, half a cosine down to final_rate, one-cycle, or stairs",
    )
    learning_rate: float | None = option(
        None, "learning rate that the schedule is a share of; 0.001 by default", above=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_level(self, "tau", self.tau)

    @property
    def resolved_tau(self) -> float | None:
        """`tau`, resolved; None where neither it nor precisions are given."""
        if self.tau is not None or self.precisions is None:
            return self.tau
        return float(self.precisions[len(self.precisions) // 2 if self.level is None else self.level])

    @property
    def resolved_noise(self) -> float | None:
        """Standard deviation of the targets, in their own units."""
        return None if self.tau is None else float(self.tau**-0.5)

    @property
    def resolved_rate(self) -> float:
        """`learning_rate`, resolved."""
        return self.learning_rate or LEARNING_RATE


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield offer_method(
        "mc-dropout",
        "dropout of inputs and hidden units in training and in each function that a prediction draws",
        learner="harness_mc_dropout.learner",
        config=DropoutOptions,
        paper="Gal and Ghahramani, Dropout as a Bayesian Approximation, ICML 2016",
        citation=CITATION,
        batched_options=("rate", "tau", "level", "lengthscale", "learning_rate"),
    )
