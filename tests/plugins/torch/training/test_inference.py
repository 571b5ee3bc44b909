"""Predictions in parts and as mixtures, for each kind of problem, against the definitions."""

import math

import pytest
import torch
from tiny_learner import FEATURES, batch, started

from harness_torch.training import inference


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def seven_numbers_at_a_time(monkeypatch):
    monkeypatch.setattr(inference, "ELEMENTS", 7)


@pytest.mark.parametrize(("rows", "sizes"), [(8, [2, 2, 2, 2]), (7, [2, 2, 2, 1]), (0, [0]), (1, [1])])
def test_rows_come_in_parts_alike(rows, sizes, seven_numbers_at_a_time):
    assert [len(part) for part in inference.split(torch.zeros(rows, 4), 3)] == sizes


def test_a_row_that_is_too_large_comes_alone(seven_numbers_at_a_time):
    assert [len(part) for part in inference.split(torch.zeros(3, 4), 100)] == [1, 1, 1]


@pytest.mark.parametrize("rows", [0, 1, 11])
@pytest.mark.parametrize(
    "predict",
    [
        lambda x: inference.classes(x),
        lambda x: inference.classes(torch.stack([x, 2 * x, -x])),
        lambda x: inference.gaussians(x[:, 0], x[:, 1].exp()),
        lambda x: inference.gaussians(torch.stack([x[:, 0], x[:, 1]]), torch.ones(2, len(x), dtype=x.dtype)),
        lambda x: inference.tokens(x[:, None] * x[:, :, None], torch.zeros(len(x), FEATURES, dtype=torch.long)),
    ],
    ids=["class", "classes", "gaussian", "gaussians", "tokens"],
)
def test_parts_say_together_what_the_whole_says(predict, rows, seven_numbers_at_a_time):
    inputs = random(rows, FEATURES)
    whole, parts = predict(inputs), inference.in_parts(predict, inputs, 2)
    assert type(whole) is type(parts)
    for one, other in zip(whole, parts, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("shape", [(2, 1), (1, 1), (2, 11)])
def test_variances_that_rows_share_are_shared_by_the_parts(shape, seven_numbers_at_a_time):
    inputs, variances = random(11, FEATURES), random(*shape).exp()

    def predict(x):
        own = variances if shape[1] == 1 else variances[:, : len(x)]
        return inference.gaussians(torch.stack([x[:, 0], x[:, 1]]), own)

    found = inference.in_parts(predict, inputs, 2)
    assert found.variances.shape == (shape[0], 11)
    for part in found.variances.split([len(rows) for rows in inference.split(inputs, 2)], dim=1):
        torch.testing.assert_close(part, variances[:, : part.shape[1]].expand_as(part))


def test_a_learner_that_predicts_in_parts_says_the_same(monkeypatch):
    learner, state = started()
    whole = learner.predict(state, batch().inputs)
    monkeypatch.setattr(inference, "ELEMENTS", 3 * 7)
    torch.testing.assert_close(learner.predict(state, batch().inputs).log_probs, whole.log_probs)
    assert not whole.log_probs.requires_grad


def test_class_probabilities_are_a_softmax_of_each_component():
    logits = random(3, 4, 5)
    found = inference.classes(logits)
    expected = logits.exp() / logits.exp().sum(-1, keepdim=True)
    torch.testing.assert_close(found.log_probs.exp(), expected)
    assert found.log_weights.exp().tolist() == pytest.approx([1 / 3] * 3)
    (one,) = inference.classes(logits[0]).log_probs
    assert torch.equal(one, found.log_probs[0])
    assert inference.classes(logits[0]).log_weights.tolist() == [0.0]


def test_a_mixture_may_say_what_its_components_count():
    weights = torch.tensor([0.25, 0.75], dtype=torch.float64).log()
    assert inference.classes(random(2, 4, 5), weights).log_weights is weights
    mixture = inference.gaussians(random(2, 4), random(2, 4).exp(), weights)
    assert mixture.log_weights is weights
    assert mixture.means.shape == mixture.variances.shape == (2, 4)


def test_a_gaussian_is_a_mixture_of_one():
    means, variances = random(4), random(4).exp()
    found = inference.gaussians(means, variances)
    assert torch.equal(found.means, means[None])
    assert torch.equal(found.variances, variances[None])
    assert found.log_weights.tolist() == [0.0]


def test_tokens_are_as_probable_as_a_softmax_says():
    logits, following = random(2, 3, 4, 6), torch.tensor([[0, 5, 2, 2], [1, 1, 3, 0], [4, 0, 0, 5]])
    found = inference.tokens(logits, following)
    for s in range(2):
        for n in range(3):
            for t in range(4):
                scores = logits[s, n, t].tolist()
                expected = scores[following[n, t]] - math.log(sum(map(math.exp, scores)))
                assert float(found.log_probs[s, n, t]) == pytest.approx(expected, rel=1e-12)
    assert torch.equal(inference.tokens(logits[1], following).log_probs[0], found.log_probs[1])
