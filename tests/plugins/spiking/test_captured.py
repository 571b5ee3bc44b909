"""Operations that no CUDA graph holds, found without a GPU: no update takes values from the host or waits for them."""

import pytest
import torch
from spiking_methods import prepared
from spiking_setups import SETUPS, batch, problem, start
from torch.utils._python_dispatch import TorchDispatchMode

from harness_spike_representation import SpikeRepresentationOptions
from harness_spike_representation.learner import build

# A tensor made of Python values; a Python value made of a tensor; sizes that depend on values.
HOSTILE = {"lift_fresh", "_local_scalar_dense", "nonzero", "masked_select"}


class Hostile(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.met = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.met |= {function.overloadpacket.__name__} & HOSTILE
        return function(*args, **(kwargs or {}))


def test_what_is_looked_for_is_found():
    with Hostile() as hostile:
        torch.ones(2).new_tensor([1.0, 2.0])
        float(torch.ones(()))
        torch.ones(2).nonzero()
    assert hostile.met == {"lift_fresh", "_local_scalar_dense", "nonzero"}


@pytest.mark.sampled
@pytest.mark.parametrize("convention", ["official", "theory"])
@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize(
    ("method", "network", "options"),
    [
        ("saf", "conv", {}),
        ("saf", "residual-pooled", {"chunk": 3, "dropout": 0.2}),
        ("saf", "conv", {"feedback": True}),
        ("saf-online", "conv", {}),
        ("ottt", "residual", {"chunk": 3, "micro_batch": 4}),
        ("ottt-fused", "conv", {"chunk": 6}),
        ("ottt-online", "conv", {"feedback": True}),
    ],
)
def test_an_update_takes_nothing_from_the_host(method, network, options, varying, convention):
    learner, state = prepared(method, network, 6, varying, "fp32", convention=convention, **options)
    assert not met_by(learner, state, batch(network, 6 if varying else None, dtype=torch.float32))


@pytest.mark.sampled
@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("saf-final", {"chunk": 4}),
        ("saf-final", {"chunk": 4, "surrogate": "clamp"}),
        ("bptt", {"detach_reset": False}),
        ("bptt", {"saved": "packed"}),
        ("bptt", {"feedback": True}),
        ("bptt", {"recompute": 4, "chunk": 2, "dropout": 0.2}),
        ("bptt", {"recompute": 2, "reset": "hard"}),
    ],
)
def test_nor_does_one_without_a_choice_of_convention(method, options, varying):
    learner, state = prepared(method, "conv", 6, varying, "fp32", **options)
    assert not met_by(learner, state, batch("conv", 6 if varying else None, dtype=torch.float32))


@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("form", ["clamp", "dsr"])
def test_nor_does_one_of_spike_representation(form, varying):
    steps = 6 if varying else None
    learner = build(SpikeRepresentationOptions(form=form, steps=6, chunk=4, architecture=SETUPS["conv"][0]))
    state = start(learner, problem("conv", steps), precision="fp32")
    assert not met_by(learner, state, batch("conv", steps, dtype=torch.float32))


def met_by(learner, state, rows):
    """In the second update: in the first the optimiser's state is made."""
    learner.update(state, rows)
    with Hostile() as hostile:
        learner.update(state, rows)
    return hostile.met
