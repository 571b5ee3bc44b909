"""Mean-field variational inference, Bayes by Backprop (Blundell et al., ICML 2015): GM-VI with one component."""

from __future__ import annotations

from collections.abc import Iterator

from harness import Method, hookimpl
from harness_bayes.config import VariationalOptions
from harness_bayes.offers import offer_method

harness_interface = 2

CITATION = """
@inproceedings{blundell2015weight,
  author = {Blundell, Charles and Cornebise, Julien and Kavukcuoglu, Koray and Wierstra, Daan},
  title = {Weight Uncertainty in Neural Networks},
  booktitle = {International Conference on Machine Learning},
  year = {2015},
  eprint = {1505.05424},
  archiveprefix = {arXiv},
}
"""


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield offer_method(
        "mean-field-vi",
        "variational inference with an independent Gaussian for each weight (Bayes by Backprop)",
        learner="harness_mean_field_vi.learner",
        config=VariationalOptions,
        paper="Blundell, Cornebise, Kavukcuoglu and Wierstra, Weight Uncertainty in Neural Networks, ICML 2015",
        citation=CITATION,
    )
