"""Bytes that the methods carry from one time step to the next, counted by hand."""

import pytest
from spiking_setups import measure_update

from harness import Problem
from harness_bptt import BPTTOptions
from harness_bptt.learner import build as build_bptt
from harness_ottt import OTTTOptions
from harness_ottt.learner import build as build_ottt
from harness_saf import SAFOptions
from harness_saf.learner import build as build_saf
from harness_torch.instruments.activation_memory import ActivationMemory

FLOAT, ROWS, CLASSES = 4, 6, 3
MLP = "11-7-FC"
NEURONS = 11 + 7
CONV = "4C3-AP2-5C3-FC"
MAPS, POOLED = 4 * 8 * 8 + 5 * 4 * 4, 4 * 4 * 4 + 5 * 4 * 4
LOSS = 1  # the sum of losses so far


def floats(learner, shape, time_axis=False):
    """state_bytes of a steady update, in numbers of single precision."""
    problem = Problem("classification", shape, CLASSES, 100, time_axis)
    size = measure_update(ActivationMemory(), learner, problem, ROWS)["state_bytes"]
    assert size % FLOAT == 0
    return size // FLOAT


@pytest.mark.parametrize("steps", [2, 6])
def test_saf_carries_one_tensor_per_neuron_and_what_the_readout_said(steps):
    learner = build_saf(SAFOptions(steps=steps, architecture=MLP))
    assert floats(learner, (5,)) == ROWS * (NEURONS + CLASSES) + LOSS
    learner = build_saf(SAFOptions(steps=steps, architecture=CONV))
    assert floats(learner, (1, 8, 8)) == ROWS * (MAPS + CLASSES) + LOSS


@pytest.mark.parametrize(("forward", "steps"), [("official", 2), ("official", 6), ("fused", 6)])
def test_ottt_carries_two_tensors_per_neuron(forward, steps):
    learner = build_ottt(OTTTOptions(steps=steps, architecture=MLP, forward=forward))
    assert floats(learner, (5,)) == ROWS * 2 * NEURONS + LOSS
    # Pooling commutes with the trace, so that only pooled traces are kept.
    learner = build_ottt(OTTTOptions(steps=steps, architecture=CONV, forward=forward))
    assert floats(learner, (1, 8, 8)) == ROWS * (MAPS + POOLED) + LOSS


def test_online_updates_and_moving_inputs_carry_the_first_layers_potential_too():
    steps = 4
    official = SAFOptions(steps=steps, architecture=MLP, update="online")
    assert floats(build_saf(official), (5,)) == ROWS * (NEURONS + 11 + CLASSES) + LOSS
    assert floats(build_saf(SAFOptions(architecture=MLP)), (steps, 5), time_axis=True) == (
        ROWS * (NEURONS + 11 + CLASSES) + LOSS
    )
    online = OTTTOptions(steps=steps, architecture=MLP, update="online")
    assert floats(build_ottt(online), (5,)) == ROWS * 2 * NEURONS + LOSS


def test_the_theorys_convention_carries_the_input_and_what_the_readout_saw():
    steps = 4
    learner = build_saf(SAFOptions(architecture=MLP, convention="theory"))
    assert floats(learner, (steps, 5), time_axis=True) == ROWS * (NEURONS + 5 + 7) + LOSS
    learner = build_ottt(OTTTOptions(architecture=MLP, convention="theory"))
    assert floats(learner, (steps, 5), time_axis=True) == ROWS * (2 * NEURONS + 5) + LOSS


@pytest.mark.parametrize("steps", [2, 6])
def test_the_final_variant_carries_the_trace_alone(steps):
    learner = build_saf(SAFOptions(steps=steps, architecture=MLP, variant="final"))
    assert floats(learner, (5,)) == ROWS * NEURONS


@pytest.mark.parametrize("steps", [2, 6])
def test_bptt_carries_its_whole_past(steps):
    learner = build_bptt(BPTTOptions(steps=steps, architecture=MLP))
    assert floats(learner, (5,)) == steps * ROWS * 2 * NEURONS  # potentials and spikes of every step
