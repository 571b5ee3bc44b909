"""Mean-field variational inference, Bayes by Backprop (Blundell et al., ICML 2015): GM-VI with one component."""

from __future__ import annotations

from collections.abc import Iterator

from harness import Method, hookimpl
from harness_bayes.config import VariationalOptions
from harness_bayes.offers import offer_method

harness_interface = 2


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield offer_method(
        "mean-field-vi",
        "variational inference with an independent Gaussian for each weight (Bayes by Backprop)",
        learner="harness_mean_field_vi.learner",
        config=VariationalOptions,
        paper="Blundell, Cornebise, Kavukcuoglu and Wierstra, Weight Uncertainty in Neural Networks, ICML 2015",
    )
