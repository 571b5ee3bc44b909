"""Variational inference with a Gaussian mixture (arXiv 2202.13059) and, with one component, mean-field VI.

    q(w) = sum_k pi_k N(w | mu_k, Sigma_k)
    L~ = sum_k pi_k (E_k log p(D | w) + E_k log p(w)) + H~[q],    H~[q] = sum_k pi_k (H(N_k) - log pi_k)

H~ stands for the entropy of q and is too large by E_q H(component | w), at most log K: L~ is no lower bound of
log p(D). objective=certified takes an upper bound of that error off (Kolchinsky and Tracey 2017), objective=true the
error itself, from draws. With equal weights L~ is the mean of the ELBOs of K separate Gaussians, and log K: its
components do not know of each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from harness import Batch
from harness_bayes import bounds, entropy, likelihoods, networks, prediction, priors, reference, training, variational
from harness_bayes import learner as shared
from harness_bayes.config import MixtureOptions
from harness_bayes.gaussians import Components, Diagonal, Full
from harness_bayes.mixture_state import State
from harness_bayes.training import Trials
from harness_bayes.variational import Mixture


class MixtureVI(shared.Learner[State]):
    """Trains a mixture; predicts with draws of functions from each of its components."""

    def begin(self, trials: Trials[MixtureOptions], base: Mapping[str, Tensor] | None = None) -> State:
        """base: networks (K, ...) at which the components of the only trial start."""
        options, problem = trials.options[0], trials.problems[0]
        likelihood = likelihoods.build(problem, options)
        network = networks.build(problem, trials.trainings[0], options, likelihood.outputs)
        seeds, device = [each.seed for each in trials.trainings], trials.trainings[0].device
        means = networks.initial(network, seeds, options.components)
        if base is not None:
            means = {name: base[name] for name in network.shapes}
        parameters = variational.initial(network, means, len(seeds), options.covariance, device, options.objective)
        if options.learn_weights:
            parameters["theta"] = torch.zeros(len(seeds), options.components)
        like = torch.empty((), dtype=network.types.parameters, device=device)
        prior = priors.build(network, options, like, trials.values("prior_scale"), options.components)
        return training.begin(State, trials, network, likelihood, parameters, prior=prior)

    def objective(self, state: State, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Loss = -L~ / N, elbo = L~ and kl = sum_k pi_k KL(N_k || p) of each trial, (L,), from a mini-batch."""
        options, mixture, noise = state.options, state.mixture(), state.noise
        samples, log_weights = options.train_samples, state.log_weights()  # (L, K)
        weights = log_weights.exp()
        linear = mixture.linear(samples, noise, options.estimator)
        outputs = networks.forward(state.network, inputs, linear)  # (L K S, B, outputs)
        likely = likelihoods.log_likelihood(state.likelihood, outputs, targets, state.log_noise)  # (L K S, B)
        expected = likely.mean(1).unflatten(0, (*weights.shape, samples)).mean(2) * state.rows  # E_k log p(D | w)
        assert state.prior is not None
        cross = mixture.cross_entropies(state.prior, samples, noise).unflatten(0, weights.shape)
        entropies = mixture.entropies().unflatten(0, weights.shape)
        elbo = (weights * (expected - cross + entropies - log_weights)).sum(1)
        elbo = elbo - entropy_error(state, mixture, log_weights)
        return {"loss": -elbo / state.rows, "elbo": elbo, "kl": (weights * (cross - entropies)).sum(1)}

    def reference(self, state: State, batch: Batch) -> tuple[State, shared.Scalars]:
        """`update`, as the paper writes it. Raises Unsupported for options that this does not cover."""
        return state, shared.descend_on(state, lambda: reference.loss(state, batch))

    def draw(self, state: State, inputs: Tensor, draws: int) -> shared.Mixture:
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

    def describe(self, state: State) -> Mapping[str, object]:
        said = dict(super().describe(state))
        if "theta" in state.parameters:
            said["weights"] = [round(weight, 6) for weight in state.log_weights()[0].exp().tolist()]
        return said


def entropy_error(state: State, mixture: Mixture, log_weights: Tensor) -> Tensor | float:
    """H~ - H of each trial, (L,), as far as the objective takes it off: all of it, an upper bound, or nothing."""
    options = state.options
    if options.objective == "approximate" or options.components == 1:
        return 0.0
    q = read_components(mixture, log_weights.shape)
    if options.objective == "certified":
        return bounds.kolchinsky_tracey_bound(log_weights, q.log_overlaps().to(log_weights.dtype))
    shape = (*log_weights.shape, options.train_samples, mixture.network.size)
    drawn = q.place(state.noise.normal(shape, q.means))
    return entropy.sampled_error(log_weights, q, drawn).value.to(log_weights.dtype)


def read_components(mixture: Mixture, shape: Sequence[int]) -> Components:
    """The components of L mixtures of K as the theory takes them, shape (L, K)."""
    means = networks.flatten(mixture.means).unflatten(0, tuple(shape))
    spreads = mixture.spreads().unflatten(0, tuple(shape))
    if mixture.factors is None:
        return Diagonal(means, spreads)
    return Full(means.double(), spreads.double())  # triangular systems of many weights are ill-conditioned


def build(options: MixtureOptions) -> MixtureVI:
    return MixtureVI(options)


def together(configs: Sequence[MixtureOptions]) -> shared.Cohort[State]:
    return shared.Cohort(MixtureVI, configs)
