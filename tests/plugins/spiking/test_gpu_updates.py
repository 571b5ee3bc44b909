"""On a GPU: fused neurons and the captured update learn what plain operations learn."""

from dataclasses import replace

import pytest
import torch
from tiny_problems import terms

from harness import Batch, Problem
from harness_bptt import BPTTOptions
from harness_bptt.learner import build as build_bptt
from harness_ottt import OTTTOptions
from harness_ottt.learner import build as build_ottt
from harness_saf import SAFOptions
from harness_saf.learner import build as build_saf
from harness_spike_representation import SpikeRepresentationOptions
from harness_spike_representation.learner import build as build_sr
from harness_torch.training.graphs import WARMUP_UPDATES

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

TEXT = "8C3-AP2-16C3-16C3-GAP-FC"
PROBLEM = Problem("classification", (3, 16, 16), 10, 64)
METHODS = {
    "saf": lambda **options: build_saf(SAFOptions(**options)),
    "saf chunk": lambda **options: build_saf(SAFOptions(**options, chunk=3)),
    "saf feedback": lambda **options: build_saf(SAFOptions(**options, feedback=True)),
    "saf parts": lambda **options: build_saf(SAFOptions(**options, micro_batch=20)),
    "saf final": lambda **options: build_saf(SAFOptions(**options, variant="final")),
    "saf decaying": lambda **options: build_saf(SAFOptions(**options, optimiser="adam", weight_decay=0.1)),
    "saf online": lambda **options: build_saf(SAFOptions(**options, update="online")),
    "ottt": lambda **options: build_ottt(OTTTOptions(**options)),
    "ottt fused": lambda **options: build_ottt(OTTTOptions(**options, forward="fused")),
    "bptt": lambda **options: build_bptt(BPTTOptions(**options)),
    "bptt recomputed": lambda **options: build_bptt(BPTTOptions(**options, recompute=2)),
    "spike-representation": lambda **options: build_sr(SpikeRepresentationOptions(**options)),
    "dsr": lambda **options: build_sr(SpikeRepresentationOptions(**options, form="dsr")),
}


def batches(count, rows=32, channels=3):
    generator = torch.Generator().manual_seed(3)
    for _ in range(count):
        inputs = torch.randn(rows, channels, 16, 16, generator=generator)
        yield Batch(inputs.cuda(), torch.randint(0, 10, (rows,), generator=generator).cuda())


def trained(name, precision="fp32", updates=8, **options):
    learner = METHODS[name](steps=6, architecture=TEXT, learning_rate=0.01, **options)
    state = learner.init(PROBLEM, terms(updates, precision, device="cuda"), None)
    losses = [learner.update(state, batch)[1]["loss"].item() for batch in batches(updates)]
    return learner, state, losses


@pytest.mark.parametrize("name", METHODS)
def test_a_captured_update_with_fused_neurons_learns_what_eager_operations_learn(name):
    _, eager, expected = trained(name, kernels="eager", graph=False)
    learner, fused, found = trained(name)
    facts = learner.describe(fused)
    assert (facts["kernels"], facts["captured"]) == ("eager" if name == "dsr" else "triton", True)
    assert found == pytest.approx(expected, rel=2e-2)
    for key, value in eager.network.parameters.items():
        assert torch.cosine_similarity(fused.network.parameters[key].flatten(), value.flatten(), dim=0) > 0.999


@pytest.mark.parametrize("name", METHODS)
def test_a_graph_alone_changes_nothing(name):
    # A gradient summed in another order may move a potential across its threshold: then no tolerance would follow.
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        _, plain, expected = trained(name, kernels="auto", graph=False)
        learner, captured, found = trained(name)
    assert learner.describe(captured)["captured"]
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
@pytest.mark.parametrize("dropout", [None, 0.5])
def test_dropout_masks_change_from_replay_to_replay(optimiser, dropout):
    """On one mini-batch, with weights that stay as they are, nothing else can change the loss."""
    options = SAFOptions(architecture=TEXT, dropout=dropout, optimiser=optimiser, learning_rate=1e-30)
    learner, (batch,) = build_saf(options), batches(1)
    state = learner.init(PROBLEM, terms(precision="fp32", device="cuda"), None)
    losses = [learner.update(state, batch)[1]["loss"].item() for _ in range(10)]
    assert learner.describe(state)["captured"]
    replayed = sorted(losses[WARMUP_UPDATES:])
    assert (replayed[-1] - replayed[0] > 1e-4) == bool(dropout)
    assert not dropout or len(set(replayed)) == len(replayed)


def test_a_mini_batch_of_another_size_is_learnt_from_too():
    learner, state, _ = trained("saf")
    (odd,) = batches(1, rows=5)
    before = {key: value.clone() for key, value in state.network.parameters.items()}
    state.updates = 0
    learner.update(state, odd)
    assert all(not torch.equal(before[key], value) for key, value in state.network.parameters.items())


@pytest.mark.parametrize("name", METHODS)
def test_images_of_one_channel(name):
    learner = METHODS[name](steps=6, architecture=TEXT)
    problem = replace(PROBLEM, input_shape=(1, 16, 16))
    state = learner.init(problem, terms(precision="fp32", device="cuda"), None)
    losses = [learner.update(state, batch)[1]["loss"] for batch in batches(6, channels=1)]
    assert torch.stack(losses).isfinite().all()
    assert learner.predict(state, next(batches(1, channels=1)).inputs).log_probs.isfinite().all()


@pytest.mark.parametrize("name", METHODS)
def test_bf16_convolutions_learn(name):
    """One mini-batch by heart: targets are random, so there is nothing else to learn."""
    learner, (batch,) = METHODS[name](steps=6, architecture=TEXT, learning_rate=0.01), batches(1)
    state = learner.init(PROBLEM, terms(40, "bf16", device="cuda"), None)
    losses = [learner.update(state, batch)[1]["loss"].item() for _ in range(40)]
    assert losses[-1] < losses[0] - 0.05
    assert all(value.dtype == torch.float32 for value in state.network.parameters.values())
    assert learner.predict(state, batch.inputs).log_probs.isfinite().all()


def test_peak_memory_of_the_captured_step_is_flat_in_time():
    peaks = []
    for steps in (4, 16):
        learner = build_saf(SAFOptions(steps=steps, architecture=TEXT))
        state = learner.init(PROBLEM, terms(precision="fp32", device="cuda"), None)
        *first, captured = batches(WARMUP_UPDATES + 1)
        for batch in first:
            learner.update(state, batch)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        learner.update(state, captured)  # what replays use is allocated here
        peaks.append(torch.cuda.max_memory_allocated() - before)
        assert learner.describe(state)["captured"]
        del learner, state
        torch.cuda.empty_cache()
    assert peaks[0] > 32 * 8 * 16 * 16 * 4  # the first layer's neurons, at the least
    assert peaks[1] <= 1.05 * peaks[0]
