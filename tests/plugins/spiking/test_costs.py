"""Costs of the methods, counted here: multiply-accumulates, and what autograd keeps."""

from collections import Counter

import pytest
import torch
from spiking_methods import torchs_weight_gradients
from tiny_problems import terms
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from harness import Batch, Problem
from harness_bptt import BPTTOptions
from harness_bptt.learner import build as build_bptt
from harness_ottt import OTTTOptions
from harness_ottt.learner import build as build_ottt
from harness_saf import SAFOptions
from harness_saf.learner import build as build_saf
from harness_spike_representation import SpikeRepresentationOptions
from harness_spike_representation.learner import build as build_spike_representation

DIGITS = Problem("classification", (1, 8, 8), 10, 1000)
ROWS = Batch(torch.zeros(32, 1, 8, 8), torch.zeros(32, dtype=torch.int64))
LAYERS = {"first": 64 * 9 * 32, "rest": 64 * 9 * 32 * 64 + 16 * 9 * (64 + 128) * 128 + 512 * 10}  # MACs per example

METHODS = {
    "saf": lambda **options: build_saf(SAFOptions(**options)),
    "saf-final": lambda **options: build_saf(SAFOptions(**options, variant="final")),
    "ottt": lambda **options: build_ottt(OTTTOptions(**options)),
    "ottt-fused": lambda **options: build_ottt(OTTTOptions(**options, forward="fused")),
    "sltt": lambda **options: build_ottt(OTTTOptions(**options, presynaptic="spike")),
    "bptt": lambda **options: build_bptt(BPTTOptions(**options)),
    "spike-representation": lambda **options: build_spike_representation(SpikeRepresentationOptions(**options)),
    "dsr": lambda **options: build_spike_representation(SpikeRepresentationOptions(**options, form="dsr")),
}


def learning(method, steps):
    learner = METHODS[method](steps=steps)
    return learner, learner.init(DIGITS, terms(precision="fp32"), None)


def counted(method, steps=6):
    """(forward, all) MACs per example of one update."""
    learner, state = learning(method, steps)
    with torchs_weight_gradients(), FlopCounterMode(display=False) as counter:
        learner.update(state, ROWS)
    counts = counter.get_flop_counts()["Global"]
    operations = {str(operator): count / 2 / len(ROWS.targets) for operator, count in counts.items()}
    forward = sum(count for name, count in operations.items() if name in ("aten.convolution", "aten.addmm"))
    return forward, sum(operations.values())


def most_saved(method, steps):
    """The most bytes that autograd keeps at one time: storages that are alive, the parameters' own left out."""
    learner, state = learning(method, steps)
    learner.update(state, ROWS)
    parameters = {tensor.untyped_storage().data_ptr() for tensor in state.network.parameters.values()}
    holders, sizes, peak = Counter(), {}, 0

    class Held:
        def __init__(self, tensor):
            nonlocal peak
            self.tensor, self.storage = tensor, tensor.untyped_storage().data_ptr()
            holders[self.storage] += 1
            sizes[self.storage] = 0 if self.storage in parameters else tensor.untyped_storage().nbytes()
            peak = max(peak, sum(sizes[storage] for storage, count in holders.items() if count))

        def __del__(self):
            holders[self.storage] -= 1

    with saved_tensors_hooks(Held, lambda held: held.tensor):
        learner.update(state, ROWS)
    return peak


def test_without_traces_one_operation_is_enough():
    assert counted("sltt") == counted("ottt-fused") == counted("saf")


def test_official_ottt_runs_every_layer_but_the_first_twice():
    (ottt, ottt_all), (saf, saf_all) = counted("ottt"), counted("saf")
    assert 1.9 < ottt / saf < 2.0
    assert saf == LAYERS["first"] + 6 * LAYERS["rest"]
    assert ottt == LAYERS["first"] + 12 * LAYERS["rest"]
    assert saf_all / ottt_all == pytest.approx(0.75, abs=0.01)


def test_fused_ottt_and_bptt_run_every_layer_once_per_step():
    assert counted("ottt-fused") == counted("saf") == counted("bptt")


def test_final_variant_goes_backward_once():
    forward, everything = counted("saf-final")
    assert forward == LAYERS["first"] + 5 * (LAYERS["rest"] - 5120) + LAYERS["rest"]
    assert everything / counted("ottt")[1] == pytest.approx(8 / 24, abs=0.01)


@pytest.mark.parametrize("method", ["saf", "saf-final", "ottt", "ottt-fused", "spike-representation", "dsr"])
def test_saved_tensors_do_not_grow_with_time(method):
    assert most_saved(method, 16) == most_saved(method, 4) > 0


def test_saved_tensors_of_bptt_grow_with_time():
    assert 3.5 < most_saved("bptt", 16) / most_saved("bptt", 4) <= 4


class Synchronisations(TorchDispatchMode):
    """Counts the operators that make the host wait for a device."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket in (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("method", METHODS)
def test_an_update_never_waits_for_the_device(method):
    learner, state = learning(method, 4)
    with Synchronisations() as seen:
        learner.update(state, ROWS)
    assert seen.count == 0
    with seen:
        torch.ones(()).item()
    assert seen.count == 1
