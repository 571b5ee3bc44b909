"""HMC on the weights of a network: MAP networks, from each a chain, and as posterior the draws after burn-in.

An update is one trajectory of every chain on all training rows, which `prepare` keeps; the mini-batch only counts the
budget. Draws are kept at even distances, as many of each chain as `predict_samples` says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from harness import Batch, ClassLogProbs, Fit, Problem, RegressionMixture, Training, Unsupported
from harness_bayes import hamiltonian, likelihoods, networks, prediction, priors, training
from harness_bayes.hamiltonian import Chains
from harness_bayes.networks import Network
from harness_bayes.training import Trials
from harness_hmc import BURN, BURN_SHARE, MOST_ROWS, MOST_WEIGHTS, HMCOptions
from harness_hmc.densities import Functions, Posterior
from harness_torch.training import facts, optimiser


@dataclass(kw_only=True)
class State(training.State):
    """parameters: the MAP networks, one for each chain. posterior, chains: from `prepare` on. burn: trajectories before
    the first draw. kept: positions (J, m), `stride` trajectories apart.
    """

    burn: int
    stride: int
    posterior: Posterior | None = None
    chains: Chains | None = None
    kept: list[Tensor] = field(default_factory=list)


class HMC:
    """Samples the posterior; predicts with the functions that it has kept."""

    def __init__(self, options: HMCOptions) -> None:
        self.options = options

    def init(self, problem: Problem, training: Training, base: Mapping[str, Tensor] | None) -> State:
        del base
        return begin(problem, training, self.options)

    def prepare(self, state: State, fit: Fit) -> State:
        """Find the MAP networks, and start a chain at each."""
        posterior = state.posterior = _posterior(state, fit.train)
        _descend(state, posterior)
        start = posterior.positions(_maps(state)).detach()
        state.chains = hamiltonian.begin(posterior, start, state.generator)
        return state

    def update(self, state: State, batch: Batch) -> tuple[State, Mapping[str, Tensor]]:
        """One trajectory of every chain."""
        del batch
        posterior, chains = _started(state)
        scalars, carried = state.replay(partial(_move, state, posterior), [], chains)
        state.chains = Chains(*carried)
        state.updates += 1
        _keep(state, state.chains.positions)
        return state, scalars

    def finish(self, state: State, fit: Fit) -> State:
        """Leave as many draws as asked for. Raises HarnessError for a chain that never moved."""
        del fit
        hamiltonian.refuse_stuck(_started(state)[1], state.burn)
        wanted, found = self.options.predict_samples, len(state.kept)
        if found > wanted:
            state.kept = [state.kept[index * found // wanted] for index in range(wanted)]
        return state

    def predict(self, state: State, inputs: Tensor) -> ClassLogProbs | RegressionMixture:
        """A component for each draw, those of a chain together; before the first draw, one for each chain."""
        return _predict(state, inputs, torch.stack(state.kept, 1) if state.kept else None)

    def glance(self, state: State, inputs: Tensor) -> ClassLogProbs | RegressionMixture:
        """`predict` with where the chains are now."""
        return _predict(state, inputs, None)

    def functions(self, state: State, inputs: Tensor) -> Tensor:
        """Outputs of the draws for rows (N, ...), (chains, draws, N, outputs)."""
        posterior, chains = _started(state)
        draws = torch.stack(state.kept, 1) if state.kept else chains.positions[:, None]
        outputs = prediction.outputs(state.network, posterior.functions(draws.flatten(0, 1)).weights, inputs)
        return outputs.unflatten(0, (len(draws), -1))

    def describe(self, state: State) -> Mapping[str, object]:
        said = {**training.describe(state), "burn": state.burn, "draws": len(state.kept)}
        chains = state.chains
        if chains is None or not state.kept:
            return said
        acceptance = hamiltonian.acceptance(chains, state.burn)
        return {
            **said,
            "acceptance": acceptance.mean().item(),
            "least_acceptance": acceptance.min().item(),
            "divergences": int(chains.divergent.sum()),
            "step_size": chains.averages.exp().median().item(),
        }

    def save(self, state: State) -> Mapping[str, Tensor]:
        """The functions that are kept, (J, ...), or the MAP networks before there are any."""
        if not state.kept:
            return facts.save(state)
        drawn = _started(state)[0].functions(torch.stack(state.kept, 1).flatten(0, 1))
        named = {name: weight.contiguous() for name, weight in drawn.weights.items()}
        return named if drawn.log_noise is None else {**named, "log_noise": drawn.log_noise}


def build(options: HMCOptions) -> HMC:
    return HMC(options)


def begin(problem: Problem, trial: Training, options: HMCOptions) -> State:
    """The state before the MAP networks. Raises Unsupported for what is too large, and a budget that is all burn-in."""
    likelihood = likelihoods.build(problem, options)
    network = networks.build(problem, trial, options, likelihood.outputs)
    _refuse_large(problem, network, options)
    burn, stride = _pace(trial.updates, options)
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


def _pace(planned: int | None, options: HMCOptions) -> tuple[int, int]:
    """Trajectories of burn-in, and from one draw to the next."""
    if planned is None:
        return options.burn or BURN, 1
    burn = int(BURN_SHARE * planned) if options.burn is None else options.burn
    if burn >= planned > 0:
        raise Unsupported(
            f"burn={burn}: of {planned} trajectories none is left to draw from; an update is a trajectory, so give a "
            "budget of more updates, or a smaller burn"
        )
    return burn, max(1, (planned - burn) // options.predict_samples)


def _started(state: State) -> tuple[Posterior, Chains]:
    """What `prepare` has left. Raises RuntimeError where it has not been called."""
    if state.posterior is None or state.chains is None:
        raise RuntimeError("HMC needs the training rows: prepare(state, fit) comes before updates and predictions")
    return state.posterior, state.chains


def _posterior(state: State, rows: Batch) -> Posterior:
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


def _maps(state: State) -> Functions:
    """The networks that descend to the posterior's modes."""
    return Functions({name: state.parameters[name] for name in state.network.shapes}, state.log_noise)


def _descend(state: State, posterior: Posterior) -> None:
    """`map_steps` steps of the optimiser on -log density / N, on all rows."""
    for done in range(state.options.map_steps):
        optimiser.set_rate(state.optimiser, state.options, done, state.options.map_steps)
        state.optimiser.zero_grad()
        density = posterior.log_density(posterior.positions(_maps(state)))
        (-density.sum() / state.rows).backward()
        state.optimiser.step()


def _move(state: State, posterior: Posterior, *chains: Tensor) -> tuple[Mapping[str, Tensor], Chains]:
    moved = hamiltonian.move(posterior, Chains(*chains), state.options.leapfrog, state.burn, state.generator)
    return {"loss": -moved.densities.mean() / state.rows, "acceptance": moved.chances.mean()}, moved


def _keep(state: State, positions: Tensor) -> None:
    """Keep every `stride`-th position after burn-in. Where twice as many as wanted are there, every second is left, so
    that any budget leaves enough, and memory holds them.
    """
    after = state.updates - state.burn
    if after <= 0 or after % state.stride:
        return
    state.kept.append(positions.clone())  # a captured update overwrites its own
    if len(state.kept) >= 2 * state.options.predict_samples:
        state.kept, state.stride = state.kept[1::2], 2 * state.stride


def _predict(state: State, inputs: Tensor, draws: Tensor | None) -> ClassLogProbs | RegressionMixture:
    """The mixture of draws (J, D, m), or of where chains are."""
    posterior, chains = _started(state)
    drawn = posterior.functions(chains.positions if draws is None else draws.flatten(0, 1))
    outputs = prediction.outputs(state.network, drawn.weights, inputs)
    log_weights = outputs.new_full((len(outputs),), -math.log(len(outputs)))
    return likelihoods.mixture(state.likelihood, outputs, drawn.log_noise, log_weights)
