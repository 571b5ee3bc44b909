"""MC-dropout (Gal and Ghahramani, ICML 2016): a network whose inputs and hidden units are dropped, also in predictions.

With masks z of Bernoulli numbers, zero with probability p, and N rows, training minimises

    mean_i E(y_i, f(x_i; z_i)) + l^2 (1 - p) / (2 N tau) sum ||W||^2,    z_i drawn for each row and layer

E the squared error of standardised targets or the cross entropy, and each linear map W (z x / (1 - p)) + b. A
prediction is the mixture of T networks f(x; z_t), one z_t for all rows, each with variance 1 / tau.

The 1 / (1 - p) stands on the weights; a unit is dropped before its activation, which is 0 at 0.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import Batch, ClassLogProbs, Problem, RegressionMixture, Training, Unsupported
from harness_bayes import likelihoods, networks, prediction, training
from harness_bayes.likelihoods import Likelihood
from harness_bayes.networks import Linear, Network, affine, per_lane
from harness_bayes.noise import Drops
from harness_bayes.training import Trials
from harness_mc_dropout import DropoutOptions, reference
from harness_torch.training import facts, inference, step
from harness_torch.training.architectures import Layer

GLANCE = 10  # draws at points on the way
EPS = 1e-7  # of Adam, as in the Keras of the published code
NOISE = 0.5  # of targets, in their standard deviations, where no precision is given

Mixture = ClassLogProbs | RegressionMixture
Scalars = Mapping[str, Tensor]


@dataclass(kw_only=True)
class State(training.State):
    """Networks in training, one for each trial.

    each: options of the trials. drops: their rates. scale: 1 / (1 - rate) and decay: of weights, (L,). units: of a row
    what can be dropped, the input first, then what each layer sends on before it is pooled.
    """

    options: DropoutOptions
    each: tuple[DropoutOptions, ...]
    drops: Drops
    scale: Tensor
    decay: Tensor
    units: tuple[tuple[int, ...], ...]

    @property
    def drops_any(self) -> bool:
        """Whether any trial has a rate."""
        return any(self.drops.rates)


class MCDropout:
    """Trains with masks for each row, predicts with masks for each draw."""

    def __init__(self, options: DropoutOptions) -> None:
        self.options = options

    def init(self, problem: Problem, training: Training, base: Mapping[str, Tensor] | None) -> State:
        del base
        return begin(Trials([problem], [training], [self.options]))

    def update(self, state: State, batch: Batch) -> tuple[State, Scalars]:
        scalars = step.update(state, partial(learn, state), [batch.inputs[None], batch.targets[None]])
        return state, {name: value[0] for name, value in scalars.items()}

    def reference(self, state: State, batch: Batch) -> tuple[State, Scalars]:
        """`update`, as the paper writes it. Raises Unsupported for options that this does not cover."""
        micro_batch = self.options.micro_batch
        if micro_batch is not None and micro_batch < len(batch.targets):
            raise Unsupported(f"micro_batch={micro_batch}: the reference draws the masks of a mini-batch at once")
        step.advance(state)
        state.optimiser.zero_grad()
        masks = [mask[0] for mask in row_masks(state, len(batch.targets))]
        loss = reference.loss(state.options, state, batch, masks)
        loss.backward()
        step.descend(state)
        return state, {"loss": loss.detach()}

    def predict(self, state: State, inputs: Tensor) -> Mixture:
        return draw(state, inputs, self.options.predict_samples)

    def glance(self, state: State, inputs: Tensor) -> Mixture:
        """`predict` with fewer draws."""
        return draw(state, inputs, min(GLANCE, self.options.predict_samples))

    def describe(self, state: State) -> Mapping[str, object]:
        precision = {} if state.log_noise is None else {"tau": state.options.tau}
        return {**training.describe(state), **precision}

    def save(self, state: State) -> Mapping[str, Tensor]:
        return facts.save(state)


class Cohort:
    """Trials that differ in numbers alone, trained side by side."""

    def __init__(self, configs: Sequence[DropoutOptions]) -> None:
        self.configs = configs

    def init(self, problems: Sequence[Problem], trainings: Sequence[Training]) -> State:
        """Raises Unsupported where trials cannot be trained as one."""
        if len(self.configs) > 1 and self.configs[0].clip is not None:
            raise Unsupported("clip: the norm is of one network's gradients; trials run one by one")
        return begin(Trials(problems, trainings, self.configs))

    def update(self, state: State, batch: Batch) -> tuple[State, Scalars]:
        """Rows of each trial's own: inputs (L, B, ...), targets (L, B); scalars (L,)."""
        return state, step.update(state, partial(learn, state), [batch.inputs, batch.targets])

    def lane(self, state: State, index: int) -> State:
        """The state of one trial."""
        one = slice(index, index + 1)
        alone = training.lane(state, index)
        alone.each, alone.options = state.each[one], state.each[index]
        alone.drops = Drops(state.drops.rates[one], state.drops.scales[one])
        alone.scale, alone.decay = state.scale[one], state.decay[one]
        return alone


def build(options: DropoutOptions) -> MCDropout:
    return MCDropout(options)


def together(configs: Sequence[DropoutOptions]) -> Cohort:
    return Cohort(configs)


def begin(trials: Trials[DropoutOptions]) -> State:
    """The state before the first update."""
    problem, first, device = trials.problems[0], trials.trainings[0], trials.trainings[0].device
    likelihood = _likelihood(trials)
    if likelihood.kind == "gaussian":
        trials = trials._replace(options=list(map(_with_precision, trials.options, trials.problems)))
    network = networks.build(problem, first, trials.options[0], likelihood.outputs)
    like = torch.empty((), dtype=network.types.parameters, device=device)
    make = partial(
        State,
        each=tuple(trials.options),
        drops=Drops.of([options.rate for options in trials.options], device),
        scale=like.new_tensor([1 / (1 - options.rate) for options in trials.options]),
        decay=like.new_tensor(list(map(_decay, trials.options, trials.problems))),
        units=_units(network, problem),
    )
    weights = networks.initial(network, [training.seed for training in trials.trainings], 1)
    state = training.begin(make, trials, network, likelihood, weights)
    for group in state.optimiser.param_groups:
        if "eps" in group:
            group["eps"] = EPS
    return state


def _likelihood(trials: Trials[DropoutOptions]) -> Likelihood:
    problem = trials.problems[0]
    if problem.kind == "regression":
        return Likelihood("gaussian", 1, problem.target_scale)
    if problem.kind != "classification":
        raise Unsupported(f"Bayesian networks take classification and regression, not {problem.kind}")
    for options in trials.options:
        if options.tau is not None:
            raise Unsupported(f"tau={options.tau}: classes have the softmax's likelihood; leave tau out")
    return Likelihood("categorical", problem.output_size)


def _with_precision(options: DropoutOptions, problem: Problem) -> DropoutOptions:
    return dataclasses.replace(options, tau=options.tau or (NOISE * problem.target_scale) ** -2)


def _decay(options: DropoutOptions, problem: Problem) -> float:
    return options.lengthscale**2 * (1 - options.rate) / (2 * problem.train_size * (options.tau or 1.0))


def _units(network: Network, problem: Problem) -> tuple[tuple[int, ...], ...]:
    layers = network.architecture.layers
    return (problem.input_shape if _maps(layers[0]) else layers[0].weight[1:], *(layer.map for layer in layers))


def _maps(layer: Layer) -> bool:
    return len(layer.weight) > 2


def learn(state: State, inputs: Tensor, targets: Tensor) -> Scalars:
    """One step on each trial's loss, for rows (L, B, ...) and targets (L, B); scalars (L,)."""
    state.optimiser.zero_grad()
    totals: dict[str, Any] = {}
    for rows, share in step.parts([inputs, targets], state.options.micro_batch, axis=1):
        scalars = objective(state, *rows)
        (scalars["loss"] * share).sum().backward()
        for name, value in scalars.items():
            totals[name] = totals.get(name, 0.0) + value.detach() * share
    step.descend(state)
    return totals


def objective(state: State, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """The loss of each trial, and of it the error, (L,)."""
    outputs = networks.forward(state.network, inputs, dropping(state, row_masks(state, inputs.shape[1])))
    if state.likelihood.kind == "categorical":
        errors = F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
    else:
        errors = (outputs[..., 0] - targets).square()  # (L, B)
    kernels = [tensor for name, tensor in state.parameters.items() if name.endswith("weight")]
    norms = torch.stack([kernel.flatten(1).square().sum(1) for kernel in kernels]).sum(0)  # (L,)
    return {"loss": errors.mean(1) + state.decay * norms, "error": errors.mean(1)}


def row_masks(state: State, rows: int) -> list[Tensor]:
    """Masks of an update, drawn for each row: by layer (L, B, *units); none where nothing is dropped."""
    if not state.drops_any:
        return []
    sizes = [rows * prod(shape) for shape in state.units]
    parts = state.noise.kept(sum(sizes), state.drops, state.scale).split(sizes, 1)
    return [part.unflatten(1, (rows, *shape)) for part, shape in zip(parts, state.units, strict=True)]


def dropping(state: State, masks: Sequence[Tensor]) -> Linear:
    """The linear maps of all networks, with these masks (L, B or 1, *units) on their inputs."""
    parameters, compute = state.parameters, state.network.types.compute
    names = [name for name, _ in state.network.layers]
    after = dict(zip(names, masks[1:], strict=False))  # the readout sends nothing on

    def linear(name: str, x: Tensor, stride: int) -> Tensor:
        weight, bias = parameters[f"{name}.weight"], parameters.get(f"{name}.bias")
        if not masks:
            return affine(x, weight, bias, stride, compute)
        if name == names[0]:
            x = x * _laid(masks[0])
        y = affine(x, weight * per_lane(state.scale, len(weight), weight), bias, stride, compute)
        return y.mul_(_laid(after[name])) if name in after else y

    return linear


def _laid(mask: Tensor) -> Tensor:
    """As rows or maps lie on their way through the layers."""
    return mask if mask.dim() == 3 else mask.transpose(0, 1).flatten(1, 2)


@torch.no_grad()
def draw(state: State, inputs: Tensor, draws: int) -> Mixture:
    """The mixture of so many functions of the only trial; of one, where nothing is dropped."""
    draws = draws if state.drops_any else 1
    outputs = state.scale.new_empty(draws, len(inputs), state.likelihood.outputs)
    low = 0
    for masks in _function_masks(state, draws):
        high = low + (len(masks[0]) if masks else 1)
        for rows, part in _rows_in_parts(state, inputs):
            outputs[low:high, rows] = functions(state, masks, part)
        low = high
    log_weights = outputs.new_full((draws,), -math.log(draws))
    return likelihoods.mixture(state.likelihood, outputs, state.log_noise, log_weights)


def _function_masks(state: State, draws: int) -> Iterator[list[Tensor]]:
    """Masks that all rows share, some draws at a time: by layer (T, units). However many rows there are, the same."""
    if not state.drops_any:
        yield []
        return
    sizes, noise = list(map(prod, state.units)), state.draws()
    for count in prediction.batches(1, draws, sum(sizes)):
        drawn = noise.kept(count * sum(sizes), state.drops, state.scale)
        yield list(drawn.view(count, sum(sizes)).split(sizes, 1))


def _rows_in_parts(state: State, inputs: Tensor) -> Iterator[tuple[slice, Tensor]]:
    low = 0
    for part in inference.split(inputs, prediction.widest(state.network)):
        yield slice(low, low + len(part)), part
        low += len(part)


def functions(state: State, masks: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """Outputs (T, N, outputs) of the networks with these masks (T, units) for rows (N, ...)."""
    if masks and not _maps(state.network.architecture.layers[0]):
        return _dense(state, masks, inputs)
    if not masks:
        return networks.forward(state.network, inputs[None], dropping(state, []))
    shaped = [mask.unflatten(1, shape) for mask, shape in zip(masks, state.units, strict=True)]
    each = [[mask[draw : draw + 1, None] for mask in shaped] for draw in range(len(masks[0]))]
    return torch.cat([networks.forward(state.network, inputs[None], dropping(state, one)) for one in each])


def _dense(state: State, masks: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """Draws that drop the same inputs go together: they have the first layer in common."""
    first, *others = [name for name, _ in state.network.layers]
    activate = networks.ACTIVATIONS[state.network.activation]
    different, groups = masks[0].unique(dim=0, return_inverse=True)
    members = groups.argsort(stable=True).split(groups.bincount(minlength=len(different)).tolist())
    x = inputs.flatten(1).to(state.scale.dtype)[None]
    outputs = x.new_empty(len(groups), len(inputs), state.likelihood.outputs)
    limit = max(1, inference.ELEMENTS // (len(inputs) * prediction.widest(state.network)))
    for mask, draws in zip(different, members, strict=True):
        shared = _masked(state, first, x, mask[None])
        for some in draws.split(limit):
            y = shared
            for name, of_layer in zip(others, masks[1:], strict=True):
                y = _masked(state, name, activate(y), of_layer[some])
            outputs[some] = y
    return outputs


def _masked(state: State, name: str, x: Tensor, masks: Tensor) -> Tensor:
    """W (z x / (1 - p)) + b with masks z (T, inputs) of x, (1, N, inputs) or (T, N, inputs): (T, N, outputs)."""
    compute = state.network.types.compute
    weight, bias = state.parameters[f"{name}.weight"], state.parameters.get(f"{name}.bias")
    weights = weight * state.scale * masks[:, :, None]  # (T, inputs, outputs)
    if len(x) == len(masks):
        return affine(x, weights, None if bias is None else bias.expand(len(masks), -1), 1, compute)
    together = weights.transpose(0, 1).flatten(1)[None]  # rows that all draws share meet one matrix
    y = affine(x, together, None if bias is None else bias.repeat(1, len(masks)), 1, compute)
    return y[0].unflatten(1, (len(masks), -1)).transpose(0, 1)
