"""Weights of eight bits against rounding by hand, and against torch's own dynamic quantisation."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from agreeing import agree
from compressing import CLASSES, ROWS, STEPS, TOKENS, WIDTH, prepared, trained
from tiny_problems import fit, normal, rows
from torch import nn

from harness import UsageError
from harness.options import build as configured
from harness_dense_rnn import learner as dense
from harness_int8 import Int8Options, learner, reference
from harness_recurrent import cells, network, training
from harness_recurrent.config import RecurrentOptions

CELLS = ("irnn", "elman", "gru", "lstm", "mingru")


def quantised(problem=CLASSES, **given):
    built, state = prepared(learner, Int8Options, problem, **given)
    return built, state, dict(built.save(state))


def weights_of(tensors):
    return [name for name in tensors if name.endswith("weight") and not name.startswith("embedding")]


@pytest.mark.parametrize("problem", [CLASSES, TOKENS], ids=["classes", "tokens"])
@pytest.mark.parametrize("cell", CELLS)
def test_each_row_of_weights_is_rounded_to_its_own_steps(cell, problem):
    if cell == "irnn" and problem is TOKENS:
        pytest.skip("its state is not bounded on a stream")
    base, (*_, found) = trained(problem, cell=cell), quantised(problem, cell=cell)
    for name in weights_of(base):
        levels, scales = reference.quantise_rows(base[name].numpy())
        scale = found[name.removesuffix("weight") + "scale"].numpy()
        assert found[name].dtype == torch.int8
        assert np.array_equal(found[name], levels)
        assert np.allclose(scale, scales, rtol=1e-15)
        assert (
            np.abs(found[name].numpy() * scale - base[name].numpy()) <= reference.bound_error(base[name].numpy())
        ).all()
    assert all(torch.equal(found[name], base[name]) for name in base if name not in weights_of(base))


@pytest.mark.parametrize("problem", [CLASSES, TOKENS], ids=["classes", "tokens"])
@pytest.mark.parametrize("cell", ["elman", "gru", "lstm", "mingru"])
def test_a_prediction_is_that_of_the_rounded_weights(cell, problem):
    built, state, found = quantised(problem, cell=cell, layers=2)
    rounded = {name: each for name, each in found.items() if not name.endswith("scale")}
    for name in weights_of(found):
        rounded[name] = found[name] * found[name.removesuffix("weight") + "scale"]
    options = RecurrentOptions(cell=cell, hidden=8, layers=2)
    plain = training.begin(state.network, rounded, state.terms, options)
    inputs = fit(problem).valid.inputs
    expected = dense.build(options).predict(plain, inputs)
    for mine, theirs in zip(built.predict(state, inputs), expected, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-12 if mine.dtype == torch.float64 else 1e-6)


def test_fine_tuning_trains_floats():
    built, state, start = quantised(finetune=1)
    for update in range(3):
        state, _ = built.update(state, rows(CLASSES, seed=update))
    after = built.save(state)
    assert all(each.is_floating_point() for each in state.parameters.values())
    assert not torch.equal(after["readout.scale"], start["readout.scale"])
    levels, _ = reference.quantise_rows(state.parameters["readout.weight"].detach().numpy())
    assert np.array_equal(after["readout.weight"], levels)


@pytest.mark.parametrize(
    ("options", "dataset"),
    [("cell=lstm,finetune=1,teacher=yes", "digits-rows"), ("cell=gru", "shakespeare[train=3000]")],
)
def test_it_is_what_the_reference_says(options, dataset, tmp_path):
    assert agree(f"int8[hidden=9,{options}]", dataset, tmp_path)["prepared"]["facts"] == {}


def test_a_tied_readout_stays_as_it_is():
    base, (*_, found) = trained(TOKENS, tied=True), quantised(TOKENS, tied=True)
    assert torch.equal(found["embedding.weight"], base["embedding.weight"])
    assert "readout.scale" not in found


def test_what_is_said_of_it():
    built, state, found = quantised(cell="lstm")
    said = built.describe(state)
    assert (said["form"], said["bits"]) == ("int8", 8)
    assert said["parameters"] == sum(each.numel() for each in found.values())


@pytest.mark.parametrize("size", [{"nodes": 4}, {"share": 0.5}, {"parameters": 100}])
def test_it_has_no_sizes(size):
    with pytest.raises(UsageError, match=next(iter(size))):
        configured(Int8Options, size, "int8")


# --- torch's ------------------------------------------------------------------------------------------------------


def theirs(module):
    """Torch's dynamic quantisation, a scale for each row; its activations are of eight bits, too."""
    quantization = pytest.importorskip("torch.ao.quantization")
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("torch has no quantised kernels here")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        how = dict.fromkeys((nn.RNN, nn.GRU, nn.LSTM), quantization.per_channel_dynamic_qconfig)
        return quantization.quantize_dynamic(nn.Sequential(module), how)[0]


def layer(cell, problem=CLASSES):
    """Torch's layer with the trained network's weights."""
    base = trained(problem, "fp32", cell=cell)
    made = {"gru": nn.GRU, "lstm": nn.LSTM, "elman": nn.RNN}[cell](WIDTH, 8)
    own = torch.zeros(len(base["cells.0.input.bias"]))
    if cell == "gru":
        own[16:] = base["cells.0.recurrent.bias"]
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    given = (*(base[f"cells.0.{name}"] for name in ("input.weight", "recurrent.weight", "input.bias")), own)
    made.load_state_dict({name: each.detach() for name, each in zip(names, given, strict=True)})
    return made


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_states_are_near_those_of_torch(cell):
    built, state = prepared(learner, Int8Options, precision="fp32", cell=cell)
    x = normal(STEPS, ROWS, WIDTH, seed=3, dtype=torch.float32)
    tensors = network.select_cell(dict(built.save(state)), 0)
    whole = layer(cell)
    with torch.no_grad():
        mine, _ = cells.run_cell(cell, x, tensors, cells.build_start(cell, ROWS, 8, x))
        found, exact = theirs(whole)(x)[0], whole(x)[0]
    for name, own in {"weight_ih_l0": "input", "weight_hh_l0": "recurrent"}.items():
        levels = theirs(whole).get_weight()[name].int_repr()  # of steps that are a 255th of both signs together
        assert (levels.int() - tensors[f"{own}.weight"].int()).abs().max() <= 1
    assert (found - exact).abs().max() > 1e-4
    assert (mine - exact).abs().max() < 0.005
    assert (mine - exact).square().mean() < (found - exact).square().mean()  # whose activations are rounded as well
    assert (mine - found).abs().max() < 0.02


def test_torch_leaves_plain_recurrent_layers_in_floats():
    kept = theirs(layer("elman"))
    assert type(kept) is nn.RNN
    assert kept.weight_hh_l0.dtype == torch.float32
    *_, found = quantised(cell="elman")
    assert found["cells.0.recurrent.weight"].dtype == torch.int8
