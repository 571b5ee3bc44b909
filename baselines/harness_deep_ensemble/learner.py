"""Networks side by side, each a point: -log p(D | w) / N, and -log p(w) / N where weights have a prior."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from harness_bayes import learner as shared
from harness_bayes import likelihoods, networks, prediction, priors, training
from harness_bayes.training import State, Trials
from harness_deep_ensemble import PointOptions


class Ensemble(shared.Learner[State]):
    """M networks of each trial; with one it is an ordinary network."""

    def begin(self, trials: Trials[PointOptions], base: Mapping[str, Tensor] | None = None) -> State:
        del base
        options, problem, first = trials.options[0], trials.problems[0], trials.trainings[0]
        likelihood = likelihoods.build(problem, options)
        network = networks.build(problem, first, options, likelihood.outputs)
        members = getattr(options, "members", 1)
        weights = networks.initial(network, [each.seed for each in trials.trainings], members)
        prior = None
        if options.resolved_prior != "none":
            like = torch.empty((), dtype=network.types.parameters, device=first.device)
            prior = priors.build(network, options, like, trials.each("prior_scale"), members)
        return training.begin(State, trials, network, likelihood, weights, members, prior)

    def objective(self, state: State, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The mean over rows and the sum over members of -log p, (L,), and its mean over members as `nll`."""
        weights = weights_of(state)
        outputs = networks.apply(state.network, weights, inputs)  # (J, B, outputs)
        nll = -likelihoods.log_likelihood(state.likelihood, outputs, targets, state.log_noise).mean(1)  # (J,)
        loss = nll if state.prior is None else nll - priors.log_density(state.prior, weights) / state.rows
        each = (len(state.seeds), -1)
        return {"loss": loss.unflatten(0, each).sum(1), "nll": nll.unflatten(0, each).mean(1)}

    def draw(self, state: State, inputs: Tensor, draws: int) -> shared.Mixture:
        """One function of each member."""
        del draws
        weights = weights_of(state)
        members = len(next(iter(weights.values())))
        outputs = prediction.outputs(state.network, weights, inputs)
        log_weights = outputs.new_full((members,), -math.log(members))
        log_noise = None if state.log_noise is None else state.log_noise.detach()
        return likelihoods.mixture(state.likelihood, outputs, log_noise, log_weights)


def weights_of(state: State) -> dict[str, Tensor]:
    """Weights of the networks, (J, ...), without the noise beside them."""
    return {name: state.parameters[name] for name in state.network.shapes}


def build(options: PointOptions) -> Ensemble:
    return Ensemble(options)


def together(configs: Sequence[PointOptions]) -> shared.Cohort[State]:
    return shared.Cohort(Ensemble, configs)
