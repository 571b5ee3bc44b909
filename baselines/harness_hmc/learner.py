"""HMC on the weights of a network: MAP networks, from each a chain, and as posterior the draws after burn-in.

An update is one trajectory of every chain on all training rows, which `prepare` keeps; the mini-batch only counts the
budget. Draws are kept at even distances, as many of each chain as `predict_samples` says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

from torch import Tensor

from harness import Batch, ClassLogProbs, Fit, Problem, RegressionMixture, Training
from harness_bayes import hamiltonian, likelihoods, prediction, training
from harness_bayes.hamiltonian import Chains
from harness_hmc import HMCOptions, diagnosis, maps
from harness_hmc.densities import Posterior
from harness_hmc.state import State, begin, count_room, keep_draw, require_started
from harness_torch.training import facts


class HMC:
    """Samples the posterior; predicts with the functions that it has kept."""

    def __init__(self, options: HMCOptions) -> None:
        self.options = options

    def init(self, problem: Problem, training: Training, base: Mapping[str, Tensor] | None) -> State:
        del base
        return begin(problem, training, self.options)

    def prepare(self, state: State, fit: Fit) -> State:
        """Find the MAP networks, and start a chain at each. Raises Diverged."""
        posterior = state.posterior = maps.build_posterior(state, fit.train)
        start = maps.descend(state, posterior)
        state.chains = hamiltonian.begin(posterior, start, state.generator)
        state.kept = start.new_empty(len(start), count_room(state, self.options.predict_samples), start.shape[1])
        return state

    def update(self, state: State, batch: Batch) -> tuple[State, Mapping[str, Tensor]]:
        """Move every chain by one trajectory."""
        del batch
        posterior, chains = require_started(state)
        scalars, carried = state.replay(partial(_move_chains, state, posterior), [], chains)
        state.chains = Chains(*carried)
        state.updates += 1
        keep_draw(state, state.chains.positions)
        return state, scalars

    def finish(self, state: State, fit: Fit) -> State:
        """Leave `predict_samples` draws of each chain. Raises HarnessError for a chain that never moved."""
        del fit
        hamiltonian.refuse_stuck(require_started(state)[1], state.burn)
        wanted, drawn = self.options.predict_samples, state.drawn
        if drawn is not None and state.count > wanted:
            chosen = [index * state.count // wanted for index in range(wanted)]
            state.kept, state.count = drawn[:, chosen], wanted
        return state

    def predict(self, state: State, inputs: Tensor) -> ClassLogProbs | RegressionMixture:
        """A component for each draw, those of a chain together; before the first draw, one for each chain."""
        return _predict_draws(state, inputs, state.drawn)

    def glance(self, state: State, inputs: Tensor) -> ClassLogProbs | RegressionMixture:
        """Predict with the chains' present positions."""
        return _predict_draws(state, inputs, None)

    def functions(self, state: State, inputs: Tensor) -> Tensor:
        """Outputs of the draws for rows (N, ...), (chains, draws, N, outputs)."""
        posterior, chains = require_started(state)
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
            **diagnosis.describe_noise(state),
            "acceptance": acceptance.mean().item(),
            "least_acceptance": acceptance.min().item(),
            "divergences": int(chains.divergent.sum()),
            "step_size": chains.averages.exp().median().item(),
            **diagnosis.describe_convergence(state, self.functions(state, diagnosis.select_rows(state))),
        }

    def save(self, state: State) -> Mapping[str, Tensor]:
        """The functions that are kept, (J, ...), or the MAP networks before there are any."""
        if state.drawn is None:
            return facts.save(state)
        drawn = require_started(state)[0].functions(state.drawn.flatten(0, 1))
        named = {name: weight.contiguous() for name, weight in drawn.weights.items()}
        return named if drawn.log_noise is None else {**named, "log_noise": drawn.log_noise}


def build(options: HMCOptions) -> HMC:
    return HMC(options)


def _move_chains(state: State, posterior: Posterior, *chains: Tensor) -> tuple[Mapping[str, Tensor], Chains]:
    moved = hamiltonian.move_chains(posterior, Chains(*chains), state.options.leapfrog, state.burn, state.generator)
    return {"loss": -moved.densities.mean() / state.rows, "acceptance": moved.chances.mean()}, moved


def _predict_draws(state: State, inputs: Tensor, draws: Tensor | None) -> ClassLogProbs | RegressionMixture:
    """Predict the mixture of draws (J, D, m), or of the chains' positions."""
    posterior, chains = require_started(state)
    drawn = posterior.functions(chains.positions if draws is None else draws.flatten(0, 1))
    outputs = prediction.outputs(state.network, drawn.weights, inputs)
    log_weights = outputs.new_full((len(outputs),), -math.log(len(outputs)))
    return likelihoods.mixture(state.likelihood, outputs, drawn.log_noise, log_weights)
