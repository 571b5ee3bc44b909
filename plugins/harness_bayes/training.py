"""The state that learners of the family share, how it begins, and its description in a record."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from harness import Problem, Training, derive
from harness_bayes import networks, priors
from harness_bayes.config import NetworkOptions
from harness_bayes.likelihoods import INITIAL_NOISE, Likelihood
from harness_bayes.networks import Network
from harness_bayes.noise import Noise
from harness_bayes.priors import Prior
from harness_torch.training import facts, step
from harness_torch.training.layout import leaves
from harness_torch.training.optimiser import Group

Options = TypeVar("Options", bound=NetworkOptions)


class Trials(NamedTuple, Generic[Options]):
    """L trials that train as one: the same network and number of rows, options that differ in numbers alone."""

    problems: Sequence[Problem]
    trainings: Sequence[Training]
    options: Sequence[Options]

    def values(self, option: str) -> list[float]:
        """The values of an option, one for each trial."""
        return [getattr(options, option) for options in self.options]


@dataclass(kw_only=True)
class State(step.State):
    """Networks in training. parameters: with a first axis of L trials, or of L x M networks.

    rows: of the training set, N. seeds: of the trials. log_noise: of a Gaussian likelihood, (L,) or (J,), in units of
    standardised targets; a parameter where it is learned. scales: those units, in the data set's own. lane_options: of
    each trial; `options` are the first's. prior: None for a method without.
    """

    network: Network
    likelihood: Likelihood
    rows: int
    seeds: tuple[int, ...]
    scales: tuple[float, ...]
    options: Any
    lane_options: tuple[Any, ...]
    log_noise: Tensor | None = None
    prior: Prior | None = None

    @property
    def noise(self) -> Noise:
        """Streams of updates."""
        return Noise(self.generators)

    @property
    def fixed_log_noise(self) -> Tensor | None:
        """`log_noise` without its gradient, for predictions."""
        return None if self.log_noise is None else self.log_noise.detach()

    def draws(self) -> Noise:
        """Streams of predictions, from their beginning."""
        return Noise.seeded([derive(seed, "prediction") for seed in self.seeds], self.generator.device)


S = TypeVar("S", bound=State)


def begin(
    make: Callable[..., S],
    trials: Trials[Any],
    network: Network,
    likelihood: Likelihood,
    parameters: Mapping[str, Tensor],
    noises: int = 1,
    prior: Prior | None = None,
) -> S:
    """The state before the first update, made with `make(**fields)`.

    parameters: tensors with lanes, which become leaves on the device. noises: how many a trial learns, if it does.
    """
    first, training = trials.options[0], trials.trainings[0]
    named = dict(parameters)
    fixed = initial_noise(trials, likelihood, noises)
    if fixed is not None and learns_noise(first):
        named["log_noise"] = fixed
    owned = leaves(named, training.device, network.types.parameters)
    if fixed is not None:
        fixed = owned["log_noise"] if learns_noise(first) else fixed.to(training.device, network.types.parameters)

    def make_state(**fields: Any) -> S:
        return make(
            network=network,
            likelihood=likelihood,
            rows=trials.problems[0].train_size,
            seeds=tuple(training.seed for training in trials.trainings),
            scales=tuple(problem.target_scale for problem in trials.problems),
            lane_options=tuple(trials.options),
            log_noise=fixed,
            prior=prior,
            **fields,
        )

    seeds = [training.seed for training in trials.trainings]
    return step.begin(make_state, owned, training, first, first.graph, _group_by_rate(owned, trials), seeds)


def learns_noise(options: Any) -> bool:
    """Whether a Gaussian likelihood's noise is a parameter."""
    return options.resolved_noise is None


def initial_noise(trials: Trials[Any], likelihood: Likelihood, noises: int) -> Tensor | None:
    """Logarithm of a Gaussian likelihood's standard deviation, (L * noises,), standardised; None for others."""
    if likelihood.kind != "gaussian":
        return None
    pairs = zip(trials.options, trials.problems, strict=True)
    given = [(options.resolved_noise, problem.target_scale) for options, problem in pairs]
    logs = [math.log(INITIAL_NOISE if noise is None else noise / scale) for noise, scale in given]
    return torch.tensor(logs, dtype=torch.float64).repeat_interleave(noises)


def _group_by_rate(parameters: Mapping[str, Tensor], trials: Trials[Any]) -> list[Group] | None:
    """Group parameters with the learning rates of each trial's lanes, where they differ."""
    rates = trials.values("resolved_rate")
    if len(set(rates)) == 1:
        return None
    factors = [rate / rates[0] for rate in rates]
    return [Group([tensor], networks.per_lane(factors, len(tensor), tensor)) for tensor in parameters.values()]


def select_lane(state: S, index: int) -> S:
    """Select the state of one of the trials, for predictions and facts: views of its lanes."""
    alone = copy.copy(state)
    alone.parameters = {name: _select_part(tensor, state, index) for name, tensor in state.parameters.items()}
    if state.log_noise is not None:
        alone.log_noise = _select_part(state.log_noise, state, index)
    if state.prior is not None:
        alone.prior = priors.select_lanes(state.prior, lambda tensor: _select_part(tensor, state, index))
    alone.seeds, alone.scales = (state.seeds[index],), (state.scales[index],)
    alone.generators, alone.options = (state.generators[index],), state.lane_options[index]
    alone.lane_options = (alone.options,)
    return alone


def _select_part(tensor: Tensor, state: State, index: int) -> Tensor:
    return tensor.chunk(len(state.seeds))[index]


def describe(state: State) -> dict[str, object]:
    """Describe the network, its training, and a Gaussian likelihood's noise in the units of the targets."""
    said = {**facts.describe(state), "architecture": state.network.architecture.text}
    if state.log_noise is not None:
        deviations = (state.log_noise.detach().double().exp() * state.scales[0]).tolist()
        shown = [float(f"{deviation:.6g}") for deviation in deviations]  # digits that single precision has
        said["noise"] = shown[0] if len(set(shown)) == 1 else shown
    return said
