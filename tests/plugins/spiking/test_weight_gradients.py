"""Every method's weight gradients come from patches where these are quicker, and the record says so."""

import pytest
import torch
from spiking_methods import METHODS, learner_of, torchs_weight_gradients
from spiking_setups import batch, problem, start, step_gradients
from tiny_problems import largest_difference

from harness_torch.training import convolution


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr(convolution, "by_patches", lambda *_: True)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_same_gradients(method, always):
    def gradients():
        learner = learner_of(method, steps=4, architecture="6C3-AP2-8C3-FC", learning_rate=1e-6)
        return step_gradients(learner, start(learner, problem("conv"), precision="fp64"), batch("conv"))

    from_patches = gradients()
    with torchs_weight_gradients():
        as_torch = gradients()
    for one, other in zip(from_patches, as_torch, strict=True):
        assert largest_difference(one, other) < 1e-10


def told(precision="fp32"):
    learner = learner_of("saf")
    return learner.describe(start(learner, problem("conv"), precision=precision))["weight_gradients"]


@pytest.mark.parametrize(
    ("threads", "precision", "by"),
    [(1, "fp32", "patches"), (2, "fp32", "torch"), (1, "bf16", "torch"), (1, "fp64", "torch")],
)
def test_the_record_says_where_they_come_from(threads, precision, by, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert told(precision) == by
