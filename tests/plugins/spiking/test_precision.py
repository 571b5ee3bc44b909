"""Linear operations in bfloat16: neurons fire in single precision, and gradients keep their direction."""

import pytest
import torch
from spiking_methods import METHODS, learner_of, prepared
from spiking_setups import SETUPS, batch, problem, start, step_gradients
from tiny_problems import normal

from harness_spiking.connections import Outlet
from harness_spiking.kernels import eager
from harness_spiking.neuron import Neuron
from harness_spiking.surrogates import Sigmoid

NEURON = Neuron(0.5, 4.0, Sigmoid(4.0))


def currents(steps=6, rows=64, channels=16):
    return 4 * normal(steps, rows, channels, 4, 4).bfloat16()


def shifts(steps=6, channels=16):
    return normal(steps, channels, seed=1).float()


@pytest.mark.parametrize("shifted", [False, True])
def test_neurons_that_integrate_fire_as_in_single_precision(shifted):
    shift = shifts() if shifted else None
    spikes, kept = eager.integrate(currents(), shift, None, NEURON, 6, Outlet(), True)
    exact, _ = eager.integrate(currents().float(), shift, None, NEURON, 6, Outlet(), True)
    assert spikes.dtype == kept.dtype == torch.bfloat16
    assert torch.equal(spikes.float(), exact)
    assert 0.05 < exact.mean() < 0.9


@pytest.mark.parametrize("shifted", [False, True])
def test_neurons_that_accumulate_fire_as_in_single_precision(shifted):
    shift = shifts() if shifted else None
    found, kept = eager.accumulate(currents(), shift, torch.zeros(64, 16, 4, 4), NEURON, Outlet(), True)
    exact, _ = eager.accumulate(currents().float(), shift, torch.zeros(64, 16, 4, 4), NEURON, Outlet(), True)
    assert found.dtype == kept.dtype == torch.bfloat16
    assert torch.equal(found.float(), exact)  # traces over six steps are exact in eight significant bits
    assert 0.05 < exact.mean() < 1.8


def test_rounding_what_is_thresholded_would_change_spikes():
    potentials = currents().float() + shifts()[:, None, :, None, None]
    found, _ = eager.integrate(potentials.clone(), None, None, NEURON, 6, Outlet(), False)
    rounded, _ = eager.integrate(potentials.bfloat16(), None, None, NEURON, 6, Outlet(), False)
    assert 0 < (found != rounded.float()).float().mean() < 0.01


@pytest.mark.parametrize("text", ["12C3-AP2-FC", "6C3-6R3-AP2-FC"])  # deeper ones are chaotic: one flip, many more
@pytest.mark.parametrize("method", METHODS)
def test_gradients_point_where_those_in_single_precision_do(method, text):
    found = []
    for precision in ("fp32", "bf16"):
        learner, state = prepared(method, "conv", steps=4, precision=precision, architecture=text)
        steps = step_gradients(learner, state, batch("conv", rows=64, dtype=torch.float32))
        found.append({name: sum(step[name] for step in steps) for name in steps[0]})
    single, half = found
    for name in single:
        assert half[name].isfinite().all()
        assert half[name].dtype == torch.float32
        assert torch.cosine_similarity(single[name].flatten(), half[name].flatten(), dim=0) > 0.95, name
    assert not torch.equal(single["layers.0.weight"], half["layers.0.weight"])


@pytest.mark.parametrize("method", METHODS)
def test_it_learns(method):
    learner = learner_of(method, steps=3, learning_rate=0.05, architecture=SETUPS["conv"][0])
    state = start(learner, problem("conv"), precision="bf16")
    rows = batch("conv", dtype=torch.float32)
    losses = [learner.update(state, rows)[1]["loss"].item() for _ in range(15)]
    assert losses[-1] < losses[0] / 2
    assert all(tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in learner.save(state).values())
    assert learner.predict(state, rows.inputs).log_probs.dtype == torch.float32


@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("method", ["saf", "ottt", "ottt-fused", "saf-final"])
def test_chunks_change_nothing_but_the_rounding(method, varying):
    found = []
    for chunk in (1, 4):
        learner, state = prepared(method, varying=varying, precision="bf16", chunk=chunk)
        rows = batch("conv", 6 if varying else None, rows=32, dtype=torch.float32)
        found.append(step_gradients(learner, state, rows)[0])
    for name, one in found[0].items():
        assert torch.cosine_similarity(one.flatten(), found[1][name].flatten(), dim=0) > 0.98, name


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("bptt", {"reset": "hard"}),
        ("bptt", {"feedback": True}),
        ("saf", {"feedback": True}),
        ("ottt", {"feedback": True}),
    ],
)
def test_it_learns_step_by_step(method, options):
    learner = learner_of(method, steps=3, learning_rate=0.05, architecture=SETUPS["conv"][0], **options)
    state = start(learner, problem("conv"), precision="bf16")
    rows = batch("conv", dtype=torch.float32)
    losses = [learner.update(state, rows)[1]["loss"].item() for _ in range(15)]
    assert losses[-1] < losses[0] / 2
    assert all(tensor.isfinite().all() for tensor in learner.save(state).values())
