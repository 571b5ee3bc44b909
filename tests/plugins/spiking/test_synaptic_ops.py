"""Synaptic operations and firing rates of the deployed LIF network, against the naive one and against its shape."""

from dataclasses import replace
from math import prod

import pytest
import torch
import torch.nn.functional as F
from deploying import deployed
from spiking_setups import NETWORKS, batch, problem, start
from tiny_problems import terms

import harness_data
import harness_saf
from harness import Batch, Budget, DataOptions, Problem, derive, hookimpl
from harness.catalog import resolve
from harness.planning.plan import plan_trials
from harness.suites.suite import Request
from harness.trials.trial import run_trial
from harness_bptt import BPTTOptions
from harness_bptt.learner import build as build_bptt
from harness_ottt import OTTTOptions
from harness_ottt.learner import build as build_ottt
from harness_saf import SAFOptions
from harness_saf.learner import build as build_saf
from harness_spiking.spikes import recorded
from harness_spiking.weights import effective
from harness_torch import offers
from harness_torch.backend.torch_backend import TorchBackend
from harness_torch.instruments.operation_counts import ROWS, Inference
from harness_torch.instruments.synaptic_operations import SynapticOperations
from harness_torch.training.architectures import DIGITS_NET

METHODS = {
    "saf": lambda **options: build_saf(SAFOptions(**options)),
    "ottt": lambda **options: build_ottt(OTTTOptions(**options)),
    "bptt": lambda **options: build_bptt(BPTTOptions(**options)),
}


def measured(gauge, learner, state, inputs):
    return deployed(gauge, lambda: learner.predict(state, inputs), len(inputs))


def naive_counts(state, inputs):
    """(ACs, MACs, spikes, neuron steps) of the plain LIF equations, layer by layer, masks multiplied out."""
    network, maps = state.network, effective(state.network)
    layers, readout = maps.layers, maps.readout
    leak, threshold, _ = network.neuron
    potentials, fired = [0.0] * len(layers), [0.0] * len(layers)
    acs, macs, spikes, chances = 0, network.steps * len(readout[0]) * len(inputs), 0, 0
    frames = inputs.transpose(0, 1) if network.time_axis else [inputs] * network.steps
    for t, h in enumerate(frames):
        kind = "real"
        for index, ((weight, bias, *_), layer) in enumerate(zip(layers, network.architecture.layers, strict=True)):
            pairs = _pairs(h, weight)
            if index == 0 and not network.time_axis and t > 0:
                pairs = 0  # the same current as before
            acs, macs = acs + pairs * (kind == "spike"), macs + pairs * (kind == "real")
            current = _linear(h, weight, bias)
            potentials[index] = leak * (potentials[index] - threshold * fired[index]) + current
            fired[index] = (potentials[index] >= threshold).to(h.dtype)
            spikes, chances = spikes + int(fired[index].sum()), chances + fired[index].numel()
            h, kind = fired[index], "spike"
            if layer.pool is not None:
                h, kind = F.avg_pool2d(h, layer.pool), "real"
        pairs = _pairs(h, readout[0])
        acs, macs = acs + pairs * (kind == "spike"), macs + pairs * (kind == "real")
    return acs, macs, spikes, chances


def _linear(h, weight, bias=None):
    if weight.dim() == 2:
        return F.linear(h.flatten(1), weight, bias)
    return F.conv2d(h, weight, bias, padding=weight.shape[-1] // 2)


def _pairs(h, weight):
    return round(_linear((h != 0).double(), (weight != 0).double()).sum().item())


@torch.no_grad()
@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("network", NETWORKS)
def test_counts_are_those_of_the_plain_equations(network, varying):
    steps = 4 if varying else None
    learner = METHODS["saf"](steps=4, architecture=NETWORKS[network][0], threshold=0.8)
    state = start(learner, problem(network, steps))
    rows = batch(network, steps)
    readings = measured(SynapticOperations(), learner, state, rows.inputs)
    acs, macs, spikes, chances = naive_counts(state, rows.inputs)
    count = len(rows.inputs)
    assert (readings["synaptic_acs"], readings["synaptic_macs"]) == (acs / count, macs / count)
    assert readings["synaptic_ops"] == pytest.approx((acs + macs) / count)
    assert readings["firing_rate"] == spikes / chances
    assert 0.02 < readings["firing_rate"] < 0.9
    assert 0 < acs + macs < readings["synaptic_dense_ops"] * count
    assert (acs > 0) == (network != "gap")  # where every layer is pooled, no connection sees plain spikes


def test_every_method_is_counted_alike():
    """The same weights give the same network, whoever trained it."""
    readings = []
    for build in METHODS.values():
        learner = build(steps=3, architecture=NETWORKS["conv"][0], threshold=0.8)
        readings.append(measured(SynapticOperations(), learner, start(learner, problem("conv")), batch("conv").inputs))
    assert readings[0] == readings[1] == readings[2]


def test_a_dark_image_costs_no_synaptic_operation_of_the_first_layer():
    learner = METHODS["bptt"](steps=2, architecture="4-FC", threshold=100.0)
    state = learner.init(Problem("classification", (3,), 2, 10), terms(precision="fp32"), None)
    readings = measured(SynapticOperations(), learner, state, torch.zeros(5, 3))
    assert readings["firing_rate"] == readings["synaptic_acs"] == 0
    assert readings["synaptic_macs"] <= 2 * 2  # what averages the readout over time, where it is not zero


class Instruments:
    @hookimpl
    def harness_instruments(self):
        return [each for each in offers.instruments() if each.name in ("inference_macs", "synaptic_ops")]


def test_a_trial_reads_the_trained_network_and_not_a_fresh_one(tmp_path, catalog_of):
    """saf on digits, 60 updates of its schedule: counted once more on the weights that it ends with."""
    catalog = catalog_of(harness_data, harness_saf, Instruments())
    request = Request(methods="saf", datasets="digits", seeds="[0]", device="cpu", budget=Budget("updates", 60))
    (trial,) = plan_trials(catalog, request)
    folder = tmp_path / "weights"
    record = run_trial(catalog, replace(trial, keep=True), weights=folder)
    assert (record.status, record.holes) == ("ok", {})

    load = resolve(catalog.datasets.get("digits").load)
    data = TorchBackend().place(load(DataOptions(), derive(0, "digits", "split"), tmp_path), "cpu")
    rows = data.test.inputs[:ROWS]
    learner = METHODS["saf"](**trial.method.options)
    state = learner.init(data.problem, terms(precision="fp32"), None)
    untrained = measured(SynapticOperations(), learner, state, rows)
    for name, array in TorchBackend().load(folder).items():
        state.network.parameters[name].data.copy_(array)
    with recorded(state.network) as spikes:
        learner.predict(state, rows)
    layers = spikes.by_layer().values()
    rate = sum(int(each.count_nonzero()) for each in layers) / sum(each.numel() for each in layers)
    acs, macs, fired, chances = naive_counts(state, rows)
    assert record.readings["firing_rate"] == rate
    assert rate == pytest.approx(fired / chances, rel=1e-3)  # a potential within rounding of the threshold
    assert record.readings["synaptic_ops"] == pytest.approx((acs + macs) / len(rows), rel=1e-3)
    assert rate > 1.3 * untrained["firing_rate"]
    assert record.readings["synaptic_ops"] > 1.3 * untrained["synaptic_ops"]


STEPS, CLASSES = 3, 10


def _digits():
    learner = METHODS["saf"](steps=STEPS, architecture=DIGITS_NET)
    state = learner.init(Problem("classification", (1, 8, 8), CLASSES, 100), terms(precision="fp32"), None)
    return learner, state, Batch(torch.rand(7, 1, 8, 8) + 0.1, torch.zeros(7, dtype=torch.int64))


def _analytic(state, padded):
    """MACs per example from the architecture alone; the first layer sees the still image once."""
    architecture = state.network.architecture
    total = CLASSES * STEPS + STEPS * prod(architecture.readout)  # the average over time; the readout
    for index, layer in enumerate(architecture.layers):
        outputs, inputs, kernel, _ = layer.weight
        _, height, width = layer.map
        places = kernel**2 * height * width
        if not padded:  # a 3x3 kernel sees two of its three rows at each border
            places = (kernel * height - 2) * (kernel * width - 2)
        total += (STEPS if index else 1) * outputs * inputs * places
    return total


def test_three_counters_agree_on_the_digits_network():
    """The shape of the network, the operators that are dispatched, and masks that are all ones."""
    learner, state, rows = _digits()
    dispatched = measured(Inference(), learner, state, rows.inputs)["inference_macs"]
    dense = measured(SynapticOperations(), learner, state, rows.inputs)["synaptic_dense_ops"]
    assert dispatched == _analytic(state, padded=True)
    assert dense == _analytic(state, padded=False)


def test_masks_agree_with_the_operators_once_the_padding_is_given_as_input():
    _, state, _ = _digits()
    for weight, *_ in effective(state.network).layers:
        image = torch.ones(2, weight.shape[1], 10, 10)
        counts = []
        for gauge, name in ((Inference(), "inference_macs"), (SynapticOperations(), "synaptic_ops")):
            mask = torch.ones_like(weight)
            counts.append(deployed(gauge, lambda image=image, mask=mask: F.conv2d(image, mask), 2)[name])
        assert counts[0] == counts[1] == prod(weight.shape) * 64
