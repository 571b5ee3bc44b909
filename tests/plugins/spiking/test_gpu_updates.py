"""On a GPU: fused neurons and the captured update learn what plain operations learn."""

import pytest
import torch

from harness import Batch, Problem, Training
from harness_bptt import BPTTOptions
from harness_bptt.learner import build as build_bptt
from harness_ottt import OTTTOptions
from harness_ottt.learner import build as build_ottt
from harness_saf import SAFOptions
from harness_saf.learner import build as build_saf

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

TEXT = "8C3-AP2-16C3-16C3-GAP-FC"
PROBLEM = Problem("classification", (3, 16, 16), 10, 64)
METHODS = {
    "saf": lambda **options: build_saf(SAFOptions(**options)),
    "saf chunk": lambda **options: build_saf(SAFOptions(**options, chunk=3)),
    "saf final": lambda **options: build_saf(SAFOptions(**options, variant="final")),
    "saf online": lambda **options: build_saf(SAFOptions(**options, update="online")),
    "ottt": lambda **options: build_ottt(OTTTOptions(**options)),
    "ottt fused": lambda **options: build_ottt(OTTTOptions(**options, forward="fused")),
    "bptt": lambda **options: build_bptt(BPTTOptions(**options)),
}


def batches(count):
    generator = torch.Generator().manual_seed(3)
    for _ in range(count):
        inputs = torch.randn(32, 3, 16, 16, generator=generator)
        yield Batch(inputs.cuda(), torch.randint(0, 10, (32,), generator=generator).cuda())


def trained(name, precision="fp32", updates=8, **options):
    learner = METHODS[name](steps=6, architecture=TEXT, learning_rate=0.01, **options)
    state = learner.init(PROBLEM, Training(0, "cuda", precision, 32, updates), None)
    losses = [learner.update(state, batch)[1]["loss"].item() for batch in batches(updates)]
    return learner, state, losses


@pytest.mark.parametrize("name", METHODS)
def test_a_captured_update_with_fused_neurons_learns_what_eager_operations_learn(name):
    _, eager, expected = trained(name, kernels="eager", graph=False)
    learner, fused, found = trained(name)
    facts = learner.describe(fused)
    assert (facts["kernels"], facts["captured"]) == ("triton", True)
    assert found == pytest.approx(expected, rel=2e-2)
    for key, value in eager.network.parameters.items():
        assert torch.cosine_similarity(fused.network.parameters[key].flatten(), value.flatten(), dim=0) > 0.999


@pytest.mark.parametrize("name", METHODS)
def test_a_graph_alone_changes_nothing(name):
    _, plain, expected = trained(name, kernels="auto", graph=False)
    _, captured, found = trained(name)
    assert found == pytest.approx(expected, rel=1e-4)
    for key, value in plain.network.parameters.items():
        torch.testing.assert_close(captured.network.parameters[key], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_the_schedule_reaches_a_captured_update(name):
    learner, state, _ = trained(name, updates=8)
    before = {key: value.clone() for key, value in state.network.parameters.items()}
    state.updates = 8  # the cosine's end: a learning rate of zero
    for batch in batches(1):
        learner.update(state, batch)
    momentum = max((state.network.parameters[key] - value).abs().max().item() for key, value in before.items())
    assert momentum == 0


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_dropout_masks_change_from_replay_to_replay(optimiser):
    learner, state, losses = trained("saf", dropout=0.5, optimiser=optimiser, updates=10)
    assert learner.describe(state)["captured"]
    assert len(set(losses)) == len(losses)


@pytest.mark.parametrize("name", METHODS)
def test_bf16_convolutions_learn(name):
    learner, state, losses = trained(name, precision="bf16", updates=40)
    assert losses[-1] < losses[0]
    assert all(value.dtype == torch.float32 for value in state.network.parameters.values())
    assert learner.predict(state, next(batches(1)).inputs).log_probs.isfinite().all()


def test_peak_memory_is_flat_in_time_with_fused_neurons_and_a_graph():
    peaks = []
    for steps in (4, 16):
        learner = build_saf(SAFOptions(steps=steps, architecture=TEXT))
        state = learner.init(PROBLEM, Training(0, "cuda", "fp32", 32, None), None)
        for batch in batches(6):
            learner.update(state, batch)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        for batch in batches(1):
            learner.update(state, batch)
        torch.cuda.synchronize()
        peaks.append(torch.cuda.max_memory_allocated() - before)
        del learner, state
        torch.cuda.empty_cache()
    assert peaks[1] <= 1.05 * peaks[0]
