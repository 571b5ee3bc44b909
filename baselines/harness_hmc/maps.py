"""The MAP networks, from which chains start."""

from __future__ import annotations

import torch
from torch import Tensor

from harness import Batch, Diverged
from harness_bayes import training
from harness_hmc.densities import Functions, Posterior
from harness_hmc.state import State
from harness_torch.training import optimiser


def build_posterior(state: State, rows: Batch) -> Posterior:
    """Build the posterior on these rows."""
    prior = state.prior
    assert prior is not None
    deviations = [prior.deviations[name].expand(1, *shape) for name, shape in state.network.shapes.items()]
    given = None if training.learns_noise(state.options) or state.log_noise is None else state.log_noise[:1]
    return Posterior(
        state.network,
        state.likelihood,
        prior,
        torch.cat([each.flatten() for each in deviations]),
        rows.inputs.to(state.network.types.parameters),
        rows.targets,
        given,
    )


def descend(state: State, density: Posterior) -> Tensor:
    """Take the networks to modes of the density, by `map_steps` steps of the optimiser on -log density / N, on all
    rows, and return their positions, (J, m). Raises Diverged for networks that chains cannot start at.
    """
    before = _evaluate_networks(state, density)
    for done in range(state.options.map_steps):
        optimiser.set_rate(state.optimiser, state.options, done, state.options.map_steps)
        state.optimiser.zero_grad()
        reached = density.log_density(density.positions(_read_networks(state)))
        (-reached.sum() / state.rows).backward()
        state.optimiser.step()
    _refuse_worse(state, before, _evaluate_networks(state, density))
    return density.positions(_read_networks(state)).detach()


@torch.no_grad()
def _evaluate_networks(state: State, density: Posterior) -> Tensor:
    """Evaluate the log density of the networks, (J,)."""
    return density.log_density(density.positions(_read_networks(state)))


def _refuse_worse(state: State, before: Tensor, after: Tensor) -> None:
    """Raise Diverged where a density is not finite, or less than that of the random weights. Waits for the device."""
    bad = (~(after.isfinite() & (after >= before))).nonzero().flatten().tolist()
    if bad:
        was, came = (-float(each[bad[0]]) / state.rows for each in (before, after))
        steps, rate = state.options.map_steps, state.options.resolved_rate
        raise Diverged(
            f"the MAP networks of {len(bad)} of {len(after)} chains: after {steps} steps with learning_rate={rate:g} "
            f"the loss of chain {bad[0]} is {came:.4g}, expected no more than the {was:.4g} of its random weights; "
            "give a smaller learning_rate, other map_steps, or look at whether noise and data are on one scale"
        )


def _read_networks(state: State) -> Functions:
    """Read the networks that descend to the posterior's modes."""
    return Functions({name: state.parameters[name] for name in state.network.shapes}, state.log_noise)
