"""The library of Bayesian methods: networks as lanes, Gaussian weights, likelihoods, priors, mixtures as predictions.

It registers no method; it offers metrics of uncertainty. Importing this package imports no torch and no numpy.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness import Metric, hookimpl
from harness_bayes import offers

harness_interface = 2


@hookimpl
def harness_metrics() -> Iterator[Metric]:
    """Metrics of a prediction's uncertainty."""
    return offers.metrics()
