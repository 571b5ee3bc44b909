"""Networks side by side, each a point: -log p(D | w) / N, and -log p(w) / N where weights have a prior."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from harness_bayes import likelihoods, networks, priors, training
from harness_bayes.learner import Learner
from harness_bayes.training import State, Trials

S = TypeVar("S", bound=State)


def begin(make: Callable[..., S], trials: Trials[Any]) -> S:
    """The state of `options.members` networks of each trial, one by default, made with `make(**fields)`.

    Raises Unsupported for what the family cannot take.
    """
    options, problem, first = trials.options[0], trials.problems[0], trials.trainings[0]
    likelihood = likelihoods.build(problem, options)
    network = networks.build(problem, first, options, likelihood.outputs)
    members = getattr(options, "members", 1)
    weights = networks.initial(network, [each.seed for each in trials.trainings], members)
    prior = None
    if options.resolved_prior != "flat":
        like = torch.empty((), dtype=network.types.parameters, device=first.device)
        prior = priors.build(network, options, like, trials.values("prior_scale"), members)
    return training.begin(make, trials, network, likelihood, weights, members, prior)


class PointLearner(Learner[S]):
    """Trains networks that are points. A method says by `begin` how they start, and by `draw` what they predict."""

    def objective(self, state: S, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The mean over rows and the sum over members of -log p, (L,), and its mean over members as `nll`."""
        weights = weights_of(state)
        outputs = networks.apply(state.network, weights, inputs)  # (J, B, outputs)
        nll = -likelihoods.log_likelihood(state.likelihood, outputs, targets, state.log_noise).mean(1)  # (J,)
        loss = nll if state.prior is None else nll - priors.log_density(state.prior, weights) / state.rows
        each = (len(state.seeds), -1)
        return {"loss": loss.unflatten(0, each).sum(1), "nll": nll.unflatten(0, each).mean(1)}


def weights_of(state: State) -> dict[str, Tensor]:
    """Weights of the networks, (J, ...), without the noise beside them."""
    return {name: state.parameters[name] for name in state.network.shapes}
