"""BPTT that computes again what it does not keep: the same gradients, a second forward pass, less memory."""

from math import prod

import pytest
import torch
from spiking_methods import (
    assert_as_written,
    assert_refused,
    learner_of,
    prepared,
    torchs_weight_gradients,
    with_feedback,
)
from spiking_setups import batch, measure_update, step_gradients

from harness import Problem
from harness_bptt.recomputed import segments
from harness_spiking.architectures import resolve
from harness_spiking.spikes import recorded
from harness_torch.instruments.activation_memory import ActivationMemory
from harness_torch.instruments.operation_counts import Operations
from harness_torch.instruments.saved_tensors import SavedMemory

TYPES = {"fp32": torch.float32, "fp64": torch.float64}
BY_STEPS = [{"reset": "hard"}, {"reset": "hard", "detach_reset": False}, {"reset": "hard", "dropout": 0.3}]


def after_updates(network="conv", varying=False, precision="fp64", count=2, **options):
    """All that some updates leave: gradients of each, losses, parameters."""
    learner, state = prepared("bptt", network, varying=varying, precision=precision, learning_rate=0.05, **options)
    left = {}
    for seed in range(count):
        rows = batch(network, 6 if varying else None, seed=seed, dtype=TYPES[precision])
        (gradients,) = step_gradients(learner, state, rows)
        left |= {f"{name} in update {seed}": gradient for name, gradient in gradients.items()}
        left[f"loss {seed}"] = learner.update(state, rows)[1]["loss"]
    return left | dict(state.network.parameters)


def assert_the_same_bits(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert tensor.isfinite().all()
        assert torch.equal(found[name], tensor), name


# --- gradients ----------------------------------------------------------------------------------------------------


@pytest.mark.sampled
@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("network", ["conv", "residual"])
@pytest.mark.parametrize("recompute", [1, 4, "auto"])  # of six steps: the last segment smaller for 4
def test_gradients_are_those_of_plain_autograd(network, recompute, varying):
    assert_as_written("bptt", network, varying, recompute=recompute)


@pytest.mark.parametrize("options", [{"micro_batch": 4}, {"chunk": 1}, {"leak": 0.9, "threshold": 0.8}], ids=str)
def test_however_the_work_is_cut(options):
    assert_as_written("bptt", "residual-pooled", True, recompute=2, **options)


@pytest.mark.sampled
@pytest.mark.parametrize("precision", TYPES)
@pytest.mark.parametrize(
    ("network", "varying", "chunk", "options"),
    [
        ("conv", False, 2, {"dropout": 0.3}),
        ("conv", True, 1, {"detach_reset": False, "leak": 0.9}),
        ("mlp", True, 2, {"micro_batch": 4, "detach_reset": False}),
        ("residual", False, 1, {"surrogate": "arctan"}),
        ("residual-pooled", True, 2, {"dropout": 0.3}),
    ],
)
def test_they_are_those_of_the_same_chunks_to_the_last_bit(network, varying, chunk, options, precision):
    kept = after_updates(network, varying, precision, chunk=chunk, **options)
    for recompute in (2, 4, 6):
        computed = after_updates(network, varying, precision, chunk=chunk, recompute=recompute, **options)
        assert_the_same_bits(computed, kept)


@pytest.mark.sampled
@pytest.mark.parametrize("precision", TYPES)
@pytest.mark.parametrize("options", BY_STEPS, ids=str)
def test_where_steps_go_one_by_one_they_are_plain_bptts_to_the_last_bit(options, precision):
    kept = after_updates("conv", True, precision, **options)
    for recompute in (1, 2, 4, "auto"):
        assert_the_same_bits(after_updates("conv", True, precision, recompute=recompute, **options), kept)


@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("options", [{}, {"detach_reset": False, "micro_batch": 4}], ids=str)
def test_and_with_feedback(varying, options):
    found = []
    for recompute in (None, 1, 4):
        learner, state = with_feedback("bptt", varying=varying, recompute=recompute, **options)
        found += step_gradients(learner, state, batch("conv", 6 if varying else None))
    assert found[0]["feedback.weight"].abs().max() > 0
    assert_the_same_bits(found[1], found[0])
    assert_the_same_bits(found[2], found[0])


@pytest.mark.parametrize("recompute", [6, 7, 100])
def test_one_segment_of_all_steps_is_plain_bptt_to_the_last_bit(recompute):
    for precision in TYPES:
        plain = after_updates(precision=precision, dropout=0.3)
        assert_the_same_bits(after_updates(precision=precision, dropout=0.3, recompute=recompute), plain)


def test_in_another_order_of_sums_single_precision_stays_near_plain_bptt():
    plain = after_updates(precision="fp32", count=1)
    for name, tensor in after_updates(precision="fp32", count=1, recompute=2).items():
        torch.testing.assert_close(tensor, plain[name], rtol=1e-4, atol=1e-5)


# --- what it costs ------------------------------------------------------------------------------------------------

TEXT, ROWS = "8C3-AP2-12C3-FC", 16
LAYERS = resolve(TEXT, (1, 8, 8), 10).layers
NEURONS = [prod(layer.map) for layer in LAYERS]
INPUTS = [prod(layer.output) for layer in LAYERS]  # of what follows each population


def measured(instrument, steps, rows=ROWS, **options):
    """The readings of one steady update of a small network for digits."""
    learner = learner_of("bptt", steps=steps, architecture=TEXT, **options)
    with torchs_weight_gradients():
        return measure_update(instrument, learner, Problem("classification", (1, 8, 8), 10, 1000), rows)


@pytest.mark.parametrize(("steps", "recompute", "again"), [(4, 2, 2), (6, 4, 4), (9, 3, 6), (9, "auto", 6), (6, 6, 0)])
def test_the_second_forward_pass_is_counted_as_forward(steps, recompute, again):
    """All but the last segment; the current of a still image is computed once."""
    plain = measured(Operations(), steps)
    found = measured(Operations(), steps, recompute=recompute)
    once = 9 * 64 * 8  # the first layer: 8x8 places, 3x3x1 inputs, 8 channels
    each = (plain["forward_macs"] / ROWS - once) / steps
    assert each == 9 * 8 * 16 * 12 + 12 * 16 * 10
    assert found["forward_macs"] == ROWS * (once + (steps + again) * each)
    assert found["backward_macs"] == plain["backward_macs"]
    assert found["total_macs"] == plain["total_macs"] + ROWS * again * each


def by_hand(steps, every):
    """The most bytes that autograd keeps: of a segment, neurons' and linear operations' inputs."""
    segment = min(every, steps)
    return 4 * ROWS * segment * (sum(NEURONS) + sum(INPUTS))


@pytest.mark.parametrize("steps", [4, 16])
def test_what_autograd_keeps_is_that_of_a_segment(steps):
    readings = {k: measured(SavedMemory(), steps, recompute=k)["saved_bytes"] for k in (None, 1, 2, 4, steps)}
    assert readings[steps] == readings[None]
    assert readings[1] < readings[2] < readings[4] <= readings[steps]
    for every in (1, 2, 4):
        assert readings[every] - readings[1] == by_hand(steps, every) - by_hand(steps, 1)


def test_memory_grows_with_the_root_of_the_steps():
    readings = {
        (steps, recompute): measured(ActivationMemory(), steps, recompute=recompute)["activation_bytes"]
        for steps in (4, 16, 64)
        for recompute in (None, "auto")
    }
    assert readings[64, None] / readings[16, None] > 3.5
    assert readings[64, "auto"] / readings[16, "auto"] < 2.2
    for steps in (16, 64):
        assert readings[steps, "auto"] < 0.6 * readings[steps, None]


def test_what_is_held_is_kept_states_and_the_graph_of_a_segment():
    """By hand, but for what a step makes in passing: past the best k, fewer states save no more."""
    found = {k: measured(ActivationMemory(), 64, recompute=k)["activation_bytes"] for k in (1, 2, 8, 32, 64)}
    assert found[8] < found[2] < found[1] < found[64]
    assert found[8] < found[32] < found[64]
    state = 4 * ROWS * sum(NEURONS)
    for every, bytes_ in found.items():
        held = (64 // every - 1) * state + by_hand(64, every)
        assert held < bytes_ < 1.6 * held


def test_a_method_that_keeps_all_says_nothing_of_it():
    learner, state = prepared("bptt", chunk=2)
    assert "recompute" not in learner.describe(state)


# --- what is said of it -------------------------------------------------------------------------------------------


def test_spikes_are_noted_once():
    learner, state = prepared("bptt", recompute=2)
    plain, other = prepared("bptt")
    found = []
    for each, its_state in ((learner, state), (plain, other)):
        with recorded(its_state.network) as spikes:
            each.update(its_state, batch("conv"))
        found.append(spikes.by_layer())
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][name], fired) for name, fired in found[1].items())


@pytest.mark.parametrize(
    ("steps", "every", "chunk", "expected"),
    [
        (6, 2, 2, [[(0, 2)], [(2, 4)], [(4, 6)]]),
        (5, 4, 2, [[(0, 2), (2, 4)], [(4, 5)]]),
        (5, 5, 3, [[(0, 3), (3, 5)]]),
        (1, 1, 1, [[(0, 1)]]),
    ],
)
def test_time_is_cut_into_segments_of_chunks(steps, every, chunk, expected):
    assert segments(steps, every, chunk) == expected


@pytest.mark.parametrize(
    ("steps", "options", "every"),
    [(4, {}, 2), (6, {}, 2), (10, {}, 3), (32, {}, 6), (1, {}, 1), (16, {"chunk": 3}, 3), (16, {"chunk": 8}, 8)],
)
def test_auto_is_the_root_of_the_steps_in_whole_chunks_and_the_record_says_it(steps, options, every):
    learner, state = prepared("bptt", steps=steps, recompute="auto", **options)
    assert learner.describe(state)["recompute"] == every


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"recompute": 2, "saved": "packed"},
            "saved=packed packs all steps together; recompute and chunk need saved=exact",
        ),
        ({"chunk": 2, "saved": "packed"}, "saved=packed packs all steps together"),
        ({"recompute": 3, "chunk": 2}, "recompute=3: expected a multiple of chunk=2"),
        ({"chunk": 2, "reset": "hard"}, "chunk=2: a hard reset goes step by step; use chunk=1"),
        ({"chunk": 2, "feedback": True}, "chunk=2: with feedback .*; use chunk=1"),
    ],
)
def test_what_does_not_go_with_it_is_refused(options, reason):
    assert_refused("bptt", reason, **options)
