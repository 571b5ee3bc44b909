"""`harness export --to nir`: other simulators that read the file fire the same spikes, step by step."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import re
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from plugins.spiking.spiking_setups import NETWORKS, RESIDUAL, batch, problem, start

from harness import Kept, Training, Unsupported
from harness.catalog import resolve
from harness.cli import main
from harness_bptt import BPTTOptions
from harness_bptt.learner import BPTT
from harness_saf import SAFOptions
from harness_saf.learner import SAF
from harness_spike_representation import SpikeRepresentationOptions
from harness_spiking import lif
from harness_spiking.kernels import eager
from harness_spiking.spikes import recorded
from harness_spiking.weights import effective
from harness_torch.training import facts

nir = pytest.importorskip("nir")
from harness_spiking import exporting, nir_graphs, nir_readers  # noqa: E402 - they import nir

ROWS = 6


def kept(learner, network, frames=None, seed=0):
    """A network whose biases and gains are no longer trivial, as a trial has kept it."""
    the_problem = problem(network, frames)
    state = start(learner, the_problem, seed, "fp32")
    rows = batch(network, frames, ROWS, seed=seed, dtype=torch.float32).inputs.numpy()
    training = Training(seed, "cpu", "fp32", 6, None, eager=True)
    return Kept(learner.options, the_problem, training, facts.save(state), rows, type(learner)(learner.options))


def ours(held):
    """Spikes by layer (T, B, ...) and readouts (T, B, classes) of the network itself."""
    network, _ = exporting._trained(held)
    network = network._replace(kernels=eager)
    with torch.no_grad(), recorded(network) as spikes:
        readouts = lif.run(network, effective(network), network.frames(torch.as_tensor(held.rows)))
    return list(spikes.by_layer().values()), readouts


def same_spikes(theirs, spikes):
    return [bool(((one > 0) == other).all()) for one, other in zip(theirs, spikes, strict=True)]


def options(network, **given):
    return BPTTOptions(**{"architecture": NETWORKS[network][0], "steps": 5, "threshold": 0.8, **given})


CASES = {
    "dense": ("mlp", {}, None),
    "maps": ("conv", {}, None),
    "stride": ("conv", {"architecture": "6C3/2-7C3-AP2-FC"}, None),
    "to dense": ("conv", {"architecture": "6C5-AP2-11-FC"}, None),
    "global pooling": ("gap", {}, None),
    "slow": ("conv", {"leak": 0.9}, None),
    "other unit": ("conv", {"surrogate": "arctan"}, None),
    "hard reset": ("conv", {"reset": "hard"}, None),
    "forgets all": ("conv", {"leak": 0.0}, None),
    "integrates": ("conv", {"leak": 1.0}, None),
    "frames": ("conv", {"steps": None}, 4),
}


@pytest.fixture(params=CASES, ids=str)
def held(request):
    network, given, frames = CASES[request.param]
    return kept(BPTT(options(network, **given)), network, frames)


def test_the_nodes_as_nir_defines_them_fire_the_same_spikes_and_read_out_the_same(held, tmp_path):
    exporting.write(held, tmp_path / "a.nir")
    spikes, readouts = ours(held)
    assert all(0.02 < float(each.float().mean()) < 0.98 for each in spikes)
    ran = nir_readers.plainly(nir_readers.read(tmp_path / "a.nir"), torch.as_tensor(held.rows))
    assert same_spikes(ran.spikes.values(), spikes) == [True] * len(spikes)
    torch.testing.assert_close(ran.readouts, readouts, rtol=1e-4, atol=1e-4)


def test_spikingjelly_fires_the_same_spikes(held, tmp_path):
    pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    written = exporting.write(held, tmp_path / "a.nir")
    spikes, readouts = ours(held)
    if held.config.leak == 0:
        assert written.reader.startswith("NIR's definitions (")
        return
    assert re.fullmatch(r"SpikingJelly [\d.]+ \([\d,]+ spikes of 6 rows: none other than ours\)", written.reader)
    ran = nir_readers.by_spikingjelly(nir_readers.read(tmp_path / "a.nir"), torch.as_tensor(held.rows))
    assert same_spikes(ran.spikes.values(), spikes) == [True] * len(spikes)
    torch.testing.assert_close(ran.readouts, readouts, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("architecture", ["24-20-16-12-FC", "6C3-8C3-AP2-7C3-AP2-FC"])
def test_snntorch_fires_the_same_spikes_where_the_reset_is_hard(architecture, tmp_path):
    """It reads every reset as one to zero, and Flatten as of a batch: rows go one by one."""
    pytest.importorskip("snntorch")
    import snntorch
    from snntorch.import_nir import import_from_nir

    name = "mlp" if "C" not in architecture else "conv"
    held = kept(BPTT(options(name, reset="hard")), name)
    exporting.write(held, tmp_path / "a.nir")
    fired, readouts = [], []
    for row in torch.as_tensor(held.rows):
        with contextlib.redirect_stdout(io.StringIO()):
            network = import_from_nir(nir.read(tmp_path / "a.nir"))
        heard = [[] for each in network.modules() if isinstance(each, snntorch.Leaky)]
        for own, each in zip(heard, (m for m in network.modules() if isinstance(m, snntorch.Leaky)), strict=True):
            each.register_forward_hook(lambda _, __, given, own=own: own.append(given))
        with torch.no_grad():
            readouts.append(torch.stack([network(row)[0] for _ in range(5)]))
        fired.append([torch.stack(own) for own in heard])
    spikes, own_readouts = ours(held)
    theirs = [torch.stack(each, dim=1) for each in zip(*fired, strict=True)]
    assert same_spikes(theirs, spikes) == [True] * len(spikes)
    torch.testing.assert_close(torch.stack(readouts, dim=1), own_readouts, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("leak", [0.0, 0.3, 0.5, 0.95, 1.0])
def test_a_step_of_nirs_equation_is_a_step_of_our_neuron(leak):
    """Forward Euler of tau dv/dt = (v_leak - v) + R I over one step, in float64 from the node's own numbers."""
    held = kept(BPTT(options("mlp", leak=leak)), "mlp")
    network, over_time = exporting._trained(held)
    node = nir_graphs.graph(network, (10,), over_time).nodes["neurons_0"]
    v, current = np.linspace(-2, 2, 24), np.linspace(3, -1, 24)
    r = node.r.astype(np.float64)
    if leak == 1:
        assert isinstance(node, nir.IF)
        stepped = v + nir_graphs.DT * r * current
    else:
        stepped = v + nir_graphs.DT / node.tau.astype(np.float64) * ((node.v_leak - v) + r * current)
    np.testing.assert_allclose(stepped, leak * v + current, rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(node.v_threshold, 0.8, rtol=1e-6)


def test_the_file_says_how_it_is_stepped(tmp_path):
    for reset, said in (("soft", "subtract"), ("hard", "zero")):
        exporting.write(kept(BPTT(options("mlp", reset=reset)), "mlp"), tmp_path / reset)
        metadata = nir.read(tmp_path / reset).metadata
        assert (metadata["steps"], metadata["dt"], metadata["reset"]) == (5, 1e-4, said)
        np.testing.assert_allclose(metadata["readout_over_time"], np.full(5, 0.2))


@pytest.mark.parametrize("variant", ["every", "final"])
def test_a_prediction_weights_the_readouts_as_the_method_does(variant, tmp_path):
    learner = SAF(SAFOptions(architecture=NETWORKS["conv"][0], steps=5, variant=variant))
    held = kept(learner, "conv")
    state = start(learner, held.problem, 0, "fp32")
    wanted = learner.predict(state, torch.as_tensor(held.rows)).log_probs
    found = exporting.write(held, tmp_path / "a.nir").predict(held.rows).log_probs
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_file_whose_neurons_are_others_is_noticed(tmp_path, monkeypatch):
    held = kept(BPTT(options("mlp")), "mlp")
    whole = nir_graphs.graph

    def other(*given):
        graph = whole(*given)
        graph.nodes["neurons_1"].v_threshold *= 1.2
        return graph

    monkeypatch.setattr(nir_graphs, "graph", other)
    with pytest.raises(Exception, match=r"the file fires otherwise: [\d,]+ of [\d,]+ spikes or silences differ"):
        exporting.write(held, tmp_path / "a.nir")


def test_what_nir_cannot_say_is_refused_with_the_reason(tmp_path):
    feedback = kept(BPTT(options("conv", feedback=True)), "conv")
    with pytest.raises(Unsupported, match="feedback=yes cannot be said"):
        exporting.write(feedback, tmp_path / "a.nir")
    for name, (architecture, _) in RESIDUAL.items():
        blocks = kept(BPTT(BPTTOptions(architecture=architecture, steps=5)), name)
        with pytest.raises(Unsupported, match="residual blocks are not written"):
            exporting.write(blocks, tmp_path / "a.nir")
    dsr = resolve("harness_spike_representation.learner:build")(SpikeRepresentationOptions(form="dsr"))
    with pytest.raises(Unsupported, match="neurons of its own"):
        exporting.write(replace(feedback, learner=dsr), tmp_path / "a.nir")
    with pytest.raises(Unsupported, match=r"its arrays \(weight\) are not those of its network"):
        exporting.write(replace(feedback, arrays={"weight": np.zeros(1)}), tmp_path / "a.nir")


def test_a_disk_that_is_full_is_an_error_and_not_the_end_of_the_process(tmp_path):
    held, (soft, hard) = kept(BPTT(options("mlp")), "mlp"), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            exporting.write(held, tmp_path / "a.nir")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_trial_is_exported_as_it_was_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = "digits[train=64,valid=16,test=48]"
    run = ["run", "--methods", "bptt[architecture=8C3-AP2-FC,steps=3]", "--datasets", data, "--seeds", "1"]
    assert main([*run, "--updates", "4", "--batch-size", "16", "--threads", "1", "--here", "--keep-weights"]) == 0
    (record,) = [json.loads(path.read_text()) for path in Path("results/trials").glob("*.json")]
    capsys.readouterr()
    assert main(["export", record["key"][:8], "--to", "nir", "digits.nir"]) == 0
    out = capsys.readouterr().out
    assert re.match(r"digits.nir: [\d.]+ kB\nchecked: 48 test rows predicted from the file by ", out)
    lines = [line.strip() for line in out.splitlines() if line.startswith("  ")]
    assert "net, state = import_from_nir('digits.nir'), None" in lines
    assert nir.read("digits.nir").nodes["neurons_0"].tau[0, 0, 0] == pytest.approx(2e-4)
