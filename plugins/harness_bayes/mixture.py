"""Variational inference with a Gaussian mixture (arXiv 2202.13059) and, with one component, mean-field VI.

    q(w) = sum_k pi_k N(w | mu_k, Sigma_k)
    L~ = sum_k pi_k (E_k log p(D | w) + E_k log p(w)) + H~[q],    H~[q] = sum_k pi_k (H(N_k) - log pi_k)

H~ stands for the entropy of q and is too large by E_q H(component | w), at most log K: L~ is no lower bound of
log p(D). With equal weights L~ is the mean of the ELBOs of K separate Gaussians, and log K: its
components do not know of each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import Batch, ClassLogProbs, Problem, RegressionMixture, Training
from harness_bayes import likelihoods, networks, prediction, priors, training, variational
from harness_bayes.config import MixtureOptions
from harness_bayes.priors import Prior
from harness_bayes.training import Trials
from harness_bayes.variational import Mixture
from harness_torch.training import facts, step

GLANCE = 10  # draws of each component at points on the way


@dataclass(kw_only=True)
class State(training.State):
    """A mixture in training: parameters as `variational.initial` names them, `log_noise`, and `theta` (L, K) where
    weights are learned.
    """

    options: MixtureOptions
    prior: Prior

    def log_weights(self) -> Tensor:
        """Log pi, (L, K)."""
        theta = self.parameters.get("theta")
        if theta is not None:
            return F.log_softmax(theta, 1)
        like, components = next(iter(self.parameters.values())), self.options.components
        return like.new_full((len(self.seeds), components), -math.log(components))

    def mixture(self) -> Mixture:
        """q, as the parameters say it."""
        return variational.read(self.network, self.parameters)


class MixtureVI:
    """Trains a mixture; predicts with draws of functions from each of its components."""

    def __init__(self, options: MixtureOptions) -> None:
        self.options = options

    def init(self, problem: Problem, training: Training, base: Mapping[str, Tensor] | None) -> State:
        return begin(Trials([problem], [training], [self.options]), base)

    def update(self, state: State, batch: Batch) -> tuple[State, Mapping[str, Tensor]]:
        scalars = step.update(state, partial(learn, state), [batch.inputs[None], batch.targets[None]])
        return state, {name: value[0] for name, value in scalars.items()}

    def predict(self, state: State, inputs: Tensor) -> ClassLogProbs | RegressionMixture:
        return _predict(state, inputs, self.options.predict_samples)

    def glance(self, state: State, inputs: Tensor) -> ClassLogProbs | RegressionMixture:
        """`predict` with fewer draws."""
        return _predict(state, inputs, min(GLANCE, self.options.predict_samples))

    def describe(self, state: State) -> Mapping[str, object]:
        weights = state.log_weights()[0].exp()
        return {**training.describe(state), "largest_weight": weights.max().item()}

    def save(self, state: State) -> Mapping[str, Tensor]:
        return facts.save(state)


def begin(trials: Trials[MixtureOptions], base: Mapping[str, Tensor] | None = None) -> State:
    """The state before the first update. base: networks (K, ...) at which the components of the only trial start."""
    options, problem = trials.options[0], trials.problems[0]
    likelihood = likelihoods.build(problem, options)
    network = networks.build(problem, trials.trainings[0], options, likelihood.outputs)
    seeds = [each.seed for each in trials.trainings]
    means = networks.initial(network, seeds, options.components) if base is None else _chosen(base, network)
    device = trials.trainings[0].device
    parameters = variational.initial(network, means, len(seeds), options.covariance, device)
    if options.learn_weights:
        parameters["theta"] = torch.zeros(len(seeds), options.components)
    like = torch.empty((), dtype=network.types.parameters, device=device)
    prior = priors.build(network, options, like, trials.each("prior_scale"), options.components)
    return training.begin(partial(State, prior=prior), trials, network, likelihood, parameters)


def _chosen(base: Mapping[str, Tensor], network: networks.Network) -> dict[str, Tensor]:
    return {name: base[name] for name in network.shapes}


def learn(state: State, inputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
    """One step on -L~ / N of each trial, for rows (L, B, ...) and targets (L, B); scalars (L,)."""
    state.optimiser.zero_grad()
    totals: dict[str, Tensor] = {}
    for rows, share in step.parts([inputs, targets], state.options.micro_batch, axis=1):
        scalars = objective(state, *rows)
        (scalars["loss"] * share).sum().backward()
        for name, value in scalars.items():
            totals[name] = totals.get(name, 0.0) + value.detach() * share
    step.descend(state)
    return totals


def objective(state: State, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Loss = -L~ / N, elbo = L~ and kl = sum_k pi_k KL(N_k || p) of each trial, (L,), from a mini-batch."""
    options, mixture, noise = state.options, state.mixture(), state.noise
    log_weights = state.log_weights()  # (L, K)
    weights = log_weights.exp()
    outputs = networks.forward(
        state.network, inputs, mixture.linear(options.train_samples, noise, options.estimator)
    )  # (L K S, B, outputs)
    likelihood = likelihoods.log_likelihood(state.likelihood, outputs, targets, state.log_noise)  # (L K S, B)
    expected = likelihood.mean(1).unflatten(0, (*weights.shape, -1)).mean(2) * state.rows  # E_k log p(D | w), (L, K)
    cross = mixture.cross_entropies(state.prior, options.train_samples, noise).unflatten(0, weights.shape)
    entropies = mixture.entropies().unflatten(0, weights.shape)
    elbo = (weights * (expected - cross + entropies - log_weights)).sum(1)
    return {"loss": -elbo / state.rows, "elbo": elbo, "kl": (weights * (cross - entropies)).sum(1)}


def _predict(state: State, inputs: Tensor, draws: int) -> ClassLogProbs | RegressionMixture:
    with torch.no_grad():
        mixture, noise = state.mixture(), state.draws()
        return prediction.predict(
            state.network,
            state.likelihood,
            lambda count: mixture.draw(count, noise),
            inputs,
            state.log_weights()[0],
            draws,
            state.log_noise,
        )


def build(options: MixtureOptions) -> MixtureVI:
    return MixtureVI(options)
