"""MC-dropout (Gal and Ghahramani, ICML 2016): a network whose inputs and hidden units are dropped, also in predictions.

With masks z of Bernoulli numbers, zero with probability p, and N rows, training minimises

    mean_i E(y_i, f(x_i; z_i)) + l^2 (1 - p) / (2 N tau) sum ||W||^2,    z_i drawn for each row and layer

E the squared error of standardised targets or the cross entropy, and each linear map W (z x / (1 - p)) + b. A
prediction is the mixture of T networks f(x; z_t), one z_t for all rows, each with variance 1 / tau.

The 1 / (1 - p) stands on the weights; a unit is dropped before its activation, which is 0 at 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import Batch, Problem, Unsupported
from harness_bayes import learner as shared
from harness_bayes import networks, training
from harness_bayes.likelihoods import Likelihood
from harness_bayes.noise import Drops
from harness_bayes.training import Trials
from harness_mc_dropout import DropoutOptions, reference
from harness_mc_dropout.masks import State, build_linear, draw_row_masks, unit_shapes
from harness_mc_dropout.prediction import draw

EPS = 1e-7  # of Adam, as in the Keras of the published code
NOISE = 0.5  # of targets, in their standard deviations, where no precision is given


class MCDropout(shared.Learner[State]):
    """Trains with masks for each row, predicts with masks for each draw."""

    def begin(self, trials: Trials[DropoutOptions], base: Mapping[str, Tensor] | None = None) -> State:
        del base
        problem, first, device = trials.problems[0], trials.trainings[0], trials.trainings[0].device
        likelihood = _build_likelihood(trials)
        if likelihood.kind == "gaussian":
            trials = trials._replace(options=list(map(_resolve_precision, trials.options, trials.problems)))
        network = networks.build(problem, first, trials.options[0], likelihood.outputs)
        like = torch.empty((), dtype=network.types.parameters, device=device)
        make = partial(
            State,
            drops=Drops.build(trials.values("rate"), device),
            scale=like.new_tensor([1 / (1 - rate) for rate in trials.values("rate")]),
            decay=like.new_tensor(list(map(_weight_decay, trials.options, trials.problems))),
            units=unit_shapes(network, problem.input_shape),
        )
        # As in the published code: with larger ones the errors on yacht are larger by a sixth.
        weights = networks.initial(network, [training.seed for training in trials.trainings], 1, "glorot")
        state = training.begin(make, trials, network, likelihood, weights)
        for group in state.optimiser.param_groups:
            if "eps" in group:
                group["eps"] = EPS
        return state

    def objective(self, state: State, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The loss of each trial, and of it the error, (L,)."""
        outputs = networks.forward(state.network, inputs, build_linear(state, draw_row_masks(state, inputs.shape[1])))
        if state.likelihood.kind == "categorical":
            errors = F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
        else:
            errors = (outputs[..., 0] - targets).square()  # (L, B)
        kernels = [tensor for name, tensor in state.parameters.items() if name.endswith("weight")]
        norms = torch.stack([kernel.flatten(1).square().sum(1) for kernel in kernels]).sum(0)  # (L,)
        return {"loss": errors.mean(1) + state.decay * norms, "error": errors.mean(1)}

    def reference(self, state: State, batch: Batch) -> tuple[State, shared.Scalars]:
        """`update`, as the paper writes it. Raises Unsupported for options that this does not cover."""
        micro_batch = self.options.micro_batch
        if micro_batch is not None and micro_batch < len(batch.targets):
            raise Unsupported(f"micro_batch={micro_batch}: the reference draws the masks of a mini-batch at once")
        masks = [mask[0] for mask in draw_row_masks(state, len(batch.targets))]
        return state, shared.descend_on(state, lambda: reference.loss(state.options, state, batch, masks))

    def draw(self, state: State, inputs: Tensor, draws: int) -> shared.Mixture:
        return draw(state, inputs, draws)

    def describe(self, state: State) -> Mapping[str, object]:
        precision = {} if state.log_noise is None else {"tau": state.options.tau}
        return {**super().describe(state), **precision}


class Cohort(shared.Cohort[State]):
    """Trials that differ in numbers alone, trained side by side."""

    def lane(self, state: State, index: int) -> State:
        one, alone = slice(index, index + 1), super().lane(state, index)
        alone.drops = Drops(state.drops.rates[one], state.drops.scales[one])
        alone.scale, alone.decay = state.scale[one], state.decay[one]
        return alone


def _build_likelihood(trials: Trials[DropoutOptions]) -> Likelihood:
    problem = trials.problems[0]
    if problem.kind == "regression":
        return Likelihood("gaussian", 1, problem.target_scale)
    if problem.kind != "classification":
        raise Unsupported(f"Bayesian networks take classification and regression, not {problem.kind}")
    for name in ("tau", "level"):
        for value in filter(lambda given: given is not None, trials.values(name)):
            raise Unsupported(f"{name}={value}: classes have the softmax's likelihood; leave {name} out")
    return Likelihood("categorical", problem.output_size)


def _resolve_precision(options: DropoutOptions, problem: Problem) -> DropoutOptions:
    if options.level is not None and options.precisions is None:
        raise Unsupported(
            f"level={options.level}: the data set comes with no precisions to choose from; say precisions=[...], or tau"
        )
    tau = options.resolved_tau or (NOISE * problem.target_scale) ** -2
    return dataclasses.replace(options, tau=tau, level=None)


def _weight_decay(options: DropoutOptions, problem: Problem) -> float:
    return options.lengthscale**2 * (1 - options.rate) / (2 * problem.train_size * (options.tau or 1.0))


def build(options: DropoutOptions) -> MCDropout:
    return MCDropout(options)


def together(configs: Sequence[DropoutOptions]) -> Cohort:
    return Cohort(MCDropout, configs)
