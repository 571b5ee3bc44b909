"""Laplace's approximation, against Bayesian linear regression, plain equations and another library."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from bayes_setups import CLASSES, REGRESSION, require_contract
from scipy.optimize import minimize
from tiny_problems import fit, largest_difference, rows, terms

from harness import Batch, Fit, HarnessError, Problem, Unsupported, UsageError
from harness.options import build as configured
from harness_laplace import LaplaceOptions, learner, reference
from harness_laplace.evidence import Evidence

IMAGES = Problem("classification", (2, 8, 8), 3, 12)
SMALL = {"architecture": "5-FC", "predict_samples": 50}
CASES = {
    "regression": (REGRESSION, {**SMALL, "noise": 0.6}),
    "deep": (
        REGRESSION,
        {**SMALL, "architecture": "5-4-FC", "activation": "tanh", "prior": "fixed", "prior_scale": 0.7},
    ),
    "without biases": (REGRESSION, {**SMALL, "bias": False}),
    "classes": (CLASSES, SMALL),
    "images": (IMAGES, {"architecture": "2C3-AP2-3C3/2-FC", "predict_samples": 9}),
}
named = pytest.mark.parametrize(("problem", "given"), CASES.values(), ids=CASES)
subsets = pytest.mark.parametrize("subset", ["last", "all"])
structures = pytest.mark.parametrize("structure", ["full", "diag"])


def begun(problem=REGRESSION, updates=30, precision="fp64", **given):
    """A learner and its state after so many updates."""
    built = learner.build(LaplaceOptions(**{**SMALL, **given}))
    state, batch = built.init(problem, terms(updates, precision), None), rows(problem)
    for _ in range(updates):
        state, _ = built.update(state, batch)
    return built, state


def finished(problem=REGRESSION, updates=30, **given):
    built, state = begun(problem, updates, **given)
    return built, built.finish(state, fit(problem))


def noise_of(state):
    return None if state.log_noise is None else state.log_noise[0].detach()


def fitted_precision(state):
    """Of the prior, with the scale that the record names."""
    return reference.prior_precision(state, state.approximation.prior_scale / state.options.prior_scale)


def fitted_covariance(state, batch):
    posterior = reference.gauss_newton(state, batch, noise_of(state)) + fitted_precision(state).diag()
    if state.approximation.structure == "diag":
        posterior = posterior.diagonal().diag()
    return torch.linalg.inv(posterior)


@named
def test_jacobians_are_autograds(problem, given):
    _, state = begun(problem, 3, **given, subset="all")
    inputs = rows(problem).inputs
    outputs, slopes = learner.gaussian_part(state).jacobians(inputs)
    weights = {name: tensor[0] for name, tensor in state.parameters.items()}
    assert torch.allclose(outputs, reference.outputs(state, weights, inputs), rtol=0, atol=1e-12)
    assert torch.allclose(slopes, reference.jacobian(state, inputs), rtol=0, atol=1e-12)


@pytest.mark.sampled
@named
@subsets
@structures
def test_the_curvature_is_the_gauss_newton_matrix(problem, given, subset, structure):
    _, state = begun(problem, 3, **given, subset=subset, structure=structure)
    batch = rows(problem)
    found = learner.compute_curvature(state, batch.inputs)
    scale = found.deviations
    unit = None if state.log_noise is None else torch.zeros((), dtype=torch.float64)
    expected = scale[:, None] * reference.gauss_newton(state, batch, unit) * scale
    assert torch.allclose(scale**-2, reference.prior_precision(state), rtol=1e-12)
    if structure == "diag":
        assert torch.allclose(found.eigenvalues, expected.diagonal(), rtol=1e-10)
    else:
        matrix = found.basis @ found.eigenvalues.diag() @ found.basis.T
        assert torch.allclose(matrix, expected, rtol=0, atol=1e-10 * expected.abs().max())


def changes(state, inputs, draws):
    """Of the logits, (draws, N, outputs), with the noise of a prediction."""
    noise = state.draws().normal((draws, state.approximation.size), inputs)
    return learner.gaussian_part(state).changes(state.approximation.gaussian, inputs, noise)


@pytest.mark.sampled
@named
@subsets
@structures
@pytest.mark.parametrize("marginal", [True, False], ids=["fitted", "as trained"])
def test_evidence_and_prediction_are_those_of_the_plain_equations(problem, given, subset, structure, marginal):
    chosen = {**given, "subset": subset, "structure": structure, "marginal": marginal}
    built, state = finished(problem, **chosen)
    batch = rows(problem)
    assert state.approximation.structure == structure
    expected = reference.log_evidence(state, batch, fitted_precision(state), noise_of(state))
    assert state.approximation.evidence == pytest.approx(expected, rel=1e-10, abs=1e-9)
    covariance, slopes = fitted_covariance(state, batch), reference.jacobian(state, batch.inputs)
    weights = {name: tensor[0].detach() for name, tensor in state.parameters.items()}
    outputs = reference.outputs(state, weights, batch.inputs)
    if problem.kind == "regression":
        means, variances, _ = built.predict(state, batch.inputs)
        spread = torch.einsum("nam,mk,nbk->nab", slopes, covariance, slopes)[:, 0, 0]
        assert means.shape == (1, 40)
        assert torch.allclose(means[0], outputs[:, 0], rtol=0, atol=1e-12)
        assert torch.allclose(variances[0], spread + (2 * noise_of(state)).exp(), rtol=1e-9)
    else:
        draws = changes(state, batch.inputs[:2], 20_000).flatten(1)  # (T, 2 * C)
        both = slopes[:2].flatten(0, 1)
        spread = both @ covariance @ both.T
        assert torch.allclose(draws.T.cov(), spread, rtol=0, atol=0.05 * spread.diagonal().max())
        assert (draws.mean(0) / spread.diagonal().sqrt()).abs().max() < 0.04
        predicted = built.predict(state, batch.inputs).log_probs
        drawn = outputs + changes(state, batch.inputs, given["predict_samples"])
        assert torch.allclose(predicted, drawn.log_softmax(2), rtol=0, atol=1e-12)


def ridge(state, batch, noise):
    """Features with a one for the bias, (N, 6), the prior's deviations, mean and precision of the exact posterior."""
    W, b = (state.parameters[f"layers.0.{name}"][0].detach() for name in ("weight", "bias"))
    features = torch.cat([torch.relu(batch.inputs @ W + b), torch.ones(len(batch.inputs), 1)], 1).double()
    deviations = torch.tensor([5**-0.5] * 5 + [1.0], dtype=torch.float64)
    precision = features.T @ features / noise**2 + (deviations**-2).diag()
    return features, deviations, torch.linalg.solve(precision, features.T @ batch.targets) / noise**2, precision


def test_of_the_last_layer_it_is_bayesian_linear_regression():
    built, state = begun(noise=0.8, marginal=False)  # in targets' units: 0.4
    batch, noise = rows(REGRESSION), 0.4
    features, deviations, mean, precision = ridge(state, batch, noise)
    with torch.no_grad():  # what training on and on would come to
        state.parameters["readout.weight"].copy_(mean[:5, None])
        state.parameters["readout.bias"].copy_(mean[5:])
    state = built.finish(state, Fit(batch, batch))
    means, variances, _ = built.predict(state, batch.inputs)
    exact = torch.einsum("nm,mk,nk->n", features, torch.linalg.inv(precision), features)
    assert torch.allclose(means[0], features @ mean, rtol=0, atol=1e-10)
    assert torch.allclose(variances[0], exact + noise**2, rtol=1e-10)
    covariance = (features * deviations**2) @ features.T + noise**2 * torch.eye(40, dtype=torch.float64)
    marginal = torch.distributions.MultivariateNormal(torch.zeros(40, dtype=torch.float64), covariance)
    assert state.approximation.evidence == pytest.approx(marginal.log_prob(batch.targets).item(), abs=1e-10)
    assert state.approximation.prior_scale == 1.0


def as_module(state):
    """The network as another library takes it, and its prior's precisions in the order of its parameters."""
    first, last = (torch.nn.Linear(*shape, dtype=torch.float64) for shape in [(3, 5), (5, state.likelihood.outputs)])
    factor = state.approximation.prior_scale / state.options.prior_scale
    precisions = []
    with torch.no_grad():
        for layer, name, inputs in [(first, "layers.0", 3), (last, "readout", 5)]:
            layer.weight.copy_(state.parameters[f"{name}.weight"][0].T)
            layer.bias.copy_(state.parameters[f"{name}.bias"][0])
            if state.options.subset == "all" or name == "readout":
                precisions += [torch.full_like(layer.weight, inputs).flatten(), torch.ones_like(layer.bias)]
    return torch.nn.Sequential(first, torch.nn.ReLU(), last), torch.cat(precisions).detach() / factor**2


@pytest.mark.parametrize("problem", [REGRESSION, CLASSES], ids=["regression", "classes"])
@subsets
@structures
def test_evidence_and_variances_are_those_of_laplace_torch(problem, subset, structure):
    laplace = pytest.importorskip("laplace", reason="another library's approximation; extra rivals")
    built, state = finished(problem, subset=subset, structure=structure)
    model, precisions = as_module(state)
    batch, noise = rows(problem), noise_of(state)
    theirs = laplace.Laplace(
        model,
        problem.kind,
        subset_of_weights={"last": "last_layer", "all": "all"}[subset],
        hessian_structure=structure,
        sigma_noise=1.0 if noise is None else noise.exp(),
        prior_precision=precisions,
    )
    targets = batch.targets if problem.kind == "classification" else batch.targets[:, None]
    theirs.fit(torch.utils.data.DataLoader(torch.utils.data.TensorDataset(batch.inputs, targets), batch_size=16))
    assert state.approximation.evidence == pytest.approx(theirs.log_marginal_likelihood().item(), rel=1e-6)
    if problem.kind == "regression":
        means, variances = theirs(batch.inputs)
        found = built.predict(state, batch.inputs)
        assert torch.allclose(found.means[0], means[:, 0], rtol=1e-6)
        assert torch.allclose(found.variances[0] - (2 * noise).exp(), variances[:, 0, 0], rtol=1e-5)


EVIDENCE = Evidence(torch.tensor([0.0, 0.3, 2.0, 50.0, 900.0], dtype=torch.float64), 3.0, 40, 8.0, -5.0)


@pytest.mark.parametrize(("a", "b"), [(0.0, 0.0), (1.3, -0.4), (-2.0, 3.0)])
def test_derivatives_of_the_evidence_are_autograds(a, b):
    e = EVIDENCE

    def value(x):
        a, b = x
        determinant = (e.eigenvalues * b.exp() + a.exp()).log().sum()
        return -5.0 + 20 * b - 4 * b.exp() + (5 * a - 3 * a.exp() - determinant) / 2

    at = torch.tensor([a, b], dtype=torch.float64)
    gradient, second = e.derivatives(a, b)
    assert e.value(a, b) == pytest.approx(value(at).item(), abs=1e-12)
    assert torch.allclose(gradient, torch.autograd.functional.jacobian(value, at), rtol=0, atol=1e-12)
    assert torch.allclose(second, torch.autograd.functional.hessian(value, at), rtol=0, atol=1e-12)


@pytest.mark.parametrize("start", [(0.0, 0.0), (8.0, -6.0), (-9.0, 9.0)])
def test_the_maximum_is_found_from_anywhere(start):
    best = minimize(
        lambda x: -EVIDENCE.value(*x), [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13}
    )
    assert EVIDENCE.maximise(*start, with_noise=True) == pytest.approx(best.x, abs=1e-6)
    a, b = EVIDENCE.maximise(*start, with_noise=False)
    alone = minimize(lambda x: -EVIDENCE.value(x[0], start[1]), [0.0], method="Nelder-Mead", options={"xatol": 1e-9})
    assert (a, b) == (pytest.approx(alone.x[0], abs=1e-6), start[1])


def test_without_errors_the_noise_ends_at_a_bound():
    perfect = dataclasses.replace(EVIDENCE, errors=0.0)
    a, b = perfect.maximise(0.0, 0.0, with_noise=True)
    assert math.isfinite(perfect.value(a, b))
    assert 1e-7 < math.exp(-b / 2) < 1e-5


def test_what_is_given_stays():
    _, trained = begun()
    _, kept = finished(marginal=False)
    assert kept.approximation.prior_scale == 1.0
    assert torch.equal(kept.log_noise, trained.log_noise)
    built, given = finished(noise=0.6)
    assert given.log_noise.exp().item() == pytest.approx(0.3)
    assert given.approximation.prior_scale != 1.0
    _, of_level = finished(level=1, precisions=(0.1, 0.25))
    assert of_level.log_noise.exp().item() == pytest.approx(1.0)
    _, fitted = finished()
    assert not torch.equal(fitted.log_noise, trained.log_noise)
    assert fitted.approximation.evidence > kept.approximation.evidence
    said = built.describe(given)
    assert said["log_marginal_likelihood"] == given.approximation.evidence
    assert said["noise"] == pytest.approx(0.6)
    assert (said["gaussian_weights"], said["structure"]) == (6, "full")


@named
@subsets
def test_a_prediction_repeats_and_a_row_depends_on_no_other(problem, given, subset):
    built, state = finished(problem, **{**given, "subset": subset})
    inputs = rows(problem).inputs
    whole, again, some = (built.predict(state, each) for each in (inputs, inputs, inputs[5:8]))
    for one, same, part in zip(whole[:2], again, some, strict=False):
        assert torch.equal(one, same)
        assert one.dim() < 2 or torch.allclose(one[:, 5:8], part, rtol=0, atol=1e-12)


@named
def test_before_the_end_a_prediction_is_the_network(problem, given):
    built, state = begun(problem, **given)
    weights = {name: tensor[0].detach() for name, tensor in state.parameters.items()}
    inputs = rows(problem).inputs
    outputs = reference.outputs(state, weights, inputs)
    found = built.predict(state, inputs)
    expected = outputs[:, 0] if problem.kind == "regression" else outputs.log_softmax(1)
    assert torch.allclose(found[0], expected[None], rtol=0, atol=1e-12)


@named
def test_an_update_is_that_of_the_plain_loss(problem, given):
    (built, state), (_, plain) = (begun(problem, 0, **given) for _ in range(2))
    for update in range(3):
        built.update(state, rows(problem, seed=update))
        built.reference(plain, rows(problem, seed=update))
    assert largest_difference(state.parameters, plain.parameters) < 1e-10


def test_lanes_are_the_trials_alone():
    options = [LaplaceOptions(**SMALL, prior_scale=scale) for scale in (0.5, 2.0)]
    problems = [dataclasses.replace(REGRESSION, target_scale=1.0 + index) for index in range(2)]
    trainings = [terms(5, seed=index) for index in range(2)]
    cohort, batches = learner.together(options), [rows(REGRESSION, seed=seed) for seed in range(2)]
    state = cohort.init(problems, trainings)
    for _ in range(5):
        state, _ = cohort.update(state, Batch(*map(torch.stack, list(zip(*batches, strict=True))[:2])))
    for place, batch in enumerate(batches):
        built, fit = learner.build(options[place]), Fit(batch, batch)
        alone = built.init(problems[place], trainings[place], None)
        for _ in range(5):
            built.update(alone, batch)
        before = {name: tensor.clone() for name, tensor in state.parameters.items()}
        lane = built.finish(cohort.lane(state, place), fit)
        assert all(torch.equal(state.parameters[name], tensor) for name, tensor in before.items())
        alone = built.finish(alone, fit)
        for one, other in zip(built.predict(lane, batch.inputs), built.predict(alone, batch.inputs), strict=True):
            assert torch.allclose(one, other, rtol=0, atol=1e-9)
        assert lane.approximation.evidence == pytest.approx(alone.approximation.evidence, abs=1e-8)


def test_a_network_that_is_not_finite_has_no_curvature():
    built, state = begun()
    with torch.no_grad():
        state.parameters["readout.weight"][0, 2] = math.nan
    with pytest.raises(HarnessError, match="Gauss-Newton matrix is not finite"):
        built.finish(dataclasses.replace(state, options=LaplaceOptions(**SMALL, subset="all")), fit(REGRESSION))


@pytest.mark.slow
@pytest.mark.parametrize(
    "selection",
    ["laplace[architecture=8-FC]", "laplace[architecture=8-FC,subset=all,structure=diag,predict_samples=6]"],
)
def test_the_contract_is_kept(selection):
    require_contract(selection)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@subsets
@structures
def test_on_a_gpu_it_is_the_same_gaussian(subset, structure):
    found = []
    for device in ("cpu", "cuda"):
        built = learner.build(LaplaceOptions(**SMALL, subset=subset, structure=structure))
        state = built.init(REGRESSION, terms(5, device=device), None)
        batch = Batch(*(tensor.to(device) for tensor in rows(REGRESSION)[:2]))
        state = built.finish(state, Fit(batch, batch))
        found.append((state.approximation.evidence, built.predict(state, batch.inputs).variances.cpu()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-9)
    assert torch.allclose(found[0][1], found[1][1], rtol=1e-7)


def test_full_only_where_it_is_small_or_asked_for():
    problem = Problem("classification", (1, 8, 8), 10, 12)
    _, large = finished(problem, 1, architecture="200-FC")  # 2,010 weights
    assert large.approximation.structure == "diag"
    _, small = finished(problem, 1, architecture="150-FC")
    assert small.approximation.structure == "full"


@pytest.mark.parametrize("given", [{"subset": "all"}, {"subset": "last"}])
def test_a_full_matrix_that_memory_does_not_hold_is_refused(given):
    built = learner.build(LaplaceOptions(architecture="200000-FC", structure="full", **given))
    with pytest.raises(Unsupported, match=r"structure=full: a matrix of .* GiB.*use structure=diag"):
        built.init(REGRESSION, terms(5, "fp32"), None)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"likelihood": "heteroscedastic"}, "no parameter 'likelihood': the marginal likelihood is of one noise"),
        ({"prior_narrow": 0.2}, "no parameter 'prior_narrow': the prior is one Gaussian; leave prior_narrow out"),
    ],
)
def test_options_that_it_lacks_are_refused_with_the_reason(given, words):
    with pytest.raises(UsageError, match=words):
        configured(LaplaceOptions, given, "laplace")
