"""The state of HMC: the networks that chains start at, the chains, and the draws that are kept."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from harness import Problem, Training, Unsupported
from harness_bayes import likelihoods, networks, priors, training
from harness_bayes.hamiltonian import Chains
from harness_bayes.networks import Network
from harness_bayes.training import Trials
from harness_hmc import BURN, BURN_SHARE, MOST_ROWS, MOST_WEIGHTS, HMCOptions
from harness_hmc.densities import Posterior


@dataclass(kw_only=True)
class State(training.State):
    """parameters: the MAP networks, one for each chain. posterior, chains: from `prepare` on. burn: trajectories before
    the first draw. kept: room for draws (J, most, m), `stride` trajectories apart; the first `count` of them are there.
    """

    burn: int
    stride: int
    posterior: Posterior | None = None
    chains: Chains | None = None
    kept: Tensor | None = None
    count: int = 0

    @property
    def drawn(self) -> Tensor | None:
        """Positions (J, D, m); None before there are any."""
        return None if self.kept is None or not self.count else self.kept[:, : self.count]


def begin(problem: Problem, trial: Training, options: HMCOptions) -> State:
    """Begin before the MAP networks. Raises Unsupported for a problem too large, and for a budget of burn-in alone."""
    likelihood = likelihoods.build(problem, options)
    network = networks.build(problem, trial, options, likelihood.outputs)
    _refuse_large(problem, network, options)
    burn, stride = _plan_draws(trial.updates, options)
    like = torch.empty((), dtype=network.types.parameters, device=trial.device)
    prior = priors.build(network, options, like, [options.prior_scale])
    trials = Trials([problem], [trial], [options])
    start = networks.initial(network, [trial.seed], options.chains)
    make = partial(State, burn=burn, stride=stride)
    return training.begin(make, trials, network, likelihood, start, options.chains, prior)


def _refuse_large(problem: Problem, network: Network, options: HMCOptions) -> None:
    if options.large:
        return
    for count, most, what in ((problem.train_size, MOST_ROWS, "rows"), (network.size, MOST_WEIGHTS, "weights")):
        if count > most:
            raise Unsupported(
                f"{count:,} {what}: chains hardly ever converge beyond {most:,}, and each step takes all of them; use "
                "large=yes to try all the same"
            )


def _plan_draws(planned: int | None, options: HMCOptions) -> tuple[int, int]:
    """Plan the draws: trajectories of burn-in, and from one draw to the next."""
    if planned is None:
        return options.burn or BURN, 1
    burn = int(BURN_SHARE * planned) if options.burn is None else options.burn
    if burn >= planned > 0:
        raise Unsupported(
            f"burn={burn}: of {planned} trajectories none is left to draw from; an update is a trajectory, so give a "
            "budget of more updates, or a smaller burn"
        )
    return burn, max(1, (planned - burn) // options.predict_samples)


def require_started(state: State) -> tuple[Posterior, Chains]:
    """Require the posterior and the chains of `prepare`. Raises RuntimeError where it has not been called."""
    if state.posterior is None or state.chains is None:
        raise RuntimeError("HMC needs the training rows: prepare(state, fit) comes before updates and predictions")
    return state.posterior, state.chains


def count_room(state: State, wanted: int) -> int:
    """Count the draws of a chain that are held at a time: all of a known budget, else up to twice as many as wanted."""
    if state.planned is None:
        return 2 * wanted
    return max(2, (state.planned - state.burn) // state.stride)


def keep_draw(state: State, positions: Tensor) -> None:
    """Keep every `stride`-th position after burn-in. Where there is no more room every second draw stays, so that an
    unknown budget, too, leaves enough draws at even distances.
    """
    after = state.updates - state.burn
    if state.kept is None or after <= 0 or after % state.stride:
        return
    if state.count == state.kept.shape[1]:
        left = state.kept[:, 1::2].clone()
        state.kept[:, : left.shape[1]] = left
        state.count, state.stride = left.shape[1], 2 * state.stride
    state.kept[:, state.count] = positions
    state.count += 1
