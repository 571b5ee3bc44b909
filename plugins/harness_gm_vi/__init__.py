"""GM-VI: variational inference with a Gaussian mixture, its entropy approximated by the sum of unimodal entropies.

arXiv 2202.13059.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness import Method, hookimpl
from harness_bayes.config import FAMILY, RECIPES, MixtureOptions

harness_interface = 2


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield Method(
        "gm-vi",
        "variational inference with a Gaussian mixture over the weights, its entropy by the sum of unimodal entropies",
        factory="harness_bayes.mixture:build",
        kinds=("regression", "classification"),
        config=MixtureOptions,
        paper="Variational Inference with Gaussian Mixture by Entropy Approximation, arXiv 2202.13059",
        precisions=("fp32", "tf32", "bf16"),
        family=FAMILY,
        recipes=RECIPES,
    )
