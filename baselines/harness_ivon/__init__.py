"""IVON: mean-field variational inference at about the price of Adam (Shen et al., ICML 2024), from the paper alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from harness import Method, hookimpl, option
from harness_bayes.config import (
    BATCHED,
    LikelihoodOptions,
    NetworkOptions,
    PredictionOptions,
    PriorOptions,
    recipes,
)
from harness_bayes.offers import offer_method

harness_interface = 2

CITATION = """
@inproceedings{shen2024ivon,
  author = {Shen, Yuesong and Daheim, Nico and Cong, Bai and Nickl, Peter and Marconi, Gian Maria and Bazan, Clement
    and Yokota, Rio and Gurevych, Iryna and Cremers, Daniel and Khan, Mohammad Emtiyaz and Möllenhoff, Thomas},
  title = {Variational Learning is Effective for Large Deep Networks},
  booktitle = {International Conference on Machine Learning},
  year = {2024},
  eprint = {2402.17641},
  archiveprefix = {arXiv},
}
"""

LEARNING_RATE = 0.1


@dataclass(frozen=True, kw_only=True)
class IVONOptions(NetworkOptions, PriorOptions, LikelihoodOptions, PredictionOptions):
    """Options of IVON. Raises UsageError for what does not go together.

    The paper's weight decay delta is that of the prior N(0, 1 / (ess delta)): each weight's is 1 / (ess deviation^2),
    with the deviation that prior and prior_scale give it.
    """

    absent_options: ClassVar = {
        "optimiser": "IVON is the optimiser",
        "momentum": "IVON's is beta1",
        "weight_decay": "IVON's is that of the prior, 1 / (ess deviation^2)",
        "clip": "IVON divides gradients by their curvature",
        "prior_narrow": "IVON's prior is one Gaussian",
        "prior_share": "IVON's prior is one Gaussian",
    }

    ess: float | None = option(
        None, "effective sample size, what the likelihood counts as; the number of training rows by default", above=0
    )
    beta1: float = option(0.9, "share of the gradients' running mean that an update keeps", low=0, below=1)
    beta2: float = option(0.99, "share of the curvature's running mean that an update keeps", low=0, below=1)
    hess_init: float | None = option(
        None,
        "curvature of the mean loss by each weight at the beginning; 1 of classes by default, of regression 10, or "
        "1 / noise^2 of standardised targets where a given noise makes that more",
        above=0,
    )
    train_samples: int = option(1, "draws of the weights in an update", low=1)

    learning_rate: float | None = option(
        None, "learning rate, of steps in units of gradient over curvature; 0.1 by default", above=0
    )

    def __post_init__(self) -> None:
        NetworkOptions.__post_init__(self)
        LikelihoodOptions.__post_init__(self)

    @property
    def resolved_rate(self) -> float:
        """`learning_rate`, resolved."""
        return self.learning_rate or LEARNING_RATE


def _drop_learning_rates() -> dict[str, dict[str, Any]]:
    """Recipes of the family without their learning rates, which are Adam's."""
    found = recipes(IVONOptions)
    return {name: {key: each[key] for key in each if key != "learning_rate"} for name, each in found.items()}


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield offer_method(
        "ivon",
        "mean-field variational inference by online Newton steps, curvature from gradients at drawn weights",
        batched_options=(*BATCHED, "ess", "hess_init"),
        learner="harness_ivon.learner",
        config=IVONOptions,
        paper="Shen et al., Variational Learning is Effective for Large Deep Networks, ICML 2024",
        citation=CITATION,
        own_recipes=_drop_learning_rates(),
    )
