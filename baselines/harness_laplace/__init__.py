"""Laplace's approximation: a Gaussian around a trained network (MacKay 1992; Daxberger et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from harness import Method, hookimpl, option
from harness_bayes.config import NoiseOptions, PredictionOptions, PriorOptions, TrainingOptions
from harness_bayes.offers import offer_method

harness_interface = 2

CITATION = """
@inproceedings{daxberger2021laplace,
  author = {Daxberger, Erik and Kristiadi, Agustinus and Immer, Alexander and Eschenhagen, Runa and Bauer, Matthias
    and Hennig, Philipp},
  title = {{Laplace} Redux: Effortless {Bayesian} Deep Learning},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2021},
  eprint = {2106.14806},
  archiveprefix = {arXiv},
}
"""

MOST_FULL = 2_000  # weights whose covariance is full unless asked for


@dataclass(frozen=True, kw_only=True)
class LaplaceOptions(TrainingOptions, PriorOptions, NoiseOptions, PredictionOptions):
    """Options of Laplace's approximation. Raises UsageError for options that do not go together.

    A prediction is that of the network linearised in its weights: of regression one Gaussian, of classes so many draws
    as predict_samples says. Before the end of training it is the plain network's.
    """

    absent_options: ClassVar = {
        "likelihood": "the marginal likelihood is of one noise for all rows",
        "prior_narrow": "the prior is one Gaussian",
        "prior_share": "the prior is one Gaussian",
    }

    subset: Literal["last", "all"] = option("last", "which layers' weights are Gaussian; the others stay as trained")
    structure: Literal["full", "diag"] | None = option(
        None, f"of their precision; full up to {MOST_FULL:,} weights, else diag, by default"
    )
    marginal: bool = option(
        True,
        "after training, take the scale of the prior and, unless noise is given, the noise at which the marginal "
        "likelihood is highest",
    )

    def __post_init__(self) -> None:
        TrainingOptions.__post_init__(self)
        NoiseOptions.__post_init__(self)


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield offer_method(
        "laplace",
        "a Gaussian around a MAP network, with the Gauss-Newton curvature of all rows; predictions linearised",
        learner="harness_laplace.learner",
        config=LaplaceOptions,
        paper="Daxberger et al., Laplace Redux: Effortless Bayesian Deep Learning, NeurIPS 2021",
        citation=CITATION,
    )
