"""Networks as lanes beside single ones, and linear maps with Gaussian weights beside their closed moments."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tiny_problems import normal, terms

from harness import Problem
from harness_bayes import layers, likelihoods, networks, priors
from harness_bayes.config import BayesOptions, NetworkOptions
from harness_bayes.layers import Gaussians
from harness_bayes.likelihoods import Likelihood
from harness_bayes.networks import affine
from harness_bayes.noise import Noise

DRAWS = 40_000


def network(text, shape, outputs=3, bias=True, activation="relu"):
    problem = Problem("classification", shape, outputs, 9)
    options = NetworkOptions(architecture=text, bias=bias, activation=activation)
    return networks.build(problem, terms(1), options, outputs)


def single(net, weights, x):
    """One network in torch's own functions: maps (N, C, H, W), rows (N, F)."""
    found = net.architecture.layers
    for index in range(len(found) + 1):
        name = f"layers.{index}" if index < len(found) else "readout"
        weight, bias = weights[f"{name}.weight"], weights.get(f"{name}.bias")
        if weight.dim() == 4:
            x = F.conv2d(x, weight, bias, found[index].stride, padding=weight.shape[-1] // 2)
        else:
            x = F.linear(x.flatten(1), weight.T, bias)
        if index < len(found):
            x = F.relu(x)
            x = F.avg_pool2d(x, found[index].pool) if found[index].pool else x
    return x


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("5-4-FC", (6,)),
        ("5-FC", (2, 4, 4)),
        ("4C3-AP2-5C3-FC", (2, 4, 4)),
        ("4C3/2-6-FC", (1, 5, 5)),
        ("4C3-GAP-FC", (2, 4, 4)),
    ],
)
@pytest.mark.parametrize("trials", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_lanes_are_single_networks(text, shape, trials, bias):
    """Rows are shared by the networks of a trial, and each trial has its own."""
    net = network(text, shape, bias=bias)
    weights = {name: normal(trials * 3, *each, seed=5) for name, each in net.shapes.items()}
    inputs = normal(trials, 4, *shape)
    outputs = networks.apply(net, weights, inputs)
    assert outputs.shape == (trials * 3, 4, 3)
    for lane in range(trials * 3):
        alone = {name: tensor[lane] for name, tensor in weights.items()}
        expected = single(net, alone, inputs[lane // 3])
        assert torch.allclose(outputs[lane], expected, rtol=0, atol=1e-12)


def test_vectors_hold_the_weights_in_order():
    net = network("5-4-FC", (6,))
    weights = {name: normal(2, *shape) for name, shape in net.shapes.items()}
    vectors = networks.flatten(weights)
    assert vectors.shape == (2, net.size)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in networks.unflatten(net, vectors).items())


def test_a_network_starts_alike_however_many_stand_beside_it():
    net = network("5-FC", (6,))
    few, many = networks.initial(net, [3], 2), networks.initial(net, [8, 3], 4)
    for name in net.shapes:
        assert torch.equal(few[name], many[name][4:6])
        assert not torch.equal(few[name][0], few[name][1])


# --- estimators ---------------------------------------------------------------------------------------------------


def dense(biased=True):
    gaussians = {"readout.weight": normal(2, 3, 4), "readout.bias": normal(2, 4)}
    spreads = {"readout.weight": normal(2, 3, 4, seed=1).abs(), "readout.bias": normal(2, 4, seed=2).abs()}
    if not biased:
        gaussians.pop("readout.bias")
        spreads.pop("readout.bias")
    return Gaussians(gaussians, spreads)


def moments(gaussians, x):
    """Mean and variance of each output, (J, N, outputs), in closed form."""
    weight, spread = gaussians.means["readout.weight"], gaussians.deviations["readout.weight"]
    bias, shift = gaussians.means.get("readout.bias"), gaussians.deviations.get("readout.bias")
    mean = x @ weight + (0 if bias is None else bias[:, None])
    return mean, x**2 @ spread**2 + (0 if shift is None else shift[:, None] ** 2)


@pytest.mark.parametrize("estimator", ["weights", "local"])
@pytest.mark.parametrize("biased", [True, False])
def test_outputs_have_the_moments_of_gaussian_weights(estimator, biased):
    gaussians, x = dense(biased), normal(1, 5, 3, seed=3)
    linear = layers.build_linear(gaussians, DRAWS, Noise.seeded([0], "cpu"), estimator, torch.float64)
    drawn = linear("readout", x, 1).unflatten(0, (2, DRAWS))
    mean, variance = moments(gaussians, x)
    assert torch.allclose(drawn.mean(1), mean, atol=5 * (variance.max() / DRAWS).sqrt().item())
    assert torch.allclose(drawn.var(1), variance, rtol=5 * (2 / DRAWS) ** 0.5)


def test_draws_of_weights_are_one_function_and_local_noise_is_each_rows():
    """Of two equal rows: with one draw of the weights they agree, with noise of outputs they do not."""
    gaussians, x = dense(), normal(1, 1, 3).expand(1, 2, 3)
    outputs = {
        estimator: layers.build_linear(gaussians, 1, Noise.seeded([0], "cpu"), estimator, torch.float64)(
            "readout", x, 1
        )
        for estimator in ("weights", "local")
    }
    assert torch.allclose(outputs["weights"][:, 0], outputs["weights"][:, 1])
    assert not torch.allclose(outputs["local"][:, 0], outputs["local"][:, 1], atol=1e-3)


def test_auto_takes_the_fewer_random_numbers():
    class Counting(Noise):
        def normal(self, shape, like):
            self.shapes.append(tuple(shape))
            return super().normal(shape, like)

    for rows, expected in ((2, [(2, 1, 2, 4)]), (9, [(2, 1, 3, 4), (2, 1, 4)])):
        counting = Counting(Noise.seeded([0], "cpu").generators)
        counting.shapes = []
        layers.build_linear(dense(), 1, counting, "auto", torch.float64)("readout", normal(1, rows, 3), 1)
        assert counting.shapes == expected


def test_flipout_has_the_moments_of_a_convolution_with_gaussian_weights():
    """Each output is Gaussian around the mean's, with the variance that its patch gives."""
    means = {"layers.0.weight": normal(2, 3, 2, 3, 3), "layers.0.bias": normal(2, 3)}
    deviations = {name: 0.3 * tensor.abs() for name, tensor in means.items()}
    x = normal(2, 2, 4, 4, seed=3)  # (N, channels, ...)
    samples = 4_000
    linear = layers.build_linear(
        Gaussians(means, deviations), samples, Noise.seeded([0], "cpu"), "local", torch.float64
    )
    drawn = linear("layers.0", x, 1).unflatten(1, (2, samples, 3))  # (N, J, S, outputs, ...)
    for lane in range(2):
        weight, bias = means["layers.0.weight"][lane], means["layers.0.bias"][lane]
        spread, shift = deviations["layers.0.weight"][lane], deviations["layers.0.bias"][lane]
        mean = F.conv2d(x, weight, bias, padding=1)
        variance = F.conv2d(x**2, spread**2, shift**2, padding=1)
        assert torch.allclose(drawn[:, lane].mean(1), mean, atol=6 * (variance.max() / samples).sqrt().item())
        assert torch.allclose(drawn[:, lane].var(1), variance, rtol=0.25)
    same = affine(x, means["layers.0.weight"], means["layers.0.bias"])
    still = {name: torch.zeros_like(tensor) for name, tensor in means.items()}
    linear = layers.build_linear(Gaussians(means, still), 1, Noise.seeded([0], "cpu"), "local", torch.float64)
    assert torch.allclose(linear("layers.0", x, 1), same)


def test_streams_of_trials_are_their_own():
    like = torch.empty((), dtype=torch.float64)
    together = Noise.seeded([4, 7], "cpu").normal((6, 5), like)
    assert torch.equal(together[3:], Noise.seeded([7], "cpu").normal((3, 5), like))
    assert set(Noise.seeded([1], "cpu").signs((200,), like).tolist()) == {-1.0, 1.0}


# --- priors and likelihoods ---------------------------------------------------------------------------------------


def zero_mean(deviation):
    return torch.distributions.Normal(*torch.tensor([0.0, deviation], dtype=torch.float64))


@pytest.mark.parametrize("kind", ["fan-in", "fixed", "mixture"])
def test_priors_are_those_of_torchs_distributions(kind):
    net = network("5-FC", (6,))
    weights = {name: normal(2, *shape) for name, shape in net.shapes.items()}
    options = BayesOptions(prior=kind, prior_scale=1.5)
    prior = priors.build(net, options, torch.empty((), dtype=torch.float64), [1.5])
    total = torch.zeros(2, dtype=torch.float64)
    for name, weight in weights.items():
        narrower = kind == "fan-in" and name.endswith("weight")
        wide = zero_mean(1.5 / (net.fan_in[name] ** 0.5 if narrower else 1.0))
        density = wide.log_prob(weight)
        if kind == "mixture":
            narrow = zero_mean(0.0025).log_prob(weight)
            density = (0.5 * density.exp() + 0.5 * narrow.exp()).log()
        total += density.flatten(1).sum(1)
    assert torch.allclose(priors.log_density(prior, weights), total, rtol=1e-10)


def test_the_cross_entropy_is_entropy_and_divergence():
    net = network("5-FC", (6,))
    means = {name: normal(2, *shape) for name, shape in net.shapes.items()}
    spreads = {name: normal(2, *shape, seed=1).abs() + 0.1 for name, shape in net.shapes.items()}
    prior = priors.build(net, BayesOptions(), torch.empty((), dtype=torch.float64), [0.7])
    expected = torch.zeros(2, dtype=torch.float64)
    for name, mean in means.items():
        q = torch.distributions.Normal(mean, spreads[name])
        p = torch.distributions.Normal(torch.zeros_like(mean), prior.deviations[name].expand(mean.shape))
        expected += (torch.distributions.kl_divergence(q, p) + q.entropy()).flatten(1).sum(1)
    squares = {name: spread**2 for name, spread in spreads.items()}
    assert torch.allclose(priors.cross_entropy(prior, means, squares), expected, rtol=1e-12)


def test_likelihoods_are_those_of_torch():
    targets, outputs = normal(1, 7), normal(3, 7, 2, seed=1)
    noise = torch.tensor([0.3, 0.5, 2.0], dtype=torch.float64)
    gaussian = torch.distributions.Normal(outputs[..., 0], noise[:, None]).log_prob(targets)
    found = likelihoods.log_likelihood(Likelihood("gaussian", 1), outputs[..., :1], targets, noise.log())
    assert torch.allclose(found, gaussian)
    own = torch.distributions.Normal(outputs[..., 0], (F.softplus(outputs[..., 1]) + 1e-6).sqrt()).log_prob(targets)
    assert torch.allclose(likelihoods.log_likelihood(Likelihood("heteroscedastic", 2), outputs, targets, None), own)
    classes = torch.tensor([[0, 1, 1, 0, 1, 0, 0]])
    chosen = torch.distributions.Categorical(logits=outputs).log_prob(classes.expand(3, 7))
    assert torch.allclose(likelihoods.log_likelihood(Likelihood("categorical", 2), outputs, classes, None), chosen)
