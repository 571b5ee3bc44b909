"""`harness calibrate METHOD`: whether its posterior is that of its own model. Torch is imported when it is called."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

from harness import Method, Trial, UsageError
from harness_bayes.config import BayesOptions
from harness_bayes.posterior_request import FORMATS, SharedModel
from harness_bayes.posterior_trials import share_model

if TYPE_CHECKING:
    from harness_bayes.calibration import Calibration

PLANNED = "toy-gap"  # by whose recipe options that are left out are resolved
SHARED = ("architecture", "activation", "bias", "prior", "prior_scale")  # of the model, where a method has them

EXAMPLES = """\b
Examples:
  harness calibrate mean-field-vi
  harness calibrate "gm-vi[components=5]" --architecture 10-FC --updates 2000
  harness calibrate "hmc[leapfrog=50]" --networks 40 --updates 200
"""


@click.command(epilog=EXAMPLES)
@click.argument("method")
@click.option(
    "--noise", type=click.FloatRange(min=0, min_open=True), default=0.1, show_default=True, help="Of targets."
)
@click.option("--architecture", metavar="50-FC", default="20-FC", show_default=True, help="The networks.")
@click.option(
    "--prior-scale", type=click.FloatRange(min=0, min_open=True), help="Of the prior.  [default: the method's]"
)
@click.option("--networks", type=click.IntRange(min=2), default=200, show_default=True, help="Drawn from the prior.")
@click.option("--rows", type=click.IntRange(min=2), default=20, show_default=True, help="Of each network's data.")
@click.option(
    "--points", type=click.IntRange(min=1), default=7, show_default=True, help="At which functions are ranked."
)
@click.option(
    "--updates", type=click.IntRange(min=1), default=1000, show_default=True, help="Of the method, on all rows."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of networks, data and fits.")
@click.option("--format", "format_", metavar="text|json", default="text", help="How to print it.  [default: text]")
@click.pass_obj
def calibrate(
    session: Any,
    method: str,
    noise: float,
    architecture: str,
    prior_scale: float | None,
    networks: int,
    rows: int,
    points: int,
    updates: int,
    seed: int,
    format_: str,
) -> None:
    """Draw networks from the prior of METHOD's model and data from each, fit all, and rank the true functions.

    Where the method's posterior is the model's, the share of its functions below the true one is uniform. The verdict
    is by 12 E (share - 1/2)^2, which is then 1; its 95 % interval is over networks.
    """
    if format_ not in FORMATS:
        raise UsageError(f"--format {format_}: unknown; known: {', '.join(FORMATS)}")
    trial = _plan_trial(
        session.catalog, share_model(session.catalog, method, SharedModel(noise, architecture, prior_scale))
    )
    offer: Method = session.catalog.methods.get(trial.method.name, trial.method.provider)
    config = offer.config(**trial.method.options)
    model = _build_model(trial, noise, architecture)
    from harness_bayes import calibration

    worlds = calibration.draw_worlds(model, networks, rows, points, seed)
    fitted = calibration.fit_worlds(offer, config, worlds, updates, seed)
    functions = worlds.functions.double().numpy()
    ranked = [calibration.shares_below(each, truth) for each, truth in zip(fitted, functions, strict=True)]
    import numpy as np

    click.echo(_format_calibration(trial.method.label, calibration.judge_shares(np.stack(ranked)), format_))


def _plan_trial(catalog: Any, selection: str) -> Trial:
    from harness import Request, named

    trials = named(catalog, Request(methods=selection, datasets=PLANNED, seeds="[0]"))
    if len(trials) != 1 or trials[0].base is not None:
        labels = ", ".join(trial.method.label for trial in trials)
        raise UsageError(f"one method that starts from no other is calibrated, without sweeps; selected: {labels}")
    if trials[0].skip:
        raise UsageError(f"{trials[0].method.label}: {trials[0].skip}")
    return trials[0]


def _build_model(trial: Trial, noise: float, architecture: str) -> BayesOptions:
    """Build the model from the prior and the network that the method states, else from the family's defaults."""
    given = {name: value for name, value in trial.method.options.items() if name in SHARED and value is not None}
    if given.get("prior") in ("mixture", "flat"):
        raise UsageError(f"{trial.method.label}: prior={given['prior']}; networks are drawn from one Gaussian prior")
    return dataclasses.replace(BayesOptions(), **{"architecture": architecture, **given, "noise": noise})


def _format_calibration(label: str, found: Calibration, format_: str) -> str:
    if format_ == "json":
        return json.dumps({"method": label, **found._asdict()}, indent=1)
    interval = f"{found.spread:.3f} ({found.low:.3f} to {found.high:.3f})"
    return (
        f"{label}: {found.verdict}\n12 E (share - 1/2)^2 is {interval} over {found.networks} networks; "
        "1 is calibrated, more is too narrow, less too wide"
    )
