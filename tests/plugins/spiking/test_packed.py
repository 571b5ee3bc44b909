"""BPTT that keeps spikes as bits and the surrogate in eight bits: exact where it says so, close where it rounds."""

import pytest
import torch
from spiking_setups import NETWORKS, RESIDUAL, TINY, batch, measure_update, problem, start, step_gradients
from tiny_problems import largest_difference

from harness import UsageError
from harness_bptt import BPTTOptions
from harness_bptt.learner import build
from harness_bptt.packed import pack, unpack
from harness_spiking.spikes import recorded
from harness_torch.instruments.activation_memory import ActivationMemory

ALL = NETWORKS | RESIDUAL


@pytest.mark.parametrize("steps", [1, 7, 8, 9, 20])
def test_spikes_come_back_from_their_bits(steps):
    z = torch.rand(steps, 3, 4, 5, 6, generator=torch.Generator().manual_seed(1)) - 0.4
    z[:, 0, 0, 0] = torch.tensor([0.0, -0.0, 1e-30, -1e-30, torch.inf, -torch.inf])
    words = pack(z)
    assert words.dtype == torch.uint8
    assert len(words) == -(-steps // 8)
    assert torch.equal(unpack(words, steps, torch.float32), (z >= 0).float())


def gradients(saved, network, steps, varying, precision="fp64", **options):
    shared = {"steps": steps, "architecture": ALL[network][0], "learning_rate": TINY, "saved": saved}
    learner = build(BPTTOptions(**shared | options))
    state = start(learner, problem(network, steps if varying else None), precision=precision)
    dtype = torch.float64 if precision == "fp64" else torch.float32
    rows = batch(network, steps if varying else None, dtype=dtype)
    with recorded(state.network) as spikes:
        (found,) = step_gradients(learner, state, rows)
    return found, spikes.by_layer()


@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize(
    ("network", "steps"), [("mlp", 20), ("conv", 6), ("gap", 9), *((name, 5) for name in RESIDUAL)]
)
def test_the_gradient_is_off_by_rounding_alone(network, steps, varying):
    exact, spikes = gradients("exact", network, steps, varying)
    packed, same = gradients("packed", network, steps, varying)
    assert all(torch.equal(spikes[layer], same[layer]) for layer in spikes)
    assert 0 < largest_difference(packed, exact) < 2e-2
    for name, expected in exact.items():
        assert torch.cosine_similarity(packed[name].flatten(), expected.flatten(), dim=0) > 0.999


@pytest.mark.parametrize(
    "options",
    [
        {"detach_reset": False},
        {"surrogate": "triangle"},
        {"surrogate": "arctan"},
        {"leak": 0.9},
        {"micro_batch": 4},
        {"dropout": 0.3},
    ],
    ids=str,
)
def test_so_it_is_with_every_option(options):
    exact, _ = gradients("exact", "conv", 6, False, **options)
    packed, _ = gradients("packed", "conv", 6, False, **options)
    assert 0 < largest_difference(packed, exact) < 2e-2


def test_a_derivative_of_two_values_is_not_rounded_at_all():
    exact, _ = gradients("exact", "conv", 6, True, surrogate="rectangle")
    packed, _ = gradients("packed", "conv", 6, True, surrogate="rectangle")
    assert largest_difference(packed, exact) < 1e-12


def test_a_deep_network_keeps_far_less():
    sizes = {}
    for saved in ("exact", "packed"):
        learner = build(BPTTOptions(steps=8, architecture="-".join(["16C3"] * 8) + "-FC", saved=saved))
        sizes[saved] = measure_update(ActivationMemory(), learner, problem("conv"), 32)["activation_bytes"]
    assert sizes["packed"] < 0.6 * sizes["exact"]


def test_what_cannot_go_layer_by_layer_is_refused():
    for other in ({"feedback": True}, {"reset": "hard"}):
        with pytest.raises(UsageError, match="saved=packed goes layer by layer"):
            BPTTOptions(saved="packed", **other)
