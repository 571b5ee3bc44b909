"""Deep ensembles (Lakshminarayanan, Pritzel and Blundell, NeurIPS 2017), and one network alone.

All members see the same mini-batches in the same order; what tells them apart is where they start. The paper shuffles
for each, and may add adversarial examples, which are not here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness import Method, UsageError, hookimpl, option
from harness_bayes.config import WeightOptions
from harness_bayes.offers import offer_method

harness_interface = 2

CITATION = """
@inproceedings{lakshminarayanan2017ensembles,
  author = {Lakshminarayanan, Balaji and Pritzel, Alexander and Blundell, Charles},
  title = {Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2017},
  eprint = {1612.01474},
  archiveprefix = {arXiv},
}
"""


@dataclass(frozen=True)
class PointOptions(WeightOptions):
    """Options of networks that are points: MAP with a prior, of maximum likelihood without."""

    prior: Literal["flat", "fan-in", "fixed", "mixture"] | None = option(  # type: ignore[assignment]
        None, "of weights: flat is maximum likelihood, with any other networks are MAP; flat by default"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.resolved_prior == "flat" and self.prior_scale != PointOptions.prior_scale:
            raise UsageError(
                f"prior_scale={self.prior_scale}: weights have no prior; leave prior_scale out, or use prior"
            )

    @property
    def resolved_prior(self) -> str:
        """`prior`, resolved."""
        return self.prior or "flat"


@dataclass(frozen=True)
class EnsembleOptions(PointOptions):
    """By default as published for regression: each row has a noise of its own, and weights have no prior.

    likelihood=gaussian with the noise and the prior of gm-vi is an ensemble of MAP networks, beside which one sees what
    the variances of a mixture add to its means; its prior is fan-in by default.
    """

    likelihood: Literal["gaussian", "heteroscedastic"] = option(
        "heteroscedastic",
        "of regression: a second output of the network for each row's noise, or one noise for all rows",
    )
    prior: Literal["flat", "fan-in", "fixed", "mixture"] | None = option(
        None,
        "of weights: flat is maximum likelihood, with any other networks are MAP; fan-in with likelihood=gaussian, "
        "else flat, by default",
    )
    members: int = option(5, "networks", low=1)

    @property
    def resolved_prior(self) -> str:
        """`prior`, resolved."""
        return self.prior or ("fan-in" if self.likelihood == "gaussian" else "flat")


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield offer_method(
        "deep-ensemble",
        "networks from different starts, their predictions as a mixture",
        learner="harness_deep_ensemble.learner",
        config=EnsembleOptions,
        paper="Lakshminarayanan, Pritzel and Blundell, Simple and Scalable Predictive Uncertainty Estimation using "
        "Deep Ensembles, NeurIPS 2017",
        citation=CITATION,
    )
    yield offer_method(
        "deterministic",
        "one network, trained by maximum likelihood or, with a prior, MAP",
        learner="harness_deep_ensemble.learner",
        config=PointOptions,
    )
