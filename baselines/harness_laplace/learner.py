"""Laplace's approximation around a MAP network (Daxberger et al. 2021), linearised in predictions (Immer et al. 2021).

    w ~ N(w*, Sigma),    Sigma^-1 = H + S^-1,    f(x, w) = f(x, w*) + J(x) (w - w*)

w* is trained, H is the Gauss-Newton matrix of all training rows, S the covariance of the prior. The scale of S, and the
noise, are those at which the marginal likelihood is highest: w* stays, though it was trained with others. A prediction
of regression is N(f(x, w*), J Sigma J' + noise^2), of classes the mixture of softmax(f(x, w)) over draws of w, each the
same for all rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from harness import Batch, Fit, Unsupported
from harness_bayes import learner as shared
from harness_bayes import likelihoods, points, prediction, training
from harness_bayes.training import Trials
from harness_laplace import MOST_FULL, LaplaceOptions, parts, reference
from harness_laplace.curvature import Curvature, Gaussian, decompose
from harness_laplace.evidence import Evidence
from harness_laplace.parts import Part
from harness_laplace.state import Approximation, State
from harness_torch.backend.device_memory import total_bytes
from harness_torch.training import inference

COPIES = 4  # of a full matrix while its eigenvectors are computed


class Laplace(points.PointLearner[State]):
    """Trains a MAP network; predicts with the Gaussian that `finish` puts around it."""

    def begin(self, trials: Trials[LaplaceOptions], base: Mapping[str, Tensor] | None = None) -> State:
        """Raises Unsupported for a full covariance that the machine's memory does not hold."""
        del base
        state = points.begin(State, trials)
        if is_full(state):
            _refuse_large(parts.count_weights(gaussian_part(state)), state.options, trials.trainings[0].device)
        return state

    def reference(self, state: State, batch: Batch) -> tuple[State, shared.Scalars]:
        """`update`, as the paper writes it."""
        return state, shared.descend_on(state, lambda: reference.loss(state, batch))

    def finish(self, state: State, fit: Fit) -> State:
        """Fit the Gaussian and, with `marginal`, the scale of its prior and the noise."""
        bent = compute_curvature(state, fit.train.inputs)
        evidence = build_evidence(state, bent, fit.train)
        a, b = 0.0, 0.0 if state.log_noise is None else -2 * state.log_noise.item()
        if state.options.marginal:
            a, b = evidence.maximise(a, b, training.learns_noise(state.options) and state.log_noise is not None)
        _set_noise(state, b)
        state.approximation = Approximation(
            gaussian=build_gaussian(bent, a, b, state.network.types.parameters),
            size=len(bent.eigenvalues),
            structure="full" if bent.basis is not None else "diag",
            prior_scale=state.options.prior_scale * math.exp(-a / 2),
            evidence=evidence.value(a, b),
        )
        return state

    def draw(self, state: State, inputs: Tensor, draws: int) -> shared.Mixture:
        """Predict one Gaussian in regression, so many draws of classes; before `finish`, the plain network."""
        weights = points.weights_of(state)
        outputs = prediction.outputs(state.network, weights, inputs)
        log_noise = state.fixed_log_noise
        if state.approximation is None:
            return likelihoods.mixture(state.likelihood, outputs, log_noise, outputs.new_zeros(1))
        if log_noise is not None:
            variances = gaussian_part(state).variances(state.approximation.gaussian, inputs)
            return inference.gaussians(outputs[..., 0], (variances + (2 * log_noise).exp())[None])
        noise = state.draws().normal((draws, state.approximation.size), outputs)
        return inference.classes(outputs + gaussian_part(state).changes(state.approximation.gaussian, inputs, noise))

    def describe(self, state: State) -> Mapping[str, object]:
        said, found = super().describe(state), state.approximation
        if found is None:
            return said
        return {
            **said,
            "gaussian_weights": found.size,
            "structure": found.structure,
            "prior_scale": found.prior_scale,
            "log_marginal_likelihood": found.evidence,  # of standardised targets
        }


def build(options: LaplaceOptions) -> Laplace:
    return Laplace(options)


def together(configs: Sequence[LaplaceOptions]) -> shared.Cohort[State]:
    return shared.Cohort(Laplace, configs)


def is_full(state: State) -> bool:
    """Whether the precision is a full matrix, not a diagonal."""
    if state.options.structure is None:
        return parts.count_weights(gaussian_part(state)) <= MOST_FULL
    return state.options.structure == "full"


def _refuse_large(size: int, options: LaplaceOptions, device: str) -> None:
    needed, there = 8 * COPIES * size**2, total_bytes(device)
    if needed > there / 2:
        raise Unsupported(
            f"structure=full: a matrix of {size:,} x {size:,} and its eigenvectors take {needed / 2**30:,.1f} GiB, and "
            f"this machine has {there / 2**30:,.1f}; use structure=diag"
            f"{', subset=last,' if options.subset == 'all' else ''} or a smaller network"
        )


def gaussian_part(state: State) -> Part:
    """The part of the network whose weights are Gaussian."""
    return parts.build(state.network, points.weights_of(state), state.options.subset)


def compute_curvature(state: State, inputs: Tensor) -> Curvature:
    """Compute the curvature of all rows (N, ...), with the prior as trained. Raises HarnessError if not finite."""
    assert state.prior is not None
    bent = gaussian_part(state)
    each = [state.prior.deviations[name].expand(weight.shape) for name, weight in bent.weights.items()]
    deviations = torch.cat([deviation.flatten() for deviation in each])
    return decompose(bent.gauss_newton(state.likelihood, inputs, is_full(state)), deviations)


@torch.no_grad()
def build_evidence(state: State, bent: Curvature, rows: Batch) -> Evidence:
    """Build the marginal likelihood, as a function of the prior's scale and the noise."""
    v = torch.cat([weight.flatten() for weight in gaussian_part(state).weights.values()]).double() / bent.deviations
    outputs = prediction.outputs(state.network, points.weights_of(state), rows.inputs).double()
    eigenvalues, squares = bent.eigenvalues.cpu(), v.square().sum().item()
    if state.log_noise is None:
        likely = likelihoods.log_likelihood(state.likelihood, outputs, rows.targets[None], None).sum().item()
        return Evidence(eigenvalues, squares, 0, 0.0, likely)
    errors, count = (outputs[0, :, 0] - rows.targets).square().sum().item(), len(rows.targets)
    return Evidence(eigenvalues, squares, count, errors, -count / 2 * math.log(2 * math.pi))


def build_gaussian(bent: Curvature, a: float, b: float, dtype: torch.dtype) -> Gaussian:
    """Build the Gaussian with precisions lambda e^b + e^a along the axes."""
    spreads = (bent.eigenvalues * math.exp(b) + math.exp(a)).rsqrt()
    return Gaussian(spreads.to(dtype), None if bent.basis is None else bent.basis.to(dtype), bent.deviations.to(dtype))


def _set_noise(state: State, b: float) -> None:
    """Set a learned noise in new tensors: the old ones may be views of a cohort's."""
    if state.log_noise is None or not training.learns_noise(state.options):
        return
    state.log_noise = state.parameters["log_noise"] = torch.full_like(state.log_noise.detach(), -b / 2)
