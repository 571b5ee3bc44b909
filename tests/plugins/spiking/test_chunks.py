"""Time steps in chunks and rows in micro-batches: the gradients of the whole, whatever the parts."""

import pytest
import torch
from spiking_methods import (
    IN_CHUNKS,
    IN_FORMS,
    METHODS,
    OFFLINE,
    assert_as_written,
    assert_refused,
    learner_of,
    prepared,
)
from spiking_setups import batch, measure_update, step_gradients
from tiny_problems import largest_difference

from harness import Problem
from harness_torch.instruments.activation_memory import ActivationMemory

DIGITS = Problem("classification", (1, 8, 8), 10, 1000)


def activation_bytes(method, rows=16, **options):
    """Of one steady update of a small network for digits."""
    learner = learner_of(method, steps=4, architecture="8C3-AP2-8C3-FC", **options)
    return measure_update(ActivationMemory(), learner, DIGITS, rows)["activation_bytes"]


# --- chunks of time steps -----------------------------------------------------------------------------------------


@pytest.mark.sampled
@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("chunk", [2, 4, 6, 9])  # of six steps: the last one smaller for 4, all in one for 6 and 9
@pytest.mark.parametrize(("method", "convention"), [each for each in IN_FORMS if each[0] in IN_CHUNKS])
def test_gradients_are_the_same_in_chunks_of_any_size(method, chunk, convention, varying):
    assert_as_written(method, "conv", varying, convention, chunk=chunk)


@pytest.mark.sampled
@pytest.mark.parametrize("chunk", [3, 20])
@pytest.mark.parametrize("method", IN_CHUNKS)
def test_a_dense_network_another_leak_and_a_threshold_in_chunks(method, chunk):
    settings = {"leak": 0.9, "threshold": 0.8}
    assert_as_written(method, "mlp", True, "theory", chunk=chunk, **settings)


@pytest.mark.sampled
@pytest.mark.parametrize("chunk", [2, 4])
@pytest.mark.parametrize("method", IN_CHUNKS)
def test_training_in_chunks_goes_the_same_way_over_many_updates(method, chunk):
    found = []
    for size in (1, chunk):
        learner, state = prepared(method, learning_rate=0.05, chunk=size)
        losses = [learner.update(state, batch("conv", seed=seed))[1]["loss"] for seed in range(5)]
        found.append({**state.network.parameters, "losses": torch.stack(losses)})
    assert largest_difference(found[1], found[0]) < 1e-9


@pytest.mark.parametrize("method", ["saf", "ottt", "ottt-fused"])
def test_a_chunk_of_all_steps_takes_more_memory(method):
    sizes = [activation_bytes(method, chunk=chunk) for chunk in (1, 2, 4)]
    assert sizes[0] < sizes[1] < sizes[2]


@pytest.mark.parametrize("method", ["saf-online", "ottt-online"])
def test_chunks_are_refused_with_online_updates(method):
    assert_refused(method, "chunk=2: .* weights change at every step; use update=accumulated", chunk=2)
    learner_of(method, chunk=1)


@pytest.mark.parametrize("method", IN_CHUNKS)
def test_chunks_are_refused_with_feedback(method):
    assert_refused(method, "chunk=3: with feedback .*; use chunk=1", chunk=3, feedback=True)
    learner_of(method, chunk=1, feedback=True)


# --- micro-batches ------------------------------------------------------------------------------------------------


@pytest.mark.sampled
@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("size", [1, 2, 4, 10])  # of six rows
@pytest.mark.parametrize("method", OFFLINE)
def test_gradients_are_the_same_in_micro_batches_of_any_size(method, size, varying):
    assert_as_written(method, "conv", varying, micro_batch=size)


@pytest.mark.parametrize(("method", "convention"), [each for each in IN_FORMS if each[0] in IN_CHUNKS])
def test_chunks_and_micro_batches_go_together(method, convention):
    assert_as_written(method, "gap", True, convention, chunk=4, micro_batch=4)


@pytest.mark.parametrize("method", OFFLINE)
def test_the_loss_is_that_of_the_whole_mini_batch(method):
    losses = []
    for size in (None, 4):
        learner, state = prepared(method, micro_batch=size)
        losses.append(learner.update(state, batch("conv"))[1]["loss"].item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-12)


@pytest.mark.parametrize("method", OFFLINE)
def test_dropped_neurons_are_the_same_in_micro_batches(method):
    found = []
    for size in (None, 4):
        learner, state = prepared(method, micro_batch=size, dropout=0.3)
        found += step_gradients(learner, state, batch("conv"))
    assert largest_difference(found[1], found[0]) < 1e-12


@pytest.mark.parametrize("method", OFFLINE)
def test_feedback_goes_with_micro_batches(method):
    found = []
    for size in (None, 4):
        learner, state = prepared(method, "gap", micro_batch=size, feedback=True)
        with torch.no_grad():
            state.network.parameters["feedback.weight"].normal_(0, 0.1, generator=torch.Generator().manual_seed(3))
        found += step_gradients(learner, state, batch("gap"))
    assert found[0]["feedback.weight"].abs().max() > 0
    assert largest_difference(found[1], found[0]) < 1e-12


@pytest.mark.parametrize("method", OFFLINE)
def test_micro_batches_take_less_memory(method):
    whole, quarter = (activation_bytes(method, micro_batch=size) for size in (None, 4))
    assert quarter < 0.45 * whole


@pytest.mark.parametrize("method", ["saf-online", "ottt-online"])
def test_micro_batches_are_refused_with_online_updates(method):
    assert_refused(method, "micro_batch=4: with update=online .*; use update=accumulated", micro_batch=4)


def test_every_method_has_chunks_and_micro_batches():
    """Methods that go backward at every step take one step at a time by default; BPTT all of them."""
    assert {name: learner_of(name).options.chunk for name in METHODS} == {**dict.fromkeys(METHODS, 1), "bptt": None}
    assert all(hasattr(learner_of(name).options, "micro_batch") for name in METHODS)
