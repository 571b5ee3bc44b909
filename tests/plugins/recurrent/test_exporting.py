"""`harness export` of recurrent networks: what others load computes what was trained, for any number of rows."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from tiny_problems import generator, terms
from torch import nn

from harness import Kept, Problem, Unsupported
from harness.cli import main
from harness_dense_rnn.learner import DenseRNN
from harness_recurrent import exporting, forms, network, prediction
from harness_recurrent.config import RecurrentOptions

CELLS = ("irnn", "elman", "gru", "lstm", "mingru")
SHAPES = {"sequences": (3, 5), "images": (1, 3, 5), "frames": (3, 2, 3, 1)}  # few steps: torch.export unrolls them
VOCABULARY = 7


def kept(cell="gru", shape="sequences", **given):
    """A network whose biases are no longer trivial, as a trial has kept it."""
    if shape == "text":
        problem = Problem("language", (9,), VOCABULARY, 100, order="contiguous")
        rows = torch.randint(VOCABULARY, (4, 9), generator=generator())
    else:
        problem = Problem("classification", SHAPES[shape], 3, 100, time_axis=shape != "images")
        rows = torch.randn(4, *SHAPES[shape], generator=generator())
    options = RecurrentOptions(cell=cell, **{"hidden": 8, **given})
    training = terms(10, "fp32", eager=True)
    arrays = DenseRNN(options).save(DenseRNN(options).init(problem, training, None))
    noise = {name: torch.randn(each.shape, generator=generator(at)) for at, (name, each) in enumerate(arrays.items())}
    arrays = {name: each + 0.2 * noise[name] for name, each in arrays.items()}
    return Kept(options, problem, training, arrays, rows.numpy(), DenseRNN(options))


def in_form(held, form):
    """The same network with recurrent weights of a form, as compressions leave them."""
    arrays = dict(held.arrays)
    for layer in range(held.config.layers):
        weight = arrays.pop(f"cells.{layer}.recurrent.weight")
        mask = torch.rand(weight.shape, generator=generator(3)) < 0.4
        left, right = (torch.randn(shape, generator=generator(4)) * 0.3 for shape in ((len(weight), 2), (2, 8)))
        stored = {
            "masked": {"weight": weight, "mask": mask},
            "csr": forms.to_csr(weight, mask),
            "columns": {"weight": weight[:, 2:6], "columns": torch.arange(2, 6)},
            "low-rank": {"left": left, "right": right},
            "identity": {"left": left, "right": right, "identity": torch.tensor(True)},
            "int8": forms.quantise(weight),
        }[form]
        arrays |= {f"cells.{layer}.recurrent.{name}": each for name, each in stored.items()}
    return replace(held, arrays=arrays)


def rows_of(held, count):
    if held.problem.kind == "language":
        return torch.randint(VOCABULARY, (count, 11), generator=generator(5))
    return torch.randn(count, *held.problem.input_shape, generator=generator(5))


def agrees(held, written, counts=(1, 4, 7)):
    net = network.build(held.problem, held.training, held.config)
    for count in counts:
        rows = rows_of(held, count)
        wanted = prediction.predict(net, held.arrays, rows).log_probs
        torch.testing.assert_close(written.predict(rows.numpy()).log_probs, wanted, rtol=1e-5, atol=1e-5)


WRITERS = {"torch": exporting.write_torch, "pt2": exporting.write_pt2, "onnx": exporting.write_onnx}


def write(name, held, folder):
    if name == "onnx":
        for needed in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(needed)
    return WRITERS[name](held, folder / f"net.{name}")


def loaded(written, path, **given):
    """Run the printed lines as a user would, and return their names."""
    names = dict(given)
    exec(written.load.replace("PATH", repr(str(path))), names)
    return names


def runs_as_printed(name, held, written, path):
    """The lines that load the file, on rows with a class each."""
    rows = rows_of(held, 7)
    names = loaded(written, path, rows=rows.numpy() if name == "onnx" else rows)
    wanted = prediction.predict(network.build(held.problem, held.training, held.config), held.arrays, rows)
    found = torch.as_tensor(names["logits"]).log_softmax(-1)
    torch.testing.assert_close(found[None], wanted.log_probs, rtol=1e-5, atol=1e-5)


# --- what the files compute, and how they are loaded ----------------------------------------------------------------


@pytest.mark.sampled
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("shape", ["text", *SHAPES])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_predicts_what_the_network_does_for_any_number_of_rows_and_runs_as_printed(
    name, cell, shape, layers, tmp_path
):
    if (cell, shape) == ("irnn", "text") or (cell, name) == ("mingru", "torch"):
        pytest.skip("there is no such network, or file")
    held = kept(cell, shape, layers=layers)
    written = write(name, held, tmp_path)
    agrees(held, written)
    if shape != "text":
        runs_as_printed(name, held, written, tmp_path / f"net.{name}")


@pytest.mark.sampled
@pytest.mark.parametrize("form", ["masked", "csr", "columns", "low-rank", "int8"])
@pytest.mark.parametrize("cell", ["irnn", "gru", "lstm"])
@pytest.mark.parametrize("name", WRITERS)
def test_weights_of_every_form_become_the_dense_ones_that_they_equal(name, cell, form, tmp_path):
    held = in_form(kept(cell, layers=2), form)
    written = write(name, held, tmp_path)
    agrees(held, written)
    assert f"# weights that were {form} are dense here: equal, and no smaller\n" in written.load


def test_an_identity_beside_a_low_rank_is_in_the_dense_weights(tmp_path):
    held = in_form(kept("irnn"), "identity")
    agrees(held, write("torch", held, tmp_path))


@pytest.mark.sampled
@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("shape", ["sequences", "text"])
def test_layers_of_several_widths_are_modules_of_their_own(name, shape, tmp_path):
    held = kept("gru", shape, layers=2)
    arrays = dict(held.arrays)
    rows = torch.cat([gate * 8 + torch.arange(5) for gate in range(3)])  # five nodes of the lower layer
    for part in ("input.weight", "input.bias", "recurrent.weight"):
        arrays[f"cells.0.{part}"] = arrays[f"cells.0.{part}"][rows]
    arrays["cells.0.recurrent.weight"] = arrays["cells.0.recurrent.weight"][:, :5]
    arrays["cells.0.recurrent.bias"] = arrays["cells.0.recurrent.bias"][:5]
    arrays["cells.1.input.weight"] = arrays["cells.1.input.weight"][:, :5]
    held = replace(held, arrays=arrays)
    agrees(held, write(name, held, tmp_path))


def test_a_tied_readout_is_a_linear_map_of_its_own(tmp_path):
    held = kept("lstm", "text", tied=True)
    assert "readout.weight" not in held.arrays
    for name in WRITERS:
        agrees(held, write(name, held, tmp_path))


@pytest.mark.sampled
@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("name", WRITERS)
def test_the_printed_lines_go_through_a_text(name, cell, tmp_path):
    held = kept(cell, "text", layers=2)
    written = write(name, held, tmp_path)
    tokens = rows_of(held, 3)
    start = [np.zeros((2, 3, 8), np.float32) for _ in range(2 if cell == "lstm" else 1)]
    given = {
        "torch": {"tokens": tokens, "rnn_state": None},
        "pt2": {"token": tokens[:, 0], "states": [torch.as_tensor(each) for each in start]},
        "onnx": {"token": tokens[:, 0].numpy(), "states": start},
    }[name]
    names = loaded(written, tmp_path / f"net.{name}", **given)
    logits = torch.as_tensor(names["logits"])
    first = (logits[:, 0] if name == "torch" else logits).log_softmax(-1).gather(1, tokens[:, 1:2])
    wanted = prediction.predict(network.build(held.problem, held.training, held.config), held.arrays, tokens)
    torch.testing.assert_close(first[:, 0], wanted.log_probs[0, :, 0], rtol=1e-5, atol=1e-5)
    assert len(names.get("states", [0])) == (2 if cell == "lstm" and name != "torch" else 1)


def test_the_file_says_how_it_is_loaded_and_has_torchs_own_names(tmp_path):
    written = write("torch", kept("lstm", layers=2), tmp_path)
    with safe_open(tmp_path / "net.torch", "pt") as file:
        assert file.metadata()["python"] == written.load
        assert json.loads(file.metadata()["modules"])["rnn"] == ["LSTM", [5, 8, 2], {"batch_first": True}]
        found = nn.LSTM(5, 8, 2).state_dict().keys()
        assert set(file.keys()) == {f"rnn.{name}" for name in found} | {"readout.weight", "readout.bias"}


def test_onnx_has_its_own_layers_and_names_the_batch(tmp_path):
    written = write("onnx", kept("lstm", layers=2), tmp_path)
    import onnx

    graph = onnx.load(tmp_path / "net.onnx").graph
    assert [node.op_type for node in graph.node].count("LSTM") == 2
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert written.reader.startswith("onnxruntime ")


# --- what is refused ------------------------------------------------------------------------------------------------


def test_what_torch_has_no_layer_for_is_refused(tmp_path):
    with pytest.raises(Unsupported, match="cell=mingru: torch has no such layer; write pt2 or onnx"):
        exporting.write_torch(kept("mingru"), tmp_path / "net")


@pytest.mark.parametrize("gone", ["readout.weight", "cells.0.recurrent.weight", "readout.bias", "cells.0.input.bias"])
def test_arrays_of_another_network_are_refused(gone, tmp_path):
    held = kept("gru")
    arrays = {name: each for name, each in held.arrays.items() if name != gone}
    with pytest.raises(Unsupported, match="its arrays are those of no gru network"):
        exporting.write_torch(replace(held, arrays=arrays), tmp_path / "net")
    with pytest.raises(Unsupported, match="strange, which such a network does not have"):
        exporting.write_torch(replace(held, arrays={**held.arrays, "strange": torch.zeros(1)}), tmp_path / "net")


# --- as a user does -------------------------------------------------------------------------------------------------


def test_a_compressed_network_is_exported_as_it_was_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    methods = "spectral-pruning[cell=gru,hidden=12,nodes=5]"
    run = ["run", "--methods", methods, "--datasets", "digits-rows[train=64,valid=16,test=48]", "--seeds", "1"]
    assert main([*run, "--updates", "4", "--batch-size", "16", "--threads", "1", "--here", "--keep-weights"]) == 0
    trial = f"{methods}/digits-rows[train=64,valid=16,test=48]/0"
    for name in ("torch", "pt2"):
        capsys.readouterr()
        assert main(["export", trial, "--to", name, f"net.{name}"]) == 0
        assert "checked: 48 test rows predicted from the file by torch" in capsys.readouterr().out
    with safe_open("net.torch", "pt") as file:
        assert file.get_slice("rnn.weight_hh_l0").get_shape() == [15, 5]


def test_a_readout_in_sparse_rows_is_written(tmp_path):
    held = kept("gru", "text")
    arrays = dict(held.arrays)
    weight = arrays.pop("readout.weight")
    rows = forms.to_csr(weight, torch.rand(weight.shape, generator=generator(6)) < 0.5)
    sparse = replace(held, arrays=arrays | {f"readout.{name}": each for name, each in rows.items()})
    agrees(sparse, exporting.write_torch(sparse, tmp_path / "net.safetensors"))
