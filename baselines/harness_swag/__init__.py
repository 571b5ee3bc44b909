"""SWAG (Maddox et al., NeurIPS 2019) and, with several members, MultiSWAG (Wilson and Izmailov, NeurIPS 2020).

Networks are trained as an ensemble of MAP networks is; towards the end the learning rate stays, and a Gaussian is
fitted to the weights that training passes through: around each member one, of which a prediction draws functions.
The papers train with SGD and weight decay; here the optimiser is an option, and the decay is the prior.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness import Method, hookimpl, option
from harness_bayes.config import BayesOptions
from harness_bayes.offers import offer_method

harness_interface = 2

CITATION = """
@inproceedings{maddox2019swag,
  author = {Maddox, Wesley J. and Garipov, Timur and Izmailov, Pavel and Vetrov, Dmitry and Wilson, Andrew Gordon},
  title = {A Simple Baseline for {Bayesian} Uncertainty in Deep Learning},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2019},
  eprint = {1902.02476},
  archiveprefix = {arXiv},
}
@inproceedings{wilson2020multiswag,
  author = {Wilson, Andrew Gordon and Izmailov, Pavel},
  title = {{Bayesian} Deep Learning and a Probabilistic Perspective of Generalization},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2020},
  eprint = {2002.08791},
  archiveprefix = {arXiv},
}
"""


@dataclass(frozen=True)
class SwagOptions(BayesOptions):
    """The schedule leads the learning rate down to final_rate of it while nothing is collected; from then on it stays.

    Prior, likelihood and noise are those of deep-ensemble[likelihood=gaussian].

    Validation (5 splits, 400 epochs, log-likelihood) finds final_rate=1 better than 0.3 on uci-yacht, by 0.67 nats in 5
    of 5 splits, and on uci-boston better in 4 of 5 but 0.07 worse in the mean: 0.3 stays, and both are worth trying.
    """

    final_rate: float = option(
        0.3,
        "share of the learning rate that cosine and one-cycle end at, and collection goes on with",
        above=0,
        high=1,
        needs={"schedule": ("cosine", "one-cycle")},
    )
    rank: int = option(20, "deviations from the mean that are kept: the last so many networks collected", low=2)
    members: int = option(1, "networks, each with a Gaussian of its own; MultiSWAG with several", low=1)
    start: float = option(
        0.75,
        "share of the updates after which networks are collected; from the first on under a budget of seconds, whose "
        "number of updates is unknown",
        low=0,
        below=1,
    )
    every: int | None = option(
        None,
        "updates from one collected network to the next; those of an epoch, or fewer where that would collect fewer "
        "than rank, by default",
        low=1,
    )


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield offer_method(
        "swag",
        "a Gaussian around each network, of the mean, variances and last deviations of its weights along training",
        learner="harness_swag.learner",
        config=SwagOptions,
        paper="Maddox, Garipov, Izmailov, Vetrov and Wilson, A Simple Baseline for Bayesian Uncertainty in Deep "
        "Learning, NeurIPS 2019",
        citation=CITATION,
    )
