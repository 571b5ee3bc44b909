"""GM-VI: variational inference with a Gaussian mixture, its entropy approximated by the sum of unimodal entropies.

arXiv 2202.13059.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import Method, Suite, hookimpl
from harness_bayes.config import MixtureOptions, WeightOptions
from harness_bayes.offers import offer_method

harness_interface = 2

CITATION = """
@misc{furuya2022mixture,
  author = {Furuya, Takashi and Kusumoto, Hiroyuki and Taniguchi, Koichi and Kanno, Naoya and Suetake, Kazuma},
  title = {Variational Inference with Gaussian Mixture by Entropy Approximation},
  year = {2022},
  eprint = {2202.13059},
  archiveprefix = {arXiv},
}
"""


def start(options: MixtureOptions) -> str:
    """With start=trained, the ensemble of MAP networks with the same network, likelihood and prior."""
    if options.start == "random":
        return ""
    said: dict[str, Any] = {"members": options.components, "likelihood": options.likelihood}
    if options.likelihood == "heteroscedastic" or options.prior != WeightOptions.prior:
        said["prior"] = options.prior  # of which that ensemble would have another by default
    for name in ("architecture", "activation", "bias", "prior_scale", "prior_narrow", "prior_share"):
        if (value := getattr(options, name)) != getattr(WeightOptions, name):
            said[name] = "no" if value is False else value
    if options.resolved_noise is not None:
        said["noise"] = options.resolved_noise
    return f"deep-ensemble[{','.join(f'{name}={value}' for name, value in said.items())}]"


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield offer_method(
        "gm-vi",
        "variational inference with a Gaussian mixture over the weights, its entropy by the sum of unimodal entropies",
        learner="harness_bayes.mixture",
        config=MixtureOptions,
        paper="Variational Inference with Gaussian Mixture by Entropy Approximation, arXiv 2202.13059",
        citation=CITATION,
        role="proposed",
        starts_from=start,
    )


@hookimpl
def harness_suites() -> Iterator[Suite]:
    yield from Suite.from_folder(Path(__file__).with_name("suites"))
