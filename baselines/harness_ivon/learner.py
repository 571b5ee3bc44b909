"""IVON (Shen et al., ICML 2024, Algorithm 1): an online Newton method for the means and variances of all weights.

With q = N(m, diag(sigma^2)), l the mean loss of a mini-batch, lambda the effective sample size and delta the weight
decay of the prior N(0, 1 / (lambda delta)), it minimises lambda E_q l + KL(q || prior). Update t, with rate alpha:

    theta = m + sigma e,    sigma^2 = 1 / (lambda (h + delta)),    e standard normal
    g' = grad l(theta),    h' = g' (theta - m) / sigma^2
    g = beta1 g + (1 - beta1) g'
    h = beta2 h + (1 - beta2) h' + (1 - beta2)^2 (h - h')^2 / (2 (h + delta)), with the old h on the right
    m = m - alpha (g / (1 - beta1^t) + delta m) / (h + delta)

g' and h' are means over `train_samples` draws of theta. h + delta stays positive: an update leaves at least half of it.
Noise that is learned is a point: its logarithm takes the same steps, without prior, with the curvature of a Gaussian's
loss for h + delta, which is 2 where the noise fits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from harness import Batch, Problem
from harness_bayes import layers, likelihoods, networks, prediction, priors, training
from harness_bayes import learner as shared
from harness_bayes.layers import Gaussians
from harness_bayes.networks import per_lane
from harness_bayes.training import Trials
from harness_ivon import IVONOptions, reference
from harness_ivon.state import State
from harness_torch.training import facts, step

START = {"regression": 10.0, "classification": 1.0}  # curvatures: a noise of INITIAL_NOISE alone makes it 11
OF_NOISE = 2.0  # curvature of the mean loss by the logarithm of the noise


class IVON(shared.Learner[State]):
    """Trains a Gaussian with independent weights; predicts with draws of functions from it."""

    def begin(self, trials: Trials[IVONOptions], base: Mapping[str, Tensor] | None = None) -> State:
        del base
        options, problem, first = trials.options[0], trials.problems[0], trials.trainings[0]
        likelihood = likelihoods.build(problem, options)
        network = networks.build(problem, first, options, likelihood.outputs)
        means = networks.initial(network, [each.seed for each in trials.trainings], 1)
        like = torch.empty((), dtype=network.types.parameters, device=first.device)
        prior = priors.build(network, options, like, trials.values("prior_scale"))
        ess = like.new_tensor([each.ess or problem.train_size for each in trials.options])
        delta = {name: 1 / (per_lane(ess, len(ess), d) * d.square()) for name, d in prior.deviations.items()}
        make = partial(
            State,
            ess=ess,
            delta=delta,
            hess_init=initial_curvatures(trials),
            hessian={},
            gradients={},
            unweighted=like.new_ones(()),
        )
        state = training.begin(make, trials, network, likelihood, means, prior=prior)
        _start_estimates(state)
        return state

    def update(self, state: State, batch: Batch) -> tuple[State, shared.Scalars]:
        scalars = step.update(state, partial(learn, state, self.mean_loss), [batch.inputs[None], batch.targets[None]])
        return state, {name: value[0] for name, value in scalars.items()}

    def reference(self, state: State, batch: Batch) -> tuple[State, shared.Scalars]:
        """`update`, as the paper writes it."""
        step.advance(state)
        loss = reference.update(state, batch, {name: noise[0].double() for name, noise in draw_noise(state).items()})
        state.optimiser.step()
        return state, {"loss": loss}

    def mean_loss(self, state: State, drawn: Mapping[str, Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
        """-log p(targets | theta), its mean over draws and rows (L, B, ...), (L,). drawn: theta, (L * draws, ...)."""
        outputs = networks.apply(state.network, drawn, inputs)  # (L * draws, B, outputs)
        likely = likelihoods.log_likelihood(state.likelihood, outputs, targets, state.log_noise)
        return -likely.unflatten(0, (len(state.ess), -1)).mean((1, 2))

    def draw(self, state: State, inputs: Tensor, draws: int) -> shared.Mixture:
        with torch.no_grad():
            gaussians, noise = Gaussians(state.means(), state.deviations()), state.draws()
            return prediction.predict(
                state.network,
                state.likelihood,
                lambda count: layers.draw_parameters(gaussians, count, noise),
                inputs,
                state.ess.new_zeros(1),
                draws,
                state.log_noise,
            )

    def describe(self, state: State) -> Mapping[str, object]:
        said = {**super().describe(state), "optimiser": "ivon", "ess": state.ess[0].item()}
        return {**said, "hess_init": float(f"{state.hess_init[0]:.6g}")}  # digits that single precision has

    def save(self, state: State) -> Mapping[str, Tensor]:
        """The means by name, and as `deviation.` and the name their deviations."""
        return {**facts.save(state), **{f"deviation.{name}": each for name, each in state.deviations().items()}}


class Cohort(shared.Cohort[State]):
    """Trials that differ in numbers alone, trained side by side."""

    learner: IVON

    def update(self, state: State, batch: Batch) -> tuple[State, shared.Scalars]:
        """One update of each trial, with rows of its own: inputs (L, B, ...), targets (L, B); scalars (L,)."""
        return state, step.update(state, partial(learn, state, self.learner.mean_loss), [batch.inputs, batch.targets])

    def lane(self, state: State, index: int) -> State:
        """The state of one trial."""
        alone, one = super().lane(state, index), slice(index, index + 1)
        alone.ess, alone.hess_init = state.ess[one], state.hess_init[one]
        alone.delta, alone.hessian, alone.gradients = (
            {name: tensor[one] for name, tensor in each.items()}
            for each in (state.delta, state.hessian, state.gradients)
        )
        return alone


def build(options: IVONOptions) -> IVON:
    return IVON(options)


def together(configs: Sequence[IVONOptions]) -> Cohort:
    return Cohort(IVON, configs)


def initial_curvatures(trials: Trials[IVONOptions]) -> tuple[float, ...]:
    """Initial h of each trial.

    A Gaussian loss has the curvature 1 / noise^2 by the output, so a given noise may ask for more than START.
    """
    return tuple(
        options.hess_init or max(START[problem.kind], _curvature_of_noise(problem, options))
        for problem, options in zip(trials.problems, trials.options, strict=True)
    )


def _curvature_of_noise(problem: Problem, options: IVONOptions) -> float:
    """Curvature 1 / noise^2 of standardised targets; 0 where the noise is learned, or there is none."""
    noise = options.resolved_noise
    return 0.0 if noise is None else (problem.target_scale / noise) ** 2


def _start_estimates(state: State) -> None:
    """Start g at 0, and h at the curvature of each trial."""
    for name, parameter in state.parameters.items():
        zeros = state.gradients[name] = torch.zeros_like(parameter, requires_grad=False)
        if name in state.network.shapes:
            state.hessian[name] = zeros + per_lane(state.hess_init, len(state.hess_init), parameter)


def learn(state: State, mean_loss: Callable[..., Tensor], inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """One update of each trial, for rows (L, B, ...) and targets (L, B); scalars (L,)."""
    noise = draw_noise(state)
    drawn = draw_weights(state, noise)
    state.optimiser.zero_grad()
    total = torch.zeros_like(state.ess)
    for rows, share in step.parts([inputs, targets], state.options.micro_batch, axis=1):
        losses = mean_loss(state, drawn, *rows)
        (losses * share).sum().backward()
        total += losses.detach() * share
    follow_gradients(state, noise, drawn)
    step.descend(state)
    return {"loss": total}


def draw_noise(state: State) -> dict[str, Tensor]:
    """Draw an update's standard normal numbers by name, (L, draws, ...), in single precision whatever the network's."""
    lanes, like = (len(state.ess), state.options.train_samples), state.ess.float()
    return {name: state.noise.normal((*lanes, *shape), like) for name, shape in state.network.shapes.items()}


def draw_weights(state: State, noise: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Draw theta by name, (L * draws, ...), leaves that collect gradients."""
    means, deviations = state.means(), state.deviations()
    drawn = {name: means[name][:, None] + deviations[name][:, None] * noise[name] for name in means}
    return {name: weight.flatten(0, 1).requires_grad_() for name, weight in drawn.items()}


@torch.no_grad()
def follow_gradients(state: State, noise: Mapping[str, Tensor], drawn: Mapping[str, Tensor]) -> None:
    """Let g and h follow the gradients of the draws, and leave the direction of the means' step as their gradients."""
    beta1 = state.options.beta1
    state.unweighted.mul_(beta1)
    for name, parameter in state.parameters.items():
        if name in drawn:
            each = _split_by_draw(state, drawn[name])
            gradient = each.sum(1)
            curvature = (each * noise[name]).sum(1) * state.precision(name).sqrt()
            _follow_curvature(state.hessian[name], curvature, state.delta[name], state.options.beta2)
        else:
            gradient = _require_gradient(parameter)
        mean = state.gradients[name].mul_(beta1).add_(gradient, alpha=1 - beta1) / (1 - state.unweighted)
        parameter.grad = _newton_step(state, name, mean)


def _split_by_draw(state: State, drawn: Tensor) -> Tensor:
    """Split the gradients of one parameter by draw, (L, draws, ...); their sum is the gradient of the mean loss."""
    return _require_gradient(drawn).unflatten(0, (len(state.ess), -1))


def _require_gradient(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad


def _follow_curvature(hessian: Tensor, curvature: Tensor, delta: Tensor, beta2: float) -> None:
    """Move h towards h', so that h + delta stays positive, in place."""
    change = curvature.sub_(hessian).mul_(1 - beta2)
    hessian.add_(change + change.square() / (2 * (hessian + delta)))


def _newton_step(state: State, name: str, gradient: Tensor) -> Tensor:
    if name not in state.hessian:
        return gradient / OF_NOISE
    delta = state.delta[name]
    return (gradient + delta * state.parameters[name]) / (state.hessian[name] + delta)
