"""HMC on the weights of a network: MAP networks, from each a chain, and as posterior the draws after burn-in.

An update is one trajectory of every chain on all training rows, which `prepare` keeps; the mini-batch only counts the
budget. Draws are kept at even distances, as many of each chain as `predict_samples` says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from harness import Batch, ClassLogProbs, Fit, Problem, RegressionMixture, Training, Unsupported
from harness_bayes import hamiltonian, likelihoods, networks, prediction, priors, training
from harness_bayes.convergence import convergence
from harness_bayes.hamiltonian import Chains
from harness_bayes.networks import Network
from harness_bayes.training import Trials
from harness_hmc import BURN, BURN_SHARE, MOST_ROWS, MOST_WEIGHTS, HMCOptions
from harness_hmc.densities import Functions, Posterior
from harness_torch.training import facts, optimiser

POINTS = 50  # rows at which convergence is looked at


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
        state.kept = start.new_empty(len(start), _room(state, self.options.predict_samples), start.shape[1])
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
        wanted, drawn = self.options.predict_samples, state.drawn
        if drawn is not None and state.count > wanted:
            chosen = [index * state.count // wanted for index in range(wanted)]
            state.kept, state.count = drawn[:, chosen], wanted
        return state

    def predict(self, state: State, inputs: Tensor) -> ClassLogProbs | RegressionMixture:
        """A component for each draw, those of a chain together; before the first draw, one for each chain."""
        return _predict(state, inputs, state.drawn)

    def glance(self, state: State, inputs: Tensor) -> ClassLogProbs | RegressionMixture:
        """`predict` with where the chains are now."""
        return _predict(state, inputs, None)

    def functions(self, state: State, inputs: Tensor) -> Tensor:
        """Outputs of the draws for rows (N, ...), (chains, draws, N, outputs)."""
        posterior, chains = _started(state)
        draws = chains.positions[:, None] if state.drawn is None else state.drawn
        outputs = prediction.outputs(state.network, posterior.functions(draws.flatten(0, 1)).weights, inputs)
        return outputs.unflatten(0, (len(draws), -1))

    def describe(self, state: State) -> Mapping[str, object]:
        said = {**training.describe(state), "burn": state.burn, "draws": state.count}
        chains = state.chains
        if chains is None or not state.count:
            return said
        acceptance = hamiltonian.acceptance(chains, state.burn)
        return {
            **said,
            **_noise(state),
            "acceptance": acceptance.mean().item(),
            "least_acceptance": acceptance.min().item(),
            "divergences": int(chains.divergent.sum()),
            "step_size": chains.averages.exp().median().item(),
            **_converged(state, self.functions(state, _some(state))),
        }

    def save(self, state: State) -> Mapping[str, Tensor]:
        """The functions that are kept, (J, ...), or the MAP networks before there are any."""
        if state.drawn is None:
            return facts.save(state)
        drawn = _started(state)[0].functions(state.drawn.flatten(0, 1))
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


def _some(state: State) -> Tensor:
    """Training rows, evenly apart, on which convergence is looked at."""
    inputs = _started(state)[0].inputs
    return inputs[:: max(1, len(inputs) // POINTS)]


def _noise(state: State) -> Mapping[str, object]:
    """The noise where it is sampled, its mean over draws in the units of the targets: not that of the MAP networks."""
    posterior, drawn = _started(state)[0], state.drawn
    if drawn is None or not posterior.samples_noise:
        return {}
    log_noise = posterior.functions(drawn.flatten(0, 1)).log_noise
    assert log_noise is not None
    return {"noise": log_noise.double().exp().mean().item() * state.scales[0]}


def _converged(state: State, outputs: Tensor) -> Mapping[str, object]:
    """Whether functions with outputs (chains, draws, N, outputs) have converged, or why nobody knows.

    monte_carlo_error: of the predictive mean, in deviations of the functions, the largest.
    """
    values = outputs.softmax(3) if state.likelihood.kind == "categorical" else outputs[..., :1]
    points = values.flatten(2).double().cpu().numpy()
    try:
        found = convergence(points)
    except Unsupported as why:
        return {"convergence": f"unknown: {why}"}
    return {
        "max_rhat": float(found.rhat.max()),
        "min_ess": float(found.ess.min()),
        "monte_carlo_error": float((found.error / points.std((0, 1))).max()),
    }


def _room(state: State, wanted: int) -> int:
    """Draws of a chain that are held at a time: all of a known budget, else up to twice as many as wanted."""
    if state.planned is None:
        return 2 * wanted
    return max(2, (state.planned - state.burn) // state.stride)


def _keep(state: State, positions: Tensor) -> None:
    """Keep every `stride`-th position after burn-in. Where there is no more room every second draw is left, so that an
    unknown budget leaves enough, too, at even distances.
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


def _predict(state: State, inputs: Tensor, draws: Tensor | None) -> ClassLogProbs | RegressionMixture:
    """The mixture of draws (J, D, m), or of where chains are."""
    posterior, chains = _started(state)
    drawn = posterior.functions(chains.positions if draws is None else draws.flatten(0, 1))
    outputs = prediction.outputs(state.network, drawn.weights, inputs)
    log_weights = outputs.new_full((len(outputs),), -math.log(len(outputs)))
    return likelihoods.mixture(state.likelihood, outputs, drawn.log_noise, log_weights)
