"""The library of Bayesian methods: networks as lanes, Gaussian weights, likelihoods, priors, mixtures as predictions.

It registers no method; it offers metrics of uncertainty, instruments that look at a trained posterior, and the commands
`harness entropy-error`, `harness posterior` and `harness calibrate`. Importing this package imports no torch and no
numpy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness import Instrument, Metric, hookimpl
from harness_bayes import offers

harness_interface = 2

if TYPE_CHECKING:
    import click


@hookimpl
def harness_metrics() -> Iterator[Metric]:
    """Metrics of a prediction's uncertainty, and of a posterior."""
    return offers.offer_metrics()


@hookimpl
def harness_instruments() -> Iterator[Instrument]:
    """Instruments that look at a trained posterior."""
    return offers.offer_instruments()


@hookimpl
def harness_commands(cli: click.Group) -> None:
    from harness_bayes.calibrate_command import calibrate
    from harness_bayes.entropy_command import entropy_error
    from harness_bayes.posterior_command import posterior

    cli.add_command(entropy_error)
    cli.add_command(posterior)
    cli.add_command(calibrate)
