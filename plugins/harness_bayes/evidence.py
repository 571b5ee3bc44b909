"""The ELBO of a trained mixture on all rows, from many draws: with the approximate entropy, certified, and true.

    L~ = sum_k pi_k (E_k log p(D | w) + E_k log p(w)) + H~,    L = L~ - (H~ - H) <= log p(D)

In nats, of targets on their own scale: N log(scale), which standardised targets add, is taken off. Networks compute in
their own precision; sums over rows, and terms in closed form, are in float64.
"""

from __future__ import annotations

import copy
import math
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from harness import Batch
from harness_bayes import bounds, entropy, likelihoods, mixture, networks, prediction, priors
from harness_bayes.entropy import Estimate
from harness_bayes.gaussians import Components
from harness_bayes.mixture_state import State
from harness_bayes.networks import Network
from harness_bayes.noise import Noise
from harness_torch.training import inference

DRAWS, FEWEST = 1000, 10  # of each component
MACS = 2**35  # multiply-accumulates that draws may take, unless the fewest take more


class Posterior(NamedTuple):
    """The mixture that the state of a single trial holds, in float64: log weights (K,), means (K, m)."""

    log_weights: Tensor
    components: Components

    @property
    def weights(self) -> Tensor:
        return self.log_weights.exp()


@torch.no_grad()
def read_posterior(state: State) -> Posterior:
    """Read the mixture of a trained state."""
    precise = _convert_to_double(state)
    components = mixture.read_components(precise.mixture(), (precise.log_weights().shape[1],))
    return Posterior(precise.log_weights()[0], components)


def _convert_to_double(state: State) -> State:
    precise = copy.copy(state)
    precise.parameters = {name: tensor.detach().double() for name, tensor in state.parameters.items()}
    return precise


@torch.no_grad()
def elbo_approximate(state: State, rows: Batch, draws: int | None = None) -> Estimate:
    """L~ from so many draws of each component; as many as are affordable by default. The same draws every time."""
    return _estimate_approximate(state, rows, draws or count_affordable_draws(state, rows), state.draws())


def _estimate_approximate(state: State, rows: Batch, draws: int, noise: Noise) -> Estimate:
    precise, held = _convert_to_double(state), read_posterior(state)
    q = precise.mixture()
    drawn = _draw_log_joints(state, rows, draws, noise)  # (K, S)
    closed = q.entropies() - held.log_weights
    if state.prior is not None and state.prior.narrow is None:
        closed = closed - priors.cross_entropy(state.prior, q.means, q.variances())
    estimate = entropy.estimate_stratified(held.weights, drawn)
    return Estimate(estimate.value + (held.weights * closed).sum(), estimate.standard_error)


def elbo_certified(state: State, rows: Batch, draws: int | None = None) -> Estimate:
    """L~ less the least upper bound of the entropy's error: never above the log evidence, but for the draws."""
    found = elbo_approximate(state, rows, draws)
    return found._replace(value=found.value - error_bounds(read_posterior(state))[1])


@torch.no_grad()
def elbo_true(state: State, rows: Batch, draws: int | None = None) -> Estimate:
    """L~ less the entropy's error, from further draws, which is kept within its bounds."""
    held, noise, draws = read_posterior(state), state.draws(), draws or count_affordable_draws(state, rows)
    found = _estimate_approximate(state, rows, draws, noise)
    if len(held.log_weights) == 1:
        return found
    error = entropy.estimate_stratified(held.weights, _draw_surprises(held, draws, noise))
    lower, upper = error_bounds(held)
    deviation = (found.standard_error.square() + error.standard_error.square()).sqrt()
    return Estimate(found.value - error.value.clamp(lower, upper), deviation)


def _draw_surprises(held: Posterior, draws: int, noise: Noise) -> Tensor:
    """Values -log r_k of draws of each component, (K, S): their surprise at the component that they come from."""
    means, found = held.components.means, []
    for some in prediction.split_draws(len(means), draws, means.shape[1]):
        points = held.components.place(noise.normal((len(means), some, means.shape[1]), means))
        found.append(entropy.surprises(held.log_weights, held.components, points))
    return torch.cat(found, 1)


@torch.no_grad()
def error_bounds(held: Posterior) -> tuple[Tensor, Tensor]:
    """Bounds between which H~ - H lies: Kolchinsky and Tracey's lower one, and the least of KT, BC and H(pi)."""
    upper = bounds.certified_bound(held.log_weights, held.components.log_overlaps())
    return torch.minimum(bounds.lower_bound(held.log_weights, held.components), upper), upper


def count_affordable_draws(state: State, rows: Batch) -> int:
    """Count the draws of each component whose operations on these rows are affordable."""
    each = len(rows.targets) * count_macs(state.network) * state.log_weights().shape[1]
    return max(FEWEST, min(DRAWS, MACS // each))


def count_macs(network: Network) -> int:
    """Multiply-accumulates of one network for one row."""
    maps = [layer.map[1:] for layer in network.architecture.layers]
    return sum(prod(weight) * prod(places) for (_, weight), places in zip(network.layers, [*maps, ()], strict=True))


def _draw_log_joints(state: State, rows: Batch, draws: int, noise: Noise) -> Tensor:
    """Values log p(D | w) of draws of each component, (K, S), and with a prior of two parts log p(w) besides."""
    q, shift = state.mixture(), _shift_of_scale(state, len(rows.targets))
    count, found = state.log_weights().shape[1], []
    for some in prediction.split_draws(count, draws, state.network.size):
        weights = q.draw(some, noise)  # (K * some, ...)
        values = _sum_log_likelihoods(state, weights, rows) - shift
        if state.prior is not None and state.prior.narrow is not None:
            values = values + priors.log_density(state.prior, weights).double()
        found.append(values.unflatten(0, (count, some)))
    return torch.cat(found, 1)


def _sum_log_likelihoods(state: State, weights: dict[str, Tensor], rows: Batch) -> Tensor:
    """Sums over all rows, (J,)."""
    lanes = len(next(iter(weights.values())))
    parts = inference.split(rows.inputs, lanes * prediction.widest_layer(state.network))
    total = torch.zeros(lanes, dtype=torch.float64, device=rows.inputs.device)
    for inputs, targets in zip(parts, rows.targets.tensor_split(len(parts)), strict=True):
        outputs = networks.apply(state.network, weights, inputs[None])
        likely = likelihoods.log_likelihood(state.likelihood, outputs, targets[None], state.log_noise)  # (J, n)
        total += likely.sum(1, dtype=torch.float64)
    return total


def _shift_of_scale(state: State, rows: int) -> float:
    return 0.0 if state.likelihood.kind == "categorical" else rows * math.log(state.scales[0])
