"""Mean-field variational inference, Bayes by Backprop (Blundell et al., ICML 2015): GM-VI with one component."""

from __future__ import annotations

from collections.abc import Iterator

from harness import Method, hookimpl
from harness_bayes.config import BATCHED, FAMILY, VariationalOptions, recipes

harness_interface = 2


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield Method(
        "mean-field-vi",
        "variational inference with an independent Gaussian for each weight (Bayes by Backprop)",
        factory="harness_mean_field_vi.learner:build",
        cohort="harness_mean_field_vi.learner:together",
        batched_options=BATCHED,
        kinds=("regression", "classification"),
        config=VariationalOptions,
        paper="Blundell, Cornebise, Kavukcuoglu and Wierstra, Weight Uncertainty in Neural Networks, ICML 2015",
        role="baseline",
        precisions=("fp32", "tf32", "bf16"),
        family=FAMILY,
        recipes=recipes(VariationalOptions),
    )
