from types import SimpleNamespace

import pytest
import torch
from spiking_methods import assert_is_reference
from spiking_setups import NETWORKS, TINY, batch, parameters_of, plainly, problem, start, step_gradients
from tiny_problems import largest_difference

from harness_bptt import BPTTOptions
from harness_bptt.learner import build as build_bptt
from harness_ottt import OTTTOptions
from harness_ottt.learner import build

BOTH = [(convention, form) for convention in ("official", "theory") for form in ("official", "fused")]


def prepared(network, steps=6, varying=False, **options):
    settings = {"learning_rate": TINY, "steps": steps, "architecture": NETWORKS[network][0]} | options
    learner = build(OTTTOptions(**settings))
    return learner, start(learner, problem(network, steps if varying else None))


@pytest.mark.sampled
@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize(("convention", "form"), BOTH)
@pytest.mark.parametrize("network", ["mlp", "conv", "gap"])
def test_gradients_of_every_step_are_the_published_ones(network, convention, form, varying):
    learner, state = prepared(network, 6, varying, convention=convention, forward=form, update="online")
    _, same = prepared(network, 6, varying, convention=convention, update="online")
    assert_is_reference(learner, state, same, batch(network, 6 if varying else None))


@pytest.mark.parametrize("convention", ["official", "theory"])
@pytest.mark.parametrize("update", ["accumulated", "online"])
def test_fused_form_is_the_official_one(convention, update):
    found = []
    for form in ("official", "fused"):
        settings = {"convention": convention, "update": update, "learning_rate": 0.01, "forward": form}
        learner, state = prepared("conv", 6, **settings)
        loss = learner.update(state, batch("conv"))[1]["loss"]
        found.append({**parameters_of(state), "loss": loss})
    assert largest_difference(found[1], found[0]) < 1e-12


@pytest.mark.parametrize(("convention", "form"), BOTH)
def test_online_update_takes_an_optimiser_step_at_every_time_step(convention, form):
    learner, state = prepared("conv", 6, update="online", learning_rate=0.01, convention=convention, forward=form)
    _, same = prepared("conv", 6, update="online", learning_rate=0.01, convention=convention)
    assert len(assert_is_reference(learner, state, same, batch("conv"))) == 6
    assert largest_difference(dict(state.network.parameters), dict(same.network.parameters)) < 1e-12


def relative_to_bptt(network, text=None, steps=6, leak=0.5, convention="theory", detach_reset=True):
    """Relative difference of each gradient of OTTT to that of BPTT, by parameter."""
    shared = {"steps": steps, "leak": leak, "architecture": text or NETWORKS[network][0], "learning_rate": TINY}
    gradients = []
    for learner in (
        build(OTTTOptions(**shared, convention=convention)),
        build_bptt(BPTTOptions(**shared, detach_reset=detach_reset)),
    ):
        state = start(learner, problem(network))
        gradients.append(step_gradients(learner, state, batch(network))[0])
    online, exact = gradients
    return {name: largest_difference({name: online[name]}, {name: exact[name]}) for name in exact}


@pytest.mark.parametrize("leak", [0.5, 0.9])
@pytest.mark.parametrize(("network", "last"), [("mlp", 3), ("conv", 2)])
def test_last_spiking_layer_and_readout_agree_with_bptt_and_earlier_layers_do_not(network, last, leak):
    differences = relative_to_bptt(network, leak=leak)
    for name, difference in differences.items():
        if name.startswith(("readout", f"layers.{last}")):
            assert difference < 1e-12, name
        else:
            assert difference > 1e-2, name


@pytest.mark.parametrize("steps", [6, 20])
def test_a_network_of_one_spiking_layer_agrees_with_bptt(steps):
    assert max(relative_to_bptt("mlp", "16-FC", steps).values()) < 1e-12


def test_with_the_gradient_through_the_reset_one_layer_differs_from_bptt():
    differences = relative_to_bptt("mlp", "16-FC", detach_reset=False)
    assert differences["readout.weight"] < 1e-12
    assert differences["layers.0.weight"] > 1e-2


@pytest.mark.parametrize("case", [{"steps": 1}, {"leak": 0.0}])
@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_without_memory_ottt_is_bptt(network, case):
    assert max(relative_to_bptt(network, **case).values()) < 1e-12


def test_official_readout_differs_from_bptt():
    differences = relative_to_bptt("mlp", convention="official")
    assert differences["readout.weight"] > 1e-2
    assert differences["readout.bias"] < 1e-12


@pytest.mark.parametrize(("network", "varying"), [("mlp", False), ("conv", True), ("conv", False)])
def test_with_spikes_for_traces_it_is_sltt(network, varying):
    """Autograd through LIF equations whose past potentials are constants: the spatial path of each step alone."""
    options = {"steps": 6, "architecture": NETWORKS[network][0], "presynaptic": "spike"}
    learner = build(OTTTOptions(learning_rate=TINY, **options))
    state = start(learner, problem(network, 6 if varying else None))
    rows = batch(network, 6 if varying else None)
    net = plainly(state, rows)
    carried, loss = [0.0] * net.depth, 0.0
    for x in net.inputs:
        h = x
        for layer in range(net.depth):
            u = 0.5 * carried[layer] + net.linear(layer, h)
            s = net.fire(layer, u - 1)
            carried[layer] = (u - s).detach()
            h = net.sent(layer, s)
        loss = loss + net.loss(net.readout(h)) / 6
    expected = dict(zip(net.parameters, torch.autograd.grad(loss, list(net.parameters.values())), strict=True))
    _, same = prepared(network, 6, varying, presynaptic="spike")
    assert_is_reference(learner, state, same, rows)
    (found,) = step_gradients(learner, state, rows)
    assert largest_difference(found, expected) < 1e-12


@pytest.mark.parametrize(
    ("architecture", "options", "expected"),
    [
        ("6C3-8C3-FC", {"steps": 8}, "bfloat16"),
        ("6C3-8C3-FC", {"steps": 9}, "float32"),
        ("6C3-8C3-FC", {"leak": 0.25}, "float32"),
        ("6C3-8C3-FC", {"dropout": 0.1}, "float32"),
        ("6C3-AP2-8C3-AP2-FC", {"steps": 6}, "bfloat16"),
        ("6C3-AP2-8C3-AP2-FC", {"steps": 7}, "float32"),
        ("6C3-AP2-8C3-FC", {"steps": 8}, "bfloat16 and float32"),
        ("6C3-8C3-GAP-FC", {"steps": 2}, "bfloat16 and float32"),
        ("6C3-8C3-AP2-FC", {"steps": 8, "feedback": True}, "bfloat16"),
    ],
)
def test_a_trace_is_carried_as_narrow_as_it_is_exact(architecture, options, expected, monkeypatch):
    monkeypatch.setattr("harness_spiking.kernels.choose", lambda *_: SimpleNamespace(name="triton"))
    learner = build(OTTTOptions(architecture=architecture, learning_rate=TINY, **options))
    state = start(learner, problem("conv"), precision="bf16")
    assert learner.describe(state)["trace"] == expected
    assert learner.describe(start(learner, problem("conv"), precision="fp32"))["trace"] == "float32"


def test_eager_kernels_carry_traces_as_wide_as_parameters_and_sltt_carries_none():
    learner, state = prepared("conv")
    assert learner.describe(state)["trace"] == "float64"
    assert learner.describe(start(learner, problem("conv"), precision="bf16"))["trace"] == "float32"
    learner, state = prepared("conv", presynaptic="spike")
    assert "trace" not in learner.describe(state)
