"""The learner of mc-dropout, against plain autograd, closed forms and the published formula."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from bayes_setups import CLASSES, IMAGES, require_contract, train_lanes_and_alone
from tiny_problems import largest_difference, rows, terms

from harness import Batch, Problem, Unsupported, UsageError
from harness.options import build as configured
from harness_bayes.noise import Drops, Noise
from harness_mc_dropout import DropoutOptions, learner, prediction, reference
from harness_mc_dropout.masks import draw_row_masks

REGRESSION = Problem("regression", (3,), 1, 40, target_mean=5.0, target_scale=2.0)
SMALL = {"architecture": "7-FC", "predict_samples": 30}
CASES = {
    "regression": (REGRESSION, SMALL),
    "many inputs": (Problem("regression", (70,), 1, 40), SMALL),
    "deep": (REGRESSION, {**SMALL, "architecture": "6-5-4-FC", "activation": "tanh"}),
    "classes": (CLASSES, SMALL),
    "images": (IMAGES, {"architecture": "4C3-AP2-6C3-AP2-5-FC", "predict_samples": 6}),
    "without biases": (REGRESSION, {**SMALL, "bias": False}),
}
named = pytest.mark.parametrize(("problem", "given"), CASES.values(), ids=CASES)


def begun(problem=REGRESSION, seed=0, precision="fp64", **given):
    built = learner.build(DropoutOptions(**{**SMALL, **given}))
    return built, built.init(problem, terms(9, precision, seed=seed), None)


@named
def test_gradients_are_those_of_the_plain_equations(problem, given):
    options = DropoutOptions(**given, rate=0.3, lengthscale=0.5)
    built = learner.build(options)
    batch, states = rows(problem), [built.init(problem, terms(9), None) for _ in range(2)]
    _, said = built.update(states[0], batch)
    masks = [mask[0] for mask in draw_row_masks(states[1], 40)]
    loss = reference.loss(states[1].options, states[1], batch, masks)
    loss.backward()
    assert said["loss"].item() == pytest.approx(loss.item(), abs=1e-12)
    for name, tensor in states[1].parameters.items():
        assert torch.allclose(states[0].parameters[name].grad, tensor.grad, rtol=0, atol=1e-12), name


def test_the_reference_is_the_published_loss():
    """Of one hidden layer, in numpy: mean squared error, and l^2 (1 - p) / (2 N tau) of the kernels alone."""
    _, state = begun(rate=0.3, tau=0.7, lengthscale=0.5)
    with torch.no_grad():
        state.parameters["layers.0.bias"] += 0.3
    batch, masks = rows(REGRESSION), [mask[0] for mask in draw_row_masks(state, 40)]
    W1, b1, W2, b2 = (state.parameters[name].detach()[0].numpy() for name in state.network.shapes)
    x, y = batch.inputs.numpy(), batch.targets.numpy()
    h = np.maximum((masks[0].numpy() * x / 0.7) @ W1 + b1, 0)
    f = ((masks[1].numpy() * h / 0.7) @ W2 + b2)[:, 0]
    expected = ((y - f) ** 2).mean() + 0.5**2 * 0.7 / (2 * 40 * 0.7) * ((W1**2).sum() + (W2**2).sum())
    found = reference.loss(state.options, state, batch, masks)
    assert found.item() == pytest.approx(expected, abs=1e-12)


def test_weights_begin_as_in_the_published_code():
    """Glorot-uniform, biases zero."""
    _, state = begun(architecture="4000-FC")
    first, bias = state.parameters["layers.0.weight"].detach(), state.parameters["layers.0.bias"]
    limit = (6 / 4003) ** 0.5
    assert first.abs().max() <= limit
    assert first.std().item() == pytest.approx(limit / 3**0.5, rel=0.02)
    assert not bias.any()


@pytest.mark.parametrize("rate", [0.005, 0.1, 0.5, 0.9])
def test_each_place_is_zero_with_the_probability_of_the_rate(rate):
    """First and last places as all others, and neighbours as if they knew nothing of each other."""
    noise = Noise.seeded([3, 4], "cpu")
    drops, like = Drops.build([rate, 0.25], "cpu"), torch.empty(())
    drawn = torch.stack([noise.masks(10, drops, like)[0] for _ in range(4000)])  # (4000, 10)
    error = (rate * (1 - rate) / 4000) ** 0.5
    assert ((1 - drawn).mean(0) - rate).abs().max() < 5 * error
    both = ((1 - drawn[:, 1:]) * (1 - drawn[:, :-1])).mean()
    assert abs(both - rate**2) < 5 * rate / 36000**0.5 + 1e-4
    long = noise.masks(100_000, drops, like)
    assert abs((1 - long[0]).mean() - rate) < 5 * (rate * (1 - rate) / 1e5) ** 0.5
    assert abs((1 - long[0, -2000:]).mean() - rate) < 5 * (rate * (1 - rate) / 2000) ** 0.5


def test_masks_of_a_stream_are_its_own_in_every_precision():
    drops, count = Drops.build([0.2, 0.0, 0.4], "cpu"), 500
    together = Noise.seeded([1, 2, 3], "cpu").masks(count, drops, torch.empty((), dtype=torch.float64))
    alone = Noise.seeded([3], "cpu").masks(count, Drops.build([0.4], "cpu"), torch.empty(()))
    assert torch.equal(together[2:].float(), alone)
    assert (together[1] == 1).all()


def test_a_linear_network_has_the_mean_and_variance_of_its_closed_form():
    """Positive inputs, weights and biases: the rectifier does nothing, and masks are all that is random."""
    p = 0.2
    built, state = begun(rate=p, predict_samples=40_000)
    with torch.no_grad():
        for tensor in state.parameters.values():
            tensor.abs_().add_(0.1)
    x = rows(REGRESSION).inputs.abs()[:4]
    found = built.predict(state, x).means
    W, b, w, c = (state.parameters[name].detach()[0] for name in state.network.shapes)
    hidden = x @ W + b
    mean = (hidden @ w + c)[:, 0]
    odds = p / (1 - p)
    of_units = odds * ((hidden**2 + odds * x**2 @ W**2) @ w**2)[:, 0]
    of_inputs = odds * (x**2 @ (W @ w) ** 2)[:, 0]
    variance = of_units + of_inputs
    assert (found.mean(0) - mean).abs().max() < 5 * (variance.max() / 40_000) ** 0.5
    assert torch.allclose(found.var(0), variance, rtol=0.05)


@named
@pytest.mark.parametrize("draws", [20, 300])
def test_functions_are_the_network_with_one_mask_for_all_rows(problem, given, draws):
    _, state = begun(problem, rate=0.4, **given)
    inputs = rows(problem, 9).inputs
    (masks,) = prediction.draw_function_masks(state, draws)
    with torch.no_grad():
        found = prediction.apply_masks(state, masks, inputs)
        for draw in range(0, draws, 5):
            one = [mask[draw].view(shape) for mask, shape in zip(masks, state.units, strict=True)]
            assert torch.allclose(found[draw], reference.outputs(state.options, state, inputs, one), atol=1e-12)


@named
def test_a_prediction_repeats_and_a_row_depends_on_no_other(problem, given):
    built, state = begun(problem, rate=0.3, **given)
    built.update(state, rows(problem))
    inputs = rows(problem).inputs
    whole, again, some = (built.predict(state, each)[0] for each in (inputs, inputs, inputs[5:8]))
    assert torch.equal(whole, again)
    assert torch.allclose(whole[:, 5:8], some, rtol=0, atol=1e-13)
    assert (whole.std(0) > 0).any()


def test_the_log_likelihood_is_the_published_formula():
    """logsumexp_t(-tau / 2 (y - f_t)^2) - log T - 1/2 log 2 pi + 1/2 log tau, in the targets' own units."""
    tau = 0.6
    built, state = begun(rate=0.2, tau=tau)
    batch = rows(REGRESSION)
    means, variances, log_weights = built.predict(state, batch.inputs).rescaled(5.0, 2.0)
    each = torch.distributions.Normal(means.T, variances.sqrt().T)
    mixed = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(logits=log_weights), each)
    y = 5.0 + 2.0 * batch.targets
    published = torch.logsumexp(-tau / 2 * (y - means) ** 2, 0) - math.log(30)
    published += -0.5 * math.log(2 * math.pi) + 0.5 * math.log(tau)
    assert torch.allclose(mixed.log_prob(y), published, rtol=0, atol=1e-6)
    assert torch.allclose(variances, torch.tensor(1 / tau, dtype=torch.float64))


def test_without_a_rate_there_is_one_function():
    built, state = begun(rate=0.0)
    found = built.predict(state, rows(REGRESSION).inputs)
    assert found.means.shape == (1, 40)
    expected = reference.outputs(state.options, state, rows(REGRESSION).inputs, [])[:, 0]
    assert torch.allclose(found.means[0], expected, atol=1e-12)


SEVERAL = [
    DropoutOptions(**SMALL, rate=rate, tau=tau, lengthscale=length, learning_rate=speed)
    for rate, tau, length, speed in [(0.1, 0.5, 0.1, 1e-3), (0.0, 1.0, 0.2, 3e-3), (0.5, 2.0, 0.3, 1e-2)]
]


@pytest.mark.parametrize("problem", [REGRESSION, CLASSES], ids=["regression", "classes"])
@pytest.mark.parametrize("chosen", [[0, 1, 2], [2, 0], [1]])
def test_lanes_are_the_trials_alone(problem, chosen):
    precision = None if problem.kind == "classification" else 1.0
    options = [dataclasses.replace(SEVERAL[index], tau=precision and SEVERAL[index].tau) for index in chosen]
    problems = [dataclasses.replace(problem, target_scale=1.0 + index) for index in chosen]
    trainings = [terms(6, seed=index) for index in chosen]
    batches = [[rows(problem, 10, seed=10 * index + update) for index in chosen] for update in range(6)]
    for lane, built, alone in train_lanes_and_alone(learner, options, problems, trainings, batches):
        fresh, inputs = learner.build(built.options), rows(problem).inputs
        assert largest_difference(lane.parameters, alone.parameters) < 1e-12
        assert torch.allclose(fresh.predict(lane, inputs)[0], built.predict(alone, inputs)[0], rtol=0, atol=1e-11)
        assert fresh.describe(lane) == built.describe(alone) | {"optimiser": type(lane.optimiser).__name__.lower()}


def test_a_lane_that_is_nan_spoils_no_other():
    cohort = learner.together(SEVERAL[:2])
    state = cohort.init([REGRESSION] * 2, [terms(3, "fp32", seed=seed) for seed in (0, 1)])
    batch = rows(REGRESSION, dtype=torch.float32)
    inputs = torch.stack([batch.inputs, batch.inputs])
    inputs[0, 0, 0] = math.nan
    state, scalars = cohort.update(state, Batch(inputs, torch.stack([batch.targets] * 2)))
    assert scalars["loss"].isnan().tolist() == [True, False]
    assert all(tensor[1].isfinite().all() for tensor in state.parameters.values())


@pytest.mark.gpu
def test_on_a_gpu_each_replay_draws_masks_anew():
    """Weights that hardly move: losses of one mini-batch differ by their masks alone."""
    cohort = learner.together([DropoutOptions(**SMALL, rate=rate, learning_rate=1e-9) for rate in (0.0, 0.5)])
    state = cohort.init([REGRESSION] * 2, [terms(9, "fp32", seed=seed, device="cuda") for seed in (0, 1)])
    batch, found = rows(REGRESSION, dtype=torch.float32), []
    stacked = Batch(torch.stack([batch.inputs] * 2).cuda(), torch.stack([batch.targets] * 2).cuda())
    for _ in range(9):
        state, scalars = cohort.update(state, stacked)
        found.append(scalars["loss"])
    losses = torch.stack(found).cpu()  # (9, 2)
    assert state.replay.captured
    assert torch.allclose(losses[:, 0], losses[:1, 0], rtol=1e-4)
    assert len(losses[:, 1].unique()) == 9


def test_parts_of_a_mini_batch_have_its_expectation():
    """Without dropout exactly its gradient."""
    found = []
    for size in (None, 15):
        built, state = begun(rate=0.0, micro_batch=size, lengthscale=0.5)
        _, said = built.update(state, rows(REGRESSION))
        found.append((said["loss"], *(tensor.grad for tensor in state.parameters.values())))
    assert all(torch.allclose(whole, parts, atol=1e-12) for whole, parts in zip(*found, strict=True))


def test_the_precision_left_open_is_of_half_the_deviation():
    built, state = begun()
    assert built.describe(state)["tau"] == pytest.approx(1.0)
    assert built.describe(state)["noise"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"tau": -0.1}, "tau"),
        ({"tau": 0.0}, "tau"),
        ({"rate": 1.0}, "rate"),
        ({"rate": -0.1}, "rate"),
        ({"predict_samples": 0}, "predict_samples"),
        ({"lengthscale": -1.0}, "lengthscale"),
    ],
)
def test_bad_options_are_named(given, reason):
    with pytest.raises(UsageError, match=reason):
        configured(DropoutOptions, given, "mc-dropout")


def test_what_does_not_fit_a_problem_is_refused():
    with pytest.raises(Unsupported, match="leave tau out"):
        begun(CLASSES, tau=1.0)
    with pytest.raises(Unsupported, match="leave level out"):
        begun(CLASSES, level=0)
    with pytest.raises(Unsupported, match="language"):
        begun(Problem("language", (3,), 4, 40))
    with pytest.raises(Unsupported, match="one by one"):
        learner.together([dataclasses.replace(each, clip=1.0) for each in SEVERAL]).init([], [])
    built, state = begun(micro_batch=10)
    with pytest.raises(Unsupported, match="at once"):
        built.reference(state, rows(REGRESSION))


@pytest.mark.slow
def test_the_contract_is_kept():
    """Masks for each row make the first update depend on the rows' order, so that one check has nothing to say."""
    assert require_contract("mc-dropout[rate=0.3,predict_samples=6]") <= {"batches-apart"}


MANY = """
import resource, torch
from harness import Problem, Training
from harness_mc_dropout import DropoutOptions, learner

torch.set_num_threads(1)
built = learner.build(DropoutOptions(architecture="100-FC", rate=0.1, predict_samples=10_000))
state = built.init(Problem("regression", (9,), 1, 100), Training(0, "cpu", "fp32", 100, 1), None)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
prediction = built.predict(state, torch.randn(4573, 9))
assert prediction.means.shape == (10_000, 4573) and prediction.variances.stride()[1] == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="kilobytes are Linux's")
def test_ten_thousand_functions_of_many_rows_take_little_memory():
    kilobytes = int(subprocess.run([sys.executable, "-c", MANY], check=True, capture_output=True, text=True).stdout)
    assert kilobytes < 2**19  # half a GiB, of which the outputs are 183 MB
