"""Facts about draws for a record: the noise where it is sampled, and whether chains have converged."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from harness import Reading, Unsupported
from harness_bayes.convergence import LARGEST_RHAT, measure_convergence
from harness_hmc.state import State, require_started

POINTS = 50  # rows at which convergence is measured


def select_rows(state: State) -> Tensor:
    """Select training rows, evenly apart, at which convergence is measured."""
    inputs = require_started(state)[0].inputs
    return inputs[:: max(1, len(inputs) // POINTS)]


def describe_noise(state: State) -> Mapping[str, object]:
    """Describe a sampled noise by its mean over draws, in the units of the targets: not that of the MAP networks."""
    posterior, drawn = require_started(state)[0], state.drawn
    if drawn is None or not posterior.samples_noise:
        return {}
    log_noise = posterior.functions(drawn.flatten(0, 1)).log_noise
    assert log_noise is not None
    return {"noise": log_noise.double().exp().mean().item() * state.scales[0]}


def describe_convergence(state: State, outputs: Tensor) -> Mapping[str, object]:
    """Describe whether functions with outputs (chains, draws, N, outputs) have converged, or why that is unknown.

    max_rhat: with a warning where it is too large. monte_carlo_error: of the predictive mean, in deviations of the
    functions, the largest.
    """
    values = outputs.softmax(3) if state.likelihood.kind == "categorical" else outputs[..., :1]
    points = values.flatten(2).double().cpu().numpy()
    try:
        found = measure_convergence(points)
    except Unsupported as why:
        return {"convergence": f"unknown: {why}"}
    return {
        "max_rhat": _warn_of_rhat(float(found.rhat.max()), state.updates),
        "min_ess": float(found.ess.min()),
        "monte_carlo_error": float((found.error / points.std((0, 1))).max()),
    }


def _warn_of_rhat(rhat: float, trajectories: int) -> float | Reading:
    """Add a warning to the number where chains have not converged."""
    if rhat <= LARGEST_RHAT:
        return rhat
    return Reading(
        rhat,
        warning=f"chains have not converged after {trajectories} trajectories: R-hat of functions is above "
        f"{LARGEST_RHAT}, so that the draws are no posterior; give more updates, or longer trajectories (leapfrog=)",
    )
